//! Adds fields to values that are JSON objects: constants, a row of a table, headers, the record's time. Its parameters are
//! declared, so the server checks them when it is deployed, and `open` need not say again what types and bounds say.

use std::time::Duration;

use millstream_sdk::{Output, Record, Verdict, config, params, transform};
use serde_json::{Map, Value};

params! {
    "constants": {
        "type": "string", "default": "{}",
        "description": "fields that every record gets, a JSON object"
    },
    "table": {
        "type": "string", "default": "{}",
        "description": "rows to look up, a JSON object: key -> fields"
    },
    "table-by": {
        "type": "string", "min": 1,
        "description": "the field whose value is the key of the row"
    },
    "missing": {
        "type": "enum", "values": ["keep", "drop", "reject"], "default": "keep",
        "description": "what becomes of a record without a row"
    },
    "headers": {
        "type": "string", "default": "",
        "description": "headers that become fields: name, or name=field, with commas between"
    },
    "time-field": {
        "type": "string", "min": 1,
        "description": "the field that gets the record's time, milliseconds since 1970"
    },
    "time-shift": {
        "type": "duration", "default": "0s",
        "description": "added to that time"
    },
    "overwrite": {
        "type": "boolean", "default": false,
        "description": "replace fields that are there already"
    },
    "max-size": {
        "type": "bytes", "default": "256KiB", "max": "8MiB",
        "description": "larger values pass as they are"
    }
}

transform!(enrich, open = open);

struct Settings {
    constants: Map<String, Value>,
    table: Map<String, Value>,
    table_by: Option<String>,
    missing: Missing,
    /// header and field
    headers: Vec<(String, String)>,
    time_field: Option<String>,
    time_shift: Duration,
    overwrite: bool,
    size_max: u64,
}

/// What becomes of a record without a row.
#[derive(Clone, Copy)]
enum Missing {
    Keep,
    Drop,
    Reject,
}

fn open() -> Result<Settings, String> {
    let table = object("table")?;
    if let Some((key, _)) = table.iter().find(|(_, row)| !row.is_object()) {
        return Err(format!("parameter `table`: the row of `{key}` is no JSON object"));
    }
    let table_by = config::get("table-by");
    if table_by.is_none() && !table.is_empty() {
        return Err("parameter `table-by` is missing: it names the field that `table` is looked up by".into());
    }
    let headers = config::list("headers").unwrap_or_default();
    let pair = |text: String| match text.split_once('=') {
        Some((header, field)) => (header.trim().to_owned(), field.trim().to_owned()),
        None => (text.clone(), text),
    };
    Ok(Settings {
        constants: object("constants")?,
        table,
        table_by,
        missing: match config::get("missing").as_deref() {
            Some("drop") => Missing::Drop,
            Some("reject") => Missing::Reject,
            _ => Missing::Keep,
        },
        headers: headers.into_iter().map(pair).collect(),
        time_field: config::get("time-field"),
        time_shift: config::duration("time-shift")?.unwrap_or_default(),
        overwrite: config::parse_or("overwrite", false)?,
        size_max: config::size("max-size")?.unwrap_or(256 << 10),
    })
}

/// A parameter that is a JSON object.
fn object(name: &str) -> Result<Map<String, Value>, String> {
    let text = config::get(name).unwrap_or_else(|| "{}".into());
    serde_json::from_str(&text).map_err(|why| format!("parameter `{name}` is no JSON object: {why}"))
}

