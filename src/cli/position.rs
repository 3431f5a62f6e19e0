//! Where to begin and where to end reading, as written on the command line.

use std::time::Duration;

use crate::model::duration::parse_duration;

/// Help for `--from` and `--to`.
pub(super) const HELP: &str = "earliest, latest, an offset (with --partition), -N for the last N records of each partition, or a time: \
    @1795346400000, 2026-11-22T12:40:00Z, -15m";

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    Earliest,
    Latest,
    /// of one partition
    Offset(u64),
    /// so many before the end
    Last(u64),
    /// as the server reads it: milliseconds, RFC 3339 or relative such as `-15m`
    Time(String),
}

impl Position {
    /// Reads one of the forms in [`HELP`].
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`, expected {HELP}");
        Ok(match text {
            "earliest" | "start" => Self::Earliest,
            "latest" | "end" => Self::Latest,
            _ if text.starts_with('@') => return Self::time(&text[1..]).ok_or_else(wrong),
            _ => match text.strip_prefix('-') {
                Some(back) => match back.parse() {
                    Ok(records) => Self::Last(records),
                    Err(_) => return Self::time(text).ok_or_else(wrong),
                },
                None => match text.parse() {
                    Ok(offset) => Self::Offset(offset),
                    Err(_) => return Self::time(text).ok_or_else(wrong),
                },
            },
        })
    }

    fn time(text: &str) -> Option<Self> {
        let relative = text.strip_prefix('-').is_some_and(|back| parse_duration(back).is_ok());
        let absolute = text.parse::<i64>().is_ok() || text.parse::<jiff::Timestamp>().is_ok();
        (relative || absolute).then(|| Self::Time(text.to_owned()))
    }

    /// A time in milliseconds since the epoch, when `self` is one; `now_ms` settles relative ones.
    pub(super) fn time_ms(&self, now_ms: i64) -> Option<i64> {
        let Self::Time(text) = self else { return None };
        if let Some(back) = text.strip_prefix('-').and_then(|back| parse_duration(back).ok()) {
            return Some(now_ms.saturating_sub(millis(back)));
        }
        text.parse()
            .ok()
            .or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("earliest", Position::Earliest),
            ("end", Position::Latest),
            ("42", Position::Offset(42)),
            ("-10", Position::Last(10)),
            ("-15m", Position::Time("-15m".into())),
            ("@1795346400000", Position::Time("1795346400000".into())),
            ("2026-11-22T12:40:00Z", Position::Time("2026-11-22T12:40:00Z".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(Position::parse(text), Ok(expected), "{text}");
        }
        for bad in ["", "yesterday", "@", "-", "-5 weeks", "1.5"] {
            assert!(Position::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_settled_against_now() {
        let ms = |text| Position::parse(text).unwrap().time_ms(1_000_000);
        assert_eq!(ms("-10s"), Some(990_000));
        assert_eq!(ms("@77"), Some(77));
        assert_eq!(ms("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(ms("77"), None);
    }
}
