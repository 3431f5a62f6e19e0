//! What can go wrong with a command, what is said about it, and the exit code that scripts see:
//!
//! | code | meaning |
//! |---|---|
//! | 1 | failure |
//! | 2 | wrong usage |
//! | 3 | not found |
//! | 4 | conflict, or a precondition that does not hold |
//! | 5 | not allowed |
//! | 6 | the server cannot be reached, is overloaded, or did not answer in time |
//! | 7 | refused as invalid |

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::hints;
use crate::telemetry::chain;

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line asks for something that makes no sense.
    Usage(String),
    /// The server answered with a problem.
    Problem(Box<Problem>),
    /// No connection.
    Unreachable { url: String, cause: String },
    /// A connection that ended before its answer; what the request did is not known.
    Broken { url: String, cause: String },
    /// No answer in time.
    TimedOut(String),
    /// Something on this side.
    Local(String),
    /// The answer to "really?" was no.
    Declined,
    /// Part of the input was refused; what and why has been printed.
    Refused(String),
    /// The reader of our output is gone; nothing is wrong.
    OutputClosed,
}

/// RFC 9457, with our members.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) hint: Option<String>,
    pub(super) request_id: Option<String>,
    /// place and sentence
    pub(super) errors: Vec<(String, String)>,
    /// everything else worth seeing with `-v`
    pub(super) body: Value,
}

// === impl Failure ===

impl Failure {
    /// Something on this side, with its cause.
    pub(super) fn local(what: &str, cause: impl Error) -> Self {
        Self::Local(format!("{what}: {}", chain(&cause)))
    }

    /// A write to stdout that failed.
    pub(super) fn write(e: &std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Local(format!("stdout: {e}"))
        }
    }

    /// As the table above says.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Local(_) | Self::Declined => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut(_) => 6,
            Self::Refused(_) => 7,
            Self::Problem(p) => match p.status {
                404 | 410 => 3,
                409 | 412 | 416 => 4,
                401 | 403 => 5,
                408 | 429 | 502..=504 => 6,
                400 | 405..=499 => 7,
                _ => 1,
            },
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// Lines for stderr; `None` when there is nothing to say.
    pub(super) fn report(&self, verbose: bool) -> Option<String> {
        let text = match self {
            Self::OutputClosed => return None,
            Self::Usage(what) => format!("error: {what}\nhint: --help lists what each command takes\n"),
            Self::Problem(problem) => problem.report(verbose),
            Self::Unreachable { url, cause } => format!(
                "error: no server answers at {url}: {cause}\n\
                 hint: start one with `millstream serve`, or name another with --url or MILLSTREAM_URL\n"
            ),
            Self::Broken { url, cause } => format!(
                "error: the connection to {url} broke: {cause}\n\
                 hint: the server's log says more; whether the request was carried out is not known\n"
            ),
            Self::TimedOut(what) => {
                format!("error: {what}\nhint: --timeout 2m waits longer; a bare number counts milliseconds\n")
            }
            Self::Local(what) | Self::Refused(what) => format!("error: {what}\n"),
            Self::Declined => "nothing was changed\n".to_owned(),
        };
        Some(text)
    }
}

// === impl Problem ===

