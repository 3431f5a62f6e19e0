//! YAML documents as JSON values. YAML can say much with few bytes (aliases of aliases) and nest without end, so what comes
//! out is counted while it is read.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::limits::DOCUMENT_BYTES_MAX;

/// Values of a document, aliases counted each time they are used: specs have some hundred at most.
const NODES_MAX: usize = 10_000;
/// Objects and lists within each other.
const DEPTH_MAX: usize = 32;

/// Reads one document.
///
/// # Errors
/// What is wrong, with line and column where the parser knows them.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let left = Left { nodes: Cell::new(NODES_MAX), text: Cell::new(DOCUMENT_BYTES_MAX) };
    let node = Node { left: &left, depth: 0 };
    node.deserialize(serde_norway::Deserializer::from_slice(bytes)).map_err(|e| e.to_string())
}

/// What a document may still have.
struct Left {
    nodes: Cell<usize>,
    text: Cell<usize>,
}

#[derive(Clone, Copy)]
struct Node<'a> {
    left: &'a Left,
    depth: usize,
}

impl Node<'_> {
    fn take<E: de::Error>(&self, text: usize) -> Result<(), E> {
        let nodes = self.left.nodes.get().checked_sub(1);
        let text = self.left.text.get().checked_sub(text);
        let (Some(nodes), Some(text)) = (nodes, text) else {
            return Err(E::custom(format!(
                "the document has more than {NODES_MAX} values, or more than {DOCUMENT_BYTES_MAX} bytes of text, with its aliases"
            )));
        };
        self.left.nodes.set(nodes);
        self.left.text.set(text);
        Ok(())
    }

    fn inside<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("the document is nested more than {DEPTH_MAX} deep")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a boolean, null, a list or an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.take(0)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.take(0)?;
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.take(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.take(0)?;
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.take(0)?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.take(text.len())?;
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.take(0)?;
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(inside)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.take(0)?;
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key_seed(inside)? {
            let name = match name {
                Value::String(name) => name,
                other => return Err(de::Error::custom(format!("a name is {other}, expected text"))),
            };
            let value = map.next_value_seed(inside)?;
            if members.contains_key(&name) {
                return Err(de::Error::custom(format!("`{name}` stands twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_reads_as_the_same_json() {
        let text = "name: d\nlist: [1, -2, 1.5, true, null, \"1\"]\nparams: &p {a: b}\nagain: *p\nempty:\n";
        let expected = json!({
            "name": "d", "list": [1, -2, 1.5, true, null, "1"],
            "params": { "a": "b" }, "again": { "a": "b" }, "empty": null
        });
        assert_eq!(parse(text.as_bytes()), Ok(expected));
        assert_eq!(parse(b"{\"a\": [1]}"), Ok(json!({ "a": [1] })), "JSON is YAML");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let refusal = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(refusal("a: [1").contains("line"), "{}", refusal("a: [1"));
        assert!(refusal("a: 1\na: 2").contains("stands twice"));
        assert!(refusal("1: a").contains("expected text"));
        assert!(refusal("a: !tag {b: c}").contains("expected"), "{}", refusal("a: !tag {b: c}"));
        assert!(refusal("a: .nan").contains("none"));
        assert!(refusal("a: 1\n---\nb: 2").contains("more than one document"));
        assert!(parse(b"a: \xff").is_err());
    }

    #[test]
    fn bombs_are_given_up_before_they_grow() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("nested"));
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let earlier = format!("*a{}", n - 1);
            laughs += &format!("a{n}: &a{n} [{}]\n", vec![earlier; 10].join(", "));
        }
        assert!(parse(laughs.as_bytes()).unwrap_err().contains("values"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1000), vec!["*a"; 2000].join(", "));
        assert!(parse(long.as_bytes()).unwrap_err().contains("bytes of text"));
    }
}
