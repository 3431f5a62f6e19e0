//! The OpenAPI 3.1 document: made from the routes and their types, completed here with the problems that every operation
//! can answer with.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{
    ContentBuilder, Info, InfoBuilder, License, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
};
use utoipa::{IntoResponses, PartialSchema};

use super::codes::Code;
use super::error::{Document, FieldError, PROBLEM_JSON};
use crate::model::module::ModuleKind;

/// The document's head; the routes add the rest.
pub(super) fn head() -> OpenApi {
    let info: Info = InfoBuilder::new()
        .title("Millstream")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Event streams with the code that works on them. Problems are RFC 9457 documents; `code` is stable, and \
             `/problems/{code}` is a page about it.",
        ))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let mut document = OpenApi::default();
    document.info = info;
    document
}

/// Adds what every operation has in common.
pub(super) fn complete(mut document: OpenApi) -> String {
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            add_common(operation, path);
        }
    }
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".into(), Document::schema());
    components.schemas.insert("FieldError".into(), FieldError::schema());
    document.to_json().unwrap_or_default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// What the gate and the extractors can answer, whatever the handler does.
fn add_common(operation: &mut Operation, path: &str) {
    let mut common = vec![
        ("400", "the request is malformed"),
        ("403", "the Host or Origin is not allowed, or the resource is the server's own"),
        ("414", "path and query are too long"),
        ("415", "the Content-Type or Content-Encoding is not supported"),
        ("431", "the headers are too large"),
        ("500", "the server failed"),
        ("503", "overloaded, the disk is nearly full, or stopping; see Retry-After"),
    ];
    if operation.request_body.is_some() {
        common.push(("408", "the body did not arrive in time"));
        common.push(("413", "the body or a record is too large"));
        common.push(("422", "the body is not valid"));
    }
    if path.contains('{') {
        common.push(("404", "not found"));
    }
    for (status, description) in common {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| problem_response(description));
    }
}

fn problem_response(description: &str) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem")))).build();
    RefOr::T(ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build())
}

macro_rules! problem_responses {
    ($($name:ident $status:literal $description:literal)*) => {
        $(
            #[doc = $description]
            pub(super) struct $name;
            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([($status.to_owned(), problem_response($description))])
                }
            }
        )*
    };
}

problem_responses! {
    Missing "404" "not found"
    NotAcceptable "406" "the answer cannot be given in the format asked for"
    Conflict "409" "it exists already, is in use, or contradicts something else"
    Gone "410" "the records were deleted by retention, or the cursor has expired"
    Precondition "412" "the resource is not in the state that the request expects"
    OutOfRange "416" "beyond the end; the problem has log_start_offset and high_watermark"
    Unprocessable "422" "the content is not valid; errors[] names each place"
    CodeFailed "500" "the deployment's code failed, or the server"
    Behind "504" "the record in after= was not processed in time"
}

/// A schema written as JSON, for what types cannot say.
fn schema(json: serde_json::Value) -> RefOr<Schema> {
    serde_json::from_value(json).unwrap_or_else(|_| RefOr::T(Schema::default()))
}

/// All codes.
pub(super) fn code_schema() -> RefOr<Schema> {
    let names: Vec<_> = Code::ALL.iter().map(|c| c.entry().name).collect();
    schema(json!({ "type": "string", "enum": names, "description": "stable; what programs look at" }))
}

/// Any JSON value.
pub(super) fn any_json() -> RefOr<Schema> {
    RefOr::T(Schema::Object(utoipa::openapi::Object::with_type(
        utoipa::openapi::schema::SchemaType::AnyValue,
    )))
}

/// The headers of a record, as read from a body.
pub(super) fn headers_schema() -> RefOr<Schema> {
    any_json()
}

/// The headers of a record, as shown.
pub(super) fn header_map_schema() -> RefOr<Schema> {
    schema(json!({ "type": "object", "additionalProperties": true }))
}

/// What a module's exports make of it.
pub(super) fn module_kind_schema() -> RefOr<Schema> {
    schema(json!({ "type": "string", "enum": ModuleKind::ALL.map(ModuleKind::export) }))
}

