//! A record batch is stored as it can be read, or refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    millstream_fuzz::batch(data);
});
