//! What goes in and out of the state's operations.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::position::{After, Wait};
use crate::http::produce::Format;
use crate::model::Partition;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct DeploymentPath {
    /// the deployment
    pub(super) deployment: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct StorePath {
    /// the deployment
    pub(super) deployment: String,
    /// the store
    pub(super) store: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct KeyPath {
    /// the deployment
    pub(super) deployment: String,
    /// the store
    pub(super) store: String,
    /// the key, percent-encoded
    pub(super) key: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct KeyQuery {
    /// how the value is written; without it: as it is
    #[param(inline)]
    pub(super) format: Option<Format>,
    /// the task; default: that of the key
    pub(super) partition: Option<Partition>,
    /// wait until the processor has passed this record: `topic:partition:offset`
    #[param(value_type = Option<String>)]
    pub(super) after: Option<After>,
    /// at most so long: milliseconds or `500ms`, at most a minute; default 5 s
    #[param(value_type = Option<String>)]
    pub(super) wait: Option<Wait>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct BinaryKeyQuery {
    /// the key in base64 (`+` and `/` percent-encoded, or the URL-safe letters)
    pub(super) key_base64: Option<String>,
    /// how the value is written; without it: as it is
    #[param(inline)]
    pub(super) format: Option<Format>,
    /// the task; default: that of the key
    pub(super) partition: Option<Partition>,
    /// wait until the processor has passed this record: `topic:partition:offset`
    #[param(value_type = Option<String>)]
    pub(super) after: Option<After>,
    /// at most so long: milliseconds or `500ms`, at most a minute; default 5 s
    #[param(value_type = Option<String>)]
    pub(super) wait: Option<Wait>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ScanQuery {
    /// only keys that begin so
    pub(super) prefix: String,
    /// first key, inclusive
    pub(super) from: Option<String>,
    /// last key, exclusive
    pub(super) to: Option<String>,
    /// from the last to the first
    pub(super) reverse: bool,
    /// at most so many entries; default 100
    #[param(minimum = 1, maximum = 10000)]
    pub(super) limit: Option<usize>,
    /// from the page before
    pub(super) page_token: Option<String>,
    /// how values are written
    #[param(inline)]
    pub(super) format: Format,
    /// only this task; default: that of `after`, else all, merged
    pub(super) partition: Option<Partition>,
    /// wait until the processor has passed this record: `topic:partition:offset`
    #[param(value_type = Option<String>)]
    pub(super) after: Option<After>,
    /// at most so long: milliseconds or `500ms`, at most a minute; default 5 s
    #[param(value_type = Option<String>)]
    pub(super) wait: Option<Wait>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ManyQuery {
    /// how values are written
    #[param(inline)]
    pub(super) format: Format,
    /// the task; default: that of each key
    pub(super) partition: Option<Partition>,
    /// wait until the processor has passed this record: `topic:partition:offset`
    #[param(value_type = Option<String>)]
    pub(super) after: Option<After>,
    /// at most so long: milliseconds or `500ms`, at most a minute; default 5 s
    #[param(value_type = Option<String>)]
    pub(super) wait: Option<Wait>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct QueryQuery {
    /// the task that this key belongs to is asked: the records' key, if state is kept under it
    pub(super) key: Option<String>,
    /// the same in base64, for a key that is not UTF-8
    pub(super) key_base64: Option<String>,
    /// the task; default: that of `key`, else that of `after`, else the only one
    pub(super) partition: Option<Partition>,
    /// wait until the processor has passed this record: `topic:partition:offset`
    #[param(value_type = Option<String>)]
    pub(super) after: Option<After>,
    /// at most so long: milliseconds or `500ms`, at most a minute; default 5 s
    #[param(value_type = Option<String>)]
    pub(super) wait: Option<Wait>,
}

/// Keys to be read together. Text keys first, then binary ones; the answer keeps that order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Keys {
    /// at most 100 together with `keys_base64`
    #[serde(default)]
    pub(super) keys: Vec<String>,
    #[serde(default)]
    pub(super) keys_base64: Vec<String>,
}

/// An entry of a store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateEntry)]
pub(in crate::http) struct Entry {
    /// the task that holds it; absent in a multi-get
    pub(super) partition: Option<Partition>,
    pub(super) key: Option<String>,
    /// a key that is not UTF-8
    pub(super) key_base64: Option<String>,
    /// multi-get: is there such a key?
    pub(super) found: Option<bool>,
    /// as `format` says
    #[schema(schema_with = crate::http::openapi::any_json, required = false)]
    pub(super) value: Option<serde_json::Value>,
    /// a value that is not what `format` says
    pub(super) value_base64: Option<String>,
    /// why it is not
    pub(super) decode_error: Option<String>,
}

/// Entries, and how far the state they belong to has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateEntries)]
pub(in crate::http) struct Entries {
    /// in key order; in a multi-get in the order asked for
    pub(super) items: Vec<Entry>,
    /// pass it as `page_token` for the next page; absent on the last one
    pub(super) next_page_token: Option<String>,
}
