//! The work of the benches, written once: the same source is compiled into the guests and, natively, into the benches that
//! compare the two. Must know neither the SDK nor the server.

use std::collections::HashMap;

use serde_json::Value;

/// What is done with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// every record as it is
    Identity,
    /// those of a level, about one in two
    Filter,
    /// the value parsed, a field added, written again
    Map,
    /// the count of its key, kept in state
    Count,
}

/// A key, and its new count as text.
pub type Counted<'k> = (&'k [u8], Option<String>);

impl Work {
    /// Every one, with its name as a parameter.
    pub const ALL: [(&'static str, Work); 4] =
        [("identity", Work::Identity), ("filter", Work::Filter), ("map", Work::Map), ("count", Work::Count)];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, work)| *work)
    }
}

/// Does a value say that it is an error?
pub fn passes(value: &[u8]) -> bool {
    let level = br#""level":"error""#;
    value.windows(level.len()).any(|window| window == level)
}

/// A value with a field more; none: it is no JSON object.
pub fn map(value: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(value).ok()?;
    value.as_object_mut()?.insert("seen".to_owned(), Value::Bool(true));
    serde_json::to_vec(&value).ok()
}

/// Counts the records of each key, with one read and one write of state: the new count of each record, and the rows.
pub fn count<'k>(
    keys: &[&'k [u8]],
    get_many: impl FnOnce(&[&'k [u8]]) -> Vec<Option<Vec<u8>>>,
) -> (Vec<u64>, Vec<Counted<'k>>) {
    let mut distinct = keys.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let number = |row: Vec<u8>| std::str::from_utf8(&row).ok().and_then(|text| text.parse().ok());
    let stored = get_many(&distinct).into_iter().map(|row| row.and_then(number).unwrap_or(0));
    let mut counts: HashMap<&[u8], u64> = distinct.iter().copied().zip(stored).collect();
    let mut of_each = Vec::with_capacity(keys.len());
    for key in keys {
        let count = counts.entry(key).or_default();
        *count += 1;
        of_each.push(*count);
    }
    let rows = distinct.into_iter().map(|key| (key, Some(counts[key].to_string()))).collect();
    (of_each, rows)
}
