//! For native tests: a host in memory. Each thread has its own, so tests do not disturb each other.
//!
//! ```
//! use millstream_sdk::{Record, Verdict, testing};
//!
//! fn no_tombstones(record: &Record<'_>) -> Verdict {
//!     if record.value().is_none() { Verdict::Drop } else { Verdict::Keep }
//! }
//!
//! assert_eq!(testing::judge(no_tombstones, testing::input("x")), Verdict::Keep);
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::http;
use crate::log::Level;
use crate::model::{
    Fault, Input, IntoVerdict, Output, Polled, Processor, Query, QueryError, Source, Timed, Verdict,
};
use crate::packed::{self, Head, Record};
use crate::records;
use crate::timers::{Clock, Timer};

/// What the code sees of this thread's host.
#[derive(Default)]
struct Host {
    params: BTreeMap<String, String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    lines: Vec<(Level, String)>,
    stores: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    timers: BTreeMap<(Clock, Vec<u8>), i64>,
    watermark: Option<i64>,
    now: i64,
    calls: usize,
    /// a query is under way
    pinned: bool,
    server: Option<Server>,
    requests: Vec<http::Request>,
}

type Server = Rc<dyn Fn(&http::Request) -> Result<http::Response, http::Error>>;

thread_local! {
    static HOST: std::cell::RefCell<Host> = std::cell::RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(f)
}

/// Forgets parameters, topics, log, state and timers.
pub fn reset() {
    with(|host| *host = Host::default());
}

/// Sets a parameter of the deployment.
pub fn set_param(name: &str, value: &str) {
    with(|host| host.params.insert(name.to_owned(), value.to_owned()));
}

/// Names the input topics.
pub fn set_inputs(names: &[&str]) {
    with(|host| host.inputs = names.iter().map(|&name| name.to_owned()).collect());
}

/// Names the outputs.
pub fn set_outputs(names: &[&str]) {
    with(|host| host.outputs = names.iter().map(|&name| name.to_owned()).collect());
}

/// The lines logged so far, oldest first.
pub fn log_lines() -> Vec<(Level, String)> {
    with(|host| host.lines.clone())
}

/// The entries of a store; empty when it does not exist.
pub fn store(name: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    with(|host| host.stores.get(name).cloned().unwrap_or_default())
}

/// Calls of state functions so far, whatever the number of keys in each.
pub fn state_calls() -> usize {
    with(|host| host.calls)
}

/// The timers that are set, in the order in which they would fire.
pub fn timers() -> Vec<Timer> {
    let timer =
        |((clock, name), at): (&(Clock, Vec<u8>), &i64)| Timer { clock: *clock, name: name.clone(), at: *at };
    let mut timers: Vec<_> = with(|host| host.timers.iter().map(timer).collect());
    timers.sort_by(|a, b| (a.clock, a.at, &a.name).cmp(&(b.clock, b.at, &b.name)));
    timers
}

/// Moves the watermark forward and hands over the timers that are due, as the server does after a batch.
///
/// # Errors
/// The fault that ended it.
///
/// # Panics
/// When it sets timers that are due without an end.
pub fn move_watermark<P: Timed>(processor: &mut P, to: i64) -> Result<Vec<Output>, Fault> {
    with(|host| host.watermark = host.watermark.max(Some(to)));
    fire(processor, Clock::EventTime)
}

/// Moves the clock forward and hands over the timers that are due.
///
/// # Errors
/// The fault that ended it.
///
/// # Panics
/// When it sets timers that are due without an end.
pub fn move_clock<P: Timed>(processor: &mut P, to: i64) -> Result<Vec<Output>, Fault> {
    with(|host| host.now = host.now.max(to));
    fire(processor, Clock::Wall)
}

/// Timers of one call, and calls before a test gives up.
const DUE_MAX: usize = 256;
const FIRINGS_MAX: usize = 10_000;

