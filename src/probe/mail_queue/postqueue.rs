//! The lines that `postqueue -j` prints (Postfix ≥ 3.1): one JSON object for each message and no
//! enclosing array. Releases before December 2023 print broken JSON for some control
//! characters, and a message to a mailing list may have a line of megabytes; so a line is scanned
//! for its three fields instead of being parsed, and a line that lacks one is counted, not fatal.

use memchr::{memchr, memchr2};

use super::tally::{Entry, Short, Tally};

/// Reads the output piece by piece. Keeps nothing but sums and a few dozen bytes, however long
/// a line; what comes after the wanted fields (sender, recipients, reasons) is skipped unread.
#[derive(Debug, Default)]
pub struct PostqueueReader {
    tally: Tally,
    entry: Entry,
    key: Short,
    state: State,
    /// How many objects and arrays are open.
    depth: u32,
    /// The line has something other than white space on it.
    begun: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between values; the next string at depth 1 is a name.
    #[default]
    Name,
    /// Inside a name at depth 1.
    InName,
    /// After a name, up to its value.
    Colon,
    /// Inside a string that is a value at depth 1.
    InText,
    /// Inside a number, `true`, `false` or `null` at depth 1.
    InWord,
    /// Deeper than we look.
    Deep,
    /// Inside a string deeper than we look.
    InDeepText,
    /// The byte after a backslash, in `InName`, `InText` or `InDeepText`.
    Escape(Inside),
    /// All that is wanted has been read: up to the end of the line.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Name,
    Text,
    Deep,
}

impl PostqueueReader {
    /// Takes the next piece of the output, of any length.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(&byte) = piece.first() {
            let skip = match self.state {
                State::Rest => memchr(b'\n', piece).unwrap_or(piece.len()),
                State::InDeepText => run_of_text(piece),
                _ => 0,
            };
            if skip > 0 {
                piece = &piece[skip..];
                continue;
            }
            if byte == b'\n' {
                self.end_line();
            } else {
                self.step(byte);
            }
            piece = &piece[1..];
        }
    }

    /// The sums. A last line without its line feed counts too (the caller knows from the exit
    /// code whether the listing was complete).
    pub fn finish(mut self) -> Tally {
        self.end_line();
        self.tally
    }

    fn end_line(&mut self) {
        if self.begun {
            self.tally.count(&self.entry);
        }
        let tally = std::mem::take(&mut self.tally);
        *self = Self { tally, ..Self::default() };
    }

    fn step(&mut self, byte: u8) {
        self.begun |= !byte.is_ascii_whitespace();
        match self.state {
            State::Name => match byte {
                b'"' if self.depth == 1 => {
                    self.key.clear();
                    self.state = State::InName;
                }
                b'{' => self.depth += 1,
                _ => {}
            },
            State::InName => match byte {
                b'"' => self.state = State::Colon,
                b'\\' => self.state = State::Escape(Inside::Name),
                _ => self.key.push(&[byte]),
            },
            State::Colon => self.begin_value(byte),
            State::InText => match byte {
                b'"' => self.end_value(),
                b'\\' => self.state = State::Escape(Inside::Text),
                _ => self.keep(byte),
            },
            State::InWord => match byte {
                b',' | b'}' | b' ' | b'\t' | b'\r' => self.end_value(),
                _ => self.keep(byte),
            },
            State::Deep => match byte {
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth <= 1 {
                        self.state = State::Name;
                    }
                }
                b'"' => self.state = State::InDeepText,
                _ => {}
            },
            State::InDeepText => match byte {
                b'"' => self.state = State::Deep,
                b'\\' => self.state = State::Escape(Inside::Deep),
                _ => {}
            },
            State::Escape(inside) => {
                // Queue names and numbers have no escapes: what is kept then matches nothing.
                match inside {
                    Inside::Name => self.key.push(b"\\"),
                    Inside::Text => self.keep(b'\\'),
                    Inside::Deep => {}
                }
                self.state = match inside {
                    Inside::Name => State::InName,
                    Inside::Text => State::InText,
                    Inside::Deep => State::InDeepText,
                };
            }
            State::Rest => {}
        }
    }

    fn begin_value(&mut self, byte: u8) {
        match byte {
            b':' | b' ' | b'\t' => {}
            b'"' => self.state = State::InText,
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.state = State::Deep;
            }
            _ => {
                self.state = State::InWord;
                self.keep(byte);
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        let field = match self.key.text() {
            b"queue_name" => &mut self.entry.queue,
            b"arrival_time" => &mut self.entry.arrival,
            b"message_size" => &mut self.entry.size,
            _ => return,
        };
        field.push(&[byte]);
    }

    fn end_value(&mut self) {
        self.state = if self.entry.is_complete() { State::Rest } else { State::Name };
    }
}

