//! JSON as text: values are stored as their producer wrote them, without the space between tokens. Numbers keep their
//! digits, members their order. Nothing here builds a tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

/// A valid JSON text without the space between its tokens; the same text when there is none.
pub(crate) fn compact(json: &str) -> Cow<'_, str> {
    // In valid JSON nothing below U+0020 but white space occurs; one pass without a branch settles most values.
    let spaced = json.bytes().fold(false, |found, byte| found | (byte <= b' '));
    if !spaced {
        return Cow::Borrowed(json);
    }
    let mut out = Vec::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            out.push(byte);
        } else if byte > b' ' {
            inside = byte == b'"';
            out.push(byte);
        }
    }
    if out.len() == json.len() {
        return Cow::Borrowed(json);
    }
    // Only ASCII bytes were left out, so this is UTF-8 still.
    String::from_utf8(out).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The bytes of a text.
pub(super) fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// What is said of a list where a struct is due.
pub(super) const NO_LIST: &str = "an object is expected, a list was sent";

/// Does the text begin as a list?
pub(super) fn is_list(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"[")
}

/// Is it JSON?
///
/// # Errors
/// What the parser says of it.
pub(super) fn check(text: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<&RawValue>(text).map(drop).map_err(|e| e.to_string())
}

/// Reads what a struct derives from an object alone: of a list serde would take the elements for the members.
pub(super) struct Objects<D>(pub(super) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Where a text that is JSON is not what was wanted, as a JSON Pointer, and what was wanted there.
pub(super) fn wrong_place(text: &[u8], error: &serde_json::Error) -> (String, String) {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = before + error.column();
    let sentence = error.to_string();
    let sentence = sentence.split_once(" at line ").map_or(&*sentence, |(sentence, _)| sentence);
    // A word was due, and there is something else, of which the parser has looked at the first byte.
    if sentence == "expected value" {
        return (pointer_at(text, at.saturating_sub(1)), "expected text".to_owned());
    }
    (pointer_at(text, at), sentence.to_owned())
}

/// The value that a parser has begun or read when it has come so far, as a JSON Pointer.
fn pointer_at(text: &[u8], end: usize) -> String {
    // Of each object and list that is open: the member or the element.
    let mut open: Vec<Result<Option<&[u8]>, usize>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at).filter(|_| at < end) {
        let begin = at;
        at += 1;
        match (byte, open.last_mut()) {
            (b'{', _) => open.push(Ok(None)),
            (b'[', _) => open.push(Err(0)),
            (b'}' | b']', _) => {
                open.pop();
            }
            (b',', Some(Ok(name))) => *name = None,
            (b',', Some(Err(index))) => *index += 1,
            (b'"', last) => {
                while text.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if let Some(Ok(name @ None)) = last {
                    *name = text.get(begin..at);
                }
            }
            _ => {}
        }
    }
    let part = |level: Result<Option<&[u8]>, usize>| match level {
        Ok(name) => {
            let name = serde_json::from_slice::<String>(name?).ok()?;
            Some(format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        }
        Err(index) => Some(format!("/{index}")),
    };
    open.into_iter().map_while(part).collect()
}

/// A JSON Pointer (RFC 6901), read once and followed many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer: empty, or parts that each begin with `/`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let parts = text.strip_prefix('/')?.split('/');
        Some(Self(parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The value it points to.
    pub(super) fn find<'a>(&self, json: &'a RawValue) -> Option<&'a RawValue> {
        self.0.iter().try_fold(json, |at, part| {
            let mut parser = serde_json::Deserializer::from_str(at.get());
            Child(part).deserialize(&mut parser).ok().flatten()
        })
    }
}

/// Finds one member of an object or element of an array.
#[derive(Clone, Copy)]
struct Child<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted: Option<usize> = self.0.parse().ok();
        let (mut found, mut index) = (None, 0);
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if Some(index) == wanted {
                found = Some(element);
            }
            index += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn space_between_tokens_goes_and_space_in_text_stays() {
        assert_eq!(
            compact("{ \"a b\" :\t[1.0 , \"x \\\" y\\\\\" ,\n null ] }"),
            r#"{"a b":[1.0,"x \" y\\",null]}"#
        );
        assert!(matches!(compact(r#"{"a b":12345678901234567890}"#), Cow::Borrowed(_)));
        assert_eq!(compact(" 7 "), "7");
    }

    #[test]
    fn a_place_in_a_text_is_named() {
        let text = r#"{"a": [{"x,{": 1}, "]", {"b/~\"": {}, "c": 2}], "d": 3}"#;
        let at = |piece: &str| pointer_at(text.as_bytes(), text.find(piece).unwrap() + piece.len());
        let found = ["{\"a\": [", "1", "]\"", "/~\\\"\": {", "2", "2}", "2}]", "3", "3}"].map(at);
        let places = ["/a/0", "/a/0/x,{", "/a/1", "/a/2/b~1~0\"", "/a/2/c", "/a/2", "/a", "/d", ""];
        assert_eq!(found, places);
        let error = serde_json::from_str::<Vec<u8>>("[1,\n2,\n 300]").unwrap_err();
        assert_eq!(wrong_place(b"[1,\n2,\n 300]", &error).0, "/2");
    }

    #[test]
    fn pointers_find_members_and_elements() {
        let json: Box<RawValue> =
            serde_json::from_str(r#"{"u":{"ids":[10,"x/y"],"a/b":true},"u~":1}"#).unwrap();
        let find = |path: &str| Pointer::parse(path).unwrap().find(&json).map(RawValue::get);
        assert_eq!(find("/u/ids/1"), Some("\"x/y\""));
        assert_eq!(find("/u/a~1b"), Some("true"));
        assert_eq!(find("/u~0"), Some("1"));
        assert_eq!(find("/u/none"), None);
        assert_eq!(find("/u~0/x"), None);
        assert_eq!(Pointer::parse("user"), None);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compacting_pretty_json_gives_what_serde_writes(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), serde_json::to_string(&value).unwrap());
        }
    }
}
