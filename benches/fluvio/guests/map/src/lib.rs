//! The JSON map of the benches as a SmartModule; the work is that of our own guests.

#[path = "../../../../../guest-examples/common/src/work.rs"]
#[allow(dead_code, reason = "the other guests use the rest")]
mod work;

use fluvio_smartmodule::{RecordData, Result, SmartModuleRecord, eyre, smartmodule};

#[smartmodule(map)]
pub fn map(record: &SmartModuleRecord) -> Result<(Option<RecordData>, RecordData)> {
    let value = work::map(record.value.as_ref()).ok_or_else(|| eyre!("the value is no JSON object"))?;
    Ok((record.key.clone(), value.into()))
}
