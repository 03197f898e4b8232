//! The incident log as rows.

use std::sync::Arc;

use rusqlite::{Connection, Row, Transaction, params};
use xxhash_rust::xxh3::Xxh3;

use super::tables::{channel_name, damaged, instant, labels};
use crate::model::{Labels, Timestamp};
use crate::ports::{Channel, Entry, Event, Lookup};

/// Lines of incidents outlive the incidents themselves by so much.
const KEPT_MILLIS: i64 = 310 * 24 * 3_600_000;
/// No more lines are given at once.
const MOST: usize = 200_000;

/// Adds a line, unless it is there already.
pub(super) fn put(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let mut alerts = Vec::new();
    for (labels, since) in &entry.alerts {
        let bytes = labels.as_bytes();
        let Ok(length) = u32::try_from(bytes.len()) else { continue };
        alerts.extend_from_slice(&since.millis().to_le_bytes());
        alerts.extend_from_slice(&length.to_le_bytes());
        alerts.extend_from_slice(bytes);
    }
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO journal
             (mark, at, event, reason, detail, incident, receiver, grouped, alerts, who, channel)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
        )?
        .execute(params![
            mark(entry, &alerts),
            entry.at.millis(),
            entry.event.name(),
            &*entry.reason,
            entry.detail,
            entry.incident,
            &*entry.receiver,
            entry.group.as_bytes(),
            alerts,
            &*entry.who,
            entry.channel.map(channel_name),
        ])?;
    Ok(())
}

/// Two lines with the same mark are the same line.
fn mark(entry: &Entry, alerts: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    let incident = entry.incident.as_deref().unwrap_or("");
    let channel = entry.channel.map_or("", channel_name);
    for part in [
        entry.event.name(),
        &entry.reason,
        &entry.detail,
        incident,
        &entry.receiver,
        &entry.who,
        channel,
    ] {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    hash.update(&entry.at.millis().to_le_bytes());
    hash.update(entry.group.as_bytes());
    hash.update(alerts);
    hash.digest().cast_signed()
}

/// Lines about what never became an incident go earlier than the others.
pub(super) fn prune(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM journal WHERE at < ?1 AND incident IS NULL")?
        .execute([before])?;
    transaction
        .prepare_cached("DELETE FROM journal WHERE at < ?1")?
        .execute([before.saturating_sub(KEPT_MILLIS)])?;
    Ok(())
}

/// Lines of the log, oldest first.
pub(super) fn find(connection: &Connection, lookup: &Lookup) -> rusqlite::Result<Vec<Entry>> {
    let mut all = connection.prepare_cached(
        "SELECT at, event, reason, detail, incident, receiver, grouped, alerts, who, channel
         FROM (SELECT * FROM journal WHERE at >= ?1 AND at <= ?2
               AND (?3 IS NULL OR incident = ?3) ORDER BY at DESC, serial DESC LIMIT ?4)
         ORDER BY at, serial",
    )?;
    let most = i64::try_from(lookup.most.min(MOST)).unwrap_or(i64::MAX);
    let parameters = params![lookup.from.millis(), lookup.through.millis(), lookup.incident, most];
    let found = all.query_map(parameters, entry)?;
    found.collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let (event, channel): (String, Option<String>) = (row.get(1)?, row.get(9)?);
    let event = Event::ALL.into_iter().find(|known| known.name() == event);
    let channels = [Channel::Email, Channel::Matrix, Channel::Webhook];
    let channel = channel.and_then(|name| channels.into_iter().find(|c| channel_name(*c) == name));
    let alerts: Vec<u8> = row.get(7)?;
    Ok(Entry {
        at: instant(row, 0)?,
        event: event.ok_or_else(|| damaged(1, "no such event"))?,
        reason: row.get::<_, Arc<str>>(2)?,
        detail: row.get(3)?,
        incident: row.get(4)?,
        receiver: row.get(5)?,
        group: labels(row, 6)?,
        alerts: alerts_of(&alerts).ok_or_else(|| damaged(7, "no list of alerts"))?,
        who: row.get(8)?,
        channel,
    })
}

fn alerts_of(mut bytes: &[u8]) -> Option<Vec<(Labels, Timestamp)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (since, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (labels, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let since = Timestamp::from_millis(i64::from_le_bytes(*since));
        found.push((Labels::from_bytes(labels)?, since));
        bytes = rest;
    }
    Some(found)
}
