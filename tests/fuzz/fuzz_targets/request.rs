//! A frame becomes a request or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    millstream_fuzz::request(data);
});
