//! The words of the contract in Rust: inputs, outputs, verdicts, faults. Plain data, the same natively and in Wasm;
//! must know nothing of how it crosses the border (`packed`, `runtime`). The meaning of every field is that of
//! `wit/millstream.wit`.

use crate::packed::Record;
use crate::timers::Timer;

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// its name; names may repeat
    pub name: String,
    /// none: a header without a value
    pub value: Option<Vec<u8>>,
}

/// A record that owns what it holds: what a [`ListProcessor`] receives, and what tests hand over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// index of the topic in [`crate::config::inputs`]
    pub topic: u32,
    /// its partition
    pub partition: u32,
    /// its offset; inline: the index in the batch
    pub offset: u64,
    /// none: a record without a key
    pub key: Option<Vec<u8>>,
    /// none: a tombstone
    pub value: Option<Vec<u8>>,
    /// milliseconds since 1970-01-01T00:00Z
    pub timestamp: i64,
    /// in their order, duplicates kept
    pub headers: Vec<Header>,
}

/// A key or a value of an output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// as the source record has it; null when the output has no source
    #[default]
    Source,
    /// null; as a value, a tombstone
    Null,
    /// these bytes
    Bytes(Vec<u8>),
}

/// A record to write. What is not set stays as the source record has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// processors: index of the input it came from; transforms: set by the SDK
    pub source: Option<u32>,
    /// one of [`crate::config::outputs`]; none: the default output (inline: the topic itself)
    pub topic: Option<String>,
    /// its key
    pub key: Content,
    /// its value
    pub value: Content,
    /// none: the source's; without a source, that of the batch's last input
    pub timestamp: Option<i64>,
    /// none: the source's
    pub headers: Option<Vec<Header>>,
}

/// What a transform says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// pass it on untouched; nothing is copied
    Keep,
    /// forget it
    Drop,
    /// put this in its place
    Emit(Output),
    /// put these in its place, in this order; none is the same as `Drop`
    EmitAll(Vec<Output>),
    /// refuse it, with a reason for its producer
    Reject(String),
}

/// Something went wrong, as opposed to a verdict. It follows the deployment's `on_error` (inline: `on_fault`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// try the whole batch again later
    Retry(String),
    /// the whole batch can never succeed
    Fatal(String),
    /// only the input with this index is bad
    At(u32, String),
}

/// What a transform's function may return.
pub trait IntoVerdict {
    /// The verdict, or the fault in its place.
    ///
    /// # Errors
    /// The fault that the function returned.
    fn into_verdict(self) -> Result<Verdict, Fault>;
}

/// Code with state, topic to topic. Export it with [`processor!`](crate::processor).
///
/// ```
/// use millstream_sdk::{Fault, Output, Processor, Record, processor, state::Store};
///
/// struct Counter { counts: Store }
/// processor!(Counter);
///
/// impl Processor for Counter {
///     fn open() -> Result<Self, String> {
///         Ok(Self { counts: Store::open("counts") })
///     }
///
///     fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
///         let n = self.counts.get(b"all").map_or(0, |n| n[0]);
///         self.counts.put(b"all", &[n.wrapping_add(batch.len() as u8)]);
///         Ok(Vec::new())
///     }
/// }
/// ```
pub trait Processor: Sized {
    /// Once per instance, before the first batch: read the configuration, open stores.
    ///
    /// # Errors
    /// A sentence for whoever deployed it; the deployment does not start.
    fn open() -> Result<Self, String>;

    /// Called with at least one record, in offset order within each partition. Outputs are written in the order given
    /// and commit together with all changes of state, or not at all. The instance is dropped whenever a batch was not
    /// committed, so fields of `self` may cache state but never run ahead of it.
    ///
    /// # Errors
    /// A fault; nothing of this batch is committed.
    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault>;
}

/// The same for code that wants its inputs to own what they hold, at the price of copies: several times the cost of a
/// call. Export it with `processor!(T, list)`.
pub trait ListProcessor: Sized {
    /// As [`Processor::open`].
    ///
    /// # Errors
    /// A sentence for whoever deployed it; the deployment does not start.
    fn open() -> Result<Self, String>;

    /// As [`Processor::process`].
    ///
    /// # Errors
    /// A fault; nothing of this batch is committed.
    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault>;
}

