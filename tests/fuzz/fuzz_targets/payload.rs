//! Compressed records are uncompressed within their limit, or refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    millstream_fuzz::payload(data);
});
