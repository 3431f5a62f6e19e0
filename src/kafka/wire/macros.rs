//! `messages!`: declares messages as lists of fields, close to how Kafka's definitions read.
//!
//! ```text
//! messages! {
//!     /// Doc of the struct.
//!     request MetadataRequest(Metadata, versions 0-13, flexible 9+) {
//!         topics: Option<Vec<MetadataRequestTopic>> [0+, nullable 1+],
//!         allow_auto_topic_creation: bool [4+, default true],
//!     }
//!
//!     struct MetadataRequestTopic {
//!         topic_id: Uuid [10+],
//!         name: Option<Str> [0+, nullable 10+],
//!     }
//! }
//! ```
//!
//! In brackets, in this order: the versions that have the field (`3+`, `1-4`), those in which it may be null, its tag if it
//! is a tagged one, its default if that is neither zero nor empty. A message is a `request` or a `response` of an API, or
//! `data` in the bytes of another message.
//!
//! What a struct expands to is a call of the engine per field and direction, nothing is inlined: there are over a thousand
//! fields, and everybody compiles them.

macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        $kind:ident $name:ident $(($($facts:tt)*))? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $ty:ty [
                    $first:literal $(- $last:literal)? $(+)?
                    $(, nullable $null_first:literal $(- $null_last:literal)? $(+)?)?
                    $(, tag $tag:literal)?
                    $(, default $default:expr)?
                ]
            ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
        }

        #[allow(non_upper_case_globals, reason = "each constant is about the field of its name")]
        impl $name {
            $(
                const $field: $crate::kafka::wire::codec::FieldSpec = $crate::kafka::wire::codec::FieldSpec {
                    message: stringify!($name),
                    name: stringify!($field),
                    versions: $crate::kafka::wire::codec::Versions::of(&[$first $(, $last)?]),
                    nullable: $crate::kafka::wire::codec::Versions::of(&[$($null_first $(, $null_last)?)?]),
                    tag: $crate::kafka::wire::macros::first_of!($(Some($tag),)? None),
                };
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $(
                        $field: $crate::kafka::wire::macros::first_of!(
                            $($default,)? $crate::kafka::wire::codec::Decode::initial()
                        ),
                    )*
                }
            }
        }

        impl $crate::kafka::wire::codec::Encode for $name {
            fn encode(&self, w: &mut $crate::kafka::wire::writer::Writer, _nullable: bool) {
                $(w.field(&Self::$field, &self.$field);)*
                let mut _tagged: Vec<$crate::kafka::wire::writer::TaggedField<'_>> = Vec::new();
                $($crate::kafka::wire::macros::tagged!(_tagged, self, $field, $ty, [$($tag)?] [$($default)?]);)*
                w.tags(&_tagged);
            }
        }

        impl $crate::kafka::wire::codec::Decode for $name {
            fn initial() -> Self {
                Self::default()
            }

            #[allow(unused_mut, reason = "there are messages without fields")]
            fn decode(
                r: &mut $crate::kafka::wire::reader::Reader,
                _nullable: bool,
            ) -> Result<Self, $crate::kafka::wire::reader::Broken> {
                let mut out = Self::default();
                $(r.field(&Self::$field, &mut out.$field)?;)*
                r.tags(&mut |_r, tag| match tag {
                    $($($tag => _r.tagged(&Self::$field, &mut out.$field),)?)*
                    _ => Ok(false),
                })?;
                Ok(out)
            }
        }

        impl $crate::kafka::wire::codec::Nullable for $name {
            fn encode_nullable(value: Option<&Self>, w: &mut $crate::kafka::wire::writer::Writer) {
                $crate::kafka::wire::codec::encode_nullable_struct(value, w);
            }

            fn decode_nullable(
                r: &mut $crate::kafka::wire::reader::Reader,
            ) -> Result<Option<Self>, $crate::kafka::wire::reader::Broken> {
                $crate::kafka::wire::codec::decode_nullable_struct(r)
            }
        }

        #[cfg(test)]
        impl $crate::kafka::wire::tests::dice::Generate for $name {
            fn generate(_dice: &mut $crate::kafka::wire::tests::dice::Dice, _nullable: bool) -> Self {
                let _initial = Self::default();
                Self { $($field: _dice.field(&Self::$field, _initial.$field),)* }
            }
        }

        $crate::kafka::wire::macros::facts!($kind $name $($($facts)*)?);
    )*};
}

/// The first of one or two expressions.
macro_rules! first_of {
    ($first:expr $(, $second:expr)?) => {
        $first
    };
}

/// Adds a field to those that are written as tagged ones, if it is one and has a value of its own.
macro_rules! tagged {
    ($tagged:ident, $self:ident, $field:ident, $ty:ty, [] [$($default:expr)?]) => {};
    ($tagged:ident, $self:ident, $field:ident, $ty:ty, [$tag:literal] [$($default:expr)?]) => {
        let default: $ty = $crate::kafka::wire::macros::first_of!(
            $($default,)? <$ty as $crate::kafka::wire::codec::Decode>::initial()
        );
        if $self.$field != default {
            $tagged.push($crate::kafka::wire::writer::TaggedField { spec: &Self::$field, value: &$self.$field });
        }
    };
}

/// What makes a struct a message.
macro_rules! facts {
    (struct $name:ident) => {};
    (request $name:ident $api:ident, $response:ident, versions $first:literal - $last:literal $(, flexible $flexible:literal +)?) => {
        $crate::kafka::wire::macros::facts!(
            data $name versions $first - $last $(, flexible $flexible +)?
        );

        impl $crate::kafka::wire::codec::Request for $name {
            const API: $crate::kafka::wire::ApiKey = $crate::kafka::wire::ApiKey::$api;
            type Response = $response;
        }
    };
    (response $name:ident $api:ident, versions $first:literal - $last:literal $(, flexible $flexible:literal +)?) => {
        $crate::kafka::wire::macros::facts!(
            data $name versions $first - $last $(, flexible $flexible +)?
        );

        impl $crate::kafka::wire::codec::Response for $name {
            const API: $crate::kafka::wire::ApiKey = $crate::kafka::wire::ApiKey::$api;
        }
    };
    (data $name:ident versions $first:literal - $last:literal $(, flexible $flexible:literal +)?) => {
        impl $crate::kafka::wire::codec::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: $crate::kafka::wire::codec::Versions =
                $crate::kafka::wire::codec::Versions::new($first, $last);
            const FLEXIBLE: $crate::kafka::wire::codec::Versions =
                $crate::kafka::wire::codec::Versions::of(&[$($flexible)?]);
        }
    };
}

pub(in crate::kafka::wire) use {facts, first_of, messages, tagged};
