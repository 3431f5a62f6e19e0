//! Every limit in one place. A number has its source beside it: Kafka's default, measured, or a guess that says so.

use std::time::Duration;

/// Bytes in a KiB, MiB, GiB.
pub const KIB: usize = 1 << 10;
/// 1,048,576
pub const MIB: usize = 1 << 20;
/// 1,073,741,824
pub const GIB: usize = 1 << 30;

/// Topics on one node. Creating a column family costs O(their number): 0.3 s each at 1,000 (measured).
pub const TOPICS_MAX: usize = 1_000;
/// Partitions of one topic. A partition costs a few hundred bytes of memory; the bound keeps one request small (a guess).
pub const PARTITIONS_MAX: u32 = 1_000;

/// `max.message.bytes` of a topic unless set: Kafka's default.
pub const MESSAGE_BYTES_DEFAULT: usize = 1_048_588;
/// The largest `max.message.bytes` that a topic may set (a guess: a batch has to fit memory several times over).
pub const MESSAGE_BYTES_MAX: usize = 64 * MIB;
/// Groups with settings of their own (a guess; all of them are held in memory).
pub const GROUP_CONFIGS_MAX: usize = 10_000;
/// Bytes of a setting's value: a string of Kafka's older messages can be no longer.
pub const CONFIG_VALUE_MAX: usize = 32_767;
/// Records of one batch, uncompressed.
pub const BATCH_UNCOMPRESSED_MAX: usize = 128 * MIB;

/// Body of a produce request that is no stream.
pub const BODY_BYTES_MAX: usize = 16 * MIB;
/// Body of a spec and of everything else that is neither records nor a module. It is read into a tree, which takes up to
/// sixteen times its text and is copied for comparisons (a guess with room: specs have kilobytes).
pub const DOCUMENT_BYTES_MAX: usize = MIB;
/// Records of one JSON produce request.
pub const REQUEST_RECORDS_MAX: usize = 10_000;
/// A line of an NDJSON body.
pub const LINE_BYTES_MAX: usize = 2 * MIB;
/// The last millisecond of the year 9999: the largest timestamp of a record. The bound keeps sums of times in 64 bits.
pub const TIMESTAMP_MAX: i64 = 253_402_300_799_999;
/// Headers of a record.
pub const RECORD_HEADERS_MAX: usize = 100;
/// Bytes of all request headers together; longer answers 431.
pub const REQUEST_HEADER_BYTES_MAX: usize = 64 * KIB;
/// Time for a client to send its next request's headers. hyper counts it from the end of the request before, so it is
/// also how long an idle connection is kept: less than a minute breaks clients that pool their connections (measured).
pub const REQUEST_HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between two pieces of a request body.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a body that is read whole, and one second more for each MiB that it may have: its share of the budget is taken
/// when it begins, and a client that drips its bytes would keep it (a guess: 64 MiB at 4 Mbit/s).
pub const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest long poll and longest wait for a state position.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Records of one read.
pub const READ_RECORDS_MAX: usize = 10_000;
/// Bounds of `state.stores[].ttl`: below a second what expires costs more than what stays, beyond ten years nothing does.
pub const STORE_TTL_MIN: Duration = Duration::from_secs(1);
pub const STORE_TTL_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// Keys of state that are watched at once, over all connections: each costs a read for every commit of its task, at most
/// twenty a second (a guess).
pub const WATCHERS_MAX: usize = 1_000;
/// Bytes of one read.
pub const READ_BYTES_MAX: usize = 16 * MIB;
/// Records that a filtered read looks at unless asked otherwise, and at most: a filter looks at some millions a second, so
/// that a request is over within a second or two (a guess from the reader's 2.5 million a second and core).
pub const SCAN_RECORDS_DEFAULT: usize = 200_000;
pub const SCAN_RECORDS_MAX: usize = 1_000_000;
/// Bytes and time of one filtered read, whatever is asked: the client goes on with the cursor (guesses).
pub const SCAN_BYTES_MAX: usize = 256 * MIB;
pub const SCAN_TIME_MAX: Duration = Duration::from_secs(2);
/// `Idempotency-Key` characters.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;
/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Idempotency keys remembered at once; a full table answers 503, a live key is never evicted.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1_000_000;

