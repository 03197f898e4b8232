//! Every decoder of this room behind one door, for fuzzing.

use super::proto::{Protocol, histogram};
use super::{receive, send};

/// Gives foreign bytes to the decoder that the first byte chooses. None may panic, or take memory
/// beyond a small multiple of what it is given.
#[doc(hidden)]
pub fn decode_anything(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice % 5 {
        0 => receive::decode_anything(Protocol::One, rest),
        1 => receive::decode_anything(Protocol::Two, rest),
        2 => drop(histogram::decode(rest)),
        3 => send::decode_anything(rest),
        _ => {
            let _ = Protocol::from_content_type(&String::from_utf8_lossy(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_decoder_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            decode_anything(&bytes);
        }

        /// Bytes that look like fields of the protocol are the harder case.
        #[test]
        fn nearly_messages_never_panic(
            choice in 0u8..4,
            fields in proptest::collection::vec(
                (1u8..8, 0u8..3, proptest::collection::vec(any::<u8>(), 0..20)), 0..12),
        ) {
            let mut bytes = vec![choice];
            for (field, wire, body) in fields {
                bytes.push(field << 3 | wire);
                if wire == 2 {
                    bytes.push(body.len() as u8);
                }
                bytes.extend(body);
            }
            decode_anything(&bytes);
        }
    }
}
