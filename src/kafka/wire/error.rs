//! What can be wrong with a message.

use super::api_key::ApiKey;
use super::codec::Versions;

/// Why a frame is not a request (or a response) that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No such API is known here.
    #[error("request with api key {key}, which is not known")]
    ApiKey {
        /// as sent
        key: i16,
    },
    /// The API is known, the version is not.
    #[error("{api} in version {found}, expected {served}")]
    Version {
        /// asked for
        api: ApiKey,
        /// as sent
        found: i16,
        /// what can be read
        served: Versions,
    },
    /// A version of a message that is not a request.
    #[error("{message} in version {found}, expected {known}")]
    MessageVersion {
        /// its name
        message: &'static str,
        /// asked for
        found: i16,
        /// what can be read
        known: Versions,
    },
    /// A field is broken.
    #[error("{message}.{field}: {fault}")]
    Field {
        /// the struct it is in
        message: &'static str,
        /// its name
        field: &'static str,
        /// what is wrong
        fault: Fault,
    },
    /// Bytes after the end of the message.
    #[error("{message} with {found} bytes after its end, expected none")]
    Trailing {
        /// its name
        message: &'static str,
        /// bytes left over
        found: usize,
    },
}

/// What is wrong with the bytes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The frame ends within it.
    #[error("{found} bytes left, expected {expected}")]
    Short {
        /// bytes left
        found: usize,
        /// bytes it takes
        expected: usize,
    },
    /// A length below zero that does not mean null, or more elements than bytes are left.
    #[error("length {found}, expected 0 to {most}")]
    Length {
        /// as sent
        found: i64,
        /// bytes left
        most: usize,
    },
    /// Null where this version has no null.
    #[error("null, expected a value")]
    Null,
    /// A string that is no text.
    #[error("text that is not UTF-8")]
    Utf8,
    /// An unsigned varint of more than 32 bits.
    #[error("varint of more than 32 bits")]
    Varint,
    /// A nullable struct is announced by 1, and its absence by -1.
    #[error("marker {found} before a struct, expected 1 or -1")]
    Marker {
        /// as sent
        found: i8,
    },
    /// A tagged field whose value is shorter than it said.
    #[error("tagged field with {found} bytes after its value, expected none")]
    TagTrailing {
        /// bytes left over
        found: usize,
    },
    /// Its arrays would take more memory than one message may.
    #[error("arrays of more than {limit} bytes decoded")]
    Large {
        /// bytes
        limit: usize,
    },
}

/// Why a message cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message does not exist in this version.
    #[error("{message} in version {found}, expected {known}")]
    Version {
        /// its name
        message: &'static str,
        /// asked for
        found: i16,
        /// what can be written
        known: Versions,
    },
    /// More bytes or elements than the length field holds.
    #[error("{message}.{field}: length {found}, expected at most {most}")]
    Length {
        /// the struct it is in
        message: &'static str,
        /// its name
        field: &'static str,
        /// bytes or elements
        found: usize,
        /// what fits
        most: usize,
    },
    /// More bytes than a frame may have.
    #[error("{message} of {found} bytes, expected at most 2147483647")]
    Frame {
        /// its name
        message: &'static str,
        /// bytes
        found: usize,
    },
}
