//! Counts records per key in windows of event time, `window` long (default 1s), and emits `start=count` when the watermark has
//! passed a window's end. A record whose window is over is told as `start late`. For tests of timers: a window that is
//! told twice, or not at all, is seen in the outputs.

use millstream_sdk::state::Store;
use millstream_sdk::timers::{self, Clock, Timer};
use millstream_sdk::{Fault, Output, Processor, Record, Timed, config, processor};

struct TumblingCount {
    window: i64,
    counts: Store,
}

processor!(TumblingCount, timed);

impl Processor for TumblingCount {
    fn open() -> Result<Self, String> {
        let window = config::duration("window")?.map_or(1_000, |window| window.as_millis() as i64);
        Ok(Self { window: window.max(1), counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let over = timers::watermark();
        let mut outputs = Vec::new();
        for record in batch {
            let start = record.timestamp().div_euclid(self.window) * self.window;
            let end = start + self.window;
            if over.is_some_and(|over| end <= over) {
                outputs.push(Output::new().source(record.index()).value(format!("{start} late")));
                continue;
            }
            let name = [&start.to_be_bytes(), record.key().unwrap_or_default()].concat();
            let count = self.counts.get(&name).and_then(|n| n.try_into().ok()).map_or(0, u64::from_le_bytes);
            if count == 0 {
                timers::set(Clock::EventTime, &name, end);
            }
            self.counts.put(&name, (count + 1).to_le_bytes());
        }
        Ok(outputs)
    }
}

impl Timed for TumblingCount {
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::with_capacity(due.len());
        for timer in due {
            let (start, key) =
                timer.name.split_first_chunk().ok_or(Fault::Fatal("a name of another version".into()))?;
            let count =
                self.counts.get(&timer.name).and_then(|n| n.try_into().ok()).map_or(0, u64::from_le_bytes);
            self.counts.delete(&timer.name);
            let value = format!("{}={count}", i64::from_be_bytes(*start));
            outputs.push(Output::new().key(key).value(value).timestamp(timer.at - 1));
        }
        Ok(outputs)
    }
}
