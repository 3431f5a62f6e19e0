//! Counts the records of each key by the minute, by their timestamps. A minute's counts are told when it is over: when no
//! record of it is expected any more.

use std::ops::ControlFlow;
use std::time::Duration;

use millstream_sdk::timers::Timer;
use millstream_sdk::toolbox::Windows;
use millstream_sdk::{Fault, Output, Processor, Record, Timed, processor};

struct Minutes {
    counts: Windows<Box<[u8]>, u64>,
}

processor!(Minutes, timed);

impl Processor for Minutes {
    /// Once per instance, before the first batch.
    fn open() -> Result<Self, String> {
        Ok(Self { counts: Windows::tumbling("counts", Duration::from_secs(60))? })
    }

    /// State, timers and outputs of a batch are one commit with the position. Records of a minute that has been told change
    /// nothing.
    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let keyed = || batch.iter().filter_map(|record| Some((record.timestamp(), record.key()?.into())));
        self.counts.load(keyed())?;
        for (time, key) in keyed() {
            *self.counts.at(time, &key) += 1;
        }
        self.counts.flush();
        Ok(Vec::new())
    }
}

impl Timed for Minutes {
    /// When a minute is over.
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::new();
        for timer in due {
            self.counts.fire(timer, |minute, key, count| {
                let value = format!(r#"{{"start":{},"count":{count}}}"#, minute.start);
                outputs.push(Output::new().key(&**key).value(value).timestamp(minute.end - 1));
                ControlFlow::Continue(())
            })?;
        }
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{keyed, move_watermark, process};

    use super::*;

    #[test]
    fn a_minute_is_told_when_it_is_over() {
        let mut minutes = Minutes::open().unwrap();
        process(&mut minutes, &[keyed("a", "x"), keyed("a", "y")]).unwrap();
        assert_eq!(move_watermark(&mut minutes, 59_999).unwrap(), []);
        let told = Output::new().key("a").value(r#"{"start":0,"count":2}"#).timestamp(59_999);
        assert_eq!(move_watermark(&mut minutes, 60_000).unwrap(), [told]);
    }
}
