//! Query strings into checked structs. Unknown, repeated and ill-formed parameters are refused by name, which
//! `serde_urlencoded` does not do.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, MapAccess, Visitor};

use crate::model::suggest;

/// Reads a query string; `None` and the empty string are the same.
///
/// # Errors
/// A sentence that names the parameter.
pub(super) fn parse<T: DeserializeOwned>(query: Option<&str>) -> Result<T, String> {
    parse_with(query, &[]).map(|(fixed, _)| fixed)
}

/// As [`parse`], for paths that take names which the client makes: parameters whose names begin with one of `prefixes` come
/// apart, in their order.
///
/// # Errors
/// A sentence that names the parameter.
pub(super) fn parse_with<T: DeserializeOwned>(
    query: Option<&str>,
    prefixes: &[&str],
) -> Result<(T, Vec<(String, String)>), String> {
    let mut apart = Vec::new();
    let pairs = Pairs { rest: query.unwrap_or_default(), current: None, prefixes, apart: &mut apart };
    let fixed = T::deserialize(de::value::MapAccessDeserializer::new(pairs)).map_err(|e| e.0)?;
    Ok((fixed, apart))
}

/// One part of a query or a path, `+` and `%xx` decoded. `None` when it is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    unescaped(text, b' ')
}

/// `%xx` decoded, `+` as it is. `None` when it is not UTF-8.
pub(super) fn decode_percent(text: &str) -> Option<Cow<'_, str>> {
    unescaped(text, b'+')
}

fn unescaped(text: &str, plus: u8) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| hex(bytes.get(at + 1..at + 3)?)).flatten();
        out.push(match (byte, escaped) {
            (_, Some(value)) => value,
            (b'+', None) => plus,
            (other, None) => other,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

#[derive(Debug)]
struct Error(String);

struct Pairs<'a, 'o> {
    rest: &'a str,
    current: Option<(Cow<'a, str>, &'a str)>,
    prefixes: &'o [&'o str],
    /// those whose names begin so
    apart: &'o mut Vec<(String, String)>,
}

/// One value, read as whatever the field wants.
struct Value<'a>(Cow<'a, str>);

// === impl Error ===

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let meant = suggest(field, expected.iter().copied()).map(|s| format!("; did you mean `{s}`?"));
        let known = match expected {
            [] => "this path takes none".to_owned(),
            names => format!("known are {}", names.join(", ")),
        };
        Self(format!("unknown query parameter `{field}`{}", meant.unwrap_or_else(|| format!("; {known}"))))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self(format!("query parameter `{field}` stands twice"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("query parameter `{field}` is missing"))
    }
}

// === impl Pairs ===

impl<'de> MapAccess<'de> for Pairs<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let (name, value) = loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let (pair, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| Error("a query parameter's name is not UTF-8".into()))?;
            if !self.prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                break (name, value);
            }
            let value =
                decode(value).ok_or_else(|| Error(format!("query parameter `{name}` is not UTF-8")))?;
            if self.apart.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Error(format!("query parameter `{name}` stands twice")));
            }
            self.apart.push((name.into_owned(), value.into_owned()));
        };
        let key = seed.deserialize(de::value::CowStrDeserializer::<Error>::new(name.clone()))?;
        self.current = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((name, value)) = self.current.take() else {
            return Err(Error("a query parameter without a name".into()));
        };
        let value = decode(value).ok_or_else(|| Error(format!("query parameter `{name}` is not UTF-8")))?;
        let found = value.clone();
        seed.deserialize(Value(value))
            .map_err(|e| Error(format!("query parameter `{name}` is `{found}`: {}", e.0)))
    }
}

// === impl Value ===

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number: $type = self.0.parse().map_err(|_| Error("expected a whole number".into()))?;
            visitor.$visit(number)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    /// A flag may stand alone: `?force` is `?force=true`.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &*self.0 {
            "" | "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(Error("expected true or false".into())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !variants.contains(&&*self.0) {
            return Err(Error(format!("expected one of {}", variants.join(", "))));
        }
        visitor.visit_enum(self.0.into_deserializer())
    }

    numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        limit: Option<u32>,
        prefix: String,
        force: bool,
        format: Format,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Format {
        #[default]
        Json,
        Text,
    }

    #[test]
    fn values_are_decoded_and_read_as_their_type() {
        let sample: Sample = parse(Some("limit=5&&prefix=a%2Fb+c&force&format=text")).unwrap();
        assert_eq!(
            sample,
            Sample { limit: Some(5), prefix: "a/b c".into(), force: true, format: Format::Text }
        );
        assert_eq!(parse::<Sample>(None), Ok(Sample::default()));
    }

    #[test]
    fn names_that_the_client_makes_come_apart() {
        let query = Some("header.a%20b=1%2B1&limit=5&header.c");
        let (sample, apart): (Sample, _) = parse_with(query, &["header."]).unwrap();
        assert_eq!(sample, Sample { limit: Some(5), ..Sample::default() });
        assert_eq!(apart, [("header.a b".into(), "1+1".into()), ("header.c".into(), String::new())]);
        let twice = parse_with::<Sample>(Some("header.a=1&header.a=2"), &["header."]).unwrap_err();
        assert_eq!(twice, "query parameter `header.a` stands twice");
        assert!(parse::<Sample>(Some("header.a=1")).is_err());
    }

    #[test]
    fn every_refusal_names_the_parameter() {
        let refusal = |query| parse::<Sample>(Some(query)).unwrap_err();
        assert_eq!(refusal("limt=5"), "unknown query parameter `limt`; did you mean `limit`?");
        assert_eq!(refusal("limit=x"), "query parameter `limit` is `x`: expected a whole number");
        assert_eq!(refusal("limit=-1"), "query parameter `limit` is `-1`: expected a whole number");
        assert_eq!(refusal("limit=1&limit=2"), "query parameter `limit` stands twice");
        assert_eq!(refusal("force=maybe"), "query parameter `force` is `maybe`: expected true or false");
        assert_eq!(refusal("format=xml"), "query parameter `format` is `xml`: expected one of json, text");
        assert_eq!(refusal("prefix=%ff"), "query parameter `prefix` is not UTF-8");
    }
}
