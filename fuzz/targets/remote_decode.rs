//! Any bytes for any decoder of remote write, received or queued: no panic, bounded memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| augenmass::remote::decode_anything(bytes));
