//! From a frame to the request in it.

use bytes::Bytes;

use super::api_key::ApiKey;
use super::apis::apis;
use super::codec::decode_message;
use super::error::DecodeError;
use super::header::RequestHeader;
use super::messages;

macro_rules! requests {
    ($($name:ident = $key:literal, $first:literal - $last:literal, $module:ident::$request:ident;)*) => {
        /// The body of a request, by API.
        #[derive(Debug, Clone, PartialEq)]
        pub enum RequestBody {
            $(
                #[doc = concat!("[`ApiKey::", stringify!($name), "`]")]
                $name(messages::$module::$request),
            )*
        }

        impl RequestBody {
            /// Reads the body that follows `header`.
            ///
            /// # Errors
            /// As [`decode_message`](super::decode_message).
            pub fn decode(header: &RequestHeader, body: Bytes) -> Result<Self, DecodeError> {
                match header.api {
                    $(ApiKey::$name => decode_message(body, header.version).map(Self::$name),)*
                }
            }
        }
    };
}

apis!(requests);

/// Reads a request frame, without the length before it.
///
/// # Errors
/// As [`RequestHeader::read`] and [`RequestBody::decode`]. Every error is an answer for whoever sent the bytes; none
/// means that something is wrong here.
pub fn decode_request(frame: Bytes) -> Result<(RequestHeader, RequestBody), DecodeError> {
    let (header, body) = RequestHeader::read(frame)?;
    let body = RequestBody::decode(&header, body)?;
    Ok((header, body))
}
