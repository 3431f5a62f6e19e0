//! Made-up clicks in the shape of MovieLens-100K: 943 users, 1682 items of very unequal popularity, and no user meets an
//! item twice. The same seed gives the same clicks.

use std::collections::HashSet;

const USERS: u64 = 943;
const ITEMS: u64 = 1682;

/// xorshift64*
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Endless clicks.
pub(crate) struct Clicks {
    random: Random,
    seen: HashSet<(u64, u64)>,
    number: u64,
}

pub(crate) struct Click {
    pub(crate) user: u64,
    pub(crate) item: u64,
    pub(crate) number: u64,
}

impl Clicks {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random(seed | 1), seen: HashSet::new(), number: 0 }
    }

    pub(crate) fn next(&mut self) -> Click {
        loop {
            // Squares and cubes of even numbers: few users and items take most of the clicks.
            let user = (self.random.unit().powi(2) * USERS as f64) as u64 + 1;
            let item = (self.random.unit().powi(3) * ITEMS as f64) as u64 + 1;
            if self.seen.insert((user, item)) {
                self.number += 1;
                return Click { user, item, number: self.number };
            }
        }
    }
}

impl Click {
    /// The record of a JSON body or of an NDJSON line.
    pub(crate) fn record(&self) -> String {
        let Self { user, item, number } = self;
        format!(
            r#"{{"key":"user-{user}","value":{{"user":"user-{user}","item":{item},"type":"click","amount":{},"session":"s-{number:08}","referrer":"https://shop.example/list"}}}}"#,
            number % 100
        )
    }
}

/// `count` clicks as an NDJSON body.
pub(crate) fn lines(clicks: &mut Clicks, count: usize) -> Vec<u8> {
    let mut body = String::with_capacity(count * 180);
    for _ in 0..count {
        body.push_str(&clicks.next().record());
        body.push('\n');
    }
    body.into_bytes()
}
