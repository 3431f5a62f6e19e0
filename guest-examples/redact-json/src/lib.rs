//! Hides the values of named JSON fields, at any depth. Everything else of a value stays byte for byte as it came:
//! order of fields, white space, digits of numbers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use millstream_sdk::{Output, Record, Verdict, config, params, transform};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

params! {
    "fields": {
        "type": "string", "default": "email,ip",
        "description": "names of the fields whose values are hidden, with commas between"
    }
}

transform!(redact, open = open);

/// What stands in place of a hidden value.
const HIDDEN: &str = "\"***\"";

/// As deep as a value may nest: serde_json's own limit, and small against the stack of an instance.
const DEPTH_MAX: usize = 128;

/// The parameter `fields`: names with commas between them.
struct Fields {
    names: Vec<String>,
}

/// A field's name, without a copy where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order; a name that stands twice is there twice.
struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

fn open() -> Result<Fields, String> {
    let names = config::list("fields").unwrap_or_else(|| vec!["email".into(), "ip".into()]);
    if names.is_empty() {
        return Err("parameter `fields`: no field is named".into());
    }
    Ok(Fields { names })
}

fn redact(fields: &mut Fields, record: &Record<'_>) -> Verdict {
    let Some(value) = record.value() else { return Verdict::Keep };
    let Ok(text) = std::str::from_utf8(value) else {
        return Verdict::Reject("the value is not UTF-8".into());
    };
    if let Err(why) = serde_json::from_str::<IgnoredAny>(text) {
        return Verdict::Reject(format!("the value is not JSON: {why}"));
    }
    if !fields.may_stand_in(text) {
        return Verdict::Keep;
    }
    let mut hidden = Vec::new();
    if let Err(why) = fields.find(text, text, 0, &mut hidden) {
        return Verdict::Reject(why);
    }
    if hidden.is_empty() {
        return Verdict::Keep;
    }
    Verdict::Emit(Output::new().value(replace(text, &hidden)))
}

/// `text` with every span of `hidden` replaced; spans are in order and apart.
fn replace(text: &str, hidden: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for span in hidden {
        out.push_str(&text[from..span.start]);
        out.push_str(HIDDEN);
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}

// === impl Fields ===

impl Fields {
    /// A cheap look before any parsing into members. A name may also be written with escapes, so any backslash counts.
    fn may_stand_in(&self, text: &str) -> bool {
        text.contains('\\') || self.names.iter().any(|name| text.contains(name.as_str()))
    }

    /// Adds to `hidden` the spans, in `whole`, of the values to hide within `part`, which is a slice of it.
    fn find(
        &self,
        whole: &str,
        part: &str,
        depth: usize,
        hidden: &mut Vec<Range<usize>>,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("the value nests deeper than {DEPTH_MAX}"));
        }
        let part = part.trim_ascii_start();
        let failed = |why: serde_json::Error| format!("the value is not JSON: {why}");
        if part.starts_with('{') {
            let Members(members) = serde_json::from_str(part).map_err(failed)?;
            for (Name(name), value) in members {
                if self.names.iter().any(|field| *field == name) {
                    let start = value.get().as_ptr().addr() - whole.as_ptr().addr();
                    hidden.push(start..start + value.get().len());
                } else {
                    self.find(whole, value.get(), depth + 1, hidden)?;
                }
            }
        } else if part.starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(part).map_err(failed)?;
            for element in elements {
                self.find(whole, element.get(), depth + 1, hidden)?;
            }
        }
        Ok(())
    }
}

// === impl Members ===

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{input, judge, set_param};

    use super::*;

    fn redacted(value: &str) -> Verdict {
        let mut fields = open().expect("the parameters are valid");
        judge(|record| redact(&mut fields, record), input(value))
    }

    #[test]
    fn named_fields_are_hidden_at_any_depth_and_the_rest_is_untouched() {
        let value =
            r#" { "z": 1.50, "email": "a@b", "in": [{"ip": {"v": 4}, "a\u0062": 1e9}], "ip" : null }"#;
        let expected =
            r#" { "z": 1.50, "email": "***", "in": [{"ip": "***", "a\u0062": 1e9}], "ip" : "***" }"#;
        assert_eq!(redacted(value), Verdict::Emit(Output::new().value(expected)));
    }

    #[test]
    fn a_name_with_escapes_and_a_name_that_stands_twice_are_hidden() {
        let value = r#"{"\u0065mail":"x","ip":1,"ip":2}"#;
        let expected = r#"{"\u0065mail":"***","ip":"***","ip":"***"}"#;
        assert_eq!(redacted(value), Verdict::Emit(Output::new().value(expected)));
    }

    #[test]
    fn records_without_the_fields_are_kept() {
        for value in ["{}", "17", r#"{"user":"email"}"#, r#"["ip"]"#] {
            assert_eq!(redacted(value), Verdict::Keep, "{value}");
        }
        let tombstone = millstream_sdk::Input::default();
        let mut fields = open().expect("the parameters are valid");
        assert_eq!(judge(|record| redact(&mut fields, record), tombstone), Verdict::Keep);
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        let reason = "the value is not JSON: EOF while parsing a value at line 1 column 9";
        assert_eq!(redacted(r#"{"email":"#), Verdict::Reject(reason.into()));
        let deep = format!("{}\"ip\"{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(redacted(&deep), Verdict::Reject("the value nests deeper than 128".into()));
    }

    #[test]
    fn the_fields_are_a_parameter() {
        set_param("fields", "name");
        let expected = r#"{"email":"x","name":"***"}"#;
        assert_eq!(redacted(r#"{"email":"x","name":"y"}"#), Verdict::Emit(Output::new().value(expected)));
        set_param("fields", " , ");
        assert_eq!(open().err(), Some("parameter `fields`: no field is named".into()));
    }
}
