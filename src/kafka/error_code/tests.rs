//! The table as text: a change of it shows in the diff.

use kafka_protocol::ResponseError;

use super::*;

#[test]
fn codes_have_kafkas_numbers_and_stand_in_order() {
    let numbers: Vec<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(numbers, sorted);
    for code in ErrorCode::ALL {
        let oracle = ResponseError::try_from_code(code.code());
        // The oracle calls success nothing, and does not know the newest.
        let Some(error) = oracle.filter(|error| !matches!(error, ResponseError::Unknown(_))) else {
            continue;
        };
        let name = screaming(&format!("{error:?}"));
        assert_eq!(code.name().trim_end_matches("_EXCEPTION"), name.trim_end_matches("_EXCEPTION"));
    }
}

/// `OffsetOutOfRange` → `OFFSET_OUT_OF_RANGE`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}
