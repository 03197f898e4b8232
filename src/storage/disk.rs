//! The disk as segment files need it: a handful of operations, so that tests can put a disk in its
//! place that forgets and tears what was not synced.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
#[cfg(not(unix))]
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A folder of files.
pub(super) trait Disk: Send + Sync {
    /// A new file, empty; an old one of the same name is gone.
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft>>;
    /// Gives a synced file its name for good: after this it is there, whatever happens.
    fn publish(&self, draft: &str, name: &str) -> io::Result<()>;
    /// A file to read.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A file being written.
pub(super) trait Draft: Write {
    /// Everything written is on the disk when it returns.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read.
pub(super) trait Stored: Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `into` from `offset` on.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// A real folder.
pub(super) struct Folder(pub(super) PathBuf);

impl Disk for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        let path = self.0.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(BufWriter::with_capacity(1 << 16, file)))
    }

    fn publish(&self, draft: &str, name: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(draft), self.0.join(name))?;
        // The name is a fact only when the folder is on the disk too.
        File::open(&self.0)?.sync_all()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        Ok(Arc::new(Mutex::new(File::open(self.0.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }
}

impl Draft for BufWriter<File> {
    fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.get_ref().sync_all()
    }
}

impl Stored for Mutex<File> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.lock().unwrap_or_else(PoisonError::into_inner).metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.lock().unwrap_or_else(PoisonError::into_inner).read_exact_at(into, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut file = self.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(into)
    }
}
