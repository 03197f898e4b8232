//! Any datagram as an SNMP message (BER), read as a device's answer is read: no panic, bounded, and a
//! message that was read can be shown.
#![no_main]

use async_snmp::DecodeConfig;
use async_snmp::message::Message;

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| {
    let datagram = bytes::Bytes::copy_from_slice(datagram);
    if let Ok(read) = Message::decode(datagram, DecodeConfig::default()) {
        let _ = format!("{:?}", read.value);
    }
});