/// Idempotent producers remembered in one partition. At the bound the one that has been silent longest is forgotten, if
/// it was silent for [`PRODUCER_QUIET_MIN`]; else a new one is refused. A producer takes about 700 bytes (a guess with
/// room for many clients that come and go).
pub const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;
/// The same for all partitions of a node together.
pub const PRODUCERS_PER_NODE_MAX: usize = 100_000;
/// Silence after which a producer may be forgotten to make room: longer than clients repeat a batch (Java's
/// `delivery.timeout.ms` is 2 minutes, librdkafka's `message.timeout.ms` 5).
pub const PRODUCER_QUIET_MIN: Duration = Duration::from_secs(15 * 60);
/// A producer is forgotten when it has sent nothing for so long: Kafka's `producer.id.expiration.ms`.
pub const PRODUCER_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Partitions that waiting readers watch at the same time; a watched one takes about 300 bytes (a guess). Beyond it a
/// reader waits its whole time and looks then.
pub const WATCHED_PARTITIONS_MAX: usize = 200_000;
/// Transactional ids on one node; one takes about 500 bytes (a guess). A full table refuses new ones.
pub const TRANSACTIONAL_IDS_MAX: usize = 100_000;
/// Partitions of one open transaction: its row, and the commit that ends it, stay small (a guess).
pub const TRANSACTION_PARTITIONS_MAX: usize = 10_000;
/// The longest time that a producer may ask for: Kafka's `transaction.max.timeout.ms`.
pub const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);
/// A transactional id is forgotten when nobody has used it for so long: Kafka's `transactional.id.expiration.ms`.
pub const TRANSACTIONAL_ID_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Connections of Kafka clients at once unless set: 5,000 idle ones must find room (a guess beyond that).
pub const KAFKA_CONNECTIONS_DEFAULT: usize = 8_192;
/// The most that can be set: each costs a file descriptor.
pub const KAFKA_CONNECTIONS_MAX: usize = 100_000;
/// A Produce request of a Kafka client: `socket.request.max.bytes`, Kafka's default.
pub const KAFKA_REQUEST_BYTES_MAX: usize = 100 * MIB;
/// Every other request. Decoded, its many small fields take many times its bytes; the largest seen in practice, the
/// assignments of a large group, stay below 2 MiB (a guess with room).
pub const KAFKA_OTHER_REQUEST_BYTES_MAX: usize = 8 * MIB;
/// How long a Kafka client may say nothing: `connections.max.idle.ms`, Kafka's default.
pub const KAFKA_IDLE_MAX: Duration = Duration::from_secs(600);
/// How long the bytes of one request may take, and one second more for each MiB of it. Waits of the server's own do not
/// count (a guess: 100 MiB at 5 Mbit/s).
pub const KAFKA_REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a Kafka client may take no byte of its answers.
pub const KAFKA_STALL_MAX: Duration = Duration::from_secs(30);
/// Produce requests of one connection that are worked on at once. Java's clients send up to 5, librdkafka any number
/// (a guess: enough to hide one fsync).
pub const KAFKA_PIPELINE_MAX: usize = 64;
/// Bytes of one answer to a fetch: `fetch.max.bytes` of the broker, Kafka's default.
pub const KAFKA_FETCH_BYTES_MAX: usize = 55 * MIB;
/// Fetch sessions at once: `max.incremental.fetch.session.cache.slots`, Kafka's default.
pub const KAFKA_FETCH_SESSIONS_MAX: usize = 1_000;
/// Partitions of all fetch sessions together, about 200 bytes each (a guess). Beyond, clients go without a session.
pub const KAFKA_FETCH_SESSION_PARTITIONS_MAX: usize = 200_000;

/// An uploaded component: Python's are 18 MB, 38 MB unstripped (measured).
pub const MODULE_BYTES_MAX: usize = 64 * MIB;
/// Module versions on one node. What is listed of them is held in memory, some kilobytes each (a guess).
pub const MODULE_VERSIONS_MAX: usize = 10_000;
/// Stored module bytes are cut into pieces so that an upload never holds up the writer.
pub const MODULE_PIECE_BYTES: usize = MIB;
/// Compilation of one component: CPU time of all its threads. Python's 18 MB take 15 s (measured).
pub const COMPILE_CPU_MAX: Duration = Duration::from_secs(360);
/// Compilation of one component: wall time. It runs at low priority, and on a machine that is busy with something else
/// Python's 15 s of CPU became 150 (measured); the bound on CPU time is what stops a compile bomb.
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(900);
/// Address space of the compiling child (StarlingMonkey's 12 MB needs below 2 GiB; a guess with room).
pub const COMPILE_MEMORY_MAX: u64 = 6 * GIB as u64;

