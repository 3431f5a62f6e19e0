//! Refuses empty records, drops heartbeats, and puts the rest into upper case.

use millstream_sdk::{Output, Record, Verdict, transform};

transform!(upper);

fn upper(record: &Record<'_>) -> Verdict {
    match record.text() {
        None => Verdict::Keep, // a tombstone, or not text
        Some("") => Verdict::Reject("the value is empty".into()),
        Some("heartbeat") => Verdict::Drop,
        Some(text) => Verdict::Emit(Output::new().value(text.to_uppercase())),
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{input, judge};

    use super::*;

    #[test]
    fn text_comes_out_in_upper_case() {
        assert_eq!(judge(upper, input("hello")), Verdict::Emit(Output::new().value("HELLO")));
        assert_eq!(judge(upper, input("heartbeat")), Verdict::Drop);
        assert_eq!(judge(upper, input("")), Verdict::Reject("the value is empty".into()));
    }
}