fn fire<P: Timed>(processor: &mut P, clock: Clock) -> Result<Vec<Output>, Fault> {
    let mut outputs = Vec::new();
    for _ in 0..FIRINGS_MAX {
        let Some(now) = host::timers::now(clock) else { return Ok(outputs) };
        let mut due = timers();
        due.retain(|timer| timer.clock == clock && timer.at <= now);
        due.truncate(DUE_MAX);
        if due.is_empty() {
            return Ok(outputs);
        }
        with(|host| due.iter().for_each(|timer| drop(host.timers.remove(&(clock, timer.name.clone())))));
        let made = processor.on_timer(&due)?;
        records::pack(&made, &crate::config::outputs())?;
        outputs.extend(made);
    }
    panic!("timers are due after {FIRINGS_MAX} calls");
}

/// Answers the requests of this thread. Without it there is nobody outside.
pub fn on_http(server: impl Fn(&http::Request) -> Result<http::Response, http::Error> + 'static) {
    with(|host| host.server = Some(Rc::new(server)));
}

/// The requests sent so far, oldest first.
pub fn requests() -> Vec<http::Request> {
    with(|host| host.requests.clone())
}

/// An input with this value and nothing else.
pub fn input(value: impl Into<Vec<u8>>) -> Input {
    Input { value: Some(value.into()), ..Input::default() }
}

