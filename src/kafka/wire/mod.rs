//! Kafka's messages as bytes: pure functions between frames and plain structs, without I/O, clocks or locks.
//!
//! A message is declared as a list of fields with version ranges (`macros`), and one small engine (`codec`) reads
//! and writes all of them. The facts are those of Kafka's message definitions
//! (`clients/src/main/resources/common/message/*.json`); names are theirs in snake case, so that whoever knows the
//! protocol finds everything. Tests compare every message in every version with the crate `kafka-protocol`.
//!
//! - Bytes come from strangers: a length is compared with what is left of the frame before anything is allocated,
//!   decoded arrays have a budget, and a message nests only as deep as its types do, so its depth is fixed.
//! - Strings and records are slices of the frame ([`Str`], `Bytes`): whoever keeps one for long keeps the frame, so what
//!   outlives a request is copied into a type of its own.
//! - A response is counted first and written second: its head is allocated once, and records are queued between as they
//!   are ([`Frame`]).
//!
//! References: the protocol guide (<https://kafka.apache.org/protocol>); KIP-482 (flexible versions: compact lengths,
//! tagged fields), KIP-511 (`ApiVersions` before everything, its response header never flexible).

mod api_key;
mod apis;
mod codec;
mod error;
mod frame;
mod header;
mod macros;
pub mod messages;
mod reader;
mod request;
mod text;
mod writer;

#[cfg(test)]
mod tests;

pub use api_key::ApiKey;
pub use codec::{Message, Request, Response, Versions, decode_beginning, decode_message, encode_message};
pub use error::{DecodeError, EncodeError, Fault};
pub use frame::{Frame, Records};
pub use header::{Preamble, RequestHeader, encode_request, encode_response};
pub use request::{RequestBody, decode_request};
pub use text::Str;
