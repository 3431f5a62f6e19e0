//! Between the generated bindings and the user's code: keeps the opened transform or processor of this instance and
//! converts what crosses. Natively only the type checks of the macros remain. An instance is single threaded and calls
//! never nest, so thread locals with `RefCell` are enough.

use crate::model::{Fault, ListProcessor, Migrate, Processor, Query, Sink, Source, Timed, Verdict};
use crate::packed::Record;

/// The `open` of a transform that needs no preparation.
///
/// # Errors
/// Never.
pub fn no_settings() -> Result<(), String> {
    Ok(())
}

/// The bytes of a text, as an array of their number.
///
/// # Panics
/// When compiled with another number.
pub const fn bytes_of<const N: usize>(text: &'static str) -> &'static [u8; N] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => bytes,
        None => panic!("N is the length of the text"),
    }
}

/// Takes what `open_transform` takes, for its types.
pub fn accept_transform<T: 'static>(
    _open: fn() -> Result<T, String>,
    _judge: fn(&mut T, &Record<'_>) -> Result<Verdict, Fault>,
) {
}

/// Takes what `open_records` takes, for its type.
pub fn accept_processor<P: Processor + 'static>() {}

/// Takes what `open_processor` takes, for its type.
pub fn accept_list_processor<P: ListProcessor + 'static>() {}

/// Takes what `open_timed_records` takes, for its type.
pub fn accept_timed<P: Processor + Timed + 'static>() {}

/// Takes what `open_timed_processor` takes, for its type.
pub fn accept_timed_list<P: ListProcessor + Timed + 'static>() {}

/// Takes what `open_query` takes, for its type.
pub fn accept_query<Q: Query + 'static>() {}

/// Takes what `open_sink` takes, for its type.
pub fn accept_sink<S: Sink + 'static>() {}

/// Takes what `open_source` takes, for its type.
pub fn accept_source<S: Source + 'static>() {}

#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::{NOT_OPENED, log_panics};
#[cfg(target_arch = "wasm32")]
pub use wasm::{
    answer, deliver, migrate_step, on_timer_list, open_processor, open_query, open_sink, open_source,
    open_timed_processor, open_transform, poll, process_list, process_packed,
};