/// An input with this key and value.
pub fn keyed(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Input {
    Input { key: Some(key.into()), ..input(value) }
}

/// Runs a transform's function over a batch, through the packed form and back.
///
/// # Errors
/// The fault that ended it.
///
/// # Panics
/// When the packed answer is one that the server would refuse.
pub fn judge_all<R: IntoVerdict>(
    mut judge: impl FnMut(&Record<'_>) -> R,
    inputs: &[Input],
) -> Result<Vec<Verdict>, Fault> {
    let outputs = crate::config::outputs();
    let (entries, data) = packed::pack(inputs);
    let mut judge = |record: &Record<'_>| judge(record).into_verdict();
    let (entries, data) = packed::run(&entries, &data, &outputs, &mut judge)?;
    Ok(packed::unpack(inputs.len(), &entries, &data, &outputs).expect("the server takes this answer"))
}

/// Runs a processor over a batch, which it sees as the server hands it over.
///
/// # Errors
/// The fault that ended it, or that the SDK ends it with when an output names an unknown topic.
pub fn process<P: Processor>(processor: &mut P, inputs: &[Input]) -> Result<Vec<Output>, Fault> {
    let (entries, data) = packed::pack(inputs);
    let batch = Record::all(entries.iter().map(Head::from), &data)?;
    let outputs = processor.process(&batch)?;
    records::pack(&outputs, &crate::config::outputs())?;
    Ok(outputs)
}

/// Asks, over the state as it is. As on the server, nothing can be changed meanwhile.
///
/// # Errors
/// What is told in place of an answer.
///
/// # Panics
/// When it writes to a store, or sets or cancels a timer.
pub fn query<Q: Query>(query: &mut Q, request: impl AsRef<[u8]>) -> Result<Vec<u8>, QueryError> {
    with(|host| host.pinned = true);
    let answer = query.query(request.as_ref());
    with(|host| host.pinned = false);
    answer
}

/// For host functions that change something.
fn change<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    with(|host| {
        assert!(!host.pinned, "a query cannot change state or timers");
        f(host)
    })
}

/// Polls which a source may ask for with `more` before a test gives up.
const POLLS_MAX: usize = 10_000;

/// Polls a source as long as it says `more`, as the server does. Gives the records and the last cursor.
///
/// # Errors
/// The fault that ended it.
///
/// # Panics
/// When it asks for more without an end.
pub fn poll_until_idle<S: Source>(
    source: &mut S,
    cursor: Option<&[u8]>,
) -> Result<(Vec<Output>, Option<Vec<u8>>), Fault> {
    let mut all = Vec::new();
    let mut cursor = cursor.map(<[u8]>::to_vec);
    for _ in 0..POLLS_MAX {
        let Polled { outputs, cursor: next, more } = source.poll(cursor.as_deref())?;
        let idle = outputs.is_empty() && (next.is_none() || next == cursor);
        all.extend(outputs);
        cursor = next.or(cursor);
        if !more || idle {
            return Ok((all, cursor));
        }
    }
    panic!("the source says `more` after {POLLS_MAX} polls");
}

/// Runs a transform's function over one input.
///
/// # Panics
/// When it returns a fault.
pub fn judge<R: IntoVerdict>(judge: impl FnMut(&Record<'_>) -> R, input: Input) -> Verdict {
    let verdicts = judge_all(judge, &[input]).unwrap_or_else(|fault| panic!("{fault:?}"));
    verdicts.into_iter().next().expect("one input has one verdict")
}

/// Stands where the imports stand in Wasm, with the same shapes.
pub(crate) mod host {
    pub(crate) mod config {
        use crate::testing::with;

        pub(crate) fn get(name: &str) -> Option<String> {
            with(|host| host.params.get(name).cloned())
        }

        pub(crate) fn inputs() -> Vec<String> {
            with(|host| host.inputs.clone())
        }

        pub(crate) fn outputs() -> Vec<String> {
            with(|host| host.outputs.clone())
        }
    }

    pub(crate) mod log {
        pub(crate) use crate::log::Level;
        use crate::testing::with;

        pub(crate) fn write(level: Level, text: &str) {
            with(|host| host.lines.push((level, text.to_owned())));
        }
    }

    pub(crate) mod http {
        use crate::http::{Error, Request, Response};
        use crate::testing::with;

        pub(crate) fn send(request: Request) -> Result<Response, Error> {
            let server = with(|host| {
                host.requests.push(request.clone());
                host.server.clone()
            });
            match server {
                Some(server) => server(&request),
                None => Err(Error { permanent: false, message: format!("{}: nobody answers", request.url) }),
            }
        }
    }

    pub(crate) mod timers {
        use crate::testing::{change, with};
        pub(crate) use crate::timers::Clock;

        pub(crate) fn set(clock: Clock, name: &[u8], at: i64) {
            assert!(name.len() <= 1024, "a timer's name of {} bytes", name.len());
            change(|host| host.timers.insert((clock, name.to_vec()), at));
        }

        pub(crate) fn cancel(clock: Clock, name: &[u8]) {
            change(|host| host.timers.remove(&(clock, name.to_vec())));
        }

        pub(crate) fn now(clock: Clock) -> Option<i64> {
            match clock {
                Clock::EventTime => with(|host| host.watermark),
                Clock::Wall => Some(with(|host| host.now)),
            }
        }
    }

    pub(crate) mod state {
        use std::collections::BTreeMap;

        use crate::testing::{change, with};

        type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

        #[derive(Debug)]
        pub(crate) struct Store {
            name: String,
        }

        impl Store {
            pub(crate) fn new(name: &str) -> Self {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
                assert!(
                    (1..=64).contains(&name.len()) && name.bytes().all(allowed),
                    "`{name}` names no store"
                );
                Self { name: name.to_owned() }
            }

            fn changed<R>(&self, f: impl FnOnce(&mut Entries) -> R) -> R {
                change(|_| ());
                self.entries(f)
            }

            fn entries<R>(&self, f: impl FnOnce(&mut Entries) -> R) -> R {
                with(|host| {
                    host.calls += 1;
                    f(host.stores.entry(self.name.clone()).or_default())
                })
            }

            pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
                self.entries(|entries| entries.get(key).cloned())
            }

            pub(crate) fn put(&self, key: &[u8], value: &[u8]) {
                self.changed(|entries| entries.insert(key.to_vec(), value.to_vec()));
            }

            pub(crate) fn delete(&self, key: &[u8]) {
                self.changed(|entries| entries.remove(key));
            }

            pub(crate) fn get_many(&self, keys: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
                self.entries(|entries| keys.iter().map(|&key| entries.get(key).cloned()).collect())
            }

            pub(crate) fn put_many(&self, changes: &[(&[u8], Option<&[u8]>)]) {
                self.changed(|entries| {
                    for &(key, value) in changes {
                        match value {
                            Some(value) => entries.insert(key.to_vec(), value.to_vec()),
                            None => entries.remove(key),
                        };
                    }
                });
            }

            pub(crate) fn scan(
                &self,
                start: &[u8],
                end: Option<&[u8]>,
                limit: u32,
            ) -> Vec<(Vec<u8>, Vec<u8>)> {
                self.entries(|entries| {
                    let reached = |key: &[u8]| end.is_some_and(|end| key >= end);
                    let from = entries.range(start.to_vec()..).take_while(|(key, _)| !reached(key));
                    from.take(limit as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
                })
            }
        }
    }
}
