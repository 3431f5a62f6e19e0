//! The name of every metric, and what it says. A name that dashboards use is an interface: it is never changed in
//! passing. Base units are seconds and bytes, counters end in `_total`, labels take few values.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Duration of the write that makes a group of commits durable, its fdatasync included.
pub const WAL_SYNC_DURATION_SECONDS: &str = "millstream_wal_sync_duration_seconds";
/// Commits that one write made.
pub const COMMIT_GROUP_COMMITS: &str = "millstream_commit_group_commits";
/// Bytes that one write made.
pub const COMMIT_GROUP_BYTES: &str = "millstream_commit_group_bytes";
/// Commits that were made.
pub const COMMITS_TOTAL: &str = "millstream_commits_total";
/// Commits that were refused before anything was written; label `reason`.
pub const COMMITS_REFUSED_TOTAL: &str = "millstream_commits_refused_total";
/// Bytes of record batches in memory for tailing readers.
pub const TAIL_CACHE_BYTES: &str = "millstream_tail_cache_bytes";
/// Reads answered; label `source`: `memory` or `disk`.
pub const LOG_READS_TOTAL: &str = "millstream_log_reads_total";
/// Bytes of records that retention deleted.
pub const RETENTION_DELETED_BYTES_TOTAL: &str = "millstream_retention_deleted_bytes_total";
/// Bytes of records that compaction deleted.
pub const COMPACTION_DELETED_BYTES_TOTAL: &str = "millstream_compaction_deleted_bytes_total";
/// Free bytes of the disk that holds the data directory.
pub const DISK_FREE_BYTES: &str = "millstream_disk_free_bytes";
/// Below so many free bytes writes are refused.
pub const DISK_RESERVE_BYTES: &str = "millstream_disk_reserve_bytes";
/// Time that writes stood still because flushes or compactions were behind.
pub const ROCKSDB_STALL_SECONDS: &str = "millstream_rocksdb_stall_seconds_total";
/// Bytes that compaction still has to rewrite.
pub const ROCKSDB_PENDING_COMPACTION_BYTES: &str = "millstream_rocksdb_pending_compaction_bytes";
/// Blocks found in the block cache.
pub const ROCKSDB_BLOCK_CACHE_HITS: &str = "millstream_rocksdb_block_cache_hits_total";
/// Blocks read from disk.
pub const ROCKSDB_BLOCK_CACHE_MISSES: &str = "millstream_rocksdb_block_cache_misses_total";
/// Bytes in the block cache.
pub const ROCKSDB_BLOCK_CACHE_BYTES: &str = "millstream_rocksdb_block_cache_bytes";
/// Bytes in memtables.
pub const ROCKSDB_MEMTABLE_BYTES: &str = "millstream_rocksdb_memtable_bytes";
/// Estimated number of rows of all tasks' state.
pub const STATE_KEYS_ESTIMATE: &str = "millstream_state_keys_estimate";
/// Estimated bytes of all tasks' state on disk.
pub const STATE_BYTES: &str = "millstream_state_bytes";
/// Time from the head of a request to the head of its answer; labels `method`, `route`, `status`.
pub const HTTP_REQUEST_DURATION_SECONDS: &str = "millstream_http_request_duration_seconds";
/// Time from a whole request to its answer; label `api`.
pub const KAFKA_REQUEST_DURATION_SECONDS: &str = "millstream_kafka_request_duration_seconds";
/// Open connections of Kafka clients.
pub const KAFKA_CONNECTIONS: &str = "millstream_kafka_connections";
/// Bytes of requests of Kafka clients.
pub const KAFKA_RECEIVED_BYTES_TOTAL: &str = "millstream_kafka_received_bytes_total";
/// Bytes of answers to Kafka clients.
pub const KAFKA_SENT_BYTES_TOTAL: &str = "millstream_kafka_sent_bytes_total";
/// 1 for the state that a deployment is in; labels `deployment`, `kind`, `state`.
pub const DEPLOYMENT_STATE: &str = "millstream_deployment_state";
/// Records read and committed, or handed to an inline transform.
pub const DEPLOYMENT_RECORDS_IN_TOTAL: &str = "millstream_deployment_records_in_total";
/// Records written, or let through by an inline transform.
pub const DEPLOYMENT_RECORDS_OUT_TOTAL: &str = "millstream_deployment_records_out_total";
/// Records that a deployment did not take; label `reason`: `verdict` of its code, or `fault`.
pub const DEPLOYMENT_RECORDS_REJECTED_TOTAL: &str = "millstream_deployment_records_rejected_total";
/// Records passed over by `on_error: skip`.
pub const DEPLOYMENT_RECORDS_SKIPPED_TOTAL: &str = "millstream_deployment_records_skipped_total";
/// Records given up to a dead-letter topic.
pub const DEPLOYMENT_DEAD_LETTERS_TOTAL: &str = "millstream_deployment_dead_letters_total";
/// Failures of a deployment; label `kind`: as in `last_error.code`, or `other`.
pub const DEPLOYMENT_ERRORS_TOTAL: &str = "millstream_deployment_errors_total";
/// Instances made after a failure.
pub const DEPLOYMENT_RESTARTS_TOTAL: &str = "millstream_deployment_restarts_total";
/// Polls of a source.
pub const DEPLOYMENT_POLLS_TOTAL: &str = "millstream_deployment_polls_total";
/// When a source was polled last, seconds since the epoch.
pub const DEPLOYMENT_LAST_POLL_SECONDS: &str = "millstream_deployment_last_poll_timestamp_seconds";
/// Records later than a deployment allows; label `policy`: `update`, `drop` or `output`.
pub const DEPLOYMENT_LATE_RECORDS_TOTAL: &str = "millstream_deployment_late_records_total";
/// Records too far ahead of the clock to move the watermark.
pub const DEPLOYMENT_AHEAD_RECORDS_TOTAL: &str = "millstream_deployment_ahead_records_total";
/// Timers that fired.
pub const DEPLOYMENT_TIMERS_FIRED_TOTAL: &str = "millstream_deployment_timers_fired_total";
/// Timers that are set.
pub const DEPLOYMENT_TIMERS: &str = "millstream_deployment_timers";
/// How far the slowest watermark of a deployment's tasks is behind the clock.
pub const DEPLOYMENT_WATERMARK_LAG_SECONDS: &str = "millstream_deployment_watermark_lag_seconds";
/// Records that a deployment has not read yet.
pub const DEPLOYMENT_LAG_RECORDS: &str = "millstream_deployment_lag_records";
/// Time from a batch to its outputs; label `deployment`.
pub const DEPLOYMENT_INVOKE_DURATION_SECONDS: &str = "millstream_deployment_invoke_duration_seconds";
/// Duration of the calls for a deployment's queries; label `deployment`.
pub const DEPLOYMENT_QUERY_DURATION_SECONDS: &str = "millstream_deployment_query_duration_seconds";
/// Queries on which a deployment's code failed; labels `deployment`, `kind` as of its errors.
pub const DEPLOYMENT_QUERY_ERRORS_TOTAL: &str = "millstream_deployment_query_errors_total";
/// CPU time of a deployment's calls, those for queries included.
pub const WASM_CPU_SECONDS_TOTAL: &str = "millstream_wasm_cpu_seconds_total";
/// Linear memory of a deployment's instances.
pub const WASM_MEMORY_BYTES: &str = "millstream_wasm_memory_bytes";
/// CPU time of compiling a module.
pub const WASM_COMPILE_SECONDS: &str = "millstream_wasm_compile_seconds";