/// Deployments on one node (a guess).
pub const DEPLOYMENTS_MAX: usize = 500;
/// Guest instances alive on one node. Each reserves over 4 GiB of address space; 47 bits hold thousands.
pub const INSTANCES_MAX: usize = 4_000;
/// Transforms on one topic.
pub const CHAIN_MAX: usize = 16;
/// Topics of one deployment, inputs and outputs each.
pub const DEPLOYMENT_TOPICS_MAX: usize = 64;

/// Instances of one view at work for its readers at the same time; more readers wait for one (a guess: more than cores do
/// not read faster).
pub const VIEW_INSTANCES_MAX: usize = 8;
/// Instances that transforms named in reads (`apply=`) have at the same time, all readers of the node together (a guess).
pub const APPLIED_INSTANCES_MAX: usize = 16;
/// Bytes of records, uncompressed, that a view looks at for one answer: a reader whose records are all dropped comes back
/// for the rest (a guess: Kafka's clients ask for 1 MiB of a partition).
pub const VIEW_SCAN_BYTES_MAX: usize = 8 * MIB;

/// Linear memory of a guest instance unless set (a Rust guest needs 1-2 MiB, Python tens: measured).
pub const GUEST_MEMORY_DEFAULT: usize = 64 * MIB;
/// The most a deployment may ask for.
pub const GUEST_MEMORY_MAX: usize = GIB;
/// CPU time of one call into a guest unless set.
pub const GUEST_CPU_DEFAULT: Duration = Duration::from_millis(200);
/// The most a deployment may ask for.
pub const GUEST_CPU_MAX: Duration = Duration::from_secs(30);
/// Wall time of one call into a guest, host calls included, unless set.
pub const GUEST_WALL_DEFAULT: Duration = Duration::from_secs(30);
/// The most a deployment may ask for (a guess: a sink that waits for a slow receiver).
pub const GUEST_WALL_MAX: Duration = Duration::from_secs(600);
/// Live instances of one deployment at once unless set. More partitions than that take turns (a guess: more than cores).
pub const GUEST_INSTANCES_DEFAULT: u32 = 64;
/// Bytes of outputs of one call unless set.
pub const GUEST_OUTPUT_BYTES_DEFAULT: usize = 16 * MIB;
/// The most a deployment may ask for (a guess).
pub const GUEST_OUTPUT_BYTES_MAX: usize = 16 * GUEST_OUTPUT_BYTES_DEFAULT;
/// Outputs of one call unless set.
pub const GUEST_OUTPUT_RECORDS_DEFAULT: usize = 100_000;
/// The most a deployment may ask for (a guess).
pub const GUEST_OUTPUT_RECORDS_MAX: usize = 10 * GUEST_OUTPUT_RECORDS_DEFAULT;
/// Records handed to a processor in one call unless set: 64-256 gets nearly all of the batching gain (measured).
pub const BATCH_RECORDS_DEFAULT: usize = 256;
/// The most a deployment may ask for.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// Bytes of records handed to a guest in one call.
pub const BATCH_BYTES_MAX: usize = 8 * MIB;

/// Revisions kept of one deployment; the oldest go. A row is as large as its spec, mostly a kilobyte (a guess: what
/// somebody still remembers).
pub const REVISIONS_MAX: u64 = 50;
/// What a source may remember from poll to poll (a guess: positions, tags of pages, ids seen last).
pub const CURSOR_BYTES_MAX: usize = 64 * KIB;
/// Time between two polls of a source unless set (a guess: seldom enough for anybody's server).
pub const POLL_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// The shortest one: less is a loop, for which there is `more`.
pub const POLL_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The longest one.
pub const POLL_INTERVAL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parameters that a module may declare (a guess).
pub const PARAMS_MAX: usize = 128;
/// Bytes of the section in which it declares them: all of it lies in memory with the version (a guess).
pub const PARAMS_SECTION_MAX: usize = 64 * KIB;
/// Characters of a parameter's name.
pub const PARAM_NAME_MAX: usize = 64;
/// Bytes of a parameter's description.
pub const PARAM_DESCRIPTION_MAX: usize = KIB;
/// Bytes of a declared value.
pub const PARAM_TEXT_MAX: usize = 4 * KIB;
/// Values of one enum.
pub const PARAM_VALUES_MAX: usize = 64;

/// Bytes that a step of `migrate` hands to the next one (a guess: a few keys fit).
pub const MIGRATE_AT_MAX: usize = 64 * KIB;

