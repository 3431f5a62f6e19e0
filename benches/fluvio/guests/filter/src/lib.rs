//! The filter of the benches as a SmartModule; the work is that of our own guests.

#[path = "../../../../../guest-examples/common/src/work.rs"]
#[allow(dead_code, reason = "the other guests use the rest")]
mod work;

use fluvio_smartmodule::{Result, SmartModuleRecord, smartmodule};

#[smartmodule(filter)]
pub fn filter(record: &SmartModuleRecord) -> Result<bool> {
    Ok(work::passes(record.value.as_ref()))
}
