//! [`ApiKey`]: the numbers of the APIs, with what is served of each.

use std::fmt;

use super::apis::apis;
use super::codec::{Message, Versions};
use super::error::DecodeError;
use super::messages;

macro_rules! api_keys {
    ($($name:ident = $key:literal, $first:literal - $last:literal, $module:ident::$request:ident;)*) => {
        /// An API that is known here; the numbers are Kafka's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("[`", stringify!($request), "`](messages::", stringify!($module), "::", stringify!($request), ")")]
                $name = $key,
            )*
        }

        impl ApiKey {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in Kafka's documentation.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions that are read and answered.
            pub const fn served(self) -> Versions {
                match self {
                    $(Self::$name => Versions::new($first, $last),)*
                }
            }

            /// The versions with compact lengths and tagged fields.
            pub const fn flexible(self) -> Versions {
                match self {
                    $(Self::$name => <messages::$module::$request as Message>::FLEXIBLE,)*
                }
            }
        }

        impl TryFrom<i16> for ApiKey {
            type Error = DecodeError;

            fn try_from(key: i16) -> Result<Self, DecodeError> {
                match key {
                    $($key => Ok(Self::$name),)*
                    _ => Err(DecodeError::ApiKey { key }),
                }
            }
        }
    };
}

apis!(api_keys);

impl ApiKey {
    /// Its number.
    pub const fn key(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
