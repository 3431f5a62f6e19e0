//! Names from outside become checked types at the door and are never checked again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Why a name is refused. The text says what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The empty string.
    #[error("{kind} name is empty; 1 to {max} characters are allowed")]
    Empty {
        /// topic, deployment, module, store
        kind: &'static str,
        /// most characters
        max: usize,
    },
    /// More than the maximum.
    #[error("{kind} name has {found} characters; at most {max} are allowed")]
    Long {
        /// topic, deployment, module, store
        kind: &'static str,
        /// characters found
        found: usize,
        /// most characters
        max: usize,
    },
    /// A character outside `a-z A-Z 0-9 . _ -`.
    #[error("{kind} name has the character {found:?}; allowed are a-z, A-Z, 0-9, '.', '_' and '-'")]
    Character {
        /// topic, deployment, module, store
        kind: &'static str,
        /// the first bad one
        found: char,
    },
    /// `.` and `..`.
    #[error("{kind} name cannot be {found:?}")]
    Reserved {
        /// topic, deployment, module, store
        kind: &'static str,
        /// the name
        found: String,
    },
}

/// Kafka's rule for topic names, used for all of our names.
pub fn check(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind, max });
    }
    let bad = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(found) = name.chars().find(bad) {
        return Err(NameError::Character { kind, found });
    }
    if name.len() > max {
        return Err(NameError::Long { kind, found: name.len(), max });
    }
    if name == "." || name == ".." {
        return Err(NameError::Reserved { kind, found: name.to_owned() });
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Most characters of such a name.
            pub const MAX: usize = $max;

            /// Checks a name from outside.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                check($kind, name, Self::MAX)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// Kafka's rule: 1 to 249 of `a-z A-Z 0-9 . _ -`, not `.` or `..`. Names that begin with `__` are internal topics.
    TopicName, "topic", 249
);
name_type!(
    /// A deployment.
    DeploymentName, "deployment", 128
);
name_type!(
    /// A module; its versions are told apart by semver and digest.
    ModuleName, "module", 128
);

impl TopicName {
    /// Internal topics are written by the server alone and hidden from lists unless asked for.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with("__")
    }
}

/// Identity of a topic; a topic deleted and created again has another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        assert_eq!(TopicName::parse("clicks.v1_a-B").unwrap().as_str(), "clicks.v1_a-B");
        assert_eq!(TopicName::parse(""), Err(NameError::Empty { kind: "topic", max: 249 }));
        assert_eq!(TopicName::parse("a/b"), Err(NameError::Character { kind: "topic", found: '/' }));
        assert_eq!(TopicName::parse("é"), Err(NameError::Character { kind: "topic", found: 'é' }));
        assert_eq!(TopicName::parse(".."), Err(NameError::Reserved { kind: "topic", found: "..".into() }));
        assert!(TopicName::parse(&"a".repeat(249)).is_ok());
        assert_eq!(
            TopicName::parse(&"a".repeat(250)),
            Err(NameError::Long { kind: "topic", found: 250, max: 249 })
        );
    }

    #[test]
    fn internal_topics_begin_with_two_underscores() {
        assert!(TopicName::parse("__logs").unwrap().is_internal());
        assert!(!TopicName::parse("_logs").unwrap().is_internal());
    }
}
