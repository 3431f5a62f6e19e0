//! Counts: every poll emits the next `batch` numbers (default 1) up to `until`, and its cursor is the number after them.
//! Every third number has no key. For tests of the server it misbehaves where its parameters say so, each the first number
//! that a poll would emit: `retry` asks for time, `fatal` gives up, `panic` traps, `loop` never returns.

use millstream_sdk::{Fault, Output, Polled, Source, config, source};

struct Ticker {
    batch: u64,
    until: u64,
    more: bool,
    retry: Option<u64>,
    fatal: Option<u64>,
    panic: Option<u64>,
    endless: Option<u64>,
}

source!(Ticker);

impl Source for Ticker {
    fn open() -> Result<Self, String> {
        Ok(Self {
            batch: config::parse_or("batch", 1)?,
            until: config::parse_or("until", u64::MAX)?,
            more: config::parse_or("more", false)?,
            retry: config::parse("retry")?,
            fatal: config::parse("fatal")?,
            panic: config::parse("panic")?,
            endless: config::parse("loop")?,
        })
    }

    fn poll(&mut self, cursor: Option<&[u8]>) -> Result<Polled, Fault> {
        let from = number(cursor)?;
        let here = Some(from);
        if self.retry == here {
            return Err(Fault::Retry(format!("{from} is not ready")));
        }
        if self.fatal == here {
            return Err(Fault::Fatal(format!("{from} will never be ready")));
        }
        assert!(self.panic != here, "{from} told the code to misbehave");
        while self.endless == here {
            std::hint::black_box(here);
        }
        let to = from.saturating_add(self.batch).min(self.until.max(from));
        let outputs = (from..to).map(|n| match n % 3 {
            0 => Output::new().value(n.to_string()),
            _ => Output::new().key(format!("k{n}")).value(n.to_string()),
        });
        Ok(Polled { outputs: outputs.collect(), cursor: Some(to.to_string().into_bytes()), more: self.more })
    }
}

fn number(cursor: Option<&[u8]>) -> Result<u64, Fault> {
    let Some(cursor) = cursor else { return Ok(0) };
    let text = String::from_utf8_lossy(cursor);
    text.parse().map_err(|e| Fault::Fatal(format!("the cursor `{text}` is no number: {e}")))
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{poll_until_idle, set_param};

    use super::*;

    #[test]
    fn it_goes_on_where_its_cursor_stands() {
        for (name, value) in [("batch", "2"), ("until", "5"), ("more", "true")] {
            set_param(name, value);
        }
        let mut ticker = Ticker::open().expect("opens");
        let (outputs, cursor) = poll_until_idle(&mut ticker, Some(b"1")).expect("no fault");
        assert_eq!((outputs.len(), cursor.as_deref()), (4, Some(&b"5"[..])));
        assert_eq!(outputs[0], Output::new().key("k1").value("1"));
        assert_eq!(ticker.poll(Some(b"x")).map_err(|e| matches!(e, Fault::Fatal(_))), Err(true));
    }
}
