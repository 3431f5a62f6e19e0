//! Ids as records carry them. Items are numbers, because ties between items are decided by number; users and sessions
//! are labels, for nothing is ever computed with them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// An item: 0 to 4294967295, written as a JSON number or as its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u32);

/// A user or a session: a JSON string or whole number. `7` and `"7"` are the same label, each is written as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label<'a> {
    /// its text, which is also its key in state
    pub text: Cow<'a, str>,
    /// it came as a number
    pub is_number: bool,
}

// === impl ItemId ===

impl<'de> Deserialize<'de> for ItemId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Item;
        impl Visitor<'_> for Item {
            type Value = ItemId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item id from 0 to 4294967295")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<ItemId, E> {
                let id = u32::try_from(n).map_err(|_| E::invalid_value(Unexpected::Unsigned(n), &self))?;
                Ok(ItemId(id))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ItemId, E> {
                let id = text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                Ok(ItemId(id))
            }
        }
        from.deserialize_any(Item)
    }
}

// === impl Label ===

impl<'de: 'a, 'a> Deserialize<'de> for Label<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Label<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<Label<'de>, E> {
                Ok(Label { text: n.to_string().into(), is_number: true })
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Label<'de>, E> {
                Ok(Label { text: n.to_string().into(), is_number: true })
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Label<'de>, E> {
                Ok(Label { text: text.into(), is_number: false })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Label<'de>, E> {
                Ok(Label { text: text.to_owned().into(), is_number: false })
            }
        }
        from.deserialize_any(Any)
    }
}

impl fmt::Display for Label<'_> {
    /// As JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.is_number {
            return f.write_str(&self.text);
        }
        f.write_char('"')?;
        for c in self.text.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\0'..='\x1f' => write!(f, "\\u{:04x}", c as u32)?,
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