/// How many bytes of a string can be skipped at once.
fn run_of_text(piece: &[u8]) -> usize {
    let quote = memchr2(b'"', b'\\', piece).unwrap_or(piece.len());
    memchr(b'\n', &piece[..quote]).unwrap_or(quote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::mail_queue::tally::Queue;
    use proptest::prelude::*;

    /// Postfix 3.7.11 printed the first (with the addresses of documentation).
    const OUTPUT: &str = concat!(
        r#"{"queue_name": "deferred", "queue_id": "CAF1F2BA", "arrival_time": 1795336080, "message_size": 254, "forced_expire": false, "sender": "alice@example.org", "recipients": [{"address": "carol@example.com", "delay_reason": "connect to mx: Connection timed out"}, {"address": "bob@example.net", "delay_reason": "x"}]}"#,
        "\n",
        r#"{"queue_name": "hold", "queue_id": "D040D2C4", "arrival_time": 1795336083, "message_size": 252, "forced_expire": false, "sender": "eve@example.org", "recipients": [{"address": "frank@example.net"}]}"#,
        "\n",
    );

    fn read(output: &[u8]) -> Tally {
        let mut reader = PostqueueReader::default();
        reader.push(output);
        reader.finish()
    }

    #[test]
    fn real_lines() {
        let tally = read(OUTPUT.as_bytes());
        let deferred = tally.waiting(Queue::Deferred);
        assert_eq!(
            (deferred.messages, deferred.bytes, deferred.oldest),
            (1, 254, Some(1_795_336_080))
        );
        assert_eq!(tally.waiting(Queue::Hold).bytes, 252);
        assert_eq!((tally.messages(), tally.unreadable), (2, 0));
        assert_eq!(read(b""), Tally::default());
    }

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let turned = br#"{"recipients": [{"address": "a \"} ] {@example.org", "x": {"queue_name": "active"}}], "sender": "queue_name", "message_size": 5,"arrival_time":7,"queue_name":"hold"}"#;
        let tally = read(turned);
        let hold = tally.waiting(Queue::Hold);
        assert_eq!((hold.messages, hold.bytes, hold.oldest), (1, 5, Some(7)));
        assert_eq!((tally.messages(), tally.unreadable), (1, 0));
    }

    #[test]
    fn a_broken_line_is_counted_and_the_next_is_read() {
        let broken = format!("{{\"queue_name\": \"hold\", \"sender\": \"a\n[]\nnull\n\n{OUTPUT}");
        let tally = read(broken.as_bytes());
        assert_eq!((tally.unreadable, tally.messages()), (3, 2));
    }

    #[test]
    fn broken_escapes_after_the_fields_do_no_harm() {
        let line = br#"{"queue_name": "active", "queue_id": "A", "arrival_time": 1, "message_size": 2, "sender": "x\u001", "recipients": [{"address": "y\"}]}"#;
        assert_eq!(read(line).waiting(Queue::Active).messages, 1);
    }

    #[test]
    fn no_address_is_kept_anywhere() {
        let mut reader = PostqueueReader::default();
        for piece in OUTPUT.as_bytes().chunks(7) {
            reader.push(piece);
            let seen = format!("{reader:?}");
            for name in ["alice", "bob", "carol", "eve", "frank"] {
                let as_numbers = name.bytes().map(|b| b.to_string()).collect::<Vec<_>>();
                assert!(!seen.contains(&as_numbers.join(", ")), "{name} in {seen}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(1usize..60, 0..30)) {
            let (mut reader, mut rest) = (PostqueueReader::default(), OUTPUT.as_bytes());
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                reader.push(piece);
                rest = tail;
            }
            reader.push(rest);
            prop_assert_eq!(reader.finish(), read(OUTPUT.as_bytes()));
        }

        #[test]
        fn it_agrees_with_a_json_parser(
            queue in 0usize..5, at in 0i64..4_000_000_000, size in 0u64..1 << 40,
            sender in "\\PC{0,40}", reason in "[\\x00-\\x7f]{0,60}", first: bool,
        ) {
            let recipients = serde_json::json!([{"address": sender, "delay_reason": reason}]);
            let name = Queue::ALL[queue].name();
            let line = if first {
                format!(r#"{{"recipients":{recipients},"queue_name":"{name}","arrival_time":{at},"message_size":{size}}}"#)
            } else {
                format!(r#"{{"queue_name":"{name}","arrival_time": {at} ,"message_size": {size}, "recipients":{recipients}}}"#)
            };
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
            let tally = read(line.as_bytes());
            let waiting = tally.waiting(Queue::ALL[queue]);
            prop_assert_eq!((waiting.messages, waiting.bytes, waiting.oldest), (1, size, Some(at)));
            prop_assert_eq!(tally.unreadable, 0);
        }

        #[test]
        fn nothing_makes_it_panic(output in r#"[{}\[\]":,\\a0\n ]{0,200}"#) {
            let lines = output.lines().filter(|line| !line.trim().is_empty()).count() as u64;
            let tally = read(output.as_bytes());
            prop_assert_eq!(tally.messages() + tally.unreadable, lines);
        }
    }
}