/// Tells the installed recorder what the metrics mean. Called once, after the recorder is installed.
pub fn describe() {
    describe_histogram!(
        HTTP_REQUEST_DURATION_SECONDS,
        Unit::Seconds,
        "Time from the head of an HTTP request to the head of its answer"
    );
    describe_histogram!(
        KAFKA_REQUEST_DURATION_SECONDS,
        Unit::Seconds,
        "Time from a whole request of a Kafka client to its answer, waits included"
    );
    describe_gauge!(KAFKA_CONNECTIONS, Unit::Count, "Open connections of Kafka clients");
    describe_counter!(KAFKA_RECEIVED_BYTES_TOTAL, Unit::Bytes, "Bytes of requests of Kafka clients");
    describe_counter!(KAFKA_SENT_BYTES_TOTAL, Unit::Bytes, "Bytes of answers to Kafka clients");
    describe_histogram!(WASM_COMPILE_SECONDS, Unit::Seconds, "CPU time of compiling a module");
    describe_histogram!(
        WAL_SYNC_DURATION_SECONDS,
        Unit::Seconds,
        "Duration of a synced group write, fdatasync included"
    );
    describe_histogram!(COMMIT_GROUP_COMMITS, Unit::Count, "Commits made by one group write");
    describe_histogram!(COMMIT_GROUP_BYTES, Unit::Bytes, "Bytes made by one group write");
    describe_counter!(COMMITS_TOTAL, Unit::Count, "Commits made");
    describe_counter!(COMMITS_REFUSED_TOTAL, Unit::Count, "Commits refused before anything was written");
    describe_gauge!(TAIL_CACHE_BYTES, Unit::Bytes, "Record batches in memory for tailing readers");
    describe_counter!(LOG_READS_TOTAL, Unit::Count, "Reads of record batches, by where they were found");
    describe_counter!(RETENTION_DELETED_BYTES_TOTAL, Unit::Bytes, "Record batches deleted by retention");
    describe_counter!(COMPACTION_DELETED_BYTES_TOTAL, Unit::Bytes, "Record batches deleted by compaction");
    describe_gauge!(DISK_FREE_BYTES, Unit::Bytes, "Free bytes of the data directory's disk");
    describe_gauge!(DISK_RESERVE_BYTES, Unit::Bytes, "Writes are refused below so many free bytes");
    describe_counter!(
        ROCKSDB_STALL_SECONDS,
        Unit::Seconds,
        "Time that writes stood still for flushes or compactions"
    );
    describe_gauge!(
        ROCKSDB_PENDING_COMPACTION_BYTES,
        Unit::Bytes,
        "Bytes that compaction still has to rewrite"
    );
    describe_counter!(ROCKSDB_BLOCK_CACHE_HITS, Unit::Count, "Blocks found in the block cache");
    describe_counter!(ROCKSDB_BLOCK_CACHE_MISSES, Unit::Count, "Blocks not found in the block cache");
    describe_gauge!(ROCKSDB_BLOCK_CACHE_BYTES, Unit::Bytes, "Bytes in the block cache");
    describe_gauge!(ROCKSDB_MEMTABLE_BYTES, Unit::Bytes, "Bytes in memtables");
    describe_gauge!(STATE_KEYS_ESTIMATE, Unit::Count, "Estimated rows of all tasks' state");
    describe_gauge!(STATE_BYTES, Unit::Bytes, "Estimated bytes of all tasks' state on disk");
}
