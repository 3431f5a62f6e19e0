//! Parameters as a module declares them: typed, with defaults and bounds. The declaration travels in the module's bytes as a
//! custom section ([`SECTION`], JSON), is stored with its version, and every spec is checked against it. The code goes on to
//! see text.
//!
//! ```text
//! {"version": 1, "params": {"url": {"type": "string", "required": true}, "keep": {"type": "integer", "default": 200}}}
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::deployment::SpecProblem;
use super::duration::{parse_bytes, parse_duration};
use super::limits::{
    PARAM_DESCRIPTION_MAX, PARAM_NAME_MAX, PARAM_TEXT_MAX, PARAM_VALUES_MAX, PARAMS_MAX, PARAMS_SECTION_MAX,
};
use super::{names, suggest};

/// Name of the custom section.
pub const SECTION: &str = "millstream:params";

/// The version of its format.
const VERSION: u32 = 1;

/// What a module says of its parameters, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(BTreeMap<String, Param>);

/// One declared parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// how its text reads
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// for whoever deploys it
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// a spec has to give it
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// what the code sees where the spec gives nothing
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "scalar")]
    pub default: Option<String>,
    /// least value; of a string, least number of characters
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "scalar")]
    pub min: Option<String>,
    /// greatest value; of a string, greatest number of characters
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "scalar")]
    pub max: Option<String>,
    /// what an `enum` may be
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How the text of a parameter reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// any text
    String,
    /// a whole number, 64 bits
    Integer,
    /// a decimal number
    Number,
    /// `true` or `false`
    Boolean,
    /// such as `10s`
    Duration,
    /// a size such as `64KiB`
    Bytes,
    /// one of `values`
    Enum,
}

/// The section as a whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    version: u32,
    params: Params,
}

/// What a bound is compared by.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Measure {
    Whole(i128),
    Decimal(f64),
}

/// Defaults and bounds may be written as numbers and booleans.
fn scalar<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    match serde_json::Value::deserialize(d)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => Ok(Some(text)),
        serde_json::Value::Number(n) => Ok(Some(n.to_string())),
        serde_json::Value::Bool(b) => Ok(Some(b.to_string())),
        _ => Err(serde::de::Error::custom("expected text, a number or a boolean")),
    }
}

// === impl Params ===