fn enrich(settings: &mut Settings, record: &Record<'_>) -> Verdict {
    let Some(value) = record.value() else { return Verdict::Keep };
    if value.len() as u64 > settings.size_max {
        return Verdict::Keep;
    }
    let mut fields: Map<String, Value> = match serde_json::from_slice(value) {
        Ok(fields) => fields,
        Err(why) => return Verdict::Reject(format!("the value is no JSON object: {why}")),
    };
    let row = match settings.row(&fields) {
        Ok(row) => row,
        Err(verdict) => return verdict,
    };

    let mut added = settings.constants.clone();
    added.extend(row.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    for (header, field) in &settings.headers {
        if let Some((_, Some(text))) = record.headers().find(|(name, _)| name == header) {
            added.insert(field.clone(), String::from_utf8_lossy(text).into());
        }
    }
    if let Some(field) = &settings.time_field {
        let shift = i64::try_from(settings.time_shift.as_millis()).unwrap_or(i64::MAX);
        added.insert(field.clone(), record.timestamp().saturating_add(shift).into());
    }
    let mut changed = false;
    for (name, value) in added {
        if settings.overwrite || !fields.contains_key(&name) {
            changed |= fields.get(&name) != Some(&value);
            fields.insert(name, value);
        }
    }
    if changed {
        Verdict::Emit(Output::new().value(Value::Object(fields).to_string()))
    } else {
        Verdict::Keep
    }
}

// === impl Settings ===

impl Settings {
    /// The fields of the record's row; an `Err` is the verdict on a record without one.
    fn row(&self, fields: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, Verdict> {
        let Some(by) = &self.table_by else { return Ok(None) };
        let key = match fields.get(by) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => None,
            Some(other) => Some(other.to_string()),
        };
        let row = key.as_ref().and_then(|key| self.table.get(key)).and_then(Value::as_object);
        match (row, self.missing) {
            (Some(row), _) => Ok(Some(row)),
            (None, Missing::Keep) => Ok(None),
            (None, Missing::Drop) => Err(Verdict::Drop),
            (None, Missing::Reject) => {
                let what = key.map_or_else(|| "no value".to_owned(), |key| format!("`{key}`"));
                Err(Verdict::Reject(format!("field `{by}` has {what}, for which there is no row")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{input, judge, reset, set_param};
    use millstream_sdk::{Header, Input};

    use super::*;

    fn enriched(params: &[(&str, &str)], input: Input) -> Verdict {
        reset();
        for (name, value) in params {
            set_param(name, value);
        }
        let mut settings = open().expect("the parameters are valid");
        judge(|record| enrich(&mut settings, record), input)
    }

    fn value(text: &str) -> Verdict {
        Verdict::Emit(Output::new().value(text))
    }

    #[test]
    fn fields_come_from_constants_table_headers_and_time() {
        let params = [
            ("constants", r#"{"site":"eu"}"#),
            ("table", r#"{"7":{"name":"pen"}}"#),
            ("table-by", "item"),
            ("headers", "trace, user-agent = agent"),
            ("time-field", "at"),
            ("time-shift", "2s"),
        ];
        let header = |name: &str, value: &str| Header { name: name.into(), value: Some(value.into()) };
        let record = Input {
            timestamp: 1000,
            headers: vec![header("user-agent", "curl"), header("other", "x")],
            ..input(r#"{"item":7,"n":1.0}"#)
        };
        let expected = r#"{"item":7,"n":1.0,"site":"eu","name":"pen","agent":"curl","at":3000}"#;
        assert_eq!(enriched(&params, record), value(expected));
    }

    #[test]
    fn what_is_there_stays_unless_it_may_be_overwritten() {
        let constants = ("constants", r#"{"a":1,"b":2}"#);
        assert_eq!(enriched(&[constants], input(r#"{"a":0}"#)), value(r#"{"a":0,"b":2}"#));
        let overwrite = [constants, ("overwrite", "true")];
        assert_eq!(enriched(&overwrite, input(r#"{"a":0}"#)), value(r#"{"a":1,"b":2}"#));
        assert_eq!(enriched(&[constants], input(r#"{"b":0,"a":0}"#)), Verdict::Keep);
    }

    #[test]
    fn a_record_without_a_row_is_kept_dropped_or_refused() {
        let with = |missing| [("table", r#"{"a":{}}"#), ("table-by", "k"), ("missing", missing)];
        assert_eq!(enriched(&with("keep"), input(r#"{"k":"b"}"#)), Verdict::Keep);
        assert_eq!(enriched(&with("drop"), input(r#"{"k":"b"}"#)), Verdict::Drop);
        let reason = "field `k` has `b`, for which there is no row";
        assert_eq!(enriched(&with("reject"), input(r#"{"k":"b"}"#)), Verdict::Reject(reason.into()));
        let reason = "field `k` has no value, for which there is no row";
        assert_eq!(enriched(&with("reject"), input("{}")), Verdict::Reject(reason.into()));
    }

    #[test]
    fn what_is_no_object_is_refused_and_what_is_large_passes() {
        assert!(matches!(enriched(&[], input("[1]")), Verdict::Reject(_)));
        assert_eq!(enriched(&[("max-size", "2")], input("[1]")), Verdict::Keep);
        assert_eq!(enriched(&[], Input::default()), Verdict::Keep);
    }

    #[test]
    fn parameters_that_no_type_can_tell_are_refused_at_open() {
        reset();
        set_param("table", r#"{"a":1}"#);
        assert_eq!(open().err(), Some("parameter `table`: the row of `a` is no JSON object".into()));
        set_param("table", r#"{"a":{}}"#);
        assert!(open().err().is_some_and(|why| why.contains("`table-by` is missing")));
    }
}
