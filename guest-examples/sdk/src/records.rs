//! Processors in their packed form: a batch as borrowed views, and outputs packed into one buffer. The layout is that of
//! `packed`, whose parts it shares; works on plain slices, so that it is tested natively.

#[cfg(any(test, target_arch = "wasm32"))]
use crate::model::Processor;
use crate::model::{Fault, Output};
use crate::packed::{AS_SOURCE, NULL, Packed};
#[cfg(any(test, target_arch = "wasm32"))]
use crate::packed::{Head, Record};

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::records::RecordOut;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::RecordOut;

/// The same record as `wit-bindgen` generates for Wasm, field for field.
#[cfg(not(target_arch = "wasm32"))]
mod native {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct RecordOut {
        pub(crate) source: i32,
        pub(crate) topic: u32,
        pub(crate) timestamp: Option<i64>,
        pub(crate) key_len: i32,
        pub(crate) value_len: i32,
        pub(crate) headers_len: i32,
    }
}

/// An output that came from no single input.
const NO_SOURCE: i32 = -1;

/// Takes a packed batch through a processor and packs what it returns.
///
/// # Errors
/// The processor's fault; `Fatal` for a batch whose lengths do not fit its data, for an output that names an unknown
/// topic, and for outputs of 2 GiB or more.
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) fn run<P: Processor>(
    processor: &mut P,
    heads: impl ExactSizeIterator<Item = Head>,
    data: &[u8],
    outputs: &[String],
) -> Result<(Vec<RecordOut>, Vec<u8>), Fault> {
    let batch = Record::all(heads, data)?;
    pack(&processor.process(&batch)?, outputs)
}

/// Packs outputs in their order.
pub(crate) fn pack(made: &[Output], outputs: &[String]) -> Result<(Vec<RecordOut>, Vec<u8>), Fault> {
    let mut entries = Vec::with_capacity(made.len());
    let mut packed = Packed::with_capacity(made.iter().map(Output::size).sum());
    for output in made {
        let source = output.source.map_or(Ok(NO_SOURCE), i32::try_from);
        let source = source.map_err(|_| Fault::Fatal("an output of no input of this batch".into()))?;
        let [key_len, value_len, headers_len] = packed.put(output)?;
        let topic = output.topic.as_deref().map_or(Ok(0), |name| Packed::topic(name, outputs))?;
        let timestamp = output.timestamp;
        // Without a source there is nothing to take over, which the host reads as null.
        let own = |len| if source == NO_SOURCE && len == AS_SOURCE { NULL } else { len };
        let (key_len, value_len) = (own(key_len), own(value_len));
        entries.push(RecordOut { source, topic, timestamp, key_len, value_len, headers_len });
    }
    Ok((entries, packed.data))
}

/// Between the generated bindings and the user's processor.
#[cfg(target_arch = "wasm32")]
pub(crate) mod wasm {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::{Fault, Head, Processor, RecordOut};
    use crate::bindings::{records as glue, timed};
    use crate::model::Timed;
    use crate::timers::Timer;
    use crate::{config, runtime};

    type Process = Box<dyn FnMut(&glue::Batch) -> Result<glue::Records, Fault>>;
    type OnTimer = Box<dyn FnMut(&[Timer]) -> Result<timed::Records, Fault>>;

    thread_local! {
        static PROCESSOR: RefCell<Option<Process>> = const { RefCell::new(None) };
        static ON_TIMER: RefCell<Option<OnTimer>> = const { RefCell::new(None) };
    }