impl Problem {
    /// From an answer's body, whatever it is. A body that is no problem becomes the detail.
    pub(super) fn read(status: u16, request_id: Option<String>, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let plain = || String::from_utf8_lossy(&body[..body.len().min(500)]).trim().to_owned();
        let detail = text("detail").or_else(|| text("title")).unwrap_or_else(plain);
        let errors = value.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let member =
            |e: &Value, name: &str| e.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            status,
            code: text("code").unwrap_or_default(),
            detail: if detail.is_empty() { format!("the server answered {status}") } else { detail },
            hint: text("hint"),
            request_id: request_id.or_else(|| text("instance")),
            errors: errors.iter().map(|e| (member(e, "pointer"), member(e, "detail"))).collect(),
            body: value,
        }
    }

    fn hint(&self, named: bool) -> Option<&str> {
        match hints::of(&self.code).or(self.hint.as_deref()) {
            Some(hints::PLACES) if self.errors.iter().any(|(pointer, _)| pointer == "/module") => {
                Some(hints::MODULE)
            }
            Some(hints::PLACES) if !named => None,
            hint => hint,
        }
    }

    fn report(&self, verbose: bool) -> String {
        let mut text = format!("error: {}\n", self.detail);
        let mut named = false;
        // A sentence that stands above already is not said twice.
        for (pointer, detail) in self.errors.iter().filter(|e| e.1 != self.detail) {
            let line = format!("{pointer}: {detail}");
            named |= !pointer.is_empty();
            if !self.detail.ends_with(&line) && self.detail != format!("{pointer} {detail}") {
                let _ = writeln!(text, "  {line}");
            }
        }
        if let Some(trap) = self.body.get("trap").and_then(Value::as_str) {
            let _ = writeln!(text, "  trap: {trap}");
        }
        for frame in self.body.get("backtrace").and_then(Value::as_array).into_iter().flatten().take(20) {
            let _ = writeln!(text, "    {}", frame.as_str().unwrap_or_default());
        }
        if let Some(again) = self.body.get("reproduce").and_then(Value::as_str) {
            let _ = writeln!(text, "  again: {again}");
        }
        if let Some(hint) = self.hint(named) {
            // The server calls it by the name of its member.
            let _ = writeln!(text, "hint: {}", hint.replace("the detail", "the message"));
        }
        let code = if self.code.is_empty() { "" } else { " " };
        let id = self.request_id.as_deref().map(|id| format!(", request {id}")).unwrap_or_default();
        let _ = writeln!(text, "({}{code}{}{id})", self.status, self.code);
        if verbose && !self.body.is_null() {
            let _ = writeln!(text, "{:#}", self.body);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_answer_has_its_exit_code() {
        let cases = [
            (400, 7),
            (401, 5),
            (403, 5),
            (404, 3),
            (409, 4),
            (410, 3),
            (412, 4),
            (413, 7),
            (415, 7),
            (416, 4),
            (422, 7),
            (429, 6),
            (500, 1),
            (503, 6),
            (504, 6),
        ];
        for (status, code) in cases {
            let failure = Failure::Problem(Box::new(Problem { status, ..Problem::default() }));
            assert_eq!(failure.code(), code, "{status}");
        }
        assert_eq!(Failure::Usage(String::new()).code(), 2);
        assert_eq!(Failure::TimedOut(String::new()).code(), 6);
        assert_eq!(Failure::Declined.code(), 1);
    }

    #[test]
    fn who_waited_a_millisecond_learns_what_a_bare_number_counts() {
        let text = Failure::TimedOut("no answer".into()).report(false).unwrap();
        let hint = "hint: --timeout 2m waits longer; a bare number counts milliseconds";
        assert_eq!(text, format!("error: no answer\n{hint}\n"));
    }

    #[test]
    fn a_problem_prints_detail_places_hint_and_request() {
        let body =
            br#"{"status":422,"code":"invalid_record","detail":"2 records are invalid","hint":"see format=",
            "instance":"req_1","errors":[{"pointer":"/records/3/partition","detail":"must be < 4"}]}"#;
        let text = Failure::Problem(Box::new(Problem::read(422, None, body))).report(false).unwrap();
        let expected = "error: 2 records are invalid\n  /records/3/partition: must be < 4\n\
                        hint: each wrong place is named above\n(422 invalid_record, request req_1)\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn places_are_spoken_of_where_they_are_named() {
        let report = |detail: &str, errors: Value| {
            let body =
                serde_json::json!({ "code": "invalid_deployment", "detail": detail, "errors": errors });
            let body = serde_json::to_vec(&body).unwrap();
            Failure::Problem(Box::new(Problem::read(422, None, &body))).report(false).unwrap()
        };
        let places = "hint: each wrong place is named above";
        let place =
            |pointer: &str, detail: &str| serde_json::json!([{ "pointer": pointer, "detail": detail }]);
        assert!(report("/kind is missing", place("/kind", "is missing")).contains(places));
        assert!(!report("a sentence", place("", "a sentence")).contains("hint:"));
        assert!(!report("a sentence", Value::Null).contains("hint:"));
        let module = report("module `x` does not exist", place("/module", "module `x` does not exist"));
        assert!(
            module.contains("`millstream module push NAME` uploads") && !module.contains(places),
            "{module}"
        );
    }

    #[test]
    fn an_answer_that_is_no_problem_is_shown_as_it_came() {
        assert_eq!(Problem::read(502, None, b"bad gateway\n").detail, "bad gateway");
        assert_eq!(Problem::read(500, None, b"").detail, "the server answered 500");
    }
}
