//! Reading a deployment's spec with every wrong place named, and its schema for the OpenAPI document.

mod strict;

use std::collections::BTreeMap;

use serde_json::map::Entry;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::codes::Code;
use super::error::{FieldError, Problem};
use crate::model::DeploymentName;
use crate::model::deployment::{Ceiling, DeploymentSpec};

/// Reads a spec. The path names the deployment; a name in the body has to be the same. Limits that it does not mention are
/// the defaults, as far as the ceiling allows them.
///
/// # Errors
/// `InvalidSpec` with every member that does not read.
pub(super) fn read(
    mut body: Map<String, Value>,
    name: &DeploymentName,
    ceiling: &Ceiling,
) -> Result<DeploymentSpec, Problem> {
    match body.get("name") {
        None => {
            body.insert("name".into(), name.as_str().into());
        }
        Some(Value::String(own)) if own == name.as_str() => {}
        Some(other) => {
            let detail = format!("is {other}, the path says `{name}`");
            return Err(Problem::new(Code::InvalidSpec, format!("/name {detail}")).at("/name", detail));
        }
    }
    let members = body.clone();
    if lacks_input(&members) {
        let errors = diagnose(members);
        return Err(Problem::new(Code::InvalidSpec, "/input is missing").errors(errors));
    }
    complete(&mut body, json!({ "limits": ceiling.defaults(), "state": ceiling.state_defaults() }));
    strict::from_value(Value::Object(body)).map_err(|error| {
        let mut errors = diagnose(members);
        if errors.is_empty() {
            errors.push(FieldError { pointer: String::new(), detail: error.to_string() });
        }
        let first = errors.first().map(|first| format!("{} {}", first.pointer, first.detail));
        let detail = first.unwrap_or_default().trim_start().to_owned();
        Problem::new(Code::InvalidSpec, detail).errors(errors)
    })
}

/// Adds members that are not given, at any depth.
fn complete(given: &mut Map<String, Value>, defaults: Value) {
    let Value::Object(defaults) = defaults else { return };
    for (name, default) in defaults {
        match given.entry(name) {
            Entry::Vacant(missing) => drop(missing.insert(default)),
            Entry::Occupied(mut there) => {
                if let Value::Object(there) = there.get_mut() {
                    complete(there, default);
                }
            }
        }
    }
}

/// Only a source reads no topics.
fn lacks_input(members: &Map<String, Value>) -> bool {
    let reads = members.get("kind").is_none_or(|kind| kind != "source");
    reads && !members.contains_key("input")
}

/// Tries every member alone in a spec that is otherwise fine: what fails alone is what is wrong.
fn diagnose(members: Map<String, Value>) -> Vec<FieldError> {
    let fine = json!({ "name": "x", "kind": "processor", "module": "x", "input": { "topics": ["x"] } });
    let mut errors = Vec::new();
    for required in ["kind", "module", "input"] {
        if !members.contains_key(required) && (required != "input" || lacks_input(&members)) {
            errors.push(FieldError { pointer: format!("/{required}"), detail: "is missing".into() });
        }
    }
    for (name, value) in members {
        let mut alone = fine.clone();
        alone[&name] = value;
        if let Err(error) = strict::from_value::<DeploymentSpec>(alone) {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            errors.push(FieldError { pointer, detail: error.to_string() });
        }
    }
    errors
}

