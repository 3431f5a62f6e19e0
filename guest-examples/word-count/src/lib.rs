//! Counts words: one row per word in the store `counts`, one output per occurrence with the new count.

use std::collections::HashMap;

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, processor};

/// Longer runs of letters are no words and would not fit a state key (4096 bytes); they are passed over.
const WORD_BYTES_MAX: usize = 1024;

struct WordCount {
    /// word → count as decimal text, so that a query shows it as a JSON number
    counts: Store,
}

processor!(WordCount);

impl Processor for WordCount {
    fn open() -> Result<Self, String> {
        Ok(Self { counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let occurrences: Vec<(usize, String)> = batch
            .iter()
            .enumerate()
            .flat_map(|(index, input)| words(input).into_iter().map(move |word| (index, word)))
            .collect();
        // One read and one write of state per batch, whatever its number of words.
        let mut distinct: Vec<&str> = occurrences.iter().map(|(_, word)| word.as_str()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let mut counts: HashMap<&str, u64> = HashMap::with_capacity(distinct.len());
        for (&word, stored) in distinct.iter().zip(self.counts.get_many(&distinct)) {
            counts.insert(word, stored.map_or(Ok(0), |text| count(word, &text))?);
        }

        let mut outputs = Vec::with_capacity(occurrences.len());
        for (index, word) in &occurrences {
            let count = counts.entry(word).or_default();
            *count += 1;
            outputs.push(Output::new().source(*index).key(word.as_str()).value(count.to_string()));
        }
        let changes: Vec<_> = distinct.iter().map(|&word| (word, Some(counts[word].to_string()))).collect();
        self.counts.put_many(&changes);
        Ok(outputs)
    }
}

/// The words of a value in lower case, in their order.
fn words(input: &Record<'_>) -> Vec<String> {
    let text = String::from_utf8_lossy(input.value().unwrap_or_default());
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts.filter(|part| (1..=WORD_BYTES_MAX).contains(&part.len())).map(str::to_lowercase).collect()
}

fn count(word: &str, stored: &[u8]) -> Result<u64, Fault> {
    let number = std::str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Fault::Fatal(format!("store `counts`: the row of `{word}` is no number")))
}

#[cfg(test)]
mod tests {
    use millstream_sdk::Input;
    use millstream_sdk::testing::{input, process, state_calls, store};

    use super::*;

    #[test]
    fn every_occurrence_is_an_output_with_the_new_count() {
        let mut counter = WordCount::open().expect("opens");
        process(&mut counter, &[input("Über: ONE")]).expect("no fault");
        let outputs = process(&mut counter, &[input("one, two"), Input::default(), input("TWO über")])
            .expect("no fault");
        let output =
            |source: usize, word: &str, count: &str| Output::new().source(source).key(word).value(count);
        let expected =
            [output(0, "one", "2"), output(0, "two", "1"), output(2, "two", "2"), output(2, "über", "2")];
        assert_eq!(outputs, expected);
        assert_eq!(store("counts")[b"two".as_slice()], b"2");
        assert_eq!(state_calls(), 4);
    }

    #[test]
    fn endless_words_are_passed_over() {
        let mut counter = WordCount::open().expect("opens");
        assert_eq!(process(&mut counter, &[input("x".repeat(5000))]), Ok(Vec::new()));
    }
}
