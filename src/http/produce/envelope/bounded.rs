//! Lists and objects of a body, of which no more is held than a request may have: in memory an element takes up to fifty
//! times the bytes of the shortest text for it, so a bound on the text alone is none. The rest is read and forgotten.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ERRORS_MAX;
use crate::model::limits::REQUEST_RECORDS_MAX;

/// The records of a request. Of too many, one more than there may be.
pub(in crate::http::produce) fn records<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Records<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Records<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of records")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<T>, A::Error> {
            first(seq, REQUEST_RECORDS_MAX + 1)
        }
    }

    deserializer.deserialize_seq(Records(PhantomData))
}

/// At most the first `most` elements; the list is read to its end.
pub(super) fn first<'de, A, T>(mut seq: A, most: usize) -> Result<Vec<T>, A::Error>
where
    A: SeqAccess<'de>,
    T: Deserialize<'de>,
{
    let mut elements = Vec::new();
    while elements.len() < most {
        match seq.next_element()? {
            Some(element) => elements.push(element),
            None => return Ok(elements),
        }
    }
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(elements)
}

/// The first members of an object, by name. A record has seven: of an object with a hundred the first ones show what is
/// wrong with it.
pub(in crate::http::produce) struct Members<'a>(pub(in crate::http::produce) BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while members.len() < ERRORS_MAX {
                    match map.next_entry::<String, &'de RawValue>()? {
                        Some((name, value)) => {
                            members.insert(name, value);
                        }
                        None => return Ok(Members(members)),
                    }
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
