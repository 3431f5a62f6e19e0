//! Keyed memory of a processor, per deployment and task. Changes commit with the outputs of the batch, or not at all;
//! a read sees the writes before it in the same batch. Transforms have no state.

#[cfg(target_arch = "wasm32")]
use crate::bindings::list::millstream::functions::state as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::state as host;

/// A named store. Keys are ordered bytewise. Open it once, in [`Processor::open`](crate::Processor::open).
///
/// Every call crosses to the host: where a batch touches many keys, [`get_many`](Self::get_many) and
/// [`put_many`](Self::put_many) once per batch are the fast way.
#[derive(Debug)]
pub struct Store {
    host: host::Store,
}

impl Store {
    /// Opens a store; it comes into being with its first entry. The name is 1 to 64 characters of `a-z`, `A-Z`, `0-9`,
    /// `.`, `_` and `-`; any other traps.
    pub fn open(name: &str) -> Self {
        Self { host: host::Store::new(name) }
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.host.get(key.as_ref())
    }

    /// Sets the value of a key.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.host.put(key.as_ref(), value.as_ref());
    }

    /// Forgets a key.
    pub fn delete(&self, key: impl AsRef<[u8]>) {
        self.host.delete(key.as_ref());
    }

    /// The values of many keys, in order.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Option<Vec<u8>>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        self.host.get_many(&keys)
    }

    /// Sets the values of many keys; none deletes.
    pub fn put_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, entries: &[(K, Option<V>)]) {
        if entries.is_empty() {
            return;
        }
        let mut borrowed: Vec<(&[u8], Option<&[u8]>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            borrowed.push((key.as_ref(), value.as_ref().map(AsRef::as_ref)));
        }
        self.host.put_many(&borrowed);
    }

    /// At most `limit` entries of `start..end` in key order; no end: to the last key.
    pub fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.host.scan(start, end, limit)
    }
}
