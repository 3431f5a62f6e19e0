//! Puts a stamp in front of each value. The stamp stands in the code: whoever overwrites it in the module's bytes has another
//! version, of which it can be seen what it has processed. For tests of upgrades.

use millstream_sdk::{Output, Record, Verdict, transform};

/// What to look for in the module.
static STAMP: [u8; 16] = *b"STAMP-0000000000";

transform!(stamp);

fn stamp(record: &Record<'_>) -> Verdict {
    // The compiler may not know what stands there, for it may be something else.
    let stamp = core::hint::black_box(&STAMP);
    let value = record.value().unwrap_or_default();
    Verdict::Emit(Output::new().value([&stamp[..], b":", value].concat()))
}
