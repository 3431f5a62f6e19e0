//! Positions and times as users write them in queries.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::broker::read::OffsetSpec;
use crate::model::limits::WAIT_MAX;
use crate::model::{Offset, Partition, TimestampMs, TopicName, duration};

/// `offset=`: a number, `earliest`, `latest`, or `-N` for N before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetText(pub(super) OffsetSpec);

/// A time: milliseconds since 1970, RFC 3339, or a duration back from now such as `-15m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// at this time
    At(TimestampMs),
    /// so long before now
    Ago(Duration),
}

/// `until=`: a time or a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Until {
    /// the first record at or after it
    Time(Time),
    /// not looked into yet
    Cursor(String),
}

/// How long to wait: milliseconds or `10s`, at most a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wait(pub(super) Duration);

/// A duration of any length: milliseconds or `45s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// `after=topic:partition:offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct After(pub(super) TopicName, pub(super) Partition, pub(super) Offset);

impl Time {
    /// Milliseconds since 1970.
    pub(super) fn at(self, now_ms: TimestampMs) -> TimestampMs {
        match self {
            Self::At(ms) => ms,
            Self::Ago(back) => {
                now_ms.saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX)).max(0)
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(back) = text.strip_prefix('-') {
            return duration::parse_duration(back).map(Self::Ago);
        }
        if let Ok(ms) = text.parse::<u64>() {
            return i64::try_from(ms).map(Self::At).map_err(|_| "expected milliseconds since 1970".into());
        }
        text.parse::<jiff::Timestamp>().map(|t| Self::At(t.as_millisecond().max(0))).map_err(|_| {
            "expected milliseconds since 1970, RFC 3339 such as 2026-01-01T00:00:00Z, or a duration back from now such as -15m"
                .into()
        })
    }
}

impl Until {
    fn parse(text: &str) -> Result<Self, String> {
        // Cursors begin with their version, which is an A in base64; no time does.
        if text.starts_with('A') {
            return Ok(Self::Cursor(text.to_owned()));
        }
        Time::parse(text).map(Self::Time)
    }
}

impl OffsetText {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a number, earliest, latest, or -N for N before the end".to_owned();
        Ok(Self(match text {
            "earliest" => OffsetSpec::Earliest,
            "latest" => OffsetSpec::Latest,
            _ => match text.strip_prefix('-') {
                Some(back) => OffsetSpec::Back(back.parse().map_err(|_| wrong())?),
                None => OffsetSpec::Offset(text.parse().map_err(|_| wrong())?),
            },
        }))
    }
}

impl Wait {
    fn parse(text: &str) -> Result<Self, String> {
        let wait = duration::parse_duration(text)?;
        if wait > WAIT_MAX {
            return Err(format!("expected at most {}", duration::format_duration(WAIT_MAX)));
        }
        Ok(Self(wait))
    }
}

impl Span {
    fn parse(text: &str) -> Result<Self, String> {
        duration::parse_duration(text).map(Self)
    }
}

impl After {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected topic:partition:offset".to_owned();
        let mut parts = text.rsplitn(3, ':');
        let offset = parts.next().and_then(|p| p.parse().ok()).ok_or_else(wrong)?;
        let partition = parts.next().and_then(|p| p.parse().ok()).ok_or_else(wrong)?;
        let topic = parts.next().ok_or_else(wrong)?;
        Ok(Self(TopicName::parse(topic).map_err(|e| e.to_string())?, partition, offset))
    }
}

macro_rules! deserialize_from_text {
    ($($type:ident),*) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct TextVisitor;
                impl Visitor<'_> for TextVisitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("text or a number")
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $type::parse(text).map_err(E::custom)
                    }
                    // In a body a number may be one.
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(TextVisitor)
            }
        })*
    };
}
deserialize_from_text!(OffsetText, Time, Until, Wait, Span, After);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_back_from_now() {
        assert_eq!(Time::parse("1700000000000").unwrap().at(5), 1_700_000_000_000);
        assert_eq!(Time::parse("2026-01-01T00:00:00Z").unwrap().at(5), 1_767_225_600_000);
        assert_eq!(Time::parse("-15m").unwrap().at(1_000_000), 100_000);
        assert_eq!(Time::parse("-15m").unwrap().at(5), 0);
        assert!(Time::parse("yesterday").is_err());
    }

    #[test]
    fn offsets_and_waits_are_checked() {
        assert_eq!(OffsetText::parse("-10"), Ok(OffsetText(OffsetSpec::Back(10))));
        assert_eq!(OffsetText::parse("latest"), Ok(OffsetText(OffsetSpec::Latest)));
        assert_eq!(OffsetText::parse("7"), Ok(OffsetText(OffsetSpec::Offset(7))));
        assert!(OffsetText::parse("1.5").is_err());
        assert_eq!(Wait::parse("10s"), Ok(Wait(Duration::from_secs(10))));
        assert!(Wait::parse("2m").is_err());
    }

    #[test]
    fn after_names_a_record() {
        assert_eq!(After::parse("clicks:1:8812"), Ok(After(TopicName::parse("clicks").unwrap(), 1, 8812)));
        for bad in ["clicks", "clicks:1", "a:b:c", ":1:2", "x:1:-2"] {
            assert!(After::parse(bad).is_err(), "{bad}");
        }
    }
}
