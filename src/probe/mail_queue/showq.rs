//! The listing that Postfix' showq service writes to whoever connects (attribute protocol of
//! Postfix ≥ 3.0): pairs `name NUL value NUL`; a lone NUL where a name would begin ends a list.
//! One list is a message; an empty list ends the listing. Since 3.6 a list with the one pair
//! `protocol`, `mail_queue_list_protocol` comes first.

use memchr::memchr;

use super::tally::{Entry, Short, Tally};

/// Reads a listing piece by piece. Keeps nothing but sums and a few dozen bytes, however long
/// the listing and whatever its content; addresses and reasons are skipped where they stand.
#[derive(Debug, Default)]
pub struct ShowqReader {
    tally: Tally,
    state: State,
    /// The name being read, then the name of the value being read.
    name: Short,
    /// The value of the protocol announcement.
    announced: Short,
    entry: Entry,
    /// The list being read has at least one pair.
    open: bool,
    /// The list being read announces the protocol.
    announcing: bool,
    /// Some list has been read.
    begun: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Name,
    Value,
    End,
}

/// Why a listing is no listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShowqError {
    /// Something else answers at this socket, or a Postfix older than 3.0, which sends text.
    #[error("what answers is not the queue listing of Postfix 3.0 or newer")]
    NotShowq,
    /// It ended early: its sums would be wrong.
    #[error("the queue listing broke off before its end")]
    Incomplete,
}

const PROTOCOL: &[u8] = b"mail_queue_list_protocol";

