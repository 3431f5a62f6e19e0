//! The requests, by what is bad about them.

use serde_json::{Value, json};

use crate::support;

/// A bad request.
pub(super) struct Case {
    pub(super) request: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Vec<u8>,
    pub(super) status: u16,
    pub(super) code: &'static str,
}

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let kinds = [
        paths_and_methods(),
        queries(),
        headers(),
        topics(),
        records(),
        modules(),
        deployments(),
        state(),
        groups(),
    ];
    kinds.into_iter().flatten().collect()
}

/// `METHOD /path`, body, status, code.
fn case(request: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    Case { request, headers: &[], body: body.into(), status, code }
}

fn with(headers: &'static [(&'static str, &'static str)], case: Case) -> Case {
    Case { headers, ..case }
}

const YAML: &[(&str, &str)] = &[("content-type", "application/yaml")];
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];
const XML: &[(&str, &str)] = &[("content-type", "application/xml")];
const WASM: &[(&str, &str)] = &[("content-type", "application/wasm")];
const SPEC: &str = r#"{"kind":"processor","module":"word-count","input":{"topics":["t"]}}"#;

fn paths_and_methods() -> Vec<Case> {
    vec![
        case("GET /nothing", "", 404, "route_not_found"),
        case("GET /v1/topics/t/nothing", "", 404, "route_not_found"),
        case("GET /problems/no-such-code", "", 404, "route_not_found"),
        case("DELETE /v1/topics", "", 405, "method_not_allowed"),
        case("PUT /v1/topics/t/records", "{}", 405, "method_not_allowed"),
        case("GET /v1/topics/none", "", 404, "topic_not_found"),
        case("GET /v1/topics/%ff", "", 400, "invalid_path"),
        case("GET /v1/topics/t/partitions/x/records", "", 400, "invalid_path"),
        case("GET /v1/topics/t/partitions/-1/records", "", 400, "invalid_path"),
        case("GET /v1/topics/t/partitions/9/records", "", 404, "partition_not_found"),
        case("POST /v1/topics/t/partitions/9/records", r#"{"value":1}"#, 404, "partition_not_found"),
        case("GET /v1/modules/a%20b", "", 400, "invalid_path"),
        case("GET /v1/jobs/x", "", 404, "job_not_found"),
    ]
}

fn queries() -> Vec<Case> {
    vec![
        case("GET /v1/topics?prefx=a", "", 400, "invalid_query"),
        case("GET /v1/topics?limit=0", "", 400, "invalid_query"),
        case("GET /v1/topics?limit=x", "", 400, "invalid_query"),
        case("GET /v1/topics?limit=1&limit=2", "", 400, "invalid_query"),
        case("GET /v1/topics?internal=perhaps", "", 400, "invalid_query"),
        case("GET /v1/topics?page_token=%3F", "", 400, "invalid_cursor"),
        case("GET /healthz?deep=true", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?format=xml", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?offset=middle", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?offset=5", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?timestamp=yesterday", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?offset=latest&timestamp=0", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?wait=2m", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?limit=10001", "", 400, "invalid_query"),
        case("GET /v1/topics/t/records?cursor=AAAA", "", 400, "invalid_cursor"),
        case("GET /v1/topics/t/partitions/0/records?offset=99", "", 416, "offset_out_of_range"),
        case("POST /v1/topics/t/records?acks=2", r#"{"value":1}"#, 400, "invalid_query"),
        case("POST /v1/topics/t/events?key=a&key_path=/b", "{}", 400, "invalid_query"),
        case("POST /v1/topics/t/events?key_path=b", "{}", 400, "invalid_query"),
        case("POST /v1/topics/t/events?partition=9", "{}", 404, "partition_not_found"),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        with(&[("accept", "application/xml")], case("GET /v1/topics/t/records", "", 406, "not_acceptable")),
        with(
            &[("accept", "application/json")],
            case("GET /v1/topics/t/records?follow=true", "", 406, "not_acceptable"),
        ),
        with(
            &[("accept", "text/event-stream"), ("last-event-id", "x")],
            case("GET /v1/topics/t/partitions/0/records", "", 400, "invalid_header"),
        ),
        with(&[("host", "evil.example")], case("GET /v1/topics", "", 403, "host_not_allowed")),
        with(&[("origin", "http://evil.example")], case("GET /v1/topics", "", 403, "origin_not_allowed")),
        with(&[("origin", "null")], case("POST /v1/topics", r#"{"name":"x"}"#, 403, "origin_not_allowed")),
        with(&[("if-match", "abc")], case("PATCH /v1/topics/t", "{}", 400, "invalid_header")),
        with(&[("if-match", "\"99\"")], case("PATCH /v1/topics/t", "{}", 412, "precondition_failed")),
        with(&[("if-none-match", "*")], case("PATCH /v1/topics/t", "{}", 412, "precondition_failed")),
        with(&[("if-none-match", "*")], case("PUT /v1/topics/t", "{}", 412, "precondition_failed")),
        with(&[("if-match", "\"99\"")], case("PUT /v1/topics/t", "{}", 400, "invalid_header")),
        with(&[("if-match", "\"99\"")], case("DELETE /v1/topics/t", "", 412, "precondition_failed")),
        with(&[("if-none-match", "*")], case("DELETE /v1/deployments/wc", "", 412, "precondition_failed")),
        with(&[("if-match", "*")], case("PUT /v1/deployments/none", SPEC, 412, "precondition_failed")),
        with(&[("if-match", "\"99\"")], case("PUT /v1/deployments/wc", SPEC, 412, "precondition_failed")),
        with(&[("if-none-match", "*")], case("PUT /v1/deployments/wc", SPEC, 412, "precondition_failed")),
        with(&[("if-match", "\"99\"")], case("DELETE /v1/deployments/wc", "", 412, "precondition_failed")),
        with(
            &[("idempotency-key", "")],
            case("POST /v1/topics/t/records", r#"{"value":1}"#, 400, "invalid_header"),
        ),
        with(
            &[("content-type", "application/x-ndjson"), ("idempotency-key", "k")],
            case("POST /v1/topics/t/records", r#"{"value":1}"#, 400, "invalid_header"),
        ),
        with(
            &[("producer-id", "1")],
            case("POST /v1/topics/t/records", r#"{"value":1}"#, 400, "invalid_header"),
        ),
        with(
            &[("producer-id", "1"), ("producer-seq", "-1")],
            case("POST /v1/topics/t/records", r#"{"value":1}"#, 400, "invalid_header"),
        ),
        with(
            &[("producer-id", "1"), ("producer-seq", "0"), ("idempotency-key", "k")],
            case("POST /v1/topics/t/records", r#"{"value":1}"#, 400, "invalid_header"),
        ),
        with(
            &[("content-type", "application/x-ndjson"), ("producer-id", "1"), ("producer-seq", "0")],
            case("POST /v1/topics/t/records", r#"{"value":1}"#, 400, "invalid_header"),
        ),
        with(
            &[("producer-id", "1"), ("producer-seq", "0")],
            case(
                "POST /v1/topics/t/records",
                r#"{"records":[{"value":1,"partition":0},{"value":1,"partition":1}]}"#,
                422,
                "invalid_record",
            ),
        ),
        with(XML, case("POST /v1/topics/t/records", "<a/>", 415, "unsupported_media_type")),
        with(XML, case("POST /v1/topics/t/events", "<a/>", 415, "unsupported_media_type")),
        with(TEXT, case("POST /v1/topics", "{}", 415, "unsupported_media_type")),
        with(TEXT, case("PUT /v1/modules/m", "hello", 415, "unsupported_media_type")),
        with(
            &[("content-encoding", "br")],
            case("POST /v1/topics/t/records", "x", 415, "unsupported_encoding"),
        ),
        with(
            &[("content-encoding", "gzip")],
            case("POST /v1/topics/t/records", "not gzip", 400, "malformed_body"),
        ),
    ]
}

fn topics() -> Vec<Case> {
    vec![
        case("POST /v1/topics", "{", 400, "malformed_json"),
        case("POST /v1/topics", "", 400, "malformed_json"),
        case("POST /v1/topics", "[]", 422, "invalid_body"),
        case("POST /v1/topics", "{}", 422, "invalid_body"),
        case("POST /v1/topics", r#"{"name":7}"#, 422, "invalid_body"),
        case("POST /v1/topics", r#"{"name":"x","partition":1}"#, 422, "invalid_body"),
        case("POST /v1/topics", r#"{"name":"a b"}"#, 422, "invalid_topic"),
        case("POST /v1/topics", r#"{"name":".."}"#, 422, "invalid_topic"),
        case("POST /v1/topics", r#"{"name":"__mine"}"#, 403, "topic_is_internal"),
        case("POST /v1/topics", r#"{"name":"x","partitions":0}"#, 422, "invalid_partitions"),
        case("POST /v1/topics", r#"{"name":"x","partitions":1001}"#, 422, "invalid_partitions"),
        case("POST /v1/topics", r#"{"name":"x","partitions":-1}"#, 422, "invalid_body"),
        case("POST /v1/topics", r#"{"name":"x","config":{"retention":"1"}}"#, 422, "invalid_topic_config"),
        case(
            "POST /v1/topics",
            r#"{"name":"x","config":{"retention.ms":"soon"}}"#,
            422,
            "invalid_topic_config",
        ),
        case("POST /v1/topics", r#"{"name":"t"}"#, 409, "topic_exists"),
        case("PUT /v1/topics/t", r#"{"partitions":3}"#, 409, "topic_exists"),
        case("PUT /v1/topics/t", "[4]", 422, "invalid_body"),
        case("PATCH /v1/topics/none", "{}", 404, "topic_not_found"),
        case("PATCH /v1/topics/t", r#"{"partitions":1}"#, 422, "invalid_partitions"),
        case("PATCH /v1/topics/t", r#"{"config":{"nope":null}}"#, 422, "invalid_topic_config"),
        case("PATCH /v1/topics/text", r#"{"partitions":9}"#, 409, "topic_is_stateful_input"),
        case("PATCH /v1/topics/__millstream_logs", "{}", 403, "topic_is_internal"),
        case("POST /v1/topics/t/truncate", "{}", 422, "invalid_body"),
        case("POST /v1/topics/t/truncate", r#"{"offset":"latest","timestamp":"-1d"}"#, 422, "invalid_body"),
        case("POST /v1/topics/t/truncate", r#"{"offset":1}"#, 422, "invalid_body"),
        case("POST /v1/topics/t/truncate", r#"{"offset":"soon"}"#, 422, "invalid_body"),
        case("POST /v1/topics/t/truncate", r#"{"offset":1,"partition":9}"#, 404, "partition_not_found"),
        case("POST /v1/topics/t/truncate", r#"{"offset":9,"partition":0}"#, 416, "offset_out_of_range"),
        case("POST /v1/topics/none/truncate", r#"{"offset":"latest"}"#, 404, "topic_not_found"),
        case(
            "POST /v1/topics/__millstream_logs/truncate",
            r#"{"offset":"latest"}"#,
            403,
            "topic_is_internal",
        ),
        case("DELETE /v1/topics/text", "", 409, "topic_in_use"),
        case("DELETE /v1/topics/none", "", 404, "topic_not_found"),
        case("DELETE /v1/topics/__millstream_logs", "", 403, "topic_is_internal"),
    ]
}

fn records() -> Vec<Case> {
    let post = "POST /v1/topics/t/records";
    let many = format!("{{\"records\":[{}]}}", vec![r#"{"value":1}"#; 10_001].join(","));
    vec![
        case(post, "", 400, "malformed_json"),
        case(post, r#"{"value":1"#, 400, "malformed_json"),
        case(post, r#"{"value":1} x"#, 400, "malformed_json"),
        case(post, b"{\"value\":\"\xff\"}", 400, "malformed_json"),
        case(post, r#"{"records":[{"value":1},{]}"#, 400, "malformed_json"),
        case(post, "[]", 422, "invalid_record"),
        case(post, r#"["k",null,"v"]"#, 422, "invalid_record"),
        case(post, r#"[{"value":1}"#, 400, "malformed_json"),
        case(post, r#"{"records":[["k",null,"v"]]}"#, 422, "invalid_record"),
        case(post, r#"{"records":[{"value":1}],"expected_offsets":{"x":0}}"#, 422, "invalid_record"),
        case(post, "{}", 422, "invalid_record"),
        case(post, r#"{"records":{}}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"vlue":2}"#, 422, "invalid_record"),
        case(post, r#"{"key":7,"value":1}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"partition":4}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"partition":-1}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"timestamp":"now"}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"timestamp":-1}"#, 422, "invalid_record"),
        case(post, r#"{"value_base64":"?"}"#, 422, "invalid_record"),
        case(post, r#"{"key_base64":"A","value":1}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"value_base64":"AA=="}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"headers":7}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"headers":{"a":7}}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"headers":[["a"]]}"#, 422, "invalid_record"),
        case(post, r#"{"value":1,"headers":{"a":{"base64":"?"}}}"#, 422, "invalid_record"),
        case(post, r#"{"records":[{"value":1}],"expected_offsets":{"9":0}}"#, 422, "invalid_record"),
        case(
            post,
            r#"{"records":[{"value":1}],"expected_offsets":{"0":7}}"#,
            412,
            "expected_offset_mismatch",
        ),
        case("POST /v1/topics/t/records?format=text", r#"{"value":1}"#, 422, "invalid_record"),
        case("POST /v1/topics/t/records?format=base64", r#"{"value":1}"#, 422, "invalid_record"),
        case("POST /v1/topics/t/partitions/1/records", r#"{"value":1,"partition":2}"#, 422, "invalid_record"),
        case(
            "POST /v1/topics/t/partitions/1/records?expected_offset=5",
            r#"{"value":1}"#,
            412,
            "expected_offset_mismatch",
        ),
        case(post, many, 413, "body_too_large"),
        case(post, vec![b' '; (16 << 20) + 1], 413, "body_too_large"),
        case(
            "POST /v1/topics/small/records",
            format!(r#"{{"value":"{}"}}"#, "x".repeat(2_000)),
            422,
            "invalid_record",
        ),
        case("POST /v1/topics/keyed/records", r#"{"value":1}"#, 422, "invalid_record"),
        case(
            "POST /v1/topics/keyed/records",
            r#"{"records":[{"key":"a","value":1},{"value":2}]}"#,
            422,
            "invalid_record",
        ),
        case("POST /v1/topics/keyed/events", r#"{"a":1}"#, 422, "invalid_record"),
        case("POST /v1/topics/none/records", r#"{"value":1}"#, 404, "topic_not_found"),
        case("POST /v1/topics/__millstream_logs/records", r#"{"value":1}"#, 403, "topic_is_internal"),
        case("POST /v1/topics/valid/records", r#"{"value":{"no":"event"}}"#, 422, "record_rejected"),
        case("POST /v1/topics/t/events", "{\"a\":", 400, "malformed_json"),
        case("POST /v1/topics/t/events?key_path=/user", r#"{"a":1}"#, 422, "invalid_record"),
        case("POST /v1/topics/t/events?key_path=/user", r#"{"user":{}}"#, 422, "invalid_record"),
        with(TEXT, case("POST /v1/topics/t/events", b"\xff", 422, "invalid_record")),
        with(TEXT, case("POST /v1/topics/t/events?key_path=/a", "x", 400, "invalid_query")),
        with(
            NDJSON,
            case("POST /v1/topics/t/partitions/0/records?expected_offset=0", "", 400, "invalid_query"),
        ),
    ]
}

fn modules() -> Vec<Case> {
    let prebuilt = |name: &str| support::prebuilt(name).expect("a prebuilt guest");
    let truncated = prebuilt("word-count")[..1_000].to_vec();
    let digest = &[("content-digest", "sha-256=:AAAA:")];
    vec![
        case("GET /v1/modules/none", "", 404, "module_not_found"),
        case("GET /v1/modules/word-count/versions/9.9.9", "", 404, "module_not_found"),
        case("GET /v1/modules/word-count/versions/newest", "", 400, "invalid_path"),
        case("GET /v1/modules/none/versions/latest/wit", "", 404, "module_not_found"),
        case("DELETE /v1/modules/none", "", 404, "module_not_found"),
        case("DELETE /v1/modules/word-count", "", 409, "module_in_use"),
        case("DELETE /v1/modules/word-count/versions/latest", "", 409, "module_in_use"),
        with(WASM, case("PUT /v1/modules/m", "", 422, "invalid_module")),
        with(WASM, case("PUT /v1/modules/m", "hello", 422, "invalid_module")),
        with(WASM, case("PUT /v1/modules/m", truncated, 422, "invalid_module")),
        with(WASM, case("PUT /v1/modules/m", prebuilt("wrong-world"), 422, "invalid_module")),
        with(WASM, case("POST /v1/modules/validate/validate", "\0asm\x01\0\0\0", 422, "invalid_module")),
        with(WASM, case("PUT /v1/modules/m?version=one", "x", 400, "invalid_query")),
        with(
            WASM,
            case("PUT /v1/modules/word-count?version=0.1.0", prebuilt("trap"), 409, "module_version_exists"),
        ),
        with(digest, case("PUT /v1/modules/m", "x", 422, "digest_mismatch")),
        with(&[("content-digest", "sha-256=AAAA")], case("PUT /v1/modules/m", "x", 400, "invalid_header")),
        with(WASM, case("PUT /v1/modules/m", vec![0; (64 << 20) + 1], 413, "body_too_large")),
    ]
}

fn deployments() -> Vec<Case> {
    let put = "PUT /v1/deployments/d";
    let spec = |change: Value| {
        let mut spec: Value = serde_json::from_str(SPEC).expect("a spec");
        for (name, value) in change.as_object().expect("an object") {
            spec[name] = value.clone();
        }
        spec.to_string()
    };
    let too_many = spec(json!({ "output": { "default": "new", "create_topics": { "partitions": 99999 } } }));
    vec![
        case(put, "{", 400, "malformed_json"),
        case(put, "[]", 422, "invalid_body"),
        case(put, "{}", 422, "invalid_deployment"),
        with(YAML, case(put, "kind: [", 400, "malformed_yaml")),
        with(YAML, case(put, "a: &a [x]\n".to_owned() + "b: " + &"[".repeat(40), 400, "malformed_yaml")),
        with(YAML, case(put, "- a", 422, "invalid_body")),
        with(YAML, case(put, "kind: processor", 422, "invalid_deployment")),
        with(YAML, case(put, vec![b' '; (1 << 20) + 1], 413, "body_too_large")),
        with(YAML, case("PATCH /v1/deployments/wc", "params: {}", 415, "unsupported_media_type")),
        case(put, vec![b' '; (1 << 20) + 1], 413, "body_too_large"),
        case(put, spec(json!({ "kind": "sink" })), 422, "module_kind_mismatch"),
        case(put, spec(json!({ "name": "other" })), 422, "invalid_deployment"),
        case(put, spec(json!({ "outputs": {} })), 422, "invalid_deployment"),
        case(put, spec(json!({ "input": { "topics": [] } })), 422, "invalid_deployment"),
        case(put, spec(json!({ "module": "word-count@newest" })), 422, "invalid_deployment"),
        case(put, spec(json!({ "module": "none" })), 422, "invalid_deployment"),
        case(put, spec(json!({ "limits": { "memory": "1KiB" } })), 422, "invalid_deployment"),
        case(put, spec(json!({ "output": { "default": "t" } })), 422, "invalid_deployment"),
        case(put, too_many.as_str(), 422, "invalid_partitions"),
        case("PUT /v1/deployments/d?dry_run=true", too_many.as_str(), 422, "invalid_partitions"),
        case(
            "POST /v1/deployments/wc/run",
            r#"{"records":[{"value":"a","partition":4}]}"#,
            422,
            "invalid_body",
        ),
        case("POST /v1/deployments/wc/run", r#"{"records":[["t",0,0]]}"#, 422, "invalid_body"),
        case("POST /v1/deployments/wc/rewind", r#"{"to":-1}"#, 422, "invalid_body"),
        case("POST /v1/deployments/wc/rewind?dry_run=true", r#"["earliest"]"#, 422, "invalid_body"),
        case("POST /v1/deployments/wc/upgrade", r#"["word-count"]"#, 422, "invalid_body"),
        case(put, spec(json!({ "kind": "inline" })), 422, "module_kind_mismatch"),
        case(put, spec(json!({ "input": { "topics": ["none"] } })), 404, "topic_not_found"),
        case("PUT /v1/deployments/a%20b", SPEC, 400, "invalid_path"),
        case("GET /v1/deployments/none", "", 404, "deployment_not_found"),
        case("PATCH /v1/deployments/none", "{}", 404, "deployment_not_found"),
        case("PATCH /v1/deployments/wc", r#"{"limits":{"cpu":"1h"}}"#, 422, "invalid_deployment"),
        case("PATCH /v1/deployments/wc", r#"{"kind":"inline"}"#, 422, "invalid_deployment"),
        case("POST /v1/deployments/none/pause", "", 404, "deployment_not_found"),
        case("POST /v1/deployments/validate/pause", "", 409, "deployment_is_inline"),
        case("POST /v1/deployments/wc/rewind", "{}", 422, "invalid_body"),
        case("POST /v1/deployments/wc/rewind", r#"{"to":"start"}"#, 422, "invalid_body"),
        case("DELETE /v1/deployments/none", "", 404, "deployment_not_found"),
        case("DELETE /v1/deployments/wc?state=maybe", "", 400, "invalid_query"),
        case("GET /v1/deployments/wc/logs?level=loud", "", 400, "invalid_query"),
        case("GET /v1/deployments/none/logs", "", 404, "deployment_not_found"),
    ]
}

fn state() -> Vec<Case> {
    vec![
        case("GET /v1/deployments/none/stores", "", 404, "deployment_not_found"),
        case("GET /v1/deployments/validate/stores", "", 409, "deployment_is_inline"),
        case("GET /v1/deployments/wc/stores/none/keys/a", "", 404, "store_not_found"),
        case("GET /v1/deployments/wc/stores/counts/keys/absent", "", 404, "key_not_found"),
        case("GET /v1/deployments/wc/stores/none/keys", "", 400, "invalid_query"),
        case("GET /v1/deployments/wc/stores/none/keys?key_base64=%3F", "", 400, "invalid_query"),
        case("GET /v1/deployments/wc/stores/none/entries?limit=0", "", 400, "invalid_query"),
        case("GET /v1/deployments/wc/stores/counts/entries?partition=99", "", 404, "task_not_found"),
        case("GET /v1/deployments/wc/stores/none/keys/a?after=text", "", 400, "invalid_query"),
        case("GET /v1/deployments/wc/stores/none/keys/a?after=t:0:0", "", 422, "not_an_input"),
        case("GET /v1/deployments/wc/stores/none/keys/a?after=text:0:99&wait=1", "", 504, "state_behind"),
        case("POST /v1/deployments/wc/stores/none/get", r#"{"keys":[]}"#, 422, "invalid_body"),
        case("POST /v1/deployments/wc/stores/none/get", r#"{"keys_base64":["?"]}"#, 422, "invalid_body"),
    ]
}

fn groups() -> Vec<Case> {
    let (pull, commit, reset) =
        ("POST /v1/groups/g/pull", "POST /v1/groups/g/commit", "PATCH /v1/groups/g/offsets");
    vec![
        case("GET /v1/groups?limit=0", "", 400, "invalid_query"),
        case("GET /v1/groups?page_token=%3F", "", 400, "invalid_cursor"),
        case("GET /v1/groups/none", "", 404, "group_not_found"),
        case("GET /v1/groups/%ff", "", 400, "invalid_path"),
        case("DELETE /v1/groups/none", "", 404, "group_not_found"),
        case("DELETE /v1/groups/none/members/m", "", 404, "group_not_found"),
        case("DELETE /v1/groups/deployment.wc", "", 409, "group_is_read_only"),
        case(reset, "{}", 422, "invalid_body"),
        case(reset, r#"{"to":"middle","topic":"t"}"#, 422, "invalid_body"),
        case(reset, r#"{"to":{"offset":-1},"topic":"t"}"#, 422, "invalid_body"),
        case(reset, r#"{"to":{"days":1},"topic":"t"}"#, 422, "invalid_body"),
        case(reset, r#"{"to":{"timestamp":"yesterday"},"topic":"t"}"#, 422, "invalid_body"),
        case(reset, r#"{"to":"earliest","partitions":[0]}"#, 422, "invalid_body"),
        case(reset, r#"{"to":{"shift_by":1},"topic":"t"}"#, 422, "invalid_body"),
        case(reset, r#"{"to":"earliest"}"#, 404, "group_not_found"),
        case(reset, r#"{"to":"earliest","topic":"none"}"#, 404, "topic_not_found"),
        case(reset, r#"{"to":"earliest","topic":"t","partitions":[9]}"#, 404, "partition_not_found"),
        case(reset, r#"{"to":{"offset":99},"topic":"t"}"#, 416, "offset_out_of_range"),
        case("PATCH /v1/groups/g/offsets?dry_run=x", r#"{"to":"earliest"}"#, 400, "invalid_query"),
        case("PATCH /v1/groups/deployment.wc/offsets", r#"{"to":"earliest"}"#, 409, "group_is_read_only"),
        case(pull, "{}", 422, "invalid_body"),
        case(pull, r#"{"topics":[]}"#, 422, "invalid_body"),
        case(pull, r#"{"topics":["none"]}"#, 404, "topic_not_found"),
        case(pull, r#"{"topics":["t"],"limit":0}"#, 422, "invalid_body"),
        case(pull, r#"{"topics":["t"],"wait":"2m"}"#, 422, "invalid_body"),
        case(pull, r#"{"topics":["t"],"session_timeout":"1s"}"#, 422, "invalid_body"),
        case(pull, r#"{"topics":["t"],"commit":"all"}"#, 422, "invalid_body"),
        case(pull, r#"{"topics":["t"],"start":"middle"}"#, 422, "invalid_body"),
        case(pull, r#"{"topics":["t"],"member":"m","commit":"previous"}"#, 409, "rebalanced"),
        case("POST /v1/groups/deployment.wc/pull", r#"{"topics":["t"]}"#, 409, "group_is_read_only"),
        case(commit, "{}", 422, "invalid_body"),
        case(commit, r#"{"offsets":[{"topic":"none","partition":0,"offset":1}]}"#, 404, "topic_not_found"),
        case(commit, r#"{"offsets":[{"topic":"t","partition":9,"offset":1}]}"#, 404, "partition_not_found"),
        case(commit, r#"{"offsets":[{"topic":"t","partition":0,"offset":-1}]}"#, 422, "invalid_body"),
        case(commit, r#"{"member":"m","offsets":[]}"#, 409, "rebalanced"),
        case("GET /v1/groups/g/stream", "", 400, "invalid_query"),
        case("GET /v1/groups/g/stream?topics=none", "", 404, "topic_not_found"),
        case("GET /v1/groups/g/stream?topics=t&commit=later", "", 400, "invalid_query"),
    ]
}
