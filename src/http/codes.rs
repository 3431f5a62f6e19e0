//! Every problem a user of the HTTP API can meet: its code, status, title, and what to do about it. The one table: the
//! problem documents, the pages under `/problems/`, and the OpenAPI document are made from it. Codes are never reused.

use axum::http::StatusCode;

/// What there is to say about a code.
#[derive(Debug)]
pub struct Entry {
    /// stable, snake_case
    pub name: &'static str,
    /// of the answer
    pub status: StatusCode,
    /// the same for every occurrence
    pub title: &'static str,
    /// may the same request succeed later?
    pub retryable: bool,
    /// Kafka's name and number for the same thing
    pub kafka: Option<(&'static str, i16)>,
    /// what to do
    pub cure: &'static str,
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:ident $retry:ident $kafka:expr, $title:literal, $cure:literal;)*) => {
        /// A kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All of them, in the order of their statuses.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// Its line of the table.
            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Code::$variant => const { &Entry {
                        name: $name,
                        status: StatusCode::$status,
                        title: $title,
                        retryable: codes!(@ $retry),
                        kafka: $kafka,
                        cure: $cure,
                    } },)*
                }
            }
        }
    };
    (@ retry) => { true };
    (@ final) => { false };
}

const UNKNOWN_TOPIC: Option<(&str, i16)> = Some(("UNKNOWN_TOPIC_OR_PARTITION", 3));
const OFFSET_OUT_OF_RANGE: Option<(&str, i16)> = Some(("OFFSET_OUT_OF_RANGE", 1));
const INVALID_PARTITIONS: Option<(&str, i16)> = Some(("INVALID_PARTITIONS", 37));
const STORAGE: Option<(&str, i16)> = Some(("KAFKA_STORAGE_ERROR", 56));

