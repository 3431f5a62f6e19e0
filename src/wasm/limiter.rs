//! Memory of one instance: the sum over all of its linear memories. Interpreters have up to three.

use wasmtime::ResourceLimiter;

/// Entries of all tables together: an interpreter has some ten thousand functions (a guess with room).
const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Core instances, tables and memories of one component. Python's has some twenty libraries (a guess with room).
const PARTS_MAX: usize = 1_000;

/// Says yes or no to growth, and remembers a no.
#[derive(Debug)]
pub(super) struct Limiter {
    bytes_max: usize,
    bytes: usize,
    table_elements: usize,
    /// bytes that were asked for and refused since the call began
    denied: Option<usize>,
}

impl Limiter {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, table_elements: 0, denied: None }
    }

    /// Bytes of linear memory now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The refused size, forgotten by asking.
    pub(super) fn take_denied(&mut self) -> Option<usize> {
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
            self.denied = Some(total);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_instance_share_the_limit() {
        let mut limiter = Limiter::new(300);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, 250, None).unwrap());
        assert_eq!(limiter.take_denied(), Some(350));
        assert!(limiter.memory_growing(100, 200, None).unwrap());
        assert_eq!((limiter.bytes(), limiter.take_denied()), (300, None));
    }
}