    /// Opens the processor of this instance.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_records<P: Processor + 'static>() -> Result<(), String> {
        runtime::log_panics();
        let mut processor = P::open()?;
        let outputs = config::outputs();
        let process = move |batch: &glue::Batch| {
            let heads = batch.entries.iter().map(Head::from);
            let (entries, data) = super::run(&mut processor, heads, &batch.data, &outputs)?;
            Ok(glue::Records { entries, data })
        };
        PROCESSOR.set(Some(Box::new(process)));
        Ok(())
    }

    /// Opens the processor of this instance, which also has timers.
    ///
    /// # Errors
    /// What the user's `open` returned.
    pub fn open_timed_records<P: Processor + Timed + 'static>() -> Result<(), String> {
        runtime::log_panics();
        let processor = Rc::new(RefCell::new(P::open()?));
        let outputs = Rc::new(config::outputs());
        let (timed, names) = (processor.clone(), outputs.clone());
        PROCESSOR.set(Some(Box::new(move |batch: &glue::Batch| {
            let heads = batch.entries.iter().map(Head::from);
            let (entries, data) = super::run(&mut *processor.borrow_mut(), heads, &batch.data, &outputs)?;
            Ok(glue::Records { entries, data })
        })));
        ON_TIMER.set(Some(Box::new(move |due: &[Timer]| {
            let made = timed.borrow_mut().on_timer(due)?;
            let (entries, data) = super::pack(&made, &names)?;
            let entries = entries.into_iter().map(timed::EntryOut::from).collect();
            Ok(timed::Records { entries, data })
        })));
        Ok(())
    }

    impl From<RecordOut> for timed::EntryOut {
        fn from(entry: RecordOut) -> Self {
            let RecordOut { source, topic, timestamp, key_len, value_len, headers_len } = entry;
            Self { source, topic, timestamp, key_len, value_len, headers_len }
        }
    }

    /// Timers that are due, to the processor.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn on_timer_packed(due: Vec<timed::Timer>) -> Result<timed::Records, glue::Error> {
        ON_TIMER.with_borrow_mut(|timed| {
            let Some(timed) = timed else { return Err(glue::Error::Fatal(runtime::NOT_OPENED.into())) };
            let due: Vec<Timer> = due.into_iter().map(Timer::from).collect();
            timed(&due).map_err(told)
        })
    }

    fn told(fault: Fault) -> glue::Error {
        match fault {
            Fault::Retry(why) => glue::Error::Retry(why),
            Fault::Fatal(why) => glue::Error::Fatal(why),
            Fault::At(index, why) => glue::Error::At((index, why)),
        }
    }

    /// One packed batch through the processor.
    ///
    /// # Errors
    /// The fault, as the host knows it.
    pub fn process_records(batch: glue::Batch) -> Result<glue::Records, glue::Error> {
        PROCESSOR.with_borrow_mut(|processor| {
            let Some(processor) = processor else {
                return Err(glue::Error::Fatal(runtime::NOT_OPENED.into()));
            };
            processor(&batch).map_err(told)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{input, keyed, process};

    struct Echo;

    impl Processor for Echo {
        fn open() -> Result<Self, String> {
            Ok(Self)
        }

        fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
            let echo = |record: &Record<'_>| match record.value() {
                Some(b"bad") => Err(record.fault("it is bad")),
                value => Ok(Output::new().source(record.index()).value(value.unwrap_or(b"none"))),
            };
            batch.iter().map(echo).collect()
        }
    }

    #[test]
    fn a_processor_sees_views_and_names_the_record_that_is_bad() {
        let outputs = process(&mut Echo, &[keyed("k", "a"), Default::default()]).unwrap();
        let expected = [Output::new().source(0).value("a"), Output::new().source(1).value("none")];
        assert_eq!(outputs, expected);
        let fault = process(&mut Echo, &[input("a"), input("bad")]);
        assert_eq!(fault, Err(Fault::At(1, "it is bad".into())));
    }

    #[test]
    fn outputs_are_packed_as_the_contract_says() {
        let made = [
            Output::new().source(1).key("k").value("vv").header("h", "x").timestamp(7),
            Output::new().value("www"),
            Output::new().source(0).topic("other"),
        ];
        let outputs = ["first".to_owned(), "other".to_owned()];
        let (entries, data) = pack(&made, &outputs).unwrap();
        assert_eq!(data, b"kvv\x01\0h\x01\0\0\0xwww");
        let entry = |source, topic, timestamp, [key_len, value_len, headers_len]: [i32; 3]| RecordOut {
            source,
            topic,
            timestamp,
            key_len,
            value_len,
            headers_len,
        };
        let expected = [
            entry(1, 0, Some(7), [1, 2, 8]),
            entry(-1, 0, None, [-1, 3, -2]),
            entry(0, 2, None, [-2, -2, -2]),
        ];
        assert_eq!(entries, expected);
        let unknown = pack(&[Output::new().topic("third")], &outputs);
        assert!(matches!(unknown, Err(Fault::Fatal(why)) if why.contains("`third` is not an output")));
    }

    #[test]
    fn lengths_that_do_not_fit_the_data_are_fatal() {
        let head = Head {
            topic: 0,
            partition: 0,
            offset: 0,
            timestamp: 0,
            key_len: 2,
            value_len: 2,
            headers_len: 0,
        };
        for data in [&b"abc"[..], b"abcde"] {
            let told = run(&mut Echo, [head].into_iter(), data, &[]);
            assert!(matches!(told, Err(Fault::Fatal(why)) if why.starts_with("packed batch: ")), "{data:?}");
        }
    }
}