/// What is to run where.
#[derive(ToSchema)]
#[schema(as = DeploymentSpec)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document; `model::deployment` reads it")]
pub(super) struct Spec {
    /// may be left out: the path names it
    name: Option<String>,
    kind: Kind,
    /// `name`, `name@1.2.3` or `name@sha256:…`
    module: String,
    /// a source has none, everything else has to name it
    input: Option<Input>,
    source: Option<SourceSpec>,
    output: Option<Output>,
    /// processors: short name → a topic between its stages, which it alone writes (the route of that name) and reads
    internal: Option<BTreeMap<String, InternalTopic>>,
    /// what its code reads; numbers and booleans are taken as their text
    #[schema(schema_with = super::openapi::params_schema)]
    params: Option<BTreeMap<String, String>>,
    state: Option<StateSpec>,
    time: Option<TimeSpec>,
    on_error: Option<OnError>,
    on_reject: Option<OnReject>,
    on_fault: Option<OnFault>,
    /// inline: place in the topic's chain, lowest first
    order: Option<i32>,
    /// processors: pass over records that were deleted before they were read
    skip_input_gap: Option<bool>,
    limits: Option<Limits>,
    grants: Option<Grants>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentKind, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
enum Kind {
    Inline,
    Processor,
    Sink,
    View,
    Source,
}

#[derive(ToSchema)]
#[schema(as = DeploymentSource)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct SourceSpec {
    /// time between two polls, such as `10s`
    #[schema(schema_with = super::openapi::size_schema)]
    interval: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentInput)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct Input {
    /// inline and view: exactly one
    topics: Vec<String>,
    /// where a new processor begins: `earliest`, `latest` or `{"timestamp": ms}`
    #[schema(schema_with = super::openapi::start_schema)]
    start: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentOutput)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct Output {
    /// where outputs go that name no route
    default: Option<String>,
    /// route name → topic
    routes: Option<BTreeMap<String, String>>,
    create_topics: Option<CreateTopics>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct CreateTopics {
    /// of each output topic that has to be created
    partitions: u32,
}

#[derive(ToSchema)]
#[schema(as = DeploymentInternalTopic)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct InternalTopic {
    /// while about so many records of a partition wait, the tasks read nothing else; default 100,000
    max_lag: Option<u64>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentStateSpec)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct StateSpec {
    /// stores that are to exist from the start
    stores: Option<Vec<Store>>,
    /// of one task, such as `4GiB`
    #[schema(schema_with = super::openapi::size_schema)]
    max_bytes: Option<String>,
    /// keys of one task
    max_keys: Option<u64>,
    /// timers of one task
    max_timers: Option<u64>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentTime)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct TimeSpec {
    /// how far behind the newest record of its input a record may lie without being late, such as `5s`; default 0
    #[schema(schema_with = super::openapi::size_schema)]
    out_of_order: Option<String>,
    /// an input without records for so long does not hold the watermark back; default 30s, 0: it does for ever
    #[schema(schema_with = super::openapi::size_schema)]
    idle: Option<String>,
    /// a record further ahead of the server's clock does not move the watermark; default 1h
    #[schema(schema_with = super::openapi::size_schema)]
    ahead: Option<String>,
    /// how far behind the watermark a record may lie before `late` applies; default 0
    #[schema(schema_with = super::openapi::size_schema)]
    lateness: Option<String>,
    /// what becomes of those beyond: `update` (the code is handed them as any other), `drop`, or `{"output": ROUTE}`
    #[schema(schema_with = super::openapi::late_schema)]
    late: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentStore)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct Store {
    name: String,
    /// entries are gone so long after their last write, such as `7d`; it can be changed at any time, but given or taken away
    /// only while the store holds no keys
    #[schema(schema_with = super::openapi::size_schema, required = false)]
    ttl: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentOnError)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct OnError {
    policy: Option<Policy>,
    /// tries after the first
    max_retries: Option<u32>,
    /// pause before the first retry, such as `200ms`
    #[schema(schema_with = super::openapi::size_schema)]
    backoff: Option<String>,
    /// where dead letters go; default `<deployment>.dlq`
    topic: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentOnErrorPolicy, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
enum Policy {
    Stop,
    Skip,
    DeadLetter,
}

#[derive(ToSchema)]
#[schema(as = DeploymentOnReject, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
enum OnReject {
    Fail,
    DeadLetter,
}

#[derive(ToSchema)]
#[schema(as = DeploymentOnFault, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
enum OnFault {
    Closed,
    Open,
}

#[derive(ToSchema)]
#[schema(as = DeploymentLimits)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct Limits {
    /// of an instance, such as `64MiB`
    #[schema(schema_with = super::openapi::size_schema)]
    memory: Option<String>,
    /// CPU time of one call, such as `200ms`
    #[schema(schema_with = super::openapi::size_schema)]
    cpu: Option<String>,
    /// wall time of one call, host functions included, such as `30s`
    #[schema(schema_with = super::openapi::size_schema)]
    wall: Option<String>,
    /// instances alive at once; more partitions take turns
    instances: Option<u32>,
    /// lines of its log in one second; more are counted and left out
    log_lines: Option<u32>,
    batch: Option<BatchLimits>,
    output: Option<OutputLimits>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentBatchLimits)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct BatchLimits {
    /// records handed to the code in one call
    records: Option<u32>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentOutputLimits)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct OutputLimits {
    /// of one call's outputs, such as `16MiB`
    #[schema(schema_with = super::openapi::size_schema)]
    bytes: Option<String>,
    /// outputs of one call
    records: Option<u32>,
}

