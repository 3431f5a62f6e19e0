//! Where a rewind goes, as it is written in a body.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::model::{Offset, TimestampMs, TopicName};

const PLACES: &[&str] = &["timestamp", "offsets", "shift_by", "cursor", "cursor_base64"];

/// Where a rewind goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RewindTo {
    /// the oldest record kept
    Earliest,
    /// the end of the log
    Latest,
    /// the first record at or after this time
    Timestamp(TimestampMs),
    /// topic → partition → offset of the next record to read
    Offsets(BTreeMap<TopicName, BTreeMap<u32, Offset>>),
    /// records back (negative) or forward
    ShiftBy(i64),
    /// sources only: the next poll is handed these bytes
    Cursor(String),
    /// the same, in base64
    CursorBase64(String),
}

// What the enum would derive calls a number no JSON.
impl<'de> Deserialize<'de> for RewindTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ToVisitor;
        impl<'de> Visitor<'de> for ToVisitor {
            type Value = RewindTo;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "earliest, latest, {\"timestamp\": milliseconds}, {\"offsets\": {topic: {partition: offset}}} or \
                     {\"shift_by\": records}; of a source earliest, {\"cursor\": …} or {\"cursor_base64\": …}",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RewindTo, E> {
                match text {
                    "earliest" => Ok(RewindTo::Earliest),
                    "latest" => Ok(RewindTo::Latest),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RewindTo, A::Error> {
                let to = match map.next_key::<String>()?.as_deref() {
                    Some("timestamp") => RewindTo::Timestamp(map.next_value()?),
                    Some("offsets") => RewindTo::Offsets(map.next_value()?),
                    Some("shift_by") => RewindTo::ShiftBy(map.next_value()?),
                    Some("cursor") => RewindTo::Cursor(map.next_value()?),
                    Some("cursor_base64") => RewindTo::CursorBase64(map.next_value()?),
                    Some(other) => return Err(de::Error::unknown_field(other, PLACES)),
                    None => return Err(de::Error::invalid_length(0, &self)),
                };
                match map.next_key::<String>()? {
                    None => Ok(to),
                    Some(_) => Err(de::Error::invalid_length(2, &self)),
                }
            }
        }
        deserializer.deserialize_any(ToVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_anything_else_is_told_what_it_may_be() {
        let offsets = BTreeMap::from([(TopicName::parse("t").unwrap(), BTreeMap::from([(3, 7)]))]);
        for to in [
            RewindTo::Earliest,
            RewindTo::Latest,
            RewindTo::Timestamp(5),
            RewindTo::Offsets(offsets),
            RewindTo::ShiftBy(-3),
            RewindTo::Cursor("c".into()),
            RewindTo::CursorBase64("Yw==".into()),
        ] {
            let text = serde_json::to_string(&to).unwrap();
            assert_eq!(serde_json::from_str::<RewindTo>(&text).unwrap(), to, "{text}");
        }
        for wrong in ["-1", "null", "[]", "{}", "\"middle\"", r#"{"shift_by":-1,"timestamp":1}"#] {
            let error = serde_json::from_str::<RewindTo>(wrong).unwrap_err();
            assert!(
                error.is_data() && error.to_string().contains("expected earliest, latest, "),
                "{wrong}: {error}"
            );
        }
        let error = serde_json::from_str::<RewindTo>(r#"{"offset": 1}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `offset`, expected one of `timestamp`, `offsets`"), "{error}");
    }
}