impl Params {
    /// Reads the content of a section and checks that it makes sense.
    ///
    /// # Errors
    /// A sentence for the module's author.
    pub fn read(section: &[u8]) -> Result<Self, String> {
        if section.len() > PARAMS_SECTION_MAX {
            return Err(format!("it has {} bytes, at most {PARAMS_SECTION_MAX} are allowed", section.len()));
        }
        let versioned: serde_json::Value = serde_json::from_slice(section).map_err(|e| e.to_string())?;
        match versioned.get("version").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(VERSION) => {}
            Some(found) => return Err(format!("it is of version {found}, this server reads {VERSION}")),
            None => return Err("it names no version".to_owned()),
        }
        let Section { params, .. } = serde_json::from_value(versioned).map_err(|e| e.to_string())?;
        params.check()?;
        Ok(params)
    }

    /// The declaration of a project, as its author writes it: name → declaration.
    ///
    /// # Errors
    /// A sentence for the module's author.
    pub fn of_project(params: serde_json::Value) -> Result<Self, String> {
        let params: Self = serde_json::from_value(params).map_err(|e| e.to_string())?;
        params.check()?;
        Ok(params)
    }

    /// The content of the section.
    pub fn write(&self) -> Vec<u8> {
        let section = Section { version: VERSION, params: self.clone() };
        serde_json::to_vec(&section).expect("names and texts are JSON")
    }

    /// Declared parameters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter().map(|(name, param)| (name.as_str(), param))
    }

    fn check(&self) -> Result<(), String> {
        if self.0.len() > PARAMS_MAX {
            return Err(format!("{} parameters, at most {PARAMS_MAX} are allowed", self.0.len()));
        }
        for (name, param) in &self.0 {
            names::check("parameter", name, PARAM_NAME_MAX).map_err(|e| e.to_string())?;
            param.check().map_err(|why| format!("parameter `{name}`: {why}"))?;
        }
        Ok(())
    }

    /// What is wrong with the parameters of a spec.
    pub fn problems(&self, given: &BTreeMap<String, String>) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        let mut say = |name: &str, detail: String| {
            let name = name.replace('~', "~0").replace('/', "~1");
            problems.push(SpecProblem { pointer: format!("/params/{name}"), detail });
        };
        for (name, value) in given {
            match self.0.get(name) {
                None => say(name, self.unknown(name)),
                Some(param) => {
                    if let Err(why) = param.takes(value) {
                        say(name, why);
                    }
                }
            }
        }
        for (name, param) in &self.0 {
            if param.required && !given.contains_key(name) {
                say(name, format!("is missing; the module wants it ({})", param.kind));
            }
        }
        problems
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.0.keys().map(String::as_str);
        match suggest(name, names.clone()) {
            Some(near) => format!("the module has no such parameter; did you mean `{near}`?"),
            None if self.0.is_empty() => "the module has no parameters".to_owned(),
            None => {
                format!("the module has no such parameter; it has {}", names.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// What the code sees where a spec gives nothing.
    pub fn defaults(&self) -> BTreeMap<String, String> {
        let given = |(name, param): (&String, &Param)| Some((name.clone(), param.default.clone()?));
        self.0.iter().filter_map(given).collect()
    }
}

// === impl Param ===

impl Param {
    /// Does the declaration make sense?
    fn check(&self) -> Result<(), String> {
        if self.description.len() > PARAM_DESCRIPTION_MAX {
            let found = self.description.len();
            return Err(format!("a description of {found} bytes, at most {PARAM_DESCRIPTION_MAX}"));
        }
        if (self.kind == ParamType::Enum) == self.values.is_empty() {
            return Err("`values` belong to an enum, which has at least one".to_owned());
        }
        if self.values.len() > PARAM_VALUES_MAX {
            return Err(format!("{} values, at most {PARAM_VALUES_MAX}", self.values.len()));
        }
        let texts = self.values.iter().chain(&self.default);
        if let Some(long) = texts.map(String::len).find(|len| *len > PARAM_TEXT_MAX) {
            return Err(format!("a value of {long} bytes, at most {PARAM_TEXT_MAX}"));
        }
        let (min, max) = (self.bound("min", self.min.as_ref())?, self.bound("max", self.max.as_ref())?);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err("`min` is greater than `max`".to_owned());
        }
        match &self.default {
            Some(_) if self.required => Err("what is required has no default".to_owned()),
            Some(default) => self.takes(default).map_err(|why| format!("its default {why}")),
            None => Ok(()),
        }
    }

    fn bound(&self, which: &str, text: Option<&String>) -> Result<Option<Measure>, String> {
        let Some(text) = text else { return Ok(None) };
        let measured = match self.kind {
            ParamType::Boolean | ParamType::Enum => return Err(format!("a {} has no `{which}`", self.kind)),
            // Of a string the characters are counted.
            ParamType::String => {
                text.parse::<u32>().map(|n| Measure::Whole(n.into())).map_err(|e| e.to_string())
            }
            _ => self.measure(text),
        };
        measured.map(Some).map_err(|why| format!("`{which}` {why}"))
    }

    /// Is this text one of its values?
    ///
    /// # Errors
    /// What was found and what is expected.
    pub fn takes(&self, text: &str) -> Result<(), String> {
        if self.kind == ParamType::Enum && !self.values.iter().any(|value| value == text) {
            let near = suggest(text, self.values.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("is `{text}`, expected {}{near}", self.values.join(", ")));
        }
        let found = self.measure(text)?;
        let within = |bound: &Option<String>, which, fits: fn(&Measure, &Measure) -> bool| {
            let bound = self.bound(which, bound.as_ref()).ok().flatten();
            bound.is_none_or(|bound| fits(&found, &bound))
        };
        if within(&self.min, "min", |a, b| a >= b) && within(&self.max, "max", |a, b| a <= b) {
            return Ok(());
        }
        let length = match found {
            Measure::Whole(length) if self.kind == ParamType::String => format!(" of {length} characters"),
            _ => String::new(),
        };
        let wanted = match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("{min} or more"),
            (_, max) => format!("{} or less", max.as_deref().unwrap_or_default()),
        };
        Err(format!("is `{text}`{length}, expected {wanted}"))
    }

    /// Reads the text by its type, into what bounds are compared with.
    fn measure(&self, text: &str) -> Result<Measure, String> {
        let wrong = |expected: &str| format!("is `{text}`, expected {expected}");
        match self.kind {
            ParamType::String | ParamType::Enum => Ok(Measure::Whole(text.chars().count() as i128)),
            ParamType::Integer => {
                let number = text.parse::<i64>().map(|n| Measure::Whole(n.into()));
                number.map_err(|_| wrong("a whole number"))
            }
            ParamType::Number => {
                let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
                number.map(Measure::Decimal).ok_or_else(|| wrong("a number"))
            }
            ParamType::Boolean => match text {
                "true" | "false" => Ok(Measure::Whole(0)),
                _ => Err(wrong("true or false")),
            },
            ParamType::Duration => {
                let duration = parse_duration(text).map(|d| Measure::Whole(d.as_millis() as i128));
                duration.map_err(|_| wrong("a duration such as 500ms, 10s or 2h"))
            }
            ParamType::Bytes => {
                let size = parse_bytes(text).map(|n| Measure::Whole(n.into()));
                size.map_err(|_| wrong("a size such as 1000, 64KiB or 1MiB"))
            }
        }
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "size",
            Self::Enum => "value of an enum",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(params: serde_json::Value) -> Params {
        Params::of_project(params).unwrap()
    }

    fn refused(params: serde_json::Value) -> String {
        Params::of_project(params).unwrap_err()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_declaration_reads_back_from_its_section() {
        let params = declared(json!({
            "url": { "type": "string", "required": true, "description": "where" },
            "keep": { "type": "integer", "default": 200, "min": 1 },
            "mode": { "type": "enum", "values": ["a", "b"], "default": "a" },
            "exact": { "type": "boolean", "default": false }
        }));
        assert_eq!(Params::read(&params.write()), Ok(params.clone()));
        assert_eq!(params.defaults(), given(&[("exact", "false"), ("keep", "200"), ("mode", "a")]));
    }

    #[test]
    fn a_malformed_section_says_what_is_wrong() {
        let read = |text: &str| Params::read(text.as_bytes()).unwrap_err();
        assert!(read("{").contains("EOF"));
        assert_eq!(read("{}"), "it names no version");
        assert_eq!(read(r#"{"version":2,"params":{}}"#), "it is of version 2, this server reads 1");
        assert!(read(r#"{"version":1,"params":{"a":{"type":"float"}}}"#).contains("unknown variant `float`"));
        assert!(read(&" ".repeat(PARAMS_SECTION_MAX + 1)).contains("at most"));
    }

    #[test]
    fn a_declaration_that_makes_no_sense_is_refused() {
        for (param, words) in [
            (json!({ "type": "enum" }), "`values` belong to an enum"),
            (json!({ "type": "string", "values": ["a"] }), "`values` belong to an enum"),
            (json!({ "type": "integer", "default": "x" }), "its default is `x`, expected a whole number"),
            (json!({ "type": "integer", "default": 3, "max": 2 }), "its default is `3`, expected 2 or less"),
            (json!({ "type": "duration", "min": "2s", "max": "1s" }), "`min` is greater than `max`"),
            (json!({ "type": "boolean", "min": 1 }), "a boolean has no `min`"),
            (json!({ "type": "string", "required": true, "default": "" }), "what is required has no default"),
            (json!({ "type": "string", "size": 1 }), "unknown field `size`"),
        ] {
            let told = refused(json!({ "p": param }));
            assert!(told.contains(words), "{told}");
        }
        assert!(refused(json!({ "a b": { "type": "string" } })).contains("' '"));
    }

    #[test]
    fn a_spec_is_checked_by_type_and_bounds() {
        let params = declared(json!({
            "url": { "type": "string", "required": true, "min": 1 },
            "keep": { "type": "integer", "min": -1, "max": 10 },
            "share": { "type": "number", "max": 1.5 },
            "exact": { "type": "boolean" },
            "pause": { "type": "duration", "min": "1s" },
            "room": { "type": "bytes", "max": "1MiB" },
            "mode": { "type": "enum", "values": ["first", "last"] }
        }));
        let fine = [
            ("url", "http://x"),
            ("keep", "-1"),
            ("share", "1.5"),
            ("exact", "true"),
            ("pause", "1m"),
            ("room", "64KiB"),
            ("mode", "last"),
        ];
        assert_eq!(params.problems(&given(&fine)), []);

        let told = |name: &str, value: &str| {
            let mut all = given(&fine);
            all.insert(name.to_owned(), value.to_owned());
            let problems = params.problems(&all);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].pointer, format!("/params/{name}"));
            problems[0].detail.clone()
        };
        assert_eq!(told("keep", "many"), "is `many`, expected a whole number");
        assert_eq!(told("keep", "11"), "is `11`, expected -1 to 10");
        assert_eq!(told("share", "NaN"), "is `NaN`, expected a number");
        assert_eq!(told("exact", "yes"), "is `yes`, expected true or false");
        assert_eq!(told("pause", "500ms"), "is `500ms`, expected 1s or more");
        assert_eq!(told("room", "2MiB"), "is `2MiB`, expected 1MiB or less");
        assert_eq!(told("mode", "las"), "is `las`, expected first, last; did you mean `last`?");
        assert_eq!(told("url", ""), "is `` of 0 characters, expected 1 or more");
        assert_eq!(told("keeep", "1"), "the module has no such parameter; did you mean `keep`?");
        let missing = params.problems(&given(&fine[1..]));
        assert_eq!((missing[0].pointer.as_str(), missing.len()), ("/params/url", 1));
    }
}