/// A key of a state store.
pub const STATE_KEY_MAX: usize = 4 * KIB;
/// A value of a state store: fits Kafka's message limit, as SCALE-OUT asks of every engine.
pub const STATE_VALUE_MAX: usize = 900 * KIB;
/// State of one task unless set.
pub const STATE_BYTES_DEFAULT: u64 = 4 * GIB as u64;
/// Keys of one task unless set: what [`STATE_BYTES_DEFAULT`] holds of small entries.
pub const STATE_KEYS_DEFAULT: u64 = 100_000_000;
/// Stores of one deployment.
pub const STORES_MAX: usize = 32;
/// Characters of a store's name.
pub const STORE_NAME_MAX: usize = 64;
/// Internal topics of one deployment.
pub const INTERNAL_TOPICS_MAX: usize = 8;
/// Records of an internal topic's partition that may wait unless set: a second's work of the stage behind it (a guess).
pub const INTERNAL_LAG_DEFAULT: u64 = 100_000;
/// The most of them that can be asked for.
pub const INTERNAL_LAG_MAX: u64 = 1_000_000_000;
/// Timers of one task unless set: each is two rows.
pub const TIMERS_DEFAULT: u64 = 10_000_000;
/// Bytes of a timer's name: a window's start, a key and some more.
pub const TIMER_NAME_MAX: usize = KIB;
/// Timers that one call of `on-timer` is handed.
pub const TIMERS_DUE_MAX: usize = 256;
/// Time after which an input without records no longer holds the watermark back, unless set (a guess).
pub const TIME_IDLE_DEFAULT: Duration = Duration::from_secs(30);
/// How far ahead of the server's clock a timestamp moves the watermark, unless set: as far as a topic takes it
/// (`message.timestamp.after.max.ms`).
pub const TIME_AHEAD_DEFAULT: Duration = Duration::from_secs(3_600);
/// The most that records may be out of order, late or ahead, and an input idle.
pub const TIME_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// Changed state of one batch, before its commit.
pub const STATE_BATCH_BYTES_MAX: usize = 64 * MIB;
/// Entries of one `scan` from a guest or one page over HTTP.
pub const SCAN_ENTRIES_MAX: usize = 10_000;

/// Lines a deployment may log in one second unless set; the rest is counted and reported as one line.
pub const LOG_LINES_DEFAULT: u32 = 100;
/// The most a deployment may ask for: a line is a record that is stored (a guess).
pub const LOG_LINES_MAX: u32 = 10_000;
/// Bytes of one log line; the rest is cut.
pub const LOG_LINE_BYTES_MAX: usize = 8 * KIB;

/// Instances of one processor that answer queries at the same time (a guess: more than cores do not answer faster).
pub const QUERY_INSTANCES_MAX: usize = 8;
/// Queries of one processor that wait for an instance; the next one is refused (a guess: a second of work).
pub const QUERIES_WAITING_MAX: usize = 1000;
/// Bytes of a query's request (a guess: it describes what is asked, and a page of ids fits).
pub const QUERY_BYTES_MAX: usize = MIB;

/// Deployments whose code is opened at once, for a change or to try one: each may hold 16 instances of `limits.memory` and take
/// `limits.wall` (a guess: opening takes milliseconds, unless code waits for the outside).
pub const OPENS_MAX: usize = 8;
/// How long a change waits for one of these places; then it is refused as overloaded (a guess: opens that take longer than
/// that wait for the outside, and may do so for minutes).
pub const OPENS_WAIT: Duration = Duration::from_secs(5);

/// Dry runs of all clients at once: each takes a guest's thread for a while (a guess).
pub const RUNS_MAX: usize = 4;
/// Records of one dry run.
pub const RUN_RECORDS_MAX: usize = 1_000;
/// Time of one dry run: as long as one call may take.
pub const RUN_TIME_MAX: Duration = GUEST_WALL_MAX;
/// Outputs of one dry run; it ends with the call that passes it.
pub const RUN_OUTPUT_BYTES_MAX: usize = 16 * MIB;
/// Changes of state that a dry run shows.
pub const RUN_CHANGES_MAX: usize = 1_000;
/// Bytes of them, before and after.
pub const RUN_CHANGES_BYTES_MAX: usize = 4 * MIB;
/// Log lines that a dry run shows.
pub const RUN_LOG_LINES_MAX: usize = 1_000;

/// Shadow runs of a node at once: each takes the CPU of its deployment twice (a guess).
pub const SHADOWS_MAX: usize = 4;
/// Time of a shadow run unless set.
pub const SHADOW_TIME_DEFAULT: Duration = Duration::from_secs(600);
/// The most: as long as it runs, what the live tasks overwrite in their state stays on disk.
pub const SHADOW_TIME_MAX: Duration = Duration::from_secs(3_600);
/// State that both versions of a shadow run have changed, all tasks together; it lies in memory.
pub const SHADOW_STATE_BYTES_MAX: usize = 256 * MIB;

