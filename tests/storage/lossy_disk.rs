//! A disk as a trace filled it, and what may be left of it when the power fails: all that was synced;
//! of what was written since, each write whole, not at all, or some of its sectors; of names made,
//! changed or removed since their folder was synced, any.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::trace::{Call, Moment};

/// The unit that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Small seeded numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit.max(1) as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(at, new) => put(bytes, *at, new),
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// A file or a folder.
#[derive(Default)]
struct Node {
    folder: bool,
    synced: Vec<u8>,
    since: Vec<Change>,
    /// Length as the process sees it.
    length: usize,
    /// Changes that a sync under way covers.
    covered: usize,
}

#[derive(Clone, Copy)]
struct Handle {
    node: usize,
    at: usize,
    appends: bool,
}

/// What is under a name after each change since its folder was synced, the synced state first.
type Name = Vec<Option<usize>>;

/// The disk below one folder, which itself stays.
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, Name>,
    handles: HashMap<i64, Handle>,
    /// Names in a folder that a sync under way covers: (name, how many states).
    covered: HashMap<usize, Vec<(PathBuf, usize)>>,
}

impl Disk {
    pub fn new(root: &Path) -> Self {
        let top = Node { folder: true, ..Node::default() };
        Self {
            root: root.to_owned(),
            nodes: vec![top],
            names: BTreeMap::from([(root.to_owned(), vec![Some(0)])]),
            handles: HashMap::new(),
            covered: HashMap::new(),
        }
    }

    /// The process ended: its handles are gone, the files are not.
    pub fn next_process(&mut self) {
        self.handles.clear();
    }

    fn node(&self, path: &Path) -> Option<usize> {
        self.names.get(path).and_then(|name| *name.last()?)
    }

    fn set(&mut self, path: &Path, node: Option<usize>) {
        self.names.entry(path.to_owned()).or_insert_with(|| vec![None]).push(node);
    }

    fn make(&mut self, path: &Path, folder: bool) -> usize {
        self.nodes.push(Node { folder, ..Node::default() });
        let node = self.nodes.len() - 1;
        self.set(path, Some(node));
        node
    }

    /// What a moment of the trace does. Calls count from their beginning for what they may leave
    /// behind, and syncs only at their end for what surely is there.
    pub fn follow(&mut self, calls: &[Call], moment: Moment) {
        match moment {
            Moment::Begin(at) => self.begin(&calls[at]),
            Moment::End(at) => self.end(&calls[at]),
        }
    }

    fn begin(&mut self, call: &Call) {
        match call.name.as_str() {
            "write" | "pwrite64" => {
                let Some(handle) = self.handles.get(&call.number(0)).copied() else { return };
                let bytes = call.bytes(1);
                let node = &mut self.nodes[handle.node];
                let at = match &*call.name {
                    "pwrite64" => call.number(3) as usize,
                    _ if handle.appends => node.length,
                    _ => handle.at,
                };
                node.length = node.length.max(at + bytes.len());
                if call.name == "write" {
                    self.handles.insert(call.number(0), Handle { at: at + bytes.len(), ..handle });
                }
                node.since.push(Change::Write(at, bytes));
            }
            "ftruncate" => {
                if let Some(handle) = self.handles.get(&call.number(0)) {
                    let node = &mut self.nodes[handle.node];
                    node.length = call.number(1) as usize;
                    node.since.push(Change::Length(node.length));
                }
            }
            "rename" | "renameat" | "renameat2" => {
                if let [from, to] = &call.paths()[..]
                    && from.starts_with(&self.root)
                {
                    let node = self.node(from);
                    self.set(from, None);
                    self.set(to, node);
                }
            }
            "unlink" | "unlinkat" | "rmdir" => {
                if let Some(path) = self.ours(call) {
                    self.set(&path, None);
                }
            }
            "mkdir" | "mkdirat" => {
                if let Some(path) = self.ours(call) {
                    self.make(&path, true);
                }
            }
            "fsync" | "fdatasync" => {
                let Some(handle) = self.handles.get(&call.number(0)).copied() else { return };
                let node = &mut self.nodes[handle.node];
                assert_eq!(node.covered, 0, "two syncs of one file at once");
                node.covered = node.since.len();
                if node.folder {
                    let inside = self.names.iter().filter(|(path, _)| {
                        path.parent().is_some_and(|above| self.node(above) == Some(handle.node))
                    });
                    let states = inside.map(|(path, name)| (path.clone(), name.len())).collect();
                    self.covered.insert(handle.node, states);
                }
            }
            "openat" | "close" | "dup" | "fcntl" | "mmap" => {}
            _ => self.refuse(call),
        }
    }

