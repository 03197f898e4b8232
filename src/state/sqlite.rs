use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{journal, schema, tables};
use crate::ports::{Change, Doing, Entry, Lookup, Notes, Remembered, State, StateError};

/// Pages of the file in memory; what is needed often are a few of them.
const CACHE_KIB: i64 = 1024;
/// Commands that may wait for the disk.
const QUEUE: usize = 64;

/// State in one SQLite file. All SQL runs on one thread of its own, which ends, after what was
/// asked for, when this is dropped.
#[derive(Debug)]
pub struct SqliteState {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer version of the program wrote it.
    #[error(
        "{path}: the state was written by a newer augenmass (schema {found}, this one knows \
         {known}); use that one, or start with another data directory"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Another process holds it.
    #[error("{path}: the state is in use by another process; end it first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is no state file, or damaged.
    #[error("{path}: not a readable state file: {reason}; move it away to start without memory")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// It cannot be opened or written: missing folder, permission, full or read-only disk.
    #[error("{path}: cannot keep state there: {reason}")]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
}

enum Command {
    Load(oneshot::Sender<Result<Remembered, StateError>>),
    Save(Change, oneshot::Sender<Result<(), StateError>>),
    ReadNotes(String, oneshot::Sender<Result<Vec<(String, String)>, StateError>>),
    WriteNotes(String, Vec<(String, Option<String>)>, oneshot::Sender<Result<(), StateError>>),
    Journal(Lookup, oneshot::Sender<Result<Vec<Entry>, StateError>>),
}

impl SqliteState {
    /// Opens the file, or makes it, and brings its tables to this version. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_limited(path, None)
    }

    /// `pages`: the file may not grow larger, as on a full disk.
    fn open_limited(path: &Path, pages: Option<i64>) -> Result<Self, OpenError> {
        let connection = connect(path)?;
        let path = path.to_owned();
        let (commands, inbox) = mpsc::channel(QUEUE);
        let shelf = Shelf { path: path.clone(), connection: Some(connection), pages };
        shelf.limit().map_err(|error| open_error(&path, &error))?;
        let thread = std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || shelf.serve(inbox))
            .map_err(|error| OpenError::NotWritable { path, reason: error.to_string() })?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StateError>>) -> Command,
    ) -> Result<T, StateError> {
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(StateError::Closed)?;
        commands.send(command(answer)).await.map_err(|_| StateError::Closed)?;
        answered.await.unwrap_or(Err(StateError::Closed))
    }
}

impl State for SqliteState {
    fn load(&self) -> Doing<'_, Result<Remembered, StateError>> {
        Box::pin(self.ask(Command::Load))
    }

    fn save(&self, change: Change) -> Doing<'_, Result<(), StateError>> {
        Box::pin(self.ask(|answer| Command::Save(change, answer)))
    }

    fn journal(&self, lookup: Lookup) -> Doing<'_, Result<Vec<Entry>, StateError>> {
        Box::pin(self.ask(|answer| Command::Journal(lookup, answer)))
    }
}

impl Notes for SqliteState {
    fn read<'a>(&'a self, topic: &'a str) -> Doing<'a, Result<Vec<(String, String)>, StateError>> {
        Box::pin(self.ask(|answer| Command::ReadNotes(topic.to_owned(), answer)))
    }

    fn write<'a>(
        &'a self,
        topic: &'a str,
        notes: Vec<(String, Option<String>)>,
    ) -> Doing<'a, Result<(), StateError>> {
        Box::pin(self.ask(|answer| Command::WriteNotes(topic.to_owned(), notes, answer)))
    }
}

impl Drop for SqliteState {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}

/// The file, on its thread.
struct Shelf {
    path: PathBuf,
    /// None after an error that makes the connection untrustworthy (a failed fsync must not be
    /// followed by a successful one on the same pages); opened anew for the next command.
    connection: Option<Connection>,
    pages: Option<i64>,
}

impl Shelf {
    fn serve(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(command) = inbox.blocking_recv() {
            match command {
                // Whoever asked may have stopped waiting.
                Command::Load(answer) => {
                    let _ = answer.send(self.with(|connection| tables::load(connection)));
                }
                Command::Journal(lookup, answer) => {
                    let found = self.with(|connection| journal::find(connection, &lookup));
                    let _ = answer.send(found);
                }
                Command::Save(change, answer) => {
                    let saved = self.with(|connection| {
                        let transaction = connection.transaction()?;
                        tables::save(&transaction, &change)?;
                        transaction.commit()
                    });
                    let _ = answer.send(saved);
                }
                Command::ReadNotes(topic, answer) => {
                    let read = self.with(|connection| tables::read_notes(connection, &topic));
                    let _ = answer.send(read);
                }
                Command::WriteNotes(topic, notes, answer) => {
                    let written = self.with(|connection| {
                        let transaction = connection.transaction()?;
                        tables::write_notes(&transaction, &topic, &notes)?;
                        transaction.commit()
                    });
                    let _ = answer.send(written);
                }
            }
        }
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path).map_err(|error| not_durable(&error))?,
        };
        match work(&mut connection) {
            Ok(done) => {
                self.connection = Some(connection);
                Ok(done)
            }
            Err(error) => {
                let trusted = matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DiskFull | ErrorCode::ConstraintViolation)
                );
                if trusted {
                    self.connection = Some(connection);
                }
                Err(not_durable(&error))
            }
        }
    }

    fn limit(&self) -> rusqlite::Result<()> {
        match (&self.connection, self.pages) {
            (Some(connection), Some(pages)) => {
                connection.pragma_update(None, "max_page_count", pages)
            }
            _ => Ok(()),
        }
    }
}

fn not_durable(error: &dyn std::error::Error) -> StateError {
    StateError::NotDurable(error.to_string().into())
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let to_error = |error: rusqlite::Error| open_error(path, &error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(to_error)?;
    connection.busy_timeout(Duration::from_millis(200)).map_err(to_error)?;
    let found = prepare(&mut connection).map_err(to_error)?;
    if found > schema::SCHEMA {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: schema::SCHEMA });
    }
    Ok(connection)
}

/// Takes the file for this process alone and migrates it; gives the schema it had, untouched
/// when that is newer than ours.
fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Statements are kept: another parameter is no reason to plan one anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let found = schema::version(connection)?;
    if found > schema::SCHEMA {
        return Ok(found);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    schema::migrate(&transaction, found)?;
    make_key(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

/// A key for signed links, once.
fn make_key(transaction: &rusqlite::Transaction<'_>) -> rusqlite::Result<()> {
    let key: String = transaction.query_row("SELECT link_key FROM about", [], |row| row.get(0))?;
    if !key.is_empty() {
        return Ok(());
    }
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        rusqlite::Error::ToSqlConversionFailure("the system gives no random bytes".into())
    })?;
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    transaction.execute("UPDATE about SET link_key = ?1", [key])?;
    Ok(())
}

fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, mut reason) = (path.to_owned(), error.to_string());
    // SQLite does not say why; the system does.
    let silent = [ErrorCode::CannotOpen, ErrorCode::ReadOnly, ErrorCode::SystemIoFailure];
    if error.sqlite_error_code().is_some_and(|code| silent.contains(&code))
        && let Err(why) = std::fs::OpenOptions::new().append(true).create(true).open(&path)
    {
        reason = why.to_string();
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, reason }
        }
        _ => OpenError::NotWritable { path, reason },
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