codes! {
    MalformedJson "malformed_json" BAD_REQUEST final None, "The body is not JSON",
        "check the body with a JSON parser; the detail names the line and column";
    MalformedYaml "malformed_yaml" BAD_REQUEST final None, "The body is not YAML that is taken",
        "check the body with a YAML parser; the detail names the line, or the bound that the document exceeds";
    MalformedBody "malformed_body" BAD_REQUEST final None, "The body could not be read",
        "the body ended early or does not match its Content-Encoding; send it again";
    InvalidPath "invalid_path" BAD_REQUEST final None, "The path has a part that is not valid",
        "percent-encode special characters; names take a-z, A-Z, 0-9, '.', '_' and '-'";
    InvalidQuery "invalid_query" BAD_REQUEST final None, "A query parameter is unknown or not valid",
        "see the operation's parameters in /openapi.json";
    InvalidHeader "invalid_header" BAD_REQUEST final None, "A request header is not valid",
        "see the operation's parameters in /openapi.json";
    InvalidCursor "invalid_cursor" BAD_REQUEST final None, "The cursor or page token was not made by this server",
        "leave it out to begin anew, or pass it on unchanged";
    QueryRefused "query_refused" BAD_REQUEST final None, "The deployment's code makes nothing of the query",
        "the detail is in the code's own words";
    TaskMissing "task_missing" BAD_REQUEST final None, "The deployment has several tasks, and nothing says which is asked",
        "add key= with the key whose state is wanted, or partition=, or after=";
    HostNotAllowed "host_not_allowed" FORBIDDEN final None, "The Host header names a host that this server does not answer to",
        "use a loopback address, or start the server with this host among http.allowed_hosts (protects against DNS rebinding)";
    OriginNotAllowed "origin_not_allowed" FORBIDDEN final None, "A web page of another origin sent this request",
        "call the API from the server's own origin or from a program; pages of other origins are refused";
    TopicInternal "topic_is_internal" FORBIDDEN final Some(("TOPIC_AUTHORIZATION_FAILED", 29)), "The topic belongs to the server",
        "names that begin with __ are read-only; choose another name";
    RouteNotFound "route_not_found" NOT_FOUND final None, "There is nothing at this path",
        "see /openapi.json for all paths, or GET / for commands to try";
    TopicNotFound "topic_not_found" NOT_FOUND final UNKNOWN_TOPIC, "Topic not found",
        "create it: POST /v1/topics with {\"name\": …, \"partitions\": 4}";
    PartitionNotFound "partition_not_found" NOT_FOUND final UNKNOWN_TOPIC, "Partition not found",
        "GET /v1/topics/{topic} tells how many partitions there are";
    ModuleNotFound "module_not_found" NOT_FOUND final None, "Module or version not found",
        "GET /v1/modules lists what is there; upload with PUT /v1/modules/{name}";
    DeploymentNotFound "deployment_not_found" NOT_FOUND final None, "Deployment not found",
        "GET /v1/deployments lists what is there";
    StoreNotFound "store_not_found" NOT_FOUND final None, "State store not found",
        "stores come into being when the code first writes to them; GET /v1/deployments/{deployment}/stores lists them";
    TaskNotFound "task_not_found" NOT_FOUND final None, "The deployment has no task for this partition",
        "tasks are numbered like the partitions of the deployment's inputs";
    QueryNotFound "query_not_found" NOT_FOUND final None, "What the query asks for is not there",
        "the detail is in the code's own words; with after= and wait= the query waits for a record of yours";
    KeyNotFound "key_not_found" NOT_FOUND final None, "The store has no such key",
        "state is kept under the record's key; with after= and wait= the read waits for a record of yours";
    RevisionNotFound "revision_not_found" NOT_FOUND final None, "The deployment has no such revision",
        "GET /v1/deployments/{deployment}/revisions lists those that are kept";
    ShadowNotFound "shadow_not_found" NOT_FOUND final None, "The deployment has no shadow run",
        "begin one; it ends with the server, and its results go with it";
    JobNotFound "job_not_found" NOT_FOUND final None, "Job not found",
        "jobs are kept for a while after they end, and not over a restart";
    GroupNotFound "group_not_found" NOT_FOUND final Some(("GROUP_ID_NOT_FOUND", 69)), "Group not found",
        "GET /v1/groups lists what is there; a group comes into being with its first member or committed offset";
    MemberNotFound "member_not_found" NOT_FOUND final Some(("UNKNOWN_MEMBER_ID", 25)), "The group has no such member",
        "GET /v1/groups/{group} lists its members";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED final None, "The path does not take this method",
        "the Allow header lists the methods it takes";
    NotAcceptable "not_acceptable" NOT_ACCEPTABLE final None, "The answer cannot be given in the format asked for",
        "ask for application/json, application/x-ndjson or text/event-stream";
    RequestTimeout "request_timeout" REQUEST_TIMEOUT retry None, "The body did not arrive in time",
        "send the body without long pauses";
    TopicExists "topic_exists" CONFLICT final Some(("TOPIC_ALREADY_EXISTS", 36)), "The topic exists already",
        "PUT takes an identical topic as it is; PATCH changes one";
    TopicIsView "topic_is_view" CONFLICT final Some(("INVALID_TOPIC_EXCEPTION", 17)), "The topic is a view of another one",
        "a view can be read and nothing else; produce to its source, change or delete its deployment";
    TopicInUse "topic_in_use" CONFLICT final None, "Deployments use the topic",
        "delete the deployments first, or repeat with ?force=true";
    TopicStatefulInput "topic_is_stateful_input" CONFLICT final INVALID_PARTITIONS, "Partitions cannot be added under a stateful deployment",
        "its state is kept by partition; delete the deployment, add the partitions, deploy again";
    TopicLimit "topic_limit" CONFLICT final Some(("POLICY_VIOLATION", 44)), "The node holds as many topics as it may",
        "delete topics that are not used";
    TopicCompacted "topic_is_compacted" CONFLICT final Some(("POLICY_VIOLATION", 44)), "The topic is compacted: records go when newer ones have their keys",
        "produce tombstones, or let its cleanup.policy have delete too";
    ModuleExists "module_version_exists" CONFLICT final None, "The version exists with other bytes",
        "versions are immutable; upload under a new version";
    ModuleInUse "module_in_use" CONFLICT final None, "Deployments use the module",
        "delete the deployments first";
    ModuleLimit "module_limit" CONFLICT final None, "The node holds as many modules as it may",
        "delete versions that no deployment uses";
    DeploymentConflict "deployment_conflict" CONFLICT final None, "The deployment contradicts its own past: its kind, its inputs or their partitions",
        "deploy it under another name, or delete what is there first";
    DeploymentOrder "deployment_order_taken" CONFLICT final None, "Another transform has this place on the topic",
        "choose another `order`: transforms of a topic run in ascending order";
    DeploymentChain "transform_limit" CONFLICT final None, "As many transforms run on the topic as may",
        "delete one that is not used, or do the work of two in one module";
    DeploymentInputs "inputs_differ" CONFLICT final None, "The inputs have different numbers of partitions",
        "add partitions to the smaller topic, or read topics that have the same number";
    DeploymentInstances "instance_limit" CONFLICT final None, "The node would have more instances of code than it may",
        "lower `limits.instances` of this deployment or another, or raise `limits.node_instances` in the server's settings";
    DeploymentKind "deployment_kind_mismatch" CONFLICT final None, "A deployment of this kind cannot do that",
        "the detail says what this kind has instead";
    ViewName "view_name_taken" CONFLICT final None, "A topic has the view's name",
        "deploy the view under another name: its readers find it among the topics by that name";
    StoreFilled "store_is_filled" CONFLICT final None, "The store holds keys, so whether they expire cannot be changed",
        "give the ttl to a store with another name, or delete the deployment and make it anew: its state goes with it";
    Position "position_out_of_range" CONFLICT final None, "The deployment cannot go to this position",
        "offsets lie between log_start_offset and high_watermark of a partition of one of the inputs; \"earliest\" and \"latest\" always fit";
    ShadowRuns "shadow_conflict" CONFLICT final None, "A shadow run is under way already",
        "end it first, or wait until its time is over";
    MigrationPending "migration_pending" CONFLICT final None, "The state is still being migrated",
        "upgrade with state: migrate to go on with it, or with state: clear to begin anew";
    ChangedMeanwhile "changed_meanwhile" CONFLICT retry None, "Something else changed it at the same moment",
        "look at it and repeat";
    DeploymentInline "deployment_is_inline" CONFLICT final None, "Inline deployments run on produce and views on read: they have no positions and no state",
        "change or delete the deployment instead";
    StateGone "state_cannot_go_back" CONFLICT final None, "A later version has cleared or migrated the state",
        "roll back with state: clear and rewind, or with force: true to hand the state as it is to the older version";
    DeploymentStateless "deployment_has_no_state" CONFLICT final None, "Only processors keep state",
        "a source's cursor is shown with the deployment";
    QueryMissing "query_missing" CONFLICT final None, "The deployment's code answers no queries",
        "export `query` (query!(T) in Rust), or read its stores: GET /v1/deployments/{deployment}/stores";
    DeploymentLimit "deployment_limit" CONFLICT final None, "The node holds as many deployments as it may",
        "delete deployments that are not used";
    IdempotencyInFlight "idempotency_in_flight" CONFLICT retry None, "A request with this Idempotency-Key is under way",
        "repeat the request after a moment";
    GroupReadOnly "group_is_read_only" CONFLICT final Some(("GROUP_AUTHORIZATION_FAILED", 30)), "The group is the position of a deployment",
        "it moves with the deployment alone: POST /v1/deployments/{deployment}/rewind";
    GroupNotEmpty "group_not_empty" CONFLICT final Some(("NON_EMPTY_GROUP", 68)), "The group has members",
        "stop its members first; a reset may be repeated with ?force=true, which removes them";
    GroupProtocol "group_protocol_mismatch" CONFLICT final Some(("INCONSISTENT_GROUP_PROTOCOL", 23)), "The members of the group follow another protocol",
        "join another group, or let all members follow the classic consumer protocol";
    GroupLimit "group_limit" CONFLICT final Some(("GROUP_MAX_SIZE_REACHED", 81)), "The group, or the node, holds as many members or groups as it may",
        "remove members or delete groups that are not used";
    Rebalanced "rebalanced" CONFLICT retry Some(("REBALANCE_IN_PROGRESS", 27)), "The group has rebalanced: the partitions may belong to another member now",
        "pull again without commit, and without member if the group has it no more; what was not committed comes again";
    OutOfOrder "out_of_order_sequence" CONFLICT final Some(("OUT_OF_ORDER_SEQUENCE_NUMBER", 45)), "Producer-Seq is not the producer's next number in the partition",
        "send the records that are missing first; the detail names the number that is expected";
    ProducerFenced "producer_fenced" CONFLICT final Some(("INVALID_PRODUCER_EPOCH", 47)), "Another instance of the producer, or its transaction, is in force",
        "make a new producer id: POST /v1/producers";
    OffsetExpired "offset_expired" GONE final OFFSET_OUT_OF_RANGE, "The records at this offset were deleted by retention",
        "continue at log_start_offset, or read with offset=earliest";
    CursorExpired "cursor_expired" GONE final OFFSET_OUT_OF_RANGE, "The cursor points to records that were deleted",
        "begin anew without a cursor; retention.ms and retention.bytes set how long records are kept";
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED final None, "The resource is not in the state that the request expects",
        "GET it, look at the difference, and repeat with its ETag";
    ExpectedOffset "expected_offset_mismatch" PRECONDITION_FAILED final None, "The partition does not continue at the expected offset",
        "somebody else appended; read from your offset on and decide again";
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE final None, "The body is larger than allowed",
        "send less at once: records can be split, or streamed as application/x-ndjson; anything else has to be smaller";
    RecordTooLarge "record_too_large" PAYLOAD_TOO_LARGE final Some(("MESSAGE_TOO_LARGE", 10)), "A record is larger than its topic allows",
        "raise max.message.bytes of the topic, or make the record smaller";
    UriTooLong "uri_too_long" URI_TOO_LONG final None, "The path and query are too long",
        "move what is long into the body";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE final None, "The Content-Type is not one that this path takes",
        "set Content-Type; the detail names those that are taken";
    UnsupportedEncoding "unsupported_encoding" UNSUPPORTED_MEDIA_TYPE final None, "The Content-Encoding is not supported",
        "use gzip or zstd, or send the body as it is";
    OffsetOutOfRange "offset_out_of_range" RANGE_NOT_SATISFIABLE final OFFSET_OUT_OF_RANGE, "The offset is beyond the end of the partition",
        "read with offset=latest and wait= to get the next record";
    InvalidBody "invalid_body" UNPROCESSABLE_ENTITY final None, "The body is JSON, but not what this path takes",
        "the detail names the place; see /openapi.json for the schema";
    InvalidRecord "invalid_record" UNPROCESSABLE_ENTITY final Some(("INVALID_RECORD", 87)), "Records of the request are not valid; nothing was stored",
        "errors[] names each place";
    InvalidTopic "invalid_topic" UNPROCESSABLE_ENTITY final Some(("INVALID_TOPIC_EXCEPTION", 17)), "The topic's name is not valid",
        "names take 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'";
    InvalidConfig "invalid_topic_config" UNPROCESSABLE_ENTITY final Some(("INVALID_CONFIG", 40)), "A topic setting is unknown or not valid",
        "GET /v1/topics/{topic}/config lists every setting with its meaning and default";
    InvalidPartitions "invalid_partitions" UNPROCESSABLE_ENTITY final INVALID_PARTITIONS, "The number of partitions is not valid",
        "1 to 1000, and never fewer than before";
    InvalidSpec "invalid_deployment" UNPROCESSABLE_ENTITY final None, "The deployment's spec is not valid",
        "errors[] names each place and what is expected there";
    ModuleKind "module_kind_mismatch" UNPROCESSABLE_ENTITY final None, "The module's exports do not fit the kind of deployment",
        "inline and view take transform, transform-packed; processor these, processor, processor-packed; sink sink; source source";
    ModuleNotReady "module_not_ready" UNPROCESSABLE_ENTITY final None, "The code could not be started; nothing has changed",
        "the detail says why, in the code's own words; try it with dry_run=true after a change";
    MigrateMissing "migrate_missing" UNPROCESSABLE_ENTITY final None, "The module cannot migrate state",
        "export `migrate` (processor!(T, migrate) in Rust), or upgrade with state: keep or clear";
    InvalidModule "invalid_module" UNPROCESSABLE_ENTITY final None, "The upload is not a module that can run here",
        "the detail says what is missing, what was found, and what to do";
    CompileFailed "compile_failed" UNPROCESSABLE_ENTITY final None, "The component could not be compiled within its limits",
        "the detail says why; smaller components compile faster";
    DigestMismatch "digest_mismatch" UNPROCESSABLE_ENTITY final None, "The body does not have the digest that Content-Digest names",
        "the upload was damaged or is another file; upload again";
    RecordRejected "record_rejected" UNPROCESSABLE_ENTITY final Some(("INVALID_RECORD", 87)), "A transform rejected records; nothing was stored",
        "errors[] names each record and the transform's reason";
    ViewFailed "view_failed" UNPROCESSABLE_ENTITY final Some(("INVALID_RECORD", 87)), "A transform applied on read failed on a record",
        "the detail names the record and the reason; read on behind its offset, or leave such records out: on_error=skip, in a spec on_error: {policy: skip}";
    IdempotencyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY final None, "The Idempotency-Key was used with another body",
        "use a new key for every new request; keep it only for repetitions";
    AnswerTooLarge "answer_too_large" UNPROCESSABLE_ENTITY final None, "The answer would be larger than allowed",
        "ask for fewer keys at once";
    RunTooLong "run_too_long" UNPROCESSABLE_ENTITY final None, "The dry run took longer than it may",
        "run over fewer records, or with a smaller limits.cpu";
    NotAnInput "not_an_input" UNPROCESSABLE_ENTITY final None, "after= names a partition that the deployment does not read",
        "after= takes topic:partition:offset of one of the deployment's inputs";
    HeadersTooLarge "headers_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE final None, "The request headers are larger than allowed",
        "at most 64 KiB of headers are taken";
    QueryFailed "query_failed" INTERNAL_SERVER_ERROR final None, "The deployment's code failed on the query",
        "the detail says how; GET /v1/deployments/{deployment}/logs has what it logged";
    TransformFailed "transform_failed" SERVICE_UNAVAILABLE retry None, "A transform of the topic failed; nothing was stored",
        "GET /v1/deployments/{deployment} and …/logs show why; fix or delete the deployment, or set on_fault: open";
    StorageFailed "storage_failed" INTERNAL_SERVER_ERROR retry STORAGE, "The storage could not do it",
        "the server's log has the cause";
    Internal "internal" INTERNAL_SERVER_ERROR retry None, "The server failed on this request",
        "this is a fault of the server; its log has the cause under this request's id";
    Overloaded "overloaded" SERVICE_UNAVAILABLE retry None, "Too much is under way",
        "repeat after the time in Retry-After";
    DiskFull "disk_full" SERVICE_UNAVAILABLE retry STORAGE, "The disk is nearly full",
        "free some space or shorten retention; reads and deletes still work";
    Draining "draining" SERVICE_UNAVAILABLE retry None, "The server is stopping",
        "repeat the request against the restarted server";
    IdempotencyFull "idempotency_table_full" SERVICE_UNAVAILABLE retry None, "No room for another Idempotency-Key",
        "keys are remembered for 24 hours; produce larger batches, or without keys";
    OutcomeUnknown "outcome_unknown" SERVICE_UNAVAILABLE retry STORAGE, "Whether the records were stored is not known",
        "repeat with the same Idempotency-Key: it is stored at most once";
    CompilerBusy "compiler_busy" SERVICE_UNAVAILABLE retry None, "Other uploads are being compiled",
        "repeat after the time in Retry-After";
    StateBehind "state_behind" GATEWAY_TIMEOUT retry None, "The deployment has not yet processed the record in after=",
        "repeat, or with a longer wait=; GET /v1/deployments/{deployment} shows its lag and errors";
}

impl Code {
    /// The code with this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.entry().name == name)
    }

    /// Path of its page: the name with dashes.
    pub fn page(self) -> String {
        format!("/problems/{}", self.entry().name.replace('_', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::module::ModuleKind;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_snake_case() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|c| c.entry().name).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn the_cure_for_a_module_of_another_kind_names_every_kind() {
        let words: BTreeSet<_> = Code::ModuleKind.entry().cure.split([' ', ',', ';']).collect();
        let missing: Vec<_> = ModuleKind::ALL
            .map(ModuleKind::export)
            .into_iter()
            .filter(|kind| !words.contains(kind))
            .collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn every_503_can_be_tried_again() {
        for code in Code::ALL.iter().filter(|c| c.entry().status == StatusCode::SERVICE_UNAVAILABLE) {
            assert!(code.entry().retryable, "{code:?}");
        }
    }
}