    /// The first path of a call, if it is on this disk.
    fn ours(&self, call: &Call) -> Option<PathBuf> {
        call.paths().into_iter().next().filter(|path| path.starts_with(&self.root))
    }

    /// A call that this disk does not know must not touch it.
    fn refuse(&self, call: &Call) {
        let by_name = call.paths().iter().any(|path| path.starts_with(&self.root));
        let target = usize::from(["copy_file_range", "splice"].contains(&&*call.name)) * 2;
        let by_number = !call.word(0).starts_with(['"', 'A'])
            && self.handles.contains_key(&call.number(target));
        assert!(!by_name && !by_number, "a call that the lossy disk does not know: {}", call.name);
    }

    fn end(&mut self, call: &Call) {
        match call.name.as_str() {
            "openat" => self.opened(call),
            "close" => {
                self.handles.remove(&call.number(0));
            }
            "dup" => {
                if let Some(handle) = self.handles.get(&call.number(0)).copied() {
                    self.handles.insert(call.returned, handle);
                }
            }
            "fcntl" if call.word(1).starts_with("F_DUPFD") => {
                if let Some(handle) = self.handles.get(&call.number(0)).copied() {
                    self.handles.insert(call.returned, handle);
                }
            }
            "fsync" | "fdatasync" => {
                let Some(handle) = self.handles.get(&call.number(0)) else { return };
                let node = &mut self.nodes[handle.node];
                let covered = std::mem::take(&mut node.covered);
                for change in node.since.drain(..covered) {
                    change.apply(&mut node.synced);
                }
                for (path, states) in self.covered.remove(&handle.node).unwrap_or_default() {
                    if let Some(name) = self.names.get_mut(&path) {
                        name.drain(..states - 1);
                    }
                }
            }
            "mmap" => {
                let (rights, kind) = (call.word(2), call.word(3));
                if rights.contains("PROT_WRITE") && kind.contains("MAP_SHARED") {
                    let file = self.handles.get(&call.number(4)).map(|handle| handle.node);
                    let name = self
                        .names
                        .iter()
                        .find(|(_, name)| file.is_some() && name.last() == Some(&file));
                    // SQLite's index of the log is made anew after a crash.
                    let harmless =
                        name.is_none_or(|(path, _)| path.to_string_lossy().ends_with("-shm"));
                    assert!(harmless, "written through memory: {name:?}");
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, call: &Call) {
        let Some(path) = self.ours(call) else { return };
        let flags = call.word(2);
        let node = match self.node(&path) {
            Some(node) => node,
            None => self.make(&path, false),
        };
        if flags.contains("O_TRUNC") && self.nodes[node].length > 0 {
            self.nodes[node].length = 0;
            self.nodes[node].since.push(Change::Length(0));
        }
        let appends = flags.contains("O_APPEND");
        self.handles.insert(call.returned, Handle { node, at: 0, appends });
    }

    /// Fills a folder with what the power failure leaves.
    pub fn leave(&self, random: &mut Random, into: &Path) {
        // Some disks lose all that they may, some nothing, most a part.
        let names_kept = [0, 100, 50, 90][random.below(4)];
        let writes_kept = [0, 100, 20, 50, 90][random.below(5)];
        let mut there: Vec<PathBuf> = vec![self.root.clone()];
        for (path, states) in self.names.iter().filter(|(path, _)| **path != self.root) {
            let state = if random.chance(names_kept) {
                states.len() - 1
            } else if names_kept == 0 {
                0
            } else {
                random.below(states.len())
            };
            let Some(node) = states[state].map(|node| &self.nodes[node]) else { continue };
            if !path.parent().is_some_and(|above| there.iter().any(|there| there == above)) {
                continue;
            }
            let target = into.join(path.strip_prefix(&self.root).unwrap());
            if node.folder {
                std::fs::create_dir(target).unwrap();
                there.push(path.clone());
            } else {
                std::fs::write(target, left_of(node, random, writes_kept)).unwrap();
            }
        }
    }
}

fn left_of(node: &Node, random: &mut Random, kept: usize) -> Vec<u8> {
    let mut bytes = node.synced.clone();
    for change in &node.since {
        if random.chance(kept) {
            change.apply(&mut bytes);
            continue;
        }
        // Not whole: nothing of it, or some sectors.
        let Change::Write(at, new) = change else { continue };
        if kept == 0 || random.chance(50) {
            continue;
        }
        let mut from = 0;
        while from < new.len() {
            let end = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(new.len());
            if random.chance(50) {
                put(&mut bytes, at + from, &new[from..end]);
            }
            from = end;
        }
    }
    bytes
}