/// Takes what `migrate_step` takes, for its type.
pub fn accept_migrate<P: Migrate>() {}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::{Fault, ListProcessor, Migrate, Query, Record, Sink, Source, Timed, Verdict};
    use crate::bindings::{
        list, migration, packed as packed_glue, query as query_glue, sink, source as source_glue, timed_list,
    };
    use crate::model::{Content, Header, Input, Output, Polled, QueryError};
    use crate::timers::Timer;
    use crate::{config, log, packed};

    type PackedAnswer = Result<packed_glue::Outcome, packed_glue::Error>;
    type Transform = Box<dyn FnMut(&packed_glue::Batch) -> Result<packed_glue::Outcome, Fault>>;
    type List = Box<dyn FnMut(&[Input]) -> Result<Vec<Output>, Fault>>;
    type OnTimer = Box<dyn FnMut(&[Timer]) -> Result<Vec<Output>, Fault>>;

    type Poll = Box<dyn FnMut(Option<&[u8]>) -> Result<Polled, Fault>>;
    type Answer = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, QueryError>>;
    type Deliver = Box<dyn FnMut(&[Input]) -> Result<(), Fault>>;

    thread_local! {
        static SOURCE: RefCell<Option<Poll>> = const { RefCell::new(None) };
        static QUERY: RefCell<Option<Answer>> = const { RefCell::new(None) };
        static SINK: RefCell<Option<Deliver>> = const { RefCell::new(None) };
        static TRANSFORM: RefCell<Option<Transform>> = const { RefCell::new(None) };
        static PROCESSOR: RefCell<Option<List>> = const { RefCell::new(None) };
        static ON_TIMER: RefCell<Option<OnTimer>> = const { RefCell::new(None) };
    }

    pub(crate) const NOT_OPENED: &str = "it was called before `open` succeeded";

    /// A trap alone says only `unreachable`: the message goes to the log first.
    pub(crate) fn log_panics() {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
    }

    /// Prepares the transform of this instance.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_transform<T: 'static>(
        open: fn() -> Result<T, String>,
        judge: fn(&mut T, &Record<'_>) -> Result<Verdict, Fault>,
    ) -> Result<(), String> {
        log_panics();
        let mut prepared = open()?;
        let outputs = config::outputs();
        let transform = move |batch: &packed_glue::Batch| {
            let mut judge = |record: &Record<'_>| judge(&mut prepared, record);
            let (entries, data) = packed::run(&batch.entries, &batch.data, &outputs, &mut judge)?;
            Ok(packed_glue::Outcome { entries, data })
        };
        TRANSFORM.set(Some(Box::new(transform)));
        Ok(())
    }

    /// One packed batch through the transform.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn process_packed(batch: packed_glue::Batch) -> PackedAnswer {
        TRANSFORM.with_borrow_mut(|transform| {
            let Some(transform) = transform else { return Err(packed_glue::Error::Fatal(NOT_OPENED.into())) };
            transform(&batch).map_err(|fault| match fault {
                Fault::Retry(why) => packed_glue::Error::Retry(why),
                Fault::Fatal(why) => packed_glue::Error::Fatal(why),
                Fault::At(index, why) => packed_glue::Error::At((index, why)),
            })
        })
    }

    /// Opens the processor of this instance.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_processor<P: ListProcessor + 'static>() -> Result<(), String> {
        log_panics();
        let mut processor = P::open()?;
        PROCESSOR.set(Some(Box::new(move |batch: &[Input]| processor.process(batch))));
        Ok(())
    }

    /// Opens the processor of this instance, which also has timers.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_timed_processor<P: ListProcessor + Timed + 'static>() -> Result<(), String> {
        log_panics();
        let processor = Rc::new(RefCell::new(P::open()?));
        let timed = processor.clone();
        PROCESSOR.set(Some(Box::new(move |batch: &[Input]| processor.borrow_mut().process(batch))));
        ON_TIMER.set(Some(Box::new(move |due: &[Timer]| timed.borrow_mut().on_timer(due))));
        Ok(())
    }

    /// Timers that are due, to the processor.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn on_timer_list(due: Vec<timed_list::Timer>) -> Result<Vec<list::Output>, list::Error> {
        ON_TIMER.with_borrow_mut(|timed| {
            let Some(timed) = timed else { return Err(list::Error::Fatal(NOT_OPENED.into())) };
            let due: Vec<Timer> = due.into_iter().map(Timer::from).collect();
            match timed(&due) {
                Ok(outputs) => Ok(outputs.into_iter().map(list::Output::from).collect()),
                Err(Fault::Retry(why)) => Err(list::Error::Retry(why)),
                Err(Fault::Fatal(why)) => Err(list::Error::Fatal(why)),
                Err(Fault::At(index, why)) => Err(list::Error::At((index, why))),
            }
        })
    }

    /// One batch through the processor.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn process_list(batch: Vec<list::Input>) -> Result<Vec<list::Output>, list::Error> {
        PROCESSOR.with_borrow_mut(|processor| {
            let Some(processor) = processor else { return Err(list::Error::Fatal(NOT_OPENED.into())) };
            let batch: Vec<Input> = batch.into_iter().map(Input::from).collect();
            match processor(&batch) {
                Ok(outputs) => Ok(outputs.into_iter().map(list::Output::from).collect()),
                Err(Fault::Retry(why)) => Err(list::Error::Retry(why)),
                Err(Fault::Fatal(why)) => Err(list::Error::Fatal(why)),
                Err(Fault::At(index, why)) => Err(list::Error::At((index, why))),
            }
        })
    }

    /// Opens what answers queries in this instance.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_query<Q: Query + 'static>() -> Result<(), String> {
        log_panics();
        let mut opened = Q::open()?;
        QUERY.set(Some(Box::new(move |request: &[u8]| opened.query(request))));
        Ok(())
    }

    /// One query.
    ///
    /// # Errors
    /// What is told in place of an answer, as the host knows it.
    pub fn answer(request: &[u8]) -> Result<Vec<u8>, query_glue::Error> {
        QUERY.with_borrow_mut(|opened| {
            let Some(answer) = opened else { return Err(query_glue::Error::Failed(NOT_OPENED.into())) };
            answer(request).map_err(|error| match error {
                QueryError::BadRequest(why) => query_glue::Error::BadRequest(why),
                QueryError::NotFound(why) => query_glue::Error::NotFound(why),
                QueryError::Failed(why) => query_glue::Error::Failed(why),
            })
        })
    }

    /// Opens the sink of this instance.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_sink<S: Sink + 'static>() -> Result<(), String> {
        log_panics();
        let mut opened = S::open()?;
        SINK.set(Some(Box::new(move |batch: &[Input]| opened.deliver(batch))));
        Ok(())
    }

    /// One batch to the outside.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn deliver(batch: Vec<sink::Input>) -> Result<(), sink::Error> {
        SINK.with_borrow_mut(|opened| {
            let Some(deliver) = opened else { return Err(sink::Error::Fatal(NOT_OPENED.into())) };
            let batch: Vec<Input> = batch.into_iter().map(Input::from).collect();
            deliver(&batch).map_err(|fault| match fault {
                Fault::Retry(why) => sink::Error::Retry(why),
                Fault::Fatal(why) => sink::Error::Fatal(why),
                Fault::At(index, why) => sink::Error::At((index, why)),
            })
        })
    }

    impl From<sink::Input> for Input {
        fn from(input: sink::Input) -> Self {
            let sink::Input { topic, partition, offset, message } = input;
            let headers = message.headers.into_iter();
            Self {
                topic,
                partition,
                offset,
                key: message.key,
                value: message.value,
                timestamp: message.timestamp,
                headers: headers.map(|sink::Header { name, value }| Header { name, value }).collect(),
            }
        }
    }

    /// One step of a migration.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn migrate_step<P: Migrate>(
        version: &str,
        at: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, migration::Error> {
        P::migrate(version, at).map_err(|fault| match fault {
            Fault::Retry(why) => migration::Error::Retry(why),
            Fault::Fatal(why) => migration::Error::Fatal(why),
            Fault::At(index, why) => migration::Error::At((index, why)),
        })
    }

    /// Opens the source of this instance.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_source<S: Source + 'static>() -> Result<(), String> {
        log_panics();
        let mut source = S::open()?;
        SOURCE.set(Some(Box::new(move |cursor| source.poll(cursor))));
        Ok(())
    }

    /// One poll of the source.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn poll(cursor: Option<Vec<u8>>) -> Result<source_glue::Polled, list::Error> {
        SOURCE.with_borrow_mut(|source| {
            let Some(source) = source else { return Err(list::Error::Fatal(NOT_OPENED.into())) };
            match source(cursor.as_deref()) {
                Ok(Polled { outputs, cursor, more }) => {
                    let outputs = outputs.into_iter().map(list::Output::from).collect();
                    Ok(source_glue::Polled { outputs, cursor, more })
                }
                Err(Fault::Retry(why)) => Err(list::Error::Retry(why)),
                // A poll has no inputs that could be to blame.
                Err(Fault::Fatal(why) | Fault::At(_, why)) => Err(list::Error::Fatal(why)),
            }
        })
    }

    impl From<list::Input> for Input {
        fn from(input: list::Input) -> Self {
            let list::Input { topic, partition, offset, message } = input;
            let headers = message.headers.into_iter();
            Self {
                topic,
                partition,
                offset,
                key: message.key,
                value: message.value,
                timestamp: message.timestamp,
                headers: headers.map(|list::Header { name, value }| Header { name, value }).collect(),
            }
        }
    }

    impl From<Output> for list::Output {
        fn from(output: Output) -> Self {
            let content = |content| match content {
                Content::Source => list::Content::Source,
                Content::Null => list::Content::Null,
                Content::Bytes(bytes) => list::Content::Bytes(bytes),
            };
            let header = |Header { name, value }| list::Header { name, value };
            Self {
                source: output.source,
                topic: output.topic,
                key: content(output.key),
                value: content(output.value),
                timestamp: output.timestamp,
                headers: output.headers.map(|headers| headers.into_iter().map(header).collect()),
            }
        }
    }
}