/// Parameters as a module declares them.
pub(super) fn declared_params_schema() -> RefOr<Schema> {
    let text = json!({ "type": "string" });
    let one = json!({ "type": "object", "required": ["type"], "properties": {
        "type": { "type": "string", "enum": ["string", "integer", "number", "boolean", "duration", "bytes", "enum"] },
        "description": text, "required": { "type": "boolean" }, "default": text, "min": text, "max": text,
        "values": { "type": "array", "items": text },
    } });
    schema(json!({ "type": "object", "additionalProperties": one }))
}

/// Parameters of user code.
pub(super) fn params_schema() -> RefOr<Schema> {
    schema(json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } }))
}

/// A size or duration: text with a unit, or a number of bytes or milliseconds.
pub(super) fn size_schema() -> RefOr<Schema> {
    schema(json!({ "type": ["string", "integer"] }))
}

/// Where a processor begins.
pub(super) fn start_schema() -> RefOr<Schema> {
    schema(json!({ "oneOf": [
        { "type": "string", "enum": ["earliest", "latest"] },
        { "type": "object", "required": ["timestamp"], "additionalProperties": false,
          "properties": { "timestamp": { "type": "integer", "format": "int64" } } },
    ] }))
}

/// What becomes of late records.
pub(super) fn late_schema() -> RefOr<Schema> {
    schema(json!({ "oneOf": [
        { "type": "string", "enum": ["update", "drop"] },
        { "type": "object", "required": ["output"], "additionalProperties": false,
          "properties": { "output": { "type": "string" } } },
    ] }))
}

/// Where the code of a sink or a source may go.
pub(super) fn http_grants_schema() -> RefOr<Schema> {
    schema(json!({ "type": "array", "maxItems": 64, "items": { "oneOf": [
        { "type": "string" },
        { "type": "object", "required": ["url"], "additionalProperties": false,
          "properties": { "url": { "type": "string" }, "private": { "type": "boolean" } } },
    ] } }))
}

/// Where a group's offsets go.
pub(super) fn reset_to_schema() -> RefOr<Schema> {
    let one = |name: &str, value: serde_json::Value| json!({ "type": "object", "required": [name], "additionalProperties": false, "properties": { name: value } });
    schema(json!({ "oneOf": [
        { "type": "string", "enum": ["earliest", "latest"] },
        one("offset", json!({ "type": "integer", "format": "int64", "minimum": 0 })),
        one("timestamp", json!({ "type": ["string", "integer"] })),
        one("shift_by", json!({ "type": "integer", "format": "int64" })),
        one("cursor", json!({ "type": "string" })),
        one("cursor_base64", json!({ "type": "string" })),
        one("cursor", json!({ "type": "string" })),
        one("cursor_base64", json!({ "type": "string", "format": "byte" })),
    ] }))
}

/// What a member commits.
pub(super) fn commit_schema() -> RefOr<Schema> {
    schema(json!({ "oneOf": [
        { "type": "string", "enum": ["previous"] },
        { "$ref": "#/components/schemas/NextCommit" },
    ] }))
}

/// Where a rewind goes.
pub(super) fn rewind_to_schema() -> RefOr<Schema> {
    let one = |name: &str, value: serde_json::Value| json!({ "type": "object", "required": [name], "additionalProperties": false, "properties": { name: value } });
    let partitions = json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } });
    schema(json!({ "oneOf": [
        { "type": "string", "enum": ["earliest", "latest"] },
        one("timestamp", json!({ "type": "integer", "format": "int64" })),
        one("offsets", json!({ "type": "object", "additionalProperties": partitions })),
        one("shift_by", json!({ "type": "integer", "format": "int64" })),
    ] }))
}

/// Records of a dry run.
pub(super) fn run_records_schema() -> RefOr<Schema> {
    let any = json!({});
    schema(json!({ "type": "array", "minItems": 1, "maxItems": 1000, "items": {
        "type": "object", "additionalProperties": false, "properties": {
            "topic": { "type": "string" }, "partition": { "type": "integer", "minimum": 0 },
            "offset": { "type": "integer", "minimum": 0 }, "timestamp": { "type": "integer" },
            "key": { "type": "string" }, "key_base64": { "type": "string" },
            "value": any, "value_text": { "type": "string" }, "value_base64": { "type": "string" },
            "headers": { "type": "object" },
        },
    } }))
}

/// Objects of a dry run's answer.
pub(super) fn run_outputs_schema() -> RefOr<Schema> {
    schema(json!({ "type": "array", "items": { "type": "object", "additionalProperties": true } }))
}
