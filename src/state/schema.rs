use rusqlite::{Connection, Transaction};

/// The version of the tables this program writes (`PRAGMA user_version`).
pub const SCHEMA: i64 = STEPS.len() as i64;

/// Step n leads from version n to n + 1. A step that was released is never changed again.
const STEPS: &[&str] = &[
    "
CREATE TABLE about (installation TEXT NOT NULL) STRICT;
INSERT INTO about VALUES (lower(hex(randomblob(6))));

-- Told as begun; `ended` when told as over. Instants are milliseconds since the Unix epoch.
CREATE TABLE incident (
  id TEXT PRIMARY KEY, route TEXT NOT NULL, grouped BLOB NOT NULL, receiver TEXT NOT NULL,
  opened INTEGER NOT NULL, told INTEGER NOT NULL, messages INTEGER NOT NULL, ended INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_open ON incident (id) WHERE ended IS NULL;

-- Labels as model::Labels packs them; value as the bits of the float, because SQL has no NaN.
CREATE TABLE incident_alert (
  incident TEXT NOT NULL, labels BLOB NOT NULL, annotations BLOB NOT NULL,
  since INTEGER NOT NULL, fired INTEGER NOT NULL, value INTEGER, generator TEXT NOT NULL,
  PRIMARY KEY (incident, labels)
) STRICT, WITHOUT ROWID;

-- One message to one address; the body goes when it is settled.
CREATE TABLE ticket (
  key TEXT PRIMARY KEY, serial INTEGER NOT NULL, incident TEXT NOT NULL, number INTEGER NOT NULL,
  owner TEXT NOT NULL, channel TEXT NOT NULL, address TEXT NOT NULL, subject TEXT NOT NULL,
  body TEXT, covers BLOB NOT NULL, created INTEGER NOT NULL, escalated INTEGER NOT NULL,
  settled INTEGER, how TEXT, heard INTEGER NOT NULL DEFAULT 0, evidence TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX ticket_open ON ticket (serial) WHERE settled IS NULL;
CREATE INDEX ticket_incident ON ticket (incident);
CREATE INDEX ticket_settled ON ticket (settled);

CREATE TABLE attachment (
  ticket TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, mime TEXT NOT NULL,
  alt TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (ticket, position)
) STRICT, WITHOUT ROWID;
",
    "
-- Signs links; filled in when the file is opened.
ALTER TABLE about ADD COLUMN link_key TEXT NOT NULL DEFAULT '';

-- Who knows of it: name, acknowledged or claimed, when, how.
ALTER TABLE incident ADD COLUMN ack_by TEXT;
ALTER TABLE incident ADD COLUMN ack_kind TEXT;
ALTER TABLE incident ADD COLUMN ack_at INTEGER;
ALTER TABLE incident ADD COLUMN ack_way TEXT;
ALTER TABLE incident ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;

-- matchers: a JSON list of [name, operator, value].
CREATE TABLE silence (
  id TEXT PRIMARY KEY, matchers TEXT NOT NULL, starts INTEGER NOT NULL, ends INTEGER NOT NULL,
  created_by TEXT NOT NULL, comment TEXT NOT NULL, updated INTEGER NOT NULL,
  until_resolved INTEGER NOT NULL, incident TEXT
) STRICT, WITHOUT ROWID;

-- The incident log. `mark` makes writing the same line twice the same as once. Alerts: for each its
-- instant, the length of its labels, its labels.
CREATE TABLE journal (
  serial INTEGER PRIMARY KEY, mark INTEGER NOT NULL UNIQUE, at INTEGER NOT NULL,
  event TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, incident TEXT,
  receiver TEXT NOT NULL, grouped BLOB NOT NULL, alerts BLOB NOT NULL, who TEXT NOT NULL,
  channel TEXT
) STRICT;
CREATE INDEX journal_at ON journal (at);
CREATE INDEX journal_incident ON journal (incident) WHERE incident IS NOT NULL;
CREATE TRIGGER journal_is_append_only BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the incident log is append-only'); END;
",
    "
-- What channels remember across restarts; ids ascend with age.
CREATE TABLE note (
  id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  UNIQUE (topic, key)
) STRICT;
",
    "
-- What stands in a ticket that is not settled, beside the ticket: rows with large texts in them are
-- slow to find and to change. Tickets of earlier versions hold it in `body`.
CREATE TABLE letter (serial INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

-- The alerts of an incident that is not over, all in one, since they are always written together.
-- Incidents of earlier versions have theirs in `incident_alert`.
CREATE TABLE incident_alerts (incident TEXT PRIMARY KEY, alerts BLOB NOT NULL) STRICT;
",
    "
-- When somebody knew of it last, before it got worse.
ALTER TABLE incident ADD COLUMN reacted INTEGER;
",
];

/// The version a file has.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables from `from` to [`SCHEMA`].
pub(super) fn migrate(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA)
}
