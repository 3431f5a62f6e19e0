//! Queries of committed state, for readers outside the task. Each call sees one moment: the entries and the positions
//! that it returns are of the same commits. Synchronous and blocking: for [`Storage::on_reader`].

use std::ops::ControlFlow;

use bytes::Bytes;

use super::positions::{self, Positions};
use super::ttl::{self, Expiry};
use super::{TaskId, keys, quota};
use crate::model::limits::SCAN_ENTRIES_MAX;
use crate::model::{Partition, TopicId};
use crate::storage::keys::prefix_end;
use crate::storage::{KeyRange, PinnedState, ReadError, StateView, Storage};

/// Which entries of a store a scan gives. All bounds hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// only keys that begin so
    pub prefix: Bytes,
    /// no keys before this one
    pub from: Option<Bytes>,
    /// this key and those after it are left out
    pub to: Option<Bytes>,
    /// from the last key to the first
    pub reverse: bool,
    /// most entries; at most [`SCAN_ENTRIES_MAX`]
    pub limit: usize,
    /// bytes of keys and values, but at least one entry
    pub bytes_max: usize,
    /// the last key of the page before: goes on after it, in the direction of the scan
    pub after_key: Option<Bytes>,
}

/// A page of entries in the order of the scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// keys with values
    pub entries: Vec<(Bytes, Bytes)>,
    /// there are more after the last one
    pub more: bool,
    /// what the state is made of
    pub positions: Positions,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStats {
    /// its name
    pub name: String,
    /// how many keys
    pub keys: u64,
    /// of keys and values
    pub bytes: u64,
    /// its entries have the times of their writes
    pub timed: bool,
}

/// The value of a key, and the positions that it is made of.
pub fn get(
    storage: &Storage,
    id: TaskId,
    store: &str,
    key: &[u8],
) -> Result<(Option<Bytes>, Positions), ReadError> {
    let reader = storage.state();
    let view = reader.view();
    Ok((view.value(&keys::entry(id, store, key))?, positions_of(&view, id)?))
}

/// Values that belong together, one per key in their order, and the positions that they are made of.
pub type Values = (Vec<Option<Bytes>>, Positions);

/// The values of keys, and the positions of these inputs. `room` is what the values may take in bytes; it shrinks by
/// what they do. `None`: they do not fit.
pub fn get_many<K: AsRef<[u8]>>(
    storage: &Storage,
    id: TaskId,
    store: &str,
    keys: &[K],
    inputs: &[(TopicId, Partition)],
    expiry: Option<Expiry>,
    room: &mut usize,
) -> Result<Option<Values>, ReadError> {
    let reader = storage.state();
    let view = reader.view();
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let stored = view.value(&keys::entry(id, store, key.as_ref()))?;
        let value = stored.and_then(|stored| Some(stored.slice_ref(ttl::seen(expiry, &stored)?)));
        match room.checked_sub(value.as_ref().map_or(0, Bytes::len)) {
            Some(left) => *room = left,
            None => return Ok(None),
        }
        values.push(value);
    }
    Ok(Some((values, positions::of(id, inputs, |key| view.value(key))?)))
}

/// A page of a store.
pub fn scan(
    storage: &Storage,
    id: TaskId,
    store: &str,
    scan: &Scan,
    expiry: Option<Expiry>,
) -> Result<Page, ReadError> {
    let reader = storage.state();
    let view = reader.view();
    let mut page = Page { entries: Vec::new(), more: false, positions: positions_of(&view, id)? };
    let range = range_of(id, store, scan);
    if range.start >= range.end {
        return Ok(page);
    }
    let limit = scan.limit.min(SCAN_ENTRIES_MAX);
    let prefix_len = keys::store(id, store).len();
    let mut bytes = 0;
    view.scan(&range, |key, value| {
        let key = &key[prefix_len..];
        let Some(value) = ttl::seen(expiry, value) else { return ControlFlow::Continue(()) };
        bytes += key.len() + value.len();
        if page.entries.len() >= limit || (bytes > scan.bytes_max && !page.entries.is_empty()) {
            page.more = true;
            return ControlFlow::Break(());
        }
        page.entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// Keys of a store that have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// in their order
    pub keys: Vec<Bytes>,
    /// the last key that was looked at; `None`: there are no more
    pub next: Option<Bytes>,
}

/// Looks at `rows_max` entries of a store, those behind a key.
pub fn expired(
    storage: &Storage,
    id: TaskId,
    store: &str,
    after: Option<&[u8]>,
    expiry: Expiry,
    rows_max: usize,
) -> Result<Expired, ReadError> {
    let prefix = keys::store(id, store);
    let mut start = keys::entry(id, store, after.unwrap_or_default());
    if after.is_some_and(|key| !key.is_empty()) {
        // The least key after it.
        start.push(0);
    }
    let range = KeyRange { start, end: prefix_end(&prefix), reverse: false };
    let (mut found, mut rows) = (Expired { keys: Vec::new(), next: None }, 0);
    storage.state().scan(&range, |key, stored| {
        let key = Bytes::copy_from_slice(&key[prefix.len()..]);
        rows += 1;
        if ttl::seen(Some(expiry), stored).is_none() {
            found.keys.push(key.clone());
        }
        if rows >= rows_max {
            found.next = Some(key);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The rows of a scan: the narrowest of its bounds.
fn range_of(id: TaskId, store: &str, scan: &Scan) -> KeyRange {
    let row = |key: &Bytes| keys::entry(id, store, key);
    let prefix = row(&scan.prefix);
    let mut end = prefix_end(&prefix).min(prefix_end(&keys::store(id, store)));
    let mut start = prefix;
    if let Some(from) = &scan.from {
        start = start.max(row(from));
    }
    if let Some(to) = &scan.to {
        end = end.min(row(to));
    }
    if let Some(after) = &scan.after_key {
        if scan.reverse {
            end = end.min(row(after));
        } else {
            // The least key after it.
            let mut next = row(after);
            next.push(0);
            start = start.max(next);
        }
    }
    KeyRange { start, end, reverse: scan.reverse }
}

/// The stores of a task, in the order of their names.
pub fn stores(storage: &Storage, id: TaskId) -> Result<Vec<StoreStats>, ReadError> {
    let reader = storage.state();
    let view = reader.view();
    let stores = quota::load(id, |range, visit| view.scan(range, visit))?;
    let stats = |(name, usage): (Box<str>, quota::Usage)| StoreStats {
        name: name.into(),
        keys: usage.keys,
        bytes: usage.bytes,
        timed: usage.timed,
    };
    Ok(stores.into_iter().map(stats).collect())
}

/// The positions of these inputs at the pinned moment.
pub fn positions(
    pinned: &PinnedState,
    id: TaskId,
    inputs: &[(TopicId, Partition)],
) -> Result<Positions, ReadError> {
    positions::of(id, inputs, |key| pinned.value(key))
}

fn positions_of(view: &StateView<'_>, id: TaskId) -> Result<Positions, ReadError> {
    positions::read(id, |range, visit| view.scan(range, visit))
}
