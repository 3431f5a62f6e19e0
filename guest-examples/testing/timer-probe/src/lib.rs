//! Does with timers what its records say, for tests of the host. A value is one command: `set CLOCK NAME AT`,
//! `in CLOCK NAME MS` (from that clock's present), `cancel CLOCK NAME`, `now`, which emits both presents, or `hand ROUTE KEY COMMAND`, which
//! emits the command there; CLOCK is `event` or `wall`. A timer that fires is told by a record with its name as key and `CLOCK AT` as value. One whose name begins
//! with `trap` panics, with `refuse` it is refused alone, with `later` the whole call asks for time; `again` is set anew for
//! the time that has passed; of `hand` the route `between` is told, with the command `now`.

use millstream_sdk::timers::{self, Clock, Timer};
use millstream_sdk::{Fault, Input, ListProcessor, Output, Timed, processor};

struct TimerProbe;

processor!(TimerProbe, list, timed);

fn clock(name: &str) -> Option<Clock> {
    match name {
        "event" => Some(Clock::EventTime),
        "wall" => Some(Clock::Wall),
        _ => None,
    }
}

fn present(clock: Clock) -> Option<i64> {
    match clock {
        Clock::EventTime => timers::watermark(),
        Clock::Wall => Some(timers::now()),
    }
}

fn command(text: &str) -> Option<Option<Output>> {
    let words: Vec<_> = text.split(' ').collect();
    match words[..] {
        ["now"] => {
            let told = format!("{:?} {}", timers::watermark(), timers::now() > 0);
            return Some(Some(Output::new().value(told)));
        }
        ["hand", route, key, ..] => {
            let rest = words[3..].join(" ");
            return Some(Some(Output::new().topic(route).key(key.to_owned()).value(rest)));
        }
        ["set", of, name, at] => timers::set(clock(of)?, name, at.parse().ok()?),
        ["in", of, name, ms] => {
            let of = clock(of)?;
            timers::set(of, name, present(of).unwrap_or_default() + ms.parse::<i64>().ok()?);
        }
        ["cancel", of, name] => timers::cancel(clock(of)?, name),
        _ => return None,
    }
    Some(None)
}

impl ListProcessor for TimerProbe {
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::new();
        for (index, input) in batch.iter().enumerate() {
            let text = String::from_utf8_lossy(input.value.as_deref().unwrap_or_default());
            let told = command(&text).ok_or_else(|| Fault::at(index, "no command"))?;
            outputs.extend(told.map(|told| told.source(index)));
        }
        Ok(outputs)
    }
}

impl Timed for TimerProbe {
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::with_capacity(due.len());
        for (index, timer) in due.iter().enumerate() {
            let clock = if timer.clock == Clock::Wall { "wall" } else { "event" };
            match timer.name.split(|b| *b == b'-').next() {
                Some(b"trap") => panic!("the timer says so"),
                Some(b"refuse") => return Err(Fault::at(index, "the timer says so")),
                Some(b"later") => return Err(Fault::Retry("the timer says so".into())),
                Some(b"hand") => {
                    outputs.push(Output::new().topic("between").key(timer.name.clone()).value("now"));
                    continue;
                }
                Some(b"again") => timers::set(timer.clock, timer.name.clone(), timer.at),
                _ => {}
            }
            outputs.push(Output::new().key(timer.name.clone()).value(format!("{clock} {}", timer.at)));
        }
        Ok(outputs)
    }
}