impl ShowqReader {
    /// Takes the next piece of the listing, of any length.
    ///
    /// # Errors
    /// This is no queue listing; further pieces are pointless then.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), ShowqError> {
        while !piece.is_empty() {
            if self.state == State::End {
                // Nothing may follow the end.
                return Err(ShowqError::NotShowq);
            }
            let end = memchr(0, piece);
            let text = &piece[..end.unwrap_or(piece.len())];
            match self.state {
                State::Name => self.name.push(text),
                State::Value => {
                    if let Some(field) = self.wanted() {
                        field.push(text);
                    }
                }
                State::End => {}
            }
            if self.state == State::Name && self.name.is_too_long() {
                return Err(ShowqError::NotShowq);
            }
            let Some(end) = end else { return Ok(()) };
            match self.state {
                State::Name if self.name.text().is_empty() => self.end_list()?,
                State::Name => self.begin_value()?,
                State::Value => {
                    self.state = State::Name;
                    self.name.clear();
                }
                State::End => {}
            }
            piece = &piece[end + 1..];
        }
        Ok(())
    }

    /// The sums, when the listing has been read to its end.
    ///
    /// # Errors
    /// It broke off, or nothing came at all.
    pub fn finish(self) -> Result<Tally, ShowqError> {
        if self.state == State::End { Ok(self.tally) } else { Err(ShowqError::Incomplete) }
    }

    /// Where the value of this name is kept; `None` when it is none of ours.
    fn wanted(&mut self) -> Option<&mut Short> {
        match self.name.text() {
            b"queue_name" => Some(&mut self.entry.queue),
            b"time" => Some(&mut self.entry.arrival),
            b"size" => Some(&mut self.entry.size),
            b"protocol" if self.announcing => Some(&mut self.announced),
            _ => None,
        }
    }

    fn begin_value(&mut self) -> Result<(), ShowqError> {
        if !self.begun && !self.open {
            self.announcing = self.name.text() == b"protocol";
            if !self.announcing && self.name.text() != b"queue_name" {
                return Err(ShowqError::NotShowq);
            }
        }
        if let Some(field) = self.wanted() {
            field.clear();
        }
        self.open = true;
        self.state = State::Value;
        Ok(())
    }

    fn end_list(&mut self) -> Result<(), ShowqError> {
        if !self.open {
            self.state = State::End;
            return Ok(());
        }
        if self.announcing {
            if self.announced.text() != PROTOCOL {
                return Err(ShowqError::NotShowq);
            }
            self.announcing = false;
        } else {
            self.tally.count(&self.entry);
        }
        self.entry = Entry::default();
        self.name.clear();
        self.open = false;
        self.begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::mail_queue::tally::Queue;
    use proptest::prelude::*;

    /// Postfix 3.7.11 sent this (with the addresses of documentation).
    const LISTING: &[u8] = b"protocol\0mail_queue_list_protocol\0\0queue_name\0deferred\0queue_id\x004jXMf03DpBzG0\0time\x001795336088\0size\x00249\0forced_expire\x000\0sender\0grace@example.org\0recipient\0heidi@example.net\0reason\0connect to mx.example.net[192.0.2.1]:25: Connection timed out\0\0queue_name\0deferred\0queue_id\0CD6962BD\0time\x001795336080\0size\x00243\0forced_expire\x000\0sender\0MAILER-DAEMON\0recipient\0dave@example.net\0reason\0connect to mx.example.net[192.0.2.1]:25: Connection timed out\0\0queue_name\0deferred\0queue_id\0CAF1F2BA\0time\x001795336080\0size\x00254\0forced_expire\x000\0sender\0alice@example.org\0recipient\0carol@example.com\0reason\0connect to mx.example.net[192.0.2.1]:25: Connection timed out\0recipient\0bob@example.net\0reason\0\0\0queue_name\0hold\0queue_id\0D040D2C4\0time\x001795336083\0size\x00252\0forced_expire\x000\0sender\0eve@example.org\0recipient\0frank@example.net\0reason\0connect to mx.example.net[192.0.2.1]:25: Connection timed out\0\0\0";

    fn read(listing: &[u8]) -> Result<Tally, ShowqError> {
        let mut reader = ShowqReader::default();
        reader.push(listing)?;
        reader.finish()
    }

    #[test]
    fn a_real_listing() {
        let tally = read(LISTING).unwrap();
        let deferred = tally.waiting(Queue::Deferred);
        assert_eq!((deferred.messages, deferred.bytes), (3, 746));
        assert_eq!(deferred.oldest, Some(1_795_336_080));
        let hold = tally.waiting(Queue::Hold);
        assert_eq!((hold.messages, hold.bytes, hold.oldest), (1, 252, Some(1_795_336_083)));
        assert_eq!((tally.messages(), tally.unreadable), (4, 0));
    }

    #[test]
    fn before_3_6_nothing_is_announced() {
        let start = b"protocol\0mail_queue_list_protocol\0\0".len();
        assert_eq!(read(&LISTING[start..]), read(LISTING));
        assert_eq!(read(b"\0").unwrap(), Tally::default());
    }

    #[test]
    fn an_empty_queue_is_no_message() {
        let empty = b"protocol\0mail_queue_list_protocol\0\0\0";
        assert_eq!(read(empty), Ok(Tally::default()));
    }

    #[test]
    fn every_break_is_noticed() {
        for length in 0..LISTING.len() {
            assert_eq!(read(&LISTING[..length]), Err(ShowqError::Incomplete), "at {length}");
        }
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        let text = b"-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------\n";
        assert_eq!(read(text), Err(ShowqError::NotShowq));
        assert_eq!(read(b"HTTP/1.1 400\0"), Err(ShowqError::NotShowq));
        assert_eq!(read(b"protocol\0anvil_protocol\0\0\0"), Err(ShowqError::NotShowq));
        assert_eq!(read(b"220 mail ESMTP\r\n\0x"), Err(ShowqError::NotShowq));
        assert_eq!(read(b"\0more"), Err(ShowqError::NotShowq));
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_counted_apart() {
        let odd = b"queue_name\0corrupt\0time\x001\0size\x001\0\0queue_name\0hold\0time\0x\0size\x001\0\0queue_name\0hold\0time\x005\0size\x007\0\0\0";
        let tally = read(odd).unwrap();
        assert_eq!((tally.unreadable, tally.messages()), (2, 1));
    }

    #[test]
    fn a_sender_cannot_pretend_to_be_a_field() {
        let sly = b"queue_name\0hold\0time\x005\0size\x007\0sender\0queue_name\0recipient\0size\0reason\0999\0\0\0";
        assert_eq!(read(sly).unwrap().waiting(Queue::Hold).bytes, 7);
    }

    #[test]
    fn no_address_is_kept_anywhere() {
        let mut reader = ShowqReader::default();
        for piece in LISTING.chunks(7) {
            reader.push(piece).unwrap();
            let seen = format!("{reader:?}");
            for name in ["alice", "bob", "carol", "dave", "eve", "frank", "grace", "heidi"] {
                let as_numbers = name.bytes().map(|b| b.to_string()).collect::<Vec<_>>();
                assert!(!seen.contains(&as_numbers.join(", ")), "{name} in {seen}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(1usize..40, 0..80)) {
            let (mut reader, mut rest) = (ShowqReader::default(), LISTING);
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                reader.push(piece).unwrap();
                rest = tail;
            }
            reader.push(rest).unwrap();
            prop_assert_eq!(reader.finish(), read(LISTING));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
        }

        #[test]
        fn damage_never_invents_messages(at in 0usize..900, byte: u8) {
            let mut damaged = LISTING.to_vec();
            let at = at % damaged.len();
            damaged[at] = byte;
            if let Ok(tally) = read(&damaged) {
                prop_assert!(tally.messages() + tally.unreadable <= 5);
            }
        }
    }
}
