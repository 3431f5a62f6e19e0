//! The types of `wit/millstream.wit` as wasmtime lowers and lifts them, written by hand so that what goes into a guest is
//! borrowed from the batch. Values only; `inspect` has compared a component's types with the WIT, and
//! `get_typed_func` compares them with these when an instance is made.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::entries::{Data, EntriesOut, Entry};

// === into the guest ===

/// `types.header`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct HeaderIn<'a> {
    pub(super) name: &'a str,
    pub(super) value: Option<&'a [u8]>,
}

/// `types.message`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct MessageIn<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) timestamp: i64,
    pub(super) headers: &'a [HeaderIn<'a>],
}

/// `types.input`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct InputIn<'a> {
    pub(super) topic: u32,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) message: MessageIn<'a>,
}

/// `entry-in` of `transform-packed` and `processor-packed`, which have the same one
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct EntryIn {
    pub(super) topic: u32,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) timestamp: i64,
    #[component(name = "key-len")]
    pub(super) key_len: i32,
    #[component(name = "value-len")]
    pub(super) value_len: i32,
    #[component(name = "headers-len")]
    pub(super) headers_len: u32,
}

/// `packed-in` of both
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct PackedIn<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) data: Data<'a>,
}

/// `timers.clock`
#[derive(ComponentType, Lower, Lift, Debug, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub(super) enum ClockName {
    #[component(name = "event-time")]
    EventTime,
    #[component(name = "wall")]
    Wall,
}

/// `timer` of `on-timer` and `on-timer-packed`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct TimerIn<'a> {
    pub(super) clock: ClockName,
    pub(super) name: &'a [u8],
    pub(super) at: i64,
}

// === out of the guest ===

/// `types.header`
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct HeaderOut {
    pub(super) name: String,
    pub(super) value: Option<Vec<u8>>,
}

/// `types.content`
#[derive(ComponentType, Lift, Debug)]
#[component(variant)]
pub(super) enum ContentOut {
    #[component(name = "source")]
    Source,
    #[component(name = "null")]
    Null,
    #[component(name = "bytes")]
    Bytes(Vec<u8>),
}

/// `types.output`
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct OutputOut {
    pub(super) source: Option<u32>,
    pub(super) topic: Option<String>,
    pub(super) key: ContentOut,
    pub(super) value: ContentOut,
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Option<Vec<HeaderOut>>,
}

/// `types.outcome`
#[derive(ComponentType, Lift, Debug)]
#[component(variant)]
pub(super) enum OutcomeOut {
    #[component(name = "keep")]
    Keep,
    #[component(name = "drop")]
    Drop,
    #[component(name = "emit")]
    Emit(Vec<OutputOut>),
    #[component(name = "reject")]
    Reject(String),
}

/// `types.error`
#[derive(ComponentType, Lift, Debug)]
#[component(variant)]
pub(super) enum ErrorOut {
    #[component(name = "retry")]
    Retry(String),
    #[component(name = "fatal")]
    Fatal(String),
    #[component(name = "at")]
    At((u32, String)),
}

/// `transform-packed.action`
#[derive(ComponentType, Lift, Debug, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Action {
    #[component(name = "keep")]
    Keep,
    #[component(name = "emit")]
    Emit,
    #[component(name = "reject")]
    Reject,
}

/// `transform-packed.entry-out`
#[derive(ComponentType, Lift, Debug, Clone, Copy)]
#[component(record)]
pub(super) struct EntryOut {
    pub(super) source: u32,
    pub(super) action: Action,
    pub(super) topic: u32,
    pub(super) timestamp: Option<i64>,
    #[component(name = "key-len")]
    pub(super) key_len: i32,
    #[component(name = "value-len")]
    pub(super) value_len: i32,
    #[component(name = "headers-len")]
    pub(super) headers_len: i32,
}

/// `transform-packed.packed-out`
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct PackedOut {
    pub(super) entries: EntriesOut<EntryOut>,
    pub(super) data: Vec<u8>,
}

/// `entry-out` of `processor-packed` and `on-timer-packed`
#[derive(ComponentType, Lift, Debug, Clone, Copy)]
#[component(record)]
pub(super) struct RecordOut {
    pub(super) source: i32,
    pub(super) topic: u32,
    pub(super) timestamp: Option<i64>,
    #[component(name = "key-len")]
    pub(super) key_len: i32,
    #[component(name = "value-len")]
    pub(super) value_len: i32,
    #[component(name = "headers-len")]
    pub(super) headers_len: i32,
}

/// `packed-out` of both
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct RecordsOut {
    pub(super) entries: EntriesOut<RecordOut>,
    pub(super) data: Vec<u8>,
}

/// `source.polled`
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct PolledOut {
    pub(super) outputs: Vec<OutputOut>,
    pub(super) cursor: Option<Vec<u8>>,
    pub(super) more: bool,
}

/// `query.error`
#[derive(ComponentType, Lift, Debug)]
#[component(variant)]
pub(super) enum QueryErrorOut {
    #[component(name = "bad-request")]
    BadRequest(String),
    #[component(name = "not-found")]
    NotFound(String),
    #[component(name = "failed")]
    Failed(String),
}

// === the exported functions ===

/// `open` of every kind: parameters and results
pub(super) type OpenResult = (Result<(), String>,);
/// `transform.process`
pub(super) type TransformResult = (Result<Vec<OutcomeOut>, ErrorOut>,);
/// `transform-packed.process`
pub(super) type PackedResult = (Result<PackedOut, ErrorOut>,);
/// `sink.deliver`
pub(super) type SinkResult = (Result<(), ErrorOut>,);
/// `processor.process`
pub(super) type ProcessorResult = (Result<Vec<OutputOut>, ErrorOut>,);
/// `migrate.migrate`
pub(super) type MigrateResult = (Result<Option<Vec<u8>>, ErrorOut>,);
/// `query.query`
pub(super) type QueryResult = (Result<Vec<u8>, QueryErrorOut>,);
/// `on-timer.on-timer`
pub(super) type OnTimerResult = (Result<Vec<OutputOut>, ErrorOut>,);
/// `on-timer-packed.on-timer`
pub(super) type OnTimerPackedResult = (Result<RecordsOut, ErrorOut>,);
/// `processor-packed.process`
pub(super) type ProcessorPackedResult = (Result<RecordsOut, ErrorOut>,);
/// `source.poll`
pub(super) type PollResult = (Result<PolledOut, ErrorOut>,);