/// What a processor does when timers are due: beside a [`Processor`], exported with `processor!(T, timed)`, or beside a
/// [`ListProcessor`], with `processor!(T, list, timed)`.
///
/// ```
/// use millstream_sdk::timers::{self, Clock, Timer};
/// use millstream_sdk::{Fault, Output, Processor, Record, Timed, processor, testing};
///
/// /// Tells that a minute of event time is over.
/// struct Minutes;
/// processor!(Minutes, timed);
///
/// impl Processor for Minutes {
///     fn open() -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
///         for record in batch {
///             let end = (record.timestamp() / 60_000 + 1) * 60_000;
///             timers::set(Clock::EventTime, end.to_be_bytes(), end);
///         }
///         Ok(Vec::new())
///     }
/// }
///
/// impl Timed for Minutes {
///     fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
///         Ok(due.iter().map(|timer| Output::new().value("over").timestamp(timer.at)).collect())
///     }
/// }
///
/// testing::process(&mut Minutes, &[testing::input("x")]).unwrap();
/// let outputs = testing::move_watermark(&mut Minutes, 60_000).unwrap();
/// assert_eq!(outputs, [Output::new().value("over").timestamp(60_000)]);
/// ```
pub trait Timed {
    /// Called with at least one timer, of one clock, sorted by time and then by name. They are gone when it returns, and
    /// may be set anew in it. Outputs have no source; without a timestamp they get that of the last timer. Outputs and all
    /// changes of state and timers commit together, or not at all.
    ///
    /// # Errors
    /// A fault; nothing of this call is committed. `At` names a timer by its index.
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault>;
}

/// Delivers records to the outside. Export it with [`sink!`](crate::sink).
///
/// ```
/// use millstream_sdk::{Fault, Input, Sink, http::Request, sink};
///
/// struct Hook;
/// sink!(Hook);
///
/// impl Sink for Hook {
///     fn open() -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn deliver(&mut self, batch: &[Input]) -> Result<(), Fault> {
///         for input in batch {
///             let body = input.value.clone().unwrap_or_default();
///             let response = Request::post("https://hooks.example.com").body(body).send()?;
///             if !response.is_success() {
///                 return Err(Fault::Retry(format!("the answer was {}", response.status)));
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Sink: Sized {
    /// Once per instance, before the first batch: read the configuration.
    ///
    /// # Errors
    /// A sentence for whoever deployed it; the deployment does not start.
    fn open() -> Result<Self, String>;

    /// Called with at least one input, in offset order. `Ok` says that every record has arrived; then the server notes
    /// down the position. What was delivered and not yet noted down is delivered again after a crash: at least once.
    ///
    /// # Errors
    /// `Retry`: all of them once more, later. `At`: that record cannot be delivered and follows `on_error`, the others are
    /// handed over once more.
    fn deliver(&mut self, batch: &[Input]) -> Result<(), Fault>;
}

/// What a processor of a new version does with the state of the version before, when a deployment is upgraded with
/// `state: migrate`; see [`processor!`](crate::processor).
pub trait Migrate {
    /// One step, whose changes of state are one commit. `version` made the state, such as `1.2.0`; `at` is what the step
    /// before has returned, none for the first. `Ok(None)` ends it; until then the steps go on, also after a restart,
    /// and no record is processed. `open` was called before, on the state as it is then.
    ///
    /// # Errors
    /// A fault; nothing of this step is kept, and the task stops.
    fn migrate(version: &str, at: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault>;
}

/// Answers queries over the state of a processor: export it with [`query!`](crate::query), beside
/// [`processor!`](crate::processor). It runs in instances of its own, several at once and while records are processed; what
/// it sees is the committed state of one task.
///
/// ```
/// use millstream_sdk::{Query, QueryError, query, state::Store, testing};
///
/// /// How often was this key seen?
/// struct Seen { counts: Store }
/// query!(Seen);
///
/// impl Query for Seen {
///     fn open() -> Result<Self, String> {
///         Ok(Self { counts: Store::open("counts") })
///     }
///
///     fn query(&mut self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
///         self.counts.get(request).ok_or_else(|| QueryError::NotFound("it was never seen".into()))
///     }
/// }
///
/// Store::open("counts").put("a", "7");
/// assert_eq!(testing::query(&mut Seen::open().unwrap(), "a"), Ok(b"7".to_vec()));
/// ```
pub trait Query: Sized {
    /// Once per instance, before the first query: read the configuration, open stores. The processor's `open` is not called
    /// in these instances.
    ///
    /// # Errors
    /// A sentence for whoever asks; the query fails.
    fn open() -> Result<Self, String>;

