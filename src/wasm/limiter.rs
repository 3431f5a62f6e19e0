//! Memory of one instance: the sum over all of its linear memories. Interpreters have up to three. It is also taken from
//! what all instances of the node may have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wasmtime::ResourceLimiter;

/// Entries of all tables together: an interpreter has some ten thousand functions (a guess with room).
const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Core instances, tables and memories of one component. Python's has some twenty libraries (a guess with room).
const PARTS_MAX: usize = 1_000;

/// Linear memory of all instances of a node.
#[derive(Debug)]
pub(super) struct MemoryPool {
    bytes_max: u64,
    bytes: AtomicU64,
}

/// Says yes or no to growth, and remembers a no.
#[derive(Debug)]
pub(super) struct Limiter {
    pool: Arc<MemoryPool>,
    bytes_max: usize,
    bytes: usize,
    table_elements: usize,
    /// what was refused since the call began
    denied: Option<Denied>,
}

/// Memory that was asked for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// the instance would have so many bytes
    Own(usize),
    /// all instances of the node together would have so many, of at most so many
    Node(u64, u64),
}

impl MemoryPool {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> Result<(), Denied> {
        let grown = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        let taken = self.bytes.fetch_update(Relaxed, Relaxed, grown);
        taken.map(drop).map_err(|now| Denied::Node(now.saturating_add(bytes), self.bytes_max))
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

impl Limiter {
    pub(super) fn new(bytes_max: usize, pool: Arc<MemoryPool>) -> Self {
        Self { pool, bytes_max, bytes: 0, table_elements: 0, denied: None }
    }

    /// Bytes of linear memory now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// What was refused, forgotten by asking.
    pub(super) fn take_denied(&mut self) -> Option<Denied> {
        self.denied.take()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            // Refused by the memory's own declaration; not counted.
            return Ok(true);
        }
        let total = self.bytes.saturating_sub(current).saturating_add(desired);
        if total > self.bytes_max {
            self.denied = Some(Denied::Own(total));
            return Ok(false);
        }
        // A memory never shrinks.
        if let Err(denied) = self.pool.take(desired.saturating_sub(current) as u64) {
            self.denied = Some(denied);
            return Ok(false);
        }
        self.bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            return Ok(true);
        }
        let total = self.table_elements.saturating_sub(current).saturating_add(desired);
        if total > TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_instance_share_the_limit() {
        let mut limiter = Limiter::new(300, Arc::new(MemoryPool::new(u64::MAX)));
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, 250, None).unwrap());
        assert_eq!(limiter.take_denied(), Some(Denied::Own(350)));
        assert!(limiter.memory_growing(100, 200, None).unwrap());
        assert_eq!((limiter.bytes(), limiter.take_denied()), (300, None));
    }

    #[test]
    fn instances_share_the_nodes_memory_and_give_it_back() {
        let pool = Arc::new(MemoryPool::new(500));
        let mut first = Limiter::new(300, pool.clone());
        let mut second = Limiter::new(300, pool.clone());
        assert!(first.memory_growing(0, 300, None).unwrap());
        assert!(!second.memory_growing(0, 250, None).unwrap());
        assert_eq!(second.take_denied(), Some(Denied::Node(550, 500)));
        drop(first);
        assert!(second.memory_growing(0, 250, None).unwrap());
        drop(second);
        assert_eq!(pool.bytes.load(Relaxed), 0);
    }
}
