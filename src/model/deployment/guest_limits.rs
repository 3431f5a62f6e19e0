//! `limits` of a spec: the bounds of its code's calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::duration;
use crate::model::limits::{
    BATCH_RECORDS_DEFAULT, GUEST_CPU_DEFAULT, GUEST_INSTANCES_DEFAULT, GUEST_MEMORY_DEFAULT,
    GUEST_OUTPUT_BYTES_DEFAULT, GUEST_OUTPUT_RECORDS_DEFAULT, GUEST_WALL_DEFAULT, LOG_LINES_DEFAULT,
};

/// `limits.batch` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchLimits {
    /// records handed to the code in one call
    pub records: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { records: BATCH_RECORDS_DEFAULT }
    }
}

/// `limits.output` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputLimits {
    /// bytes of one call's outputs
    #[serde(with = "duration::bytes")]
    pub bytes: u64,
    /// outputs of one call
    pub records: usize,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self { bytes: GUEST_OUTPUT_BYTES_DEFAULT as u64, records: GUEST_OUTPUT_RECORDS_DEFAULT }
    }
}

/// `limits` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestLimits {
    /// linear memory of an instance
    #[serde(with = "duration::bytes")]
    pub memory: u64,
    /// CPU time of one call, host calls excluded
    #[serde(with = "duration::text")]
    pub cpu: Duration,
    /// wall time of one call, host calls included
    #[serde(with = "duration::text")]
    pub wall: Duration,
    /// instances alive at once; more partitions take turns
    pub instances: u32,
    /// lines in one second, of all its instances together
    pub log_lines: u32,
    /// what goes in
    pub batch: BatchLimits,
    /// what comes out
    pub output: OutputLimits,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory: GUEST_MEMORY_DEFAULT as u64,
            cpu: GUEST_CPU_DEFAULT,
            wall: GUEST_WALL_DEFAULT,
            instances: GUEST_INSTANCES_DEFAULT,
            log_lines: LOG_LINES_DEFAULT,
            batch: BatchLimits::default(),
            output: OutputLimits::default(),
        }
    }
}
