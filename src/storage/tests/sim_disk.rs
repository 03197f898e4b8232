//! A disk that forgets and tears what was not synced, from a seed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::disk::{Disk, Draft, Stored};

/// Small seeded numbers.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: usize,
}

struct State {
    random: Random,
    inodes: Vec<Inode>,
    /// What the running process sees.
    names: BTreeMap<String, usize>,
    /// What is surely there after a crash.
    durable: BTreeMap<String, usize>,
    /// After so many operations the plug is pulled.
    fuse: Option<u64>,
    full: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

impl State {
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the plug is pulled")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl SimDisk {
    pub(crate) fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(State {
            random,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            fuse: None,
            full: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Pulls the plug after so many more operations.
    pub(crate) fn light_fuse(&self, operations: u64) {
        self.lock().fuse = Some(operations);
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Changes one byte of a file.
    pub(crate) fn damage(&self, name: &str, at: u64) {
        let mut state = self.lock();
        let inode = state.names[name];
        let bytes = &mut state.inodes[inode].bytes;
        let at = at as usize % bytes.len();
        bytes[at] ^= 0x5a;
    }

    /// Cuts the last bytes off a file.
    pub(crate) fn damage_end(&self, name: &str) {
        let mut state = self.lock();
        let inode = state.names[name];
        let length = state.inodes[inode].bytes.len();
        state.inodes[inode].bytes.truncate(length - 3);
    }

    /// The power fails and comes back: what was not synced is there, or not, or in part.
    pub(crate) fn crash(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut names = state.durable.clone();
        for (name, inode) in &state.names {
            if state.random.chance(50) {
                names.insert(name.clone(), *inode);
            }
        }
        for (name, _) in state.durable.clone() {
            if !state.names.contains_key(&name) && state.random.chance(50) {
                names.remove(&name);
            }
        }
        for inode in &mut state.inodes {
            let unsynced = (inode.bytes.len() - inode.synced) as u64;
            let kept = inode.synced + state.random.below(unsynced + 1) as usize;
            inode.bytes.truncate(kept);
            for byte in &mut inode.bytes[inode.synced..] {
                if state.random.chance(1) {
                    *byte = 0;
                }
            }
            inode.synced = inode.bytes.len();
        }
        state.names = names.clone();
        state.durable = names;
        state.fuse = None;
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        let mut state = self.lock();
        state.burn()?;
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.names.insert(name.to_owned(), inode);
        Ok(Box::new(SimDraft { disk: self.clone(), inode }))
    }

    fn publish(&self, draft: &str, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.burn()?;
        let inode = state.names.remove(draft).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(name.to_owned(), inode);
        let synced = state.burn();
        // Even when the answer is lost, the work may have been done.
        if synced.is_ok() || state.random.chance(50) {
            state.durable = state.names.clone();
        }
        synced
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let mut state = self.lock();
        state.burn()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.burn()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.burn()?;
        state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

struct SimDraft {
    disk: SimDisk,
    inode: usize,
}

impl Write for SimDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.burn()?;
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inodes[self.inode].bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for SimDraft {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.burn()?;
        let inode = &mut state.inodes[self.inode];
        inode.synced = inode.bytes.len();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl Stored for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.burn()?;
        let from = offset as usize;
        let bytes = state.inodes[self.inode].bytes.get(from..from + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