/// Members of groups that live in the server for clients over HTTP; one takes a kilobyte and 100 bytes a partition (a guess).
pub const LOCAL_MEMBERS_MAX: usize = 10_000;
/// Topics that one of them reads (a guess; more are better read by a client of its own).
pub const LOCAL_MEMBER_TOPICS_MAX: usize = 100;
/// Time without a request after which one is removed unless it asks otherwise: `session.timeout.ms` of Kafka's consumers.
pub const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(45);
/// Groups on one node (a guess: an empty one takes a kilobyte).
pub const GROUPS_MAX: usize = 10_000;
/// Members of a group unless set, those included that have only asked for an id. Kafka sets no limit; a rebalance costs
/// the square of their number in metadata.
pub const GROUP_MEMBERS_MAX: usize = 2_000;
/// The most members that a group may be allowed (a guess).
pub const GROUP_MEMBERS_MOST: usize = 100_000;
/// Metadata and assignments of one group, and the row that they are stored in (a guess; Kafka's is a message, 1 MiB).
pub const GROUP_BYTES_MAX: usize = 16 * MIB;
/// A regular expression by which a member subscribes (a guess: names of topics have 249 bytes at most).
pub const GROUP_PATTERN_BYTES_MAX: usize = 4 * KIB;
/// The same in its compiled form, and again as much to run it (a guess, a tenth of the library's default).
pub const GROUP_PATTERN_COMPILED_MAX: usize = MIB;
/// Different regular expressions of one group (a guess: the members of a group do the same work).
pub const GROUP_PATTERNS_MAX: usize = 32;
/// Members and committed offsets of all groups together, in memory (a guess: a million offsets take 150 MiB).
pub const GROUPS_BYTES_MAX: usize = 256 * MIB;
/// What a client may keep beside an offset, in UTF-16 units: Kafka's `offset.metadata.max.bytes`, counted as it does.
pub const OFFSET_METADATA_MAX: usize = 4_096;
/// Shortest session timeout that a member may ask for: Kafka's `group.min.session.timeout.ms`.
pub const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(6);
/// Longest session timeout that a member may ask for: Kafka's `group.max.session.timeout.ms`.
pub const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 60);
/// How long the first rebalance of a group waits for more members unless set: Kafka's `group.initial.rebalance.delay.ms`.
pub const INITIAL_REBALANCE_DELAY: Duration = Duration::from_secs(3);
/// How long the join of a new member waits, as in Kafka (KIP-394).
pub const NEW_MEMBER_WAIT: Duration = Duration::from_secs(5 * 60);
/// How long offsets are kept that nobody uses, unless set: Kafka's `offsets.retention.minutes`.
pub const OFFSETS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time between two looks for offsets that nobody uses: Kafka's `offsets.retention.check.interval.ms`.
pub const OFFSETS_LOOKED_THROUGH_EVERY: Duration = Duration::from_secs(600);

/// Time for a guest's connection: name, address, handshakes (a guess; curl's users set 5 to 10).
pub const HTTP_CONNECT_MAX: Duration = Duration::from_secs(10);
/// From the request to the first byte of its answer (a guess; less than the whole call may take, so that its code is
/// told).
pub const HTTP_FIRST_BYTE_MAX: Duration = Duration::from_secs(20);
/// Between two pieces of an answer (a guess).
pub const HTTP_BETWEEN_BYTES_MAX: Duration = Duration::from_secs(15);
/// A body that a guest sends or receives: twice the records of one call.
pub const HTTP_BODY_BYTES_MAX: u64 = 16 * MIB as u64;
/// The head of an answer to a guest.
pub const HTTP_HEADER_BYTES_MAX: usize = 64 * KIB;
/// Requests under way of one instance (a guess: enough to hide a slow answer).
pub const HTTP_INSTANCE_REQUESTS_MAX: usize = 16;
/// Requests under way of one deployment's instances: four busy ones are needed to use up the node's (a guess).
pub const HTTP_DEPLOYMENT_REQUESTS_MAX: usize = 250;
/// Requests under way of all instances: each costs a file descriptor and some buffers (a guess).
pub const HTTP_REQUESTS_MAX: usize = 1_000;
/// Idle connections that an instance keeps.
pub const HTTP_IDLE_CONNECTIONS_MAX: usize = 8;
/// Addresses of one name that are tried.
pub const HTTP_ADDRESSES_TRIED_MAX: usize = 4;
