//! Any bytes as what Postfix says about its queue, over the socket and from `postqueue -j`, in pieces
//! of any length: no panic, bounded, and the pieces do not matter.
#![no_main]

use augenmass::probe::mail_queue::{PostqueueReader, ShowqReader};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let pieces = || bytes.chunks(usize::from(size) + 1);
    let mut whole = ShowqReader::default();
    let whole = whole.push(bytes).and_then(|()| whole.finish());
    let mut parts = ShowqReader::default();
    let parts = pieces().try_for_each(|piece| parts.push(piece)).and_then(|()| parts.finish());
    assert_eq!(whole.is_ok(), parts.is_ok());
    if let (Ok(whole), Ok(parts)) = (&whole, &parts) {
        assert_eq!(whole, parts);
    }
    let mut whole = PostqueueReader::default();
    whole.push(bytes);
    let mut parts = PostqueueReader::default();
    pieces().for_each(|piece| parts.push(piece));
    assert_eq!(whole.finish(), parts.finish());
});