/// Where code that goes out may go, and what goes along.
#[derive(ToSchema)]
#[schema(as = DeploymentGrants)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct Grants {
    /// such as `https://hooks.example.com`, `https://*.example.com`, `http://127.0.0.1:9000`, or
    /// `{"url": …, "private": true}` for names of private networks
    #[schema(schema_with = super::openapi::http_grants_schema)]
    http: Option<Vec<String>>,
    secrets: Option<Vec<SecretGrant>>,
}

#[derive(ToSchema)]
#[schema(as = DeploymentSecretGrant)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
struct SecretGrant {
    /// as in the server's config
    name: String,
    /// the header of a request that carries it
    header: String,
    /// the header's value, such as `Bearer {}`; default: the secret alone
    format: Option<String>,
    /// the granted host that gets it; may be left out where only one is granted
    host: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: Value) -> Vec<String> {
        let Value::Object(body) = body else { panic!("an object") };
        let name = DeploymentName::parse("d").unwrap();
        let rendered = read(body, &name, &Ceiling::default()).unwrap_err().render("");
        let problem: Value = serde_json::from_slice(&rendered).unwrap();
        problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["pointer"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_member_that_does_not_read_is_named() {
        let body = json!({ "kind": "pump", "module": "m", "input": { "topics": ["a b"] }, "outputs": {} });
        assert_eq!(refusal(body), ["/input", "/kind", "/outputs"]);
        assert_eq!(refusal(json!({ "kind": "inline", "input": { "topics": ["a"] } })), ["/module"]);
        assert_eq!(refusal(json!({ "kind": "inline", "module": "m" })), ["/input"]);
        assert_eq!(refusal(json!({ "kind": "source", "source": { "every": "1s" } })), ["/module", "/source"]);
        assert_eq!(refusal(json!({ "name": "other" })), ["/name"]);
    }

    #[test]
    fn no_list_is_taken_for_an_object() {
        let body = json!({
            "kind": "processor", "module": "m", "input": [["t"]], "limits": { "output": [9] },
            "output": { "create_topics": [1] }, "state": { "stores": [["s"]] }
        });
        assert_eq!(refusal(body), ["/input", "/limits", "/output", "/state"]);
    }

    #[test]
    fn what_is_not_asked_for_is_the_default_as_far_as_it_is_allowed() {
        let low = Ceiling { memory: 32 << 20, output_records: 7, state_keys: 5, ..Ceiling::default() };
        let read = |members: Value| {
            let mut body = json!({ "kind": "processor", "module": "m", "input": { "topics": ["a"] } });
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            read(body.as_object().unwrap().clone(), &DeploymentName::parse("d").unwrap(), &low).unwrap()
        };
        let silent = read(json!({}));
        assert_eq!((&silent.limits, silent.state.max_keys), (&low.defaults(), 5));
        assert_eq!(low.problems(&silent), []);
        let asks = read(
            json!({ "limits": { "memory": "64MiB", "output": { "bytes": 9 } }, "state": { "max_bytes": 8 } }),
        );
        assert_eq!(
            (asks.limits.memory, asks.limits.output.bytes, asks.limits.output.records),
            (64 << 20, 9, 7)
        );
        assert_eq!((asks.state.max_bytes, asks.state.max_keys), (8, 5));
    }

    #[test]
    fn the_schema_has_the_members_of_a_whole_spec() {
        let spec = json!({
            "name": "x", "kind": "processor", "module": "x", "input": { "topics": ["x"] },
            "params": { "a": "b" }, "source": {}, "time": {}, "internal": { "a": {} }
        });
        let spec: DeploymentSpec = serde_json::from_value(spec).unwrap();
        let Value::Object(whole) = serde_json::to_value(spec).unwrap() else { panic!("an object") };
        let schema = serde_json::to_value(<Spec as utoipa::PartialSchema>::schema()).unwrap();
        let documented: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        let written: Vec<_> = whole.keys().collect();
        assert_eq!(documented, written);
    }
}