    /// The body of the request to that of the answer. Every call sees its own moment of the state, all of it at once, so
    /// `self` must not remember what was read in another. Whoever writes to a store, or sets a timer, traps.
    ///
    /// # Errors
    /// What is told in place of an answer.
    fn query(&mut self, request: &[u8]) -> Result<Vec<u8>, QueryError>;
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// the request makes no sense
    BadRequest(String),
    /// what it asks for is not there
    NotFound(String),
    /// there is no answer, and it is not the request's fault
    Failed(String),
}

/// What a poll brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polled {
    /// the records, in their order; `source` of each is none
    pub outputs: Vec<Output>,
    /// handed to the next poll; none: the cursor stays as it is
    pub cursor: Option<Vec<u8>>,
    /// poll again at once instead of after the deployment's interval
    pub more: bool,
}

/// Code that is polled and brings records from outside. Export it with [`source!`](crate::source).
///
/// ```
/// use millstream_sdk::{Fault, Output, Polled, Source, source, testing};
///
/// /// Emits the next number with every poll.
/// struct Counter;
/// source!(Counter);
///
/// impl Source for Counter {
///     fn open() -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn poll(&mut self, cursor: Option<&[u8]>) -> Result<Polled, Fault> {
///         let next = cursor.map_or(0, |last| last[0] + 1);
///         let outputs = vec![Output::new().value(next.to_string())];
///         Ok(Polled { outputs, cursor: Some(vec![next]), more: next < 2 })
///     }
/// }
///
/// let outputs = testing::poll_until_idle(&mut Counter, None).unwrap().0;
/// assert_eq!(outputs[2], Output::new().value("2"));
/// ```
pub trait Source: Sized {
    /// Once per instance, before the first poll: read the configuration.
    ///
    /// # Errors
    /// A sentence for whoever deployed it; the deployment does not start.
    fn open() -> Result<Self, String>;

    /// `cursor` is what the last *committed* poll has returned; none: there was none. The records and the cursor of a
    /// poll are one commit. After one that was not committed the instance is dropped and the same cursor is handed over
    /// again, so what has been read outside must never be remembered in `self` alone.
    ///
    /// # Errors
    /// A fault; nothing of this poll is committed. `Retry` when the outside cannot answer now.
    fn poll(&mut self, cursor: Option<&[u8]>) -> Result<Polled, Fault>;
}

// === impl Output ===

impl Output {
    /// An output that is in everything as its source.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of its own key, value and headers.
    pub(crate) fn size(&self) -> usize {
        let content = |content: &Content| if let Content::Bytes(bytes) = content { bytes.len() } else { 0 };
        let headers = self.headers.iter().flatten();
        let headers = headers.map(|h| 6 + h.name.len() + h.value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        content(&self.key) + content(&self.value) + headers
    }

    /// Names the input it came from (processors; an index into the batch).
    #[must_use]
    pub fn source(mut self, index: usize) -> Self {
        self.source = Some(index as u32);
        self
    }

    /// Sends it to one of [`crate::config::outputs`] instead of the default output.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.topic = Some(name.into());
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Content::Bytes(key.into());
        self
    }

    /// Takes the key away.
    #[must_use]
    pub fn null_key(mut self) -> Self {
        self.key = Content::Null;
        self
    }

    /// Sets the value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = Content::Bytes(value.into());
        self
    }

    /// Makes it a tombstone.
    #[must_use]
    pub fn tombstone(mut self) -> Self {
        self.value = Content::Null;
        self
    }

    /// Sets the timestamp, in milliseconds since 1970-01-01T00:00Z.
    #[must_use]
    pub fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    /// Adds a header. The first call replaces the headers of the source.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let header = Header { name: name.into(), value: Some(value.into()) };
        self.headers.get_or_insert_default().push(header);
        self
    }

    /// Replaces all headers; an empty list takes them away.
    #[must_use]
    pub fn headers(mut self, headers: Vec<Header>) -> Self {
        self.headers = Some(headers);
        self
    }
}

// === impl Input ===

impl Input {
    /// The value of the first header with this name; none when there is no such header or it has no value.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.name == name)?.value.as_deref()
    }
}

// === impl Fault ===

impl Fault {
    /// Only the input with this index is bad.
    pub fn at(index: usize, why: impl Into<String>) -> Self {
        Self::At(index as u32, why.into())
    }
}

// === impl IntoVerdict ===

impl IntoVerdict for Verdict {
    fn into_verdict(self) -> Result<Verdict, Fault> {
        Ok(self)
    }
}

impl IntoVerdict for Result<Verdict, Fault> {
    fn into_verdict(self) -> Result<Verdict, Fault> {
        self
    }
}
