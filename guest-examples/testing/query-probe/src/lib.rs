//! Counts its records by key, and in two rows that are always written together, and does with a query what its words say:
//! `count KEY`, `pair` (both rows, with other reads in between), `stamp` (which stands in the code, as in `stamp`),
//! `asked` (how many queries this instance was asked before), `watermark`, `echo WORDS`, `fail`, and what is not
//! allowed: `put`, `delete`, `timer`, `cancel`, `panic`, `spin`, `grow`, `large`. For tests of the host.

use std::hint::black_box;

use millstream_sdk::state::Store;
use millstream_sdk::timers::{self, Clock, Timer};
use millstream_sdk::{
    Fault, Input, ListProcessor, Output, Query, QueryError, Timed, config, log, processor, query,
};

/// What to look for in the module.
static STAMP: [u8; 16] = *b"STAMP-0000000000";

struct Counter {
    counts: Store,
}

struct Asked {
    counts: Store,
    queries: u64,
}

processor!(Counter, list, timed);
query!(Asked);

fn number(stored: Option<Vec<u8>>) -> u64 {
    stored.and_then(|n| n.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl ListProcessor for Counter {
    fn open() -> Result<Self, String> {
        Ok(Self { counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        for input in batch {
            let key = [b"key ", input.key.as_deref().unwrap_or_default()].concat();
            for row in [&b"left"[..], b"right", &key] {
                let n = number(self.counts.get(row)) + 1;
                self.counts.put(row, n.to_le_bytes());
            }
        }
        Ok(Vec::new())
    }
}

impl Timed for Counter {
    fn on_timer(&mut self, _: &[Timer]) -> Result<Vec<Output>, Fault> {
        Ok(Vec::new())
    }
}

impl Query for Asked {
    fn open() -> Result<Self, String> {
        log::info!("opened for queries");
        match config::get("refuse") {
            Some(why) => Err(why),
            None => Ok(Self { counts: Store::open("counts"), queries: 0 }),
        }
    }

    fn query(&mut self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        let text =
            std::str::from_utf8(request).map_err(|_| QueryError::BadRequest("it is no text".into()))?;
        let asked = self.queries;
        self.queries += 1;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let answer = match word {
            "count" => match number(self.counts.get(format!("key {rest}"))) {
                0 => return Err(QueryError::NotFound(format!("`{rest}` was never seen"))),
                n => n.to_string(),
            },
            "pair" => self.pair(),
            // The compiler may not know what stands there, for it may be something else.
            "stamp" => String::from_utf8_lossy(black_box(&STAMP)).into_owned(),
            "asked" => asked.to_string(),
            "watermark" => format!("{:?} {}", timers::watermark(), timers::now() > 0),
            "echo" => rest.to_owned(),
            "fail" => return Err(QueryError::Failed("it was told to".into())),
            other => self.misbehave(other)?,
        };
        Ok(answer.into_bytes())
    }
}

impl Asked {
    fn pair(&self) -> String {
        let left = number(self.counts.get("left"));
        // Others commit meanwhile.
        let entries = self.counts.scan(b"", None, 1000).len();
        let many = self.counts.get_many(&["right", "left"]);
        let [right, again] = [0, 1].map(|i| number(many.get(i).cloned().flatten()));
        format!("{left} {right} {again} {}", entries > 0)
    }

    fn misbehave(&self, how: &str) -> Result<String, QueryError> {
        match how {
            "put" => self.counts.put("left", "x"),
            "delete" => self.counts.delete("never there"),
            "timer" => timers::set(Clock::Wall, "t", 0),
            "cancel" => timers::cancel(Clock::Wall, "t"),
            "panic" => panic!("the query says so"),
            "spin" => spin(),
            "grow" => drop(black_box(vec![1_u8; 1 << 30])),
            "large" => return Ok("x".repeat(4 << 20)),
            other => return Err(QueryError::BadRequest(format!("`{other}` is no query"))),
        }
        Ok("done".into())
    }
}

fn spin() {
    let mut n = 0_u64;
    loop {
        n = black_box(n).wrapping_add(1);
    }
}
