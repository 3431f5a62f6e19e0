//! Passes records on until one whose value contains the word `misbehave`: then it takes memory until there is none.
//! For tests of the server; each poisoned record is to be isolated, every other passed on.

use std::hint::black_box;

use millstream_sdk::{Fault, Input, ListProcessor, Output, processor};

struct MemoryHog;

processor!(MemoryHog, list);

impl ListProcessor for MemoryHog {
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        if batch.iter().any(is_poisoned) {
            hog();
        }
        Ok((0..batch.len()).map(|index| Output::new().source(index)).collect())
    }
}

fn is_poisoned(input: &Input) -> bool {
    let value = input.value.as_deref().unwrap_or_default();
    value.windows(b"misbehave".len()).any(|word| word == b"misbehave")
}

/// Takes and writes a MiB at a time; ends in the allocator, when the host grants no more.
fn hog() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}
