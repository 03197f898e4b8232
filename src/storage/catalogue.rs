//! The catalogue: an SQLite file (WAL mode) that says which segments there are and holds what is
//! not sealed yet. Tables of format 2:
//!
//! - `segment(name, first_generation, last_generation, first, last, samples, series, bytes,
//!   damaged)`: a file counts only when it stands here; `damaged` ones are set aside
//! - `shape(number, generation, source, labels)` and `tail(sequence, generation, era, bytes,
//!   encoding)`: [`super::tail`]
//! - `import(file, bytes)`: how far an import that was interrupted had come
//!
//! `user_version` is the format. Format 1 had no column `encoding`; all its rows are of encoding 1.
//! Each commit writes whole pages, so the pages of a new file are small; a file that is there keeps
//! the size it has. Sealing and merging change everything they change in one
//! transaction.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use rusqlite::{Connection, OpenFlags, params};

use super::segment::Meta;
use super::tail::{self, Group, KnownShape, ShapeReader};
use super::tail_1;

/// The format this version writes.
const FORMAT: i64 = 2;
/// Bytes of free pages that stay in the file for the next tail.
const SPARE_BYTES: i64 = 256 << 10;
/// Size of the pages of a new file.
const PAGE_BYTES: i64 = 1_024;
/// The log is brought into the file when it is so long. In the meantime pages that change with each
/// commit are written to the log only.
const LOG_BYTES: i64 = 4 << 20;
/// `PRAGMA application_id`: "augm".
const APPLICATION: i64 = 0x6175_676d;

