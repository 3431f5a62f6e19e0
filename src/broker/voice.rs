//! The lines of an instance that serves all partitions: they go to the log of the one that it is at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::inline::Sinks;
use crate::model::Partition;
use crate::wasm::{LogLevel, LogSink};

/// Of one instance.
pub(crate) struct Voice {
    log: Arc<Sinks>,
    partition: AtomicU32,
}

impl Voice {
    /// At first it is at this partition.
    pub(crate) fn new(log: Arc<Sinks>, partition: Partition) -> Self {
        Self { log, partition: AtomicU32::new(partition) }
    }

    /// From now on it is at this one.
    pub(crate) fn speak_for(&self, partition: Partition) {
        self.partition.store(partition, Ordering::Relaxed);
    }
}

impl LogSink for Voice {
    fn write(&self, level: LogLevel, text: String) {
        (self.log)(self.partition.load(Ordering::Relaxed)).write(level, text);
    }
}
