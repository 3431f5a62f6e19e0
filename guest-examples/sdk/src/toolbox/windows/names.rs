//! The names of the windows' timers: what each is for, and of which window.

use crate::toolbox::codec::Stored;

/// What a timer of windows is for; the first byte of its name after the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// a window's result is due
    Result = 1,
    /// a pane is not needed any more
    Delete = 2,
    /// the same as for a result, from the key on that is in [`row_of_key`]
    Rest = 3,
}

/// The row for a key that is too long for a timer's name, behind the rows of all panes.
pub(super) fn row_of_key(end: i64) -> Vec<u8> {
    let mut row = vec![u8::MAX; 8];
    end.put(&mut row);
    row
}

/// The name of a timer: store, purpose, end, and the key after which to go on.
pub(super) fn timer(store: &str, purpose: Purpose, end: i64, after: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(store.len() + 10 + after.len());
    name.push(store.len() as u8);
    name.extend_from_slice(store.as_bytes());
    name.push(purpose as u8);
    end.put(&mut name);
    name.extend_from_slice(after);
    name
}

pub(super) fn parse<'a>(store: &str, name: &'a [u8]) -> Option<(Purpose, i64, &'a [u8])> {
    let (length, rest) = name.split_first()?;
    let (owner, rest) = rest.split_at_checked(usize::from(*length))?;
    let (purpose, mut rest) = rest.split_first()?;
    let purpose = match purpose {
        1 => Purpose::Result,
        2 => Purpose::Delete,
        3 => Purpose::Rest,
        _ => return None,
    };
    let end = i64::take(&mut rest)?;
    (owner == store.as_bytes()).then_some((purpose, end, rest))
}