const TABLES: &str = "
CREATE TABLE segment (
    name TEXT PRIMARY KEY NOT NULL,
    first_generation INTEGER NOT NULL,
    last_generation INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    series INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    damaged INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE shape (
    number INTEGER PRIMARY KEY NOT NULL,
    generation INTEGER NOT NULL,
    source TEXT NOT NULL,
    labels BLOB NOT NULL
) STRICT;
CREATE TABLE tail (
    sequence INTEGER PRIMARY KEY NOT NULL,
    generation INTEGER NOT NULL,
    era INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    encoding INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE import (
    file TEXT PRIMARY KEY NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Why the catalogue could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogueError {
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    #[error("its format is {0}, this version knows formats up to {FORMAT}; use a newer augenmass")]
    Newer(i64),
    #[error("it is an SQLite file of another program")]
    Foreign,
}

/// What recovery found in the tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) batches: u64,
    pub(super) samples: u64,
    /// Groups that could not be read.
    pub(super) damaged: u64,
    /// The latest generation, if there is any.
    pub(super) generation: Option<u64>,
    /// The first number for new shapes and eras.
    pub(super) next: u64,
}

/// How surely a commit is on the disk when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    /// After power loss too.
    Full,
    /// After the end of the process; for tests that do not pull the plug.
    #[cfg(test)]
    Off,
}

/// The open catalogue.
pub(super) struct Catalogue {
    connection: Mutex<Connection>,
    /// The first generation that is not sealed; changes only under the lock of the connection.
    unsealed: AtomicU64,
}

impl Catalogue {
    /// Opens or creates the file.
    pub(super) fn open(path: &Path, sync: Sync) -> Result<Self, CatalogueError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // Before anything is written: the size of the pages, and that a sealed tail's room can be
        // given back.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let level = match sync {
            Sync::Full => "FULL",
            #[cfg(test)]
            Sync::Off => "OFF",
        };
        connection.pragma_update(None, "synchronous", level)?;
        // Pages of the tail are freed and used again all the time; they need not stay in memory.
        connection.pragma_update(None, "cache_size", -512)?;
        connection.pragma_update(None, "journal_size_limit", 2 * LOG_BYTES)?;
        let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_BYTES / page.max(512))?;
        let tables = match Self::format(&connection)? {
            0 => Some(TABLES),
            1 => Some("ALTER TABLE tail ADD COLUMN encoding INTEGER NOT NULL DEFAULT 1;"),
            _ => None,
        };
        if let Some(tables) = tables {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {tables} PRAGMA application_id = {APPLICATION};
                 PRAGMA user_version = {FORMAT}; COMMIT;"
            ))?;
        }
        let vacuum: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
        if vacuum == 0 && connection.execute_batch("VACUUM").is_err() {
            // A file of the first versions, and no room to write it anew: the next start will.
            tracing::warn!("the catalogue cannot be made to give back room yet");
        }
        Ok(Self { connection: Mutex::new(connection), unsealed: AtomicU64::new(0) })
    }

    /// Opens an existing file to look only.
    pub(super) fn look(path: &Path) -> Result<Self, CatalogueError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        if Self::format(&connection)? == 0 {
            return Err(CatalogueError::Foreign);
        }
        Ok(Self { connection: Mutex::new(connection), unsealed: AtomicU64::new(0) })
    }

    fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0))
    }

    fn format(connection: &Connection) -> Result<i64, CatalogueError> {
        let format = Self::format_of(connection)?;
        let owner: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if owner != APPLICATION && (format != 0 || tables != 0) {
            return Err(CatalogueError::Foreign);
        }
        if format > FORMAT {
            return Err(CatalogueError::Newer(format));
        }
        Ok(format)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes groups; they are on the disk when it returns. A group whose generation was sealed
    /// meanwhile is on the disk already; what it builds upon is gone, so it must not follow.
    pub(super) fn commit(&self, groups: &mut [Group]) -> rusqlite::Result<()> {
        let mut connection = self.lock();
        let unsealed = self.unsealed.load(Ordering::Relaxed);
        let groups = groups.iter_mut().filter(|group| group.generation >= unsealed);
        let transaction = connection.transaction()?;
        {
            let mut shape =
                transaction.prepare_cached("INSERT INTO shape VALUES (?1, ?2, ?3, ?4)")?;
            let mut tail = transaction.prepare_cached(
                "INSERT INTO tail (generation, era, bytes, encoding) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for group in groups {
                for new in &group.shapes {
                    let number = new.number.cast_signed();
                    let generation = group.generation.cast_signed();
                    shape.execute(params![number, generation, &*new.source, new.labels])?;
                }
                let (generation, era) = (group.generation.cast_signed(), group.era.cast_signed());
                tail.execute(params![generation, era, group.finish(), tail::ENCODING])?;
            }
        }
        transaction.commit()
    }

    /// All segments that are not damaged, in the order of their generations.
    pub(super) fn segments(&self) -> rusqlite::Result<Vec<Meta>> {
        self.metas("WHERE NOT damaged ORDER BY first_generation, last_generation")
    }

    /// All segments that were set aside.
    pub(super) fn damaged(&self) -> rusqlite::Result<Vec<Meta>> {
        self.metas("WHERE damaged ORDER BY first_generation")
    }

    fn metas(&self, rest: &str) -> rusqlite::Result<Vec<Meta>> {
        let connection = self.lock();
        let mut statement = connection.prepare(&format!(
            "SELECT name, first_generation, last_generation, first, last, samples, series, bytes
             FROM segment {rest}"
        ))?;
        let unsigned = |value: i64| value.cast_unsigned();
        let metas = statement.query_map([], |row| {
            Ok(Meta {
                name: row.get(0)?,
                first_generation: unsigned(row.get(1)?),
                last_generation: unsigned(row.get(2)?),
                first: row.get(3)?,
                last: row.get(4)?,
                samples: unsigned(row.get(5)?),
                series: unsigned(row.get(6)?),
                bytes: unsigned(row.get(7)?),
            })
        })?;
        metas.collect()
    }

    /// Sets a segment aside.
    pub(super) fn set_aside(&self, name: &str) -> rusqlite::Result<()> {
        self.lock().execute("UPDATE segment SET damaged = 1 WHERE name = ?1", [name])?;
        Ok(())
    }

    /// Enters a new segment and forgets the tail through `generation` and the segments it replaces.
    pub(super) fn enter(
        &self,
        new: Option<&Meta>,
        sealed: Option<u64>,
        gone: &[String],
    ) -> rusqlite::Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for name in gone {
            transaction.execute("DELETE FROM segment WHERE name = ?1", [name])?;
        }
        if let Some(meta) = new {
            insert(&transaction, meta)?;
        }
        if let Some(generation) = sealed {
            let generation = generation.cast_signed();
            transaction.execute("DELETE FROM tail WHERE generation <= ?1", [generation])?;
            transaction.execute("DELETE FROM shape WHERE generation <= ?1", [generation])?;
        }
        transaction.commit()?;
        if let Some(sealed) = sealed {
            self.unsealed.store(sealed + 1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives the room of forgotten tails back to the file system, all but a little.
    pub(super) fn give_back(&self) -> rusqlite::Result<()> {
        let connection = self.lock();
        let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let gone = free - SPARE_BYTES / page.max(512);
        if gone <= 0 {
            return Ok(());
        }
        for pragma in [&*format!("incremental_vacuum({gone})"), "wal_checkpoint(TRUNCATE)"] {
            let mut statement = connection.prepare(&format!("PRAGMA {pragma}"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }

    /// The first generation that is nowhere.
    pub(super) fn next_generation(&self) -> rusqlite::Result<u64> {
        let latest: Option<i64> = self.lock().query_row(
            "SELECT max((SELECT coalesce(max(last_generation), -1) FROM segment),
                        (SELECT coalesce(max(generation), -1) FROM tail))",
            [],
            |row| row.get(0),
        )?;
        Ok(latest.map_or(0, |latest| (latest + 1).cast_unsigned()))
    }

    /// How many bytes of a file are stored already.
    pub(super) fn import_at(&self, file: &str) -> rusqlite::Result<u64> {
        let bytes = self.lock().query_row(
            "SELECT coalesce(max(bytes), 0) FROM import WHERE file = ?1",
            [file],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(bytes.cast_unsigned())
    }

    /// Enters a segment made from a file through `at`.
    pub(super) fn enter_import(&self, new: &Meta, file: &str, at: u64) -> rusqlite::Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        insert(&transaction, new)?;
        let at = at.cast_signed();
        transaction.execute("INSERT OR REPLACE INTO import VALUES (?1, ?2)", params![file, at])?;
        transaction.commit()
    }

    /// Forgets how far a file was read: all of it is stored.
    pub(super) fn import_done(&self, file: &str) -> rusqlite::Result<()> {
        self.lock().execute("DELETE FROM import WHERE file = ?1", [file])?;
        Ok(())
    }

    /// Gives every batch of the tail, in its shape, to `each`, in the order of writing. What is damaged is counted
    /// and left out; it never stops the rest.
    pub(super) fn recover(
        &self,
        mut each: impl FnMut(&mut KnownShape),
    ) -> rusqlite::Result<Recovered> {
        let connection = self.lock();
        // One moment for shapes and groups, while somebody else may be writing.
        let _one = connection.is_autocommit().then(|| connection.unchecked_transaction());
        let mut recovered = Recovered::default();
        let mut shapes: HashMap<u64, KnownShape> = HashMap::new();
        let mut reader = ShapeReader::default();
        let mut statement = connection.prepare("SELECT number, source, labels FROM shape")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get::<_, i64>(0)?.cast_unsigned();
            recovered.next = recovered.next.max(number + 1);
            let Some(labels) = reader.read(row.get_ref(2)?.as_blob()?) else { continue };
            let source: Arc<str> = row.get_ref(1)?.as_str()?.into();
            shapes.insert(number, KnownShape::new(number, source, labels));
        }
        // A file that is only looked at may be of an older format.
        let encoding = if Self::format_of(&connection)? == 1 { "1" } else { "encoding" };
        let mut statement = connection.prepare(&format!(
            "SELECT generation, era, bytes, {encoding} FROM tail ORDER BY sequence"
        ))?;
        let mut rows = statement.query([])?;
        let mut broken = None;
        while let Some(row) = rows.next()? {
            let generation = row.get::<_, i64>(0)?.cast_unsigned();
            let era = row.get::<_, i64>(1)?.cast_unsigned();
            recovered.generation = recovered.generation.max(Some(generation));
            recovered.next = recovered.next.max(era + 1);
            // Groups of an era build upon each other.
            if broken == Some(era) {
                recovered.damaged += 1;
                continue;
            }
            let Some(mut from) = tail::checked(row.get_ref(2)?.as_blob()?) else {
                recovered.damaged += 1;
                broken = Some(era);
                continue;
            };
            let first_encoding = row.get::<_, i64>(3)? == 1;
            while !from.is_empty() {
                let decoded = if first_encoding {
                    tail_1::decode(&mut from, era, |n| shapes.get_mut(&n))
                } else {
                    tail::decode(&mut from, era, |n| shapes.get_mut(&n))
                };
                let Some(shape) = decoded else {
                    recovered.damaged += 1;
                    broken = Some(era);
                    break;
                };
                recovered.batches += 1;
                recovered.samples += shape.labels.len() as u64;
                each(shape);
            }
        }
        Ok(recovered)
    }

    /// Makes the disk full for the catalogue.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.lock().pragma_update(None, "max_page_count", pages).unwrap();
    }

    /// From now on this connection, open to look only, sees the catalogue as it is now.
    pub(super) fn stand_still(&self) -> rusqlite::Result<()> {
        self.lock().execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
    }

    /// A consistent copy of the catalogue as a new file.
    pub(super) fn copy_to(&self, path: &Path) -> rusqlite::Result<()> {
        let name = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.into()))?;
        self.lock().execute("VACUUM INTO ?1", [name])?;
        Ok(())
    }

    /// SQLite's own integrity check: what it complains about.
    pub(super) fn complaints(&self) -> rusqlite::Result<Vec<String>> {
        let connection = self.lock();
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

fn insert(transaction: &rusqlite::Transaction<'_>, meta: &Meta) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO segment VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
        params![
            meta.name,
            meta.first_generation.cast_signed(),
            meta.last_generation.cast_signed(),
            meta.first,
            meta.last,
            meta.samples.cast_signed(),
            meta.series.cast_signed(),
            meta.bytes.cast_signed(),
        ],
    )?;
    Ok(())
}
