//! What became of the lines, in sums.

use serde_json::{Value, json};

use crate::cli::failure::{Failure, Problem};
use crate::cli::output::record_count;

/// What has become of the lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) stored: u64,
    pub(super) dropped: u64,
    pub(super) dead_lettered: u64,
    pub(super) rejected: u64,
    pub(super) requests: u64,
}

// === impl Totals ===

impl Totals {
    /// Adds an NDJSON summary; members that are missing count nothing.
    pub(super) fn add(&mut self, sent: u64, summary: &Value) {
        let number = |name: &str| summary.get(name).and_then(Value::as_u64);
        self.requests += 1;
        self.sent += sent;
        let (dropped, dead) = (number("dropped").unwrap_or(0), number("dead_lettered").unwrap_or(0));
        let rejected = number("failed").unwrap_or(0);
        self.dropped += dropped;
        self.dead_lettered += dead;
        self.rejected += rejected;
        self.stored += number("stored").unwrap_or_else(|| sent.saturating_sub(dropped + dead + rejected));
    }

    /// Adds the answers to the lines of a request, and writes them with the numbers that the lines have in the input.
    pub(super) fn add_lines(
        &mut self,
        sent: u64,
        first_line: u64,
        answers: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        self.requests += 1;
        self.sent += sent;
        for answer in answers.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let mut answer: Value = serde_json::from_slice(answer)
                .map_err(|e| Failure::local("the server's answer is no JSON", e))?;
            // Without a line it is about the whole stream.
            if let (Some(problem), None) = (answer.get("error"), answer.get("line")) {
                let status = problem.get("status").and_then(Value::as_u64).unwrap_or(500) as u16;
                let problem = Problem::read(status, None, problem.to_string().as_bytes());
                return Err(Failure::Problem(Box::new(problem)));
            }
            match answer.get("status").and_then(Value::as_str) {
                Some("stored") => self.stored += answer.get("count").and_then(Value::as_u64).unwrap_or(1),
                Some("dropped") => self.dropped += 1,
                Some("dead_lettered") => self.dead_lettered += 1,
                _ => self.rejected += 1,
            }
            if let Some(line) = answer.get_mut("line") {
                *line = json!(first_line + line.as_u64().unwrap_or(1).saturating_sub(1));
            }
            out.extend_from_slice(answer.to_string().as_bytes());
            out.push(b'\n');
        }
        Ok(())
    }

    /// What is known after a request that failed: a problem says what it stored before, a broken connection nothing.
    /// `None` when nothing was stored at all.
    pub(super) fn at_failure(&self, failure: &Failure, first_line: u64, records: u64) -> Option<String> {
        let stored_of_it = match failure {
            Failure::Problem(problem) if problem.body.get("side_effects").is_some_and(|s| s == "none") => {
                Some(0)
            }
            Failure::Problem(problem) => problem.body.get("summary").and_then(|s| s.get("stored")?.as_u64()),
            _ => None,
        };
        let known = self.stored + stored_of_it.unwrap_or(0);
        match stored_of_it {
            Some(_) if known == 0 => None,
            Some(_) => Some(format!(
                "{} stored; the request from line {first_line} on ended early",
                record_count(known)
            )),
            None => Some(format!(
                "{} stored; whether the {} from line {first_line} on are is not known",
                record_count(known),
                record_count(records)
            )),
        }
    }
}
