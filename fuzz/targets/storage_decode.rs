//! Any bytes for any decoder of stored samples: no panic, bounded memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| augenmass::storage::decode_anything(bytes));
