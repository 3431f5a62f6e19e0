//! Reads the rows of a pane in the order of their keys.

use crate::toolbox::codec::{Key, Stored, encode};
use crate::toolbox::table::{Entry, Table};

/// A pane's rows, a page at a time.
pub(super) struct Cursor {
    start: Vec<u8>,
    end: Vec<u8>,
    page: Vec<Entry>,
    /// the next one of the page
    at: usize,
    is_last: bool,
}

// === impl Cursor ===

impl Cursor {
    pub(super) fn new(pane: i64, after_key: &[u8]) -> Self {
        let mut start = encode(&pane);
        if !after_key.is_empty() {
            start.extend_from_slice(after_key);
            start.push(0);
        }
        Self { start, end: encode(&pane.saturating_add(1)), page: Vec::new(), at: 0, is_last: false }
    }

    pub(super) fn fill<K: Key, A: Stored>(&mut self, panes: &Table<(i64, K), A>) {
        if self.at < self.page.len() || self.is_last {
            return;
        }
        let (page, is_last) = panes.page(&self.start, Some(&self.end));
        if let Some((last, _)) = page.last() {
            self.start = after(last);
        }
        self.page = page;
        self.at = 0;
        self.is_last = is_last;
    }

    /// The bytes of the next key, without those of the pane.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.page.get(self.at).map(|(key, _)| &key[size_of::<i64>()..])
    }

    /// The row of the next key.
    pub(super) fn take(&mut self) -> &[u8] {
        self.at += 1;
        &self.page[self.at - 1].1
    }
}

/// The first key after this one.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
