//! Refuses values that are not JSON or lack required fields. Walks a value once and builds nothing: only the paths that
//! are required are looked into, the rest is checked for form and passed over.

use std::borrow::Cow;
use std::fmt;

use millstream_sdk::{Record, Verdict, config, params, transform};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

params! {
    "required": {
        "type": "string", "default": "",
        "description": "fields a value must have: names and JSON pointers, with commas between"
    }
}

transform!(validate, open = open);

/// The parameter `required`: field names (`user`) and JSON pointers (`/user/id`) with commas between them.
struct Required {
    /// as written, for the reasons
    names: Vec<String>,
    /// the same as a tree of path segments
    root: Node,
    /// by index in `names`: found in the record at hand
    found: Vec<bool>,
}

/// A place in a value that required paths lead to or through.
#[derive(Default)]
struct Node {
    /// indices in `names` of the paths that end here
    ends: Vec<usize>,
    children: Vec<(String, Node)>,
}

/// Walks a value along a node.
struct Walk<'n> {
    node: &'n Node,
    found: &'n mut [bool],
}

fn open() -> Result<Required, String> {
    let names = config::list("required").unwrap_or_default();
    let mut root = Node::default();
    for (index, name) in names.iter().enumerate() {
        let mut node = &mut root;
        match name.strip_prefix('/') {
            None => node = node.child(name.clone()),
            // RFC 6901: `~1` stands for `/`, `~0` for `~`.
            Some(path) => {
                for segment in path.split('/') {
                    node = node.child(segment.replace("~1", "/").replace("~0", "~"));
                }
            }
        }
        node.ends.push(index);
    }
    Ok(Required { found: vec![false; names.len()], names, root })
}

fn validate(required: &mut Required, record: &Record<'_>) -> Verdict {
    let Some(value) = record.value() else { return Verdict::Reject("the value is null".into()) };
    required.found.fill(false);
    let mut json = serde_json::Deserializer::from_slice(value);
    let walk = Walk { node: &required.root, found: &mut required.found };
    if let Err(why) = walk.deserialize(&mut json).and_then(|()| json.end()) {
        return Verdict::Reject(format!("the value is not JSON: {why}"));
    }
    let missing = required.names.iter().zip(&required.found).filter(|(_, found)| !**found);
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    match missing.as_slice() {
        [] => Verdict::Keep,
        [one] => Verdict::Reject(format!("required field `{one}` is missing")),
        several => Verdict::Reject(format!("required fields are missing: `{}`", several.join("`, `"))),
    }
}

// === impl Node ===

impl Node {
    fn child(&mut self, segment: String) -> &mut Self {
        let at = self.children.iter().position(|(name, _)| *name == segment).unwrap_or_else(|| {
            self.children.push((segment, Self::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    fn find(&self, segment: &str) -> Option<&Self> {
        self.children.iter().find(|(name, _)| name == segment).map(|(_, node)| node)
    }
}

// === impl Walk ===

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        for &index in &self.node.ends {
            self.found[index] = true;
        }
        if self.node.children.is_empty() {
            // Skips the value without recursion and without looking into it.
            return IgnoredAny::deserialize(from).map(|_| ());
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Segment(name)) = map.next_key()? {
            match self.node.find(&name) {
                Some(node) => map.next_value_seed(Walk { node, found: self.found })?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let more = match self.node.find(&index.to_string()) {
                Some(node) => seq.next_element_seed(Walk { node, found: self.found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // A path that goes on below a scalar does not exist there; the scalar itself is well formed.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A member's name, without a copy where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Segment<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{input, judge, set_param};

    use super::*;

    fn verdict(required: &str, value: &str) -> Verdict {
        set_param("required", required);
        let mut required = open().expect("any list is valid");
        judge(|record| validate(&mut required, record), input(value))
    }

    #[test]
    fn names_and_pointers_that_lead_somewhere_pass() {
        let value = r#"{"user":{"id":7,"a/b":null},"tags":["x",{"n":1}],"other":[1,2,{"user":3}]}"#;
        for required in ["", "user", "/user/id,user", "/user/a~1b", "/tags/1/n,/tags/0", "user,tags,other"] {
            assert_eq!(verdict(required, value), Verdict::Keep, "{required}");
        }
    }

    #[test]
    fn missing_fields_are_named() {
        let missing = |name: &str| Verdict::Reject(format!("required field `{name}` is missing"));
        assert_eq!(verdict("user,amount", r#"{"user":1}"#), missing("amount"));
        assert_eq!(verdict("/user/id", r#"{"user":1}"#), missing("/user/id"));
        assert_eq!(verdict("/tags/2", r#"{"tags":[0,1]}"#), missing("/tags/2"));
        assert_eq!(verdict("user", "[]"), missing("user"));
        let both = Verdict::Reject("required fields are missing: `a`, `b`".into());
        assert_eq!(verdict("a,b", "17"), both);
    }

    #[test]
    fn a_record_does_not_inherit_what_the_one_before_had() {
        set_param("required", "user");
        let mut required = open().expect("any list is valid");
        assert_eq!(judge(|r| validate(&mut required, r), input(r#"{"user":1}"#)), Verdict::Keep);
        let missing = Verdict::Reject("required field `user` is missing".into());
        assert_eq!(judge(|r| validate(&mut required, r), input("{}")), missing);
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        let reason = |text: &str| Verdict::Reject(format!("the value is not JSON: {text}"));
        let open_end = reason("EOF while parsing an object at line 1 column 10");
        assert_eq!(verdict("user", r#"{"user": 1"#), open_end);
        assert_eq!(verdict("", "{} x"), reason("trailing characters at line 1 column 4"));
        assert_eq!(verdict("", ""), reason("EOF while parsing a value at line 1 column 0"));
    }
}
