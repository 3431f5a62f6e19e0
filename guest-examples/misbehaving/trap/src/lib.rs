//! Passes records on until one whose value contains the word `misbehave`: then it panics; with the key `unreachable` it runs into that instruction instead.
//! For tests of the server; each poisoned record is to be isolated, every other passed on.

use millstream_sdk::{Fault, Input, ListProcessor, Output, processor};

struct Trap;

processor!(Trap, list);

impl ListProcessor for Trap {
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        for input in batch {
            if is_poisoned(input) && input.key.as_deref() == Some(b"unreachable") {
                unreachable_instruction();
            }
            assert!(!is_poisoned(input), "record {} told the code to misbehave", input.offset);
        }
        Ok((0..batch.len()).map(|index| Output::new().source(index)).collect())
    }
}

fn is_poisoned(input: &Input) -> bool {
    let value = input.value.as_deref().unwrap_or_default();
    value.windows(b"misbehave".len()).any(|word| word == b"misbehave")
}

/// A trap without a message. Natively there is no such instruction, a panic stands in.
fn unreachable_instruction() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("unreachable instruction");
}
