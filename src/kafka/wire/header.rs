//! What stands before a message: length, header, and how its version follows from the message's.
//!
//! ```text
//! request   i32 length | i16 api key | i16 version | i32 correlation id | i16-length client id | [tagged fields]
//! response  i32 length | i32 correlation id | [tagged fields]
//! ```
//!
//! The tagged fields are there in flexible versions of the message (request header 2, response header 1; KIP-482), with
//! two exceptions: the client id keeps its 16-bit length, and the response to `ApiVersions` never has them, because its
//! reader does not know yet which version the broker speaks (KIP-511). Request header 0 had no client id; only
//! `ControlledShutdown` 0 used it, which no client sends.

use bytes::Bytes;

use super::api_key::ApiKey;
use super::codec::{Encode, FieldSpec, Message, Request, Response, Versions};
use super::error::{DecodeError, EncodeError};
use super::frame::Frame;
use super::reader::{Broken, Reader};
use super::text::Str;
use super::writer::Writer;

const fn spec(name: &'static str) -> FieldSpec {
    let versions = Versions::of(&[0]);
    FieldSpec { message: "RequestHeader", name, versions, nullable: versions, tag: None }
}

const API_KEY: FieldSpec = spec("request_api_key");
const API_VERSION: FieldSpec = spec("request_api_version");
const CORRELATION_ID: FieldSpec = spec("correlation_id");
const CLIENT_ID: FieldSpec = spec("client_id");

/// The beginning that is the same in every header: enough to answer a request that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// perhaps of an API that is not known
    pub request_api_key: i16,
    /// perhaps not served
    pub request_api_version: i16,
    /// to be given back in the response
    pub correlation_id: i32,
}

impl Preamble {
    /// Reads the first 8 bytes of a request frame.
    ///
    /// # Errors
    /// A frame of less than 8 bytes.
    pub fn read(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.clone(), 0, false);
        let preamble = Self::decode(&mut reader);
        reader.split(preamble).map(|(preamble, _)| preamble)
    }

    fn decode(r: &mut Reader) -> Result<Self, Broken> {
        let mut out = Self { request_api_key: 0, request_api_version: 0, correlation_id: 0 };
        r.field(&API_KEY, &mut out.request_api_key)?;
        r.field(&API_VERSION, &mut out.request_api_version)?;
        r.field(&CORRELATION_ID, &mut out.correlation_id)?;
        Ok(out)
    }
}

/// The header of a request whose API and version are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// what is asked
    pub api: ApiKey,
    /// how the body is written
    pub version: i16,
    /// to be given back in the response
    pub correlation_id: i32,
    /// what the client calls itself
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// Reads the header of a request frame; the second value is the body.
    ///
    /// # Errors
    /// [`DecodeError::ApiKey`] and [`DecodeError::Version`] for what is not served ([`Preamble::read`] then says whom to
    /// answer), [`DecodeError::Field`] for a broken header.
    pub fn read(frame: Bytes) -> Result<(Self, Bytes), DecodeError> {
        let Preamble { request_api_key: key, request_api_version: version, correlation_id } =
            Preamble::read(&frame)?;
        let api = ApiKey::try_from(key)?;
        if !api.served().contain(version) {
            return Err(DecodeError::Version { api, found: version, served: api.served() });
        }
        let mut reader = Reader::new(frame, 0, api.flexible().contain(version));
        let client_id = Preamble::decode(&mut reader)
            .and_then(|_| reader.old_string::<Option<Str>>(&CLIENT_ID))
            .and_then(|client_id| reader.tags(&mut |_, _| Ok(false)).map(|()| client_id));
        let (client_id, body) = reader.split(client_id)?;
        Ok((Self { api, version, correlation_id, client_id }, body))
    }
}

/// Writes a response with its length and its header.
///
/// # Errors
/// As [`encode_message`](super::encode_message).
pub fn encode_response<R: Response>(
    correlation_id: i32,
    version: i16,
    response: &R,
) -> Result<Frame, EncodeError> {
    let tagged = R::FLEXIBLE.contain(version) && R::API != ApiKey::ApiVersions;
    encode_framed(version, response, &mut |w| {
        correlation_id.encode(w, false);
        if tagged {
            w.tags(&[]);
        }
    })
}

/// Writes a request with its length and its header, as a client does; also in versions that are not served.
///
/// # Errors
/// As [`encode_message`](super::encode_message).
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&Str>,
    version: i16,
    request: &R,
) -> Result<Frame, EncodeError> {
    encode_framed(version, request, &mut |w| {
        R::API.key().encode(w, false);
        version.encode(w, false);
        correlation_id.encode(w, false);
        w.old_string(client_id);
        w.tags(&[]);
    })
}

fn encode_framed<M: Message>(
    version: i16,
    message: &M,
    header: &mut dyn FnMut(&mut Writer),
) -> Result<Frame, EncodeError> {
    if !M::VERSIONS.contain(version) {
        return Err(EncodeError::Version { message: M::NAME, found: version, known: M::VERSIONS });
    }
    let mut writer = Writer::new(version, M::FLEXIBLE.contain(version));
    header(&mut writer);
    message.encode(&mut writer, false);
    let length = i32::try_from(writer.counted())
        .map_err(|_| EncodeError::Frame { message: M::NAME, found: writer.counted() })?;
    length.encode(&mut writer, false);

    writer.start_writing();
    length.encode(&mut writer, false);
    header(&mut writer);
    message.encode(&mut writer, false);
    writer.finish(M::NAME)
}
