//! What the rows mean.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{alerts, journal, silences};
use crate::model::{
    AckKind, Acknowledgement, Alert, Fingerprint, Labels, Phase, Secret, Timestamp, Way,
};
use crate::ports::{
    Address, Attachment, Change, Channel, DeadLetter, Entry, Event, Heard, Incident, Message, Plot,
    Remembered, Settled, Settlement, Ticket, Urgency,
};

/// How long settled tickets and ended incidents are kept.
const KEPT_MILLIS: i64 = 90 * 24 * 3_600_000;

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Remembered> {
    let (installation, key) =
        connection.query_row("SELECT installation, link_key FROM about", [], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?))
        })?;
    Ok(Remembered {
        installation,
        incidents: incidents(connection)?,
        tickets: tickets(connection)?,
        heard: heard(connection)?,
        dead: dead_letters(connection)?,
        reached: reached(connection)?,
        silences: silences::load(connection)?,
        link_key: (!key.is_empty()).then(|| Secret::new(&key)),
    })
}

pub(super) fn save(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    for incident in &change.incidents {
        put_incident(transaction, incident)?;
    }
    for (incident, at) in &change.ended {
        transaction
            .prepare_cached("UPDATE incident SET ended = ?2 WHERE id = ?1")?
            .execute(params![incident, at.millis()])?;
        transaction
            .prepare_cached("DELETE FROM incident_alerts WHERE incident = ?1")?
            .execute([incident])?;
        transaction
            .prepare_cached("DELETE FROM incident_alert WHERE incident = ?1")?
            .execute([incident])?;
    }
    for ticket in &change.tickets {
        put_ticket(transaction, ticket)?;
    }
    for settled in &change.settled {
        settle(transaction, settled)?;
    }
    for silence in &change.silences {
        silences::put(transaction, silence)?;
    }
    for entry in &change.journal {
        journal::put(transaction, entry)?;
    }
    if let Some((_, at)) = change.ended.first() {
        prune(transaction, at.millis().saturating_sub(KEPT_MILLIS))?;
    }
    Ok(())
}

fn prune(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM ticket WHERE settled < ?1
             AND incident NOT IN (SELECT id FROM incident WHERE ended IS NULL)",
        )?
        .execute([before])?;
    transaction.prepare_cached("DELETE FROM incident WHERE ended < ?1")?.execute([before])?;
    transaction.prepare_cached("DELETE FROM silence WHERE ends < ?1")?.execute([before])?;
    journal::prune(transaction, before)
}

fn put_incident(transaction: &Transaction<'_>, incident: &Incident) -> rusqlite::Result<()> {
    let ended: Option<Option<i64>> = transaction
        .prepare_cached("SELECT ended FROM incident WHERE id = ?1")?
        .query_row([&incident.id], |row| row.get(0))
        .optional()?;
    if let Some(Some(_)) = ended {
        return Ok(()); // The same change again, after its end.
    }
    let known = incident.acknowledged.as_ref();
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO incident (id, route, grouped, receiver, opened, told, messages,
             ended, ack_by, ack_kind, ack_at, ack_way, digest, reacted)
             VALUES (?1,?2,?3,?4,?5,?6,?7,NULL,?8,?9,?10,?11,?12,?13)",
        )?
        .execute(params![
            incident.id,
            &*incident.route,
            incident.group.as_bytes(),
            &*incident.receiver,
            incident.opened.millis(),
            incident.told.millis(),
            incident.messages,
            known.map(|known| &*known.by),
            known.map(|known| known.kind.name()),
            known.map(|known| known.at.millis()),
            known.map(|known| known.way.name()),
            incident.digest,
            incident.reacted.map(Timestamp::millis),
        ])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO incident_alerts VALUES (?1, ?2)")?
        .execute(params![incident.id, alerts::write(&incident.alerts)])?;
    Ok(())
}

fn incidents(connection: &Connection) -> rusqlite::Result<Vec<Incident>> {
    let mut all = connection.prepare(
        "SELECT id, route, grouped, receiver, opened, told, messages, ack_by, ack_kind, ack_at,
         ack_way, digest, alerts, reacted FROM incident LEFT JOIN incident_alerts ON incident = id
         WHERE ended IS NULL ORDER BY opened, id",
    )?;
    let mut rows = connection.prepare(
        "SELECT labels, annotations, since, fired, value, generator FROM incident_alert
         WHERE incident = ?1 ORDER BY labels",
    )?;
    let found = all.query_map([], |row| {
        let bytes: Option<Vec<u8>> = row.get(12)?;
        let alerts =
            bytes.map(|bytes| alerts::read(&bytes).ok_or_else(|| damaged(12, "no alerts")));
        let incident = Incident {
            id: row.get(0)?,
            route: row.get(1)?,
            group: labels(row, 2)?,
            receiver: row.get(3)?,
            opened: instant(row, 4)?,
            told: instant(row, 5)?,
            messages: row.get(6)?,
            alerts: Vec::new(),
            acknowledged: acknowledgement(row)?,
            digest: row.get(11)?,
            reacted: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_millis),
        };
        Ok((incident, alerts.transpose()?))
    })?;
    let mut incidents = Vec::new();
    for incident in found {
        let (mut incident, alerts) = incident?;
        let mut found: Vec<Alert> = match alerts {
            Some(alerts) => alerts,
            None => rows.query_map([&incident.id], alert)?.collect::<rusqlite::Result<_>>()?,
        };
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        incident.alerts = found;
        incidents.push(incident);
    }
    Ok(incidents)
}

/// Who knows of an incident, from the columns 7 to 10.
fn acknowledgement(row: &Row<'_>) -> rusqlite::Result<Option<Acknowledgement>> {
    let Some(by) = row.get::<_, Option<std::sync::Arc<str>>>(7)? else { return Ok(None) };
    let (kind, way): (String, String) = (row.get(8)?, row.get(10)?);
    let kinds = [AckKind::Acknowledged, AckKind::Claimed];
    let kind = kinds.into_iter().find(|known| known.name() == kind);
    let way = Way::ALL.into_iter().find(|known| known.name() == way);
    Ok(Some(Acknowledgement {
        by,
        kind: kind.ok_or_else(|| damaged(8, "no such kind"))?,
        at: instant(row, 9)?,
        way: way.ok_or_else(|| damaged(10, "no such way"))?,
    }))
}

fn alert(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let value: Option<i64> = row.get(4)?;
    Ok(Alert {
        labels: labels(row, 0)?,
        annotations: labels(row, 1)?,
        phase: Phase::Firing { since: instant(row, 2)?, fired: instant(row, 3)? },
        value: value.map(|bits| f64::from_bits(bits.cast_unsigned())),
        ends: None,
        generator: row.get(5)?,
    })
}

fn put_ticket(transaction: &Transaction<'_>, ticket: &Ticket) -> rusqlite::Result<()> {
    let (channel, address) = match &ticket.to {
        Address::Email(name) => ("email", name),
        Address::Matrix(name) => ("matrix", name),
        Address::Webhook(name) => ("webhook", name),
    };
    let mut covers = Vec::with_capacity(ticket.covers.len() * 9);
    for (alert, firing) in &ticket.covers {
        covers.extend_from_slice(&alert.0.to_le_bytes());
        covers.push(u8::from(*firing));
    }
    let new = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO ticket (key, serial, incident, number, owner, channel, address,
             subject, covers, created, escalated)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
        )?
        .execute(params![
            ticket.key,
            ticket.serial.cast_signed(),
            ticket.incident,
            ticket.number,
            &*ticket.owner,
            channel,
            &**address,
            ticket.message.subject,
            covers,
            ticket.created.millis(),
            ticket.escalated,
        ])?;
    if new == 0 {
        return Ok(());
    }
    let body = serde_json::to_string(&Body::of(&ticket.message))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO letter VALUES (?1, ?2)")?
        .execute(params![ticket.serial.cast_signed(), body])?;
    let mut insert = transaction
        .prepare_cached("INSERT OR IGNORE INTO attachment VALUES (?1,?2,?3,?4,?5,?6)")?;
    for (position, file) in (0i64..).zip(&ticket.message.attachments) {
        let (name, mime, alt) = (&*file.name, &*file.mime, &*file.alt);
        insert.execute(params![ticket.key, position, name, mime, alt, &*file.bytes])?;
    }
    Ok(())
}

fn settle(transaction: &Transaction<'_>, settled: &Settled) -> rusqlite::Result<()> {
    let how = match settled.how {
        Settlement::Delivered => "delivered",
        Settlement::Rejected => "rejected",
        Settlement::GivenUp => "given up",
        Settlement::Superseded => "superseded",
    };
    transaction
        .prepare_cached(
            "DELETE FROM letter WHERE serial =
             (SELECT serial FROM ticket WHERE key = ?1 AND settled IS NULL)",
        )?
        .execute([&settled.key])?;
    transaction
        .prepare_cached(
            "UPDATE ticket SET settled = ?2, how = ?3, heard = ?4, evidence = ?5, body = NULL
             WHERE key = ?1",
        )?
        .execute(params![settled.key, settled.at.millis(), how, settled.heard, settled.evidence])?;
    transaction
        .prepare_cached("DELETE FROM attachment WHERE ticket = ?1")?
        .execute([&settled.key])?;
    log_settled(transaction, settled, how)
}

/// A line of the incident log: by which channel somebody was told, or not; no address.
fn log_settled(
    transaction: &Transaction<'_>,
    settled: &Settled,
    how: &str,
) -> rusqlite::Result<()> {
    let event = match settled.how {
        Settlement::Delivered => Event::Delivered,
        Settlement::Rejected | Settlement::GivenUp => Event::NotDelivered,
        Settlement::Superseded => return Ok(()),
    };
    let ticket = transaction
        .prepare_cached(
            "SELECT t.channel, t.address, t.incident, t.owner, t.number, t.escalated, i.grouped
             FROM ticket t LEFT JOIN incident i ON i.id = t.incident WHERE t.key = ?1",
        )?
        .query_row([&settled.key], |row| {
            let group: Option<Vec<u8>> = row.get(6)?;
            Ok((
                address(row, 0)?.channel(),
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                group,
            ))
        })
        .optional()?;
    let Some((channel, incident, receiver, number, escalated, group)) = ticket else {
        return Ok(());
    };
    let (number, escalated): (i64, bool) = (number, escalated);
    let instead = if escalated { ", because its owner could not be reached" } else { "" };
    let why = match event {
        Event::NotDelivered => format!(": {}", settled.evidence),
        _ => String::new(),
    };
    let entry = Entry {
        at: settled.at,
        event,
        reason: how.into(),
        detail: format!("message {number}{instead}{why}"),
        incident: Some(incident),
        receiver,
        group: group.and_then(|bytes| Labels::from_bytes(&bytes)).unwrap_or_default(),
        alerts: Vec::new(),
        who: "".into(),
        channel: Some(channel),
    };
    journal::put(transaction, &entry)
}

fn tickets(connection: &Connection) -> rusqlite::Result<Vec<Ticket>> {
    let mut all = connection.prepare(
        "SELECT key, t.serial, incident, number, owner, channel, address,
         coalesce(l.body, t.body), covers, created, escalated
         FROM ticket t LEFT JOIN letter l ON l.serial = t.serial
         WHERE settled IS NULL ORDER BY t.serial",
    )?;
    let mut files = connection.prepare(
        "SELECT name, mime, alt, bytes FROM attachment WHERE ticket = ?1 ORDER BY position",
    )?;
    let found = all.query_map([], |row| {
        let body: String = row.get(7)?;
        let body: Body<'_> = serde_json::from_str(&body).map_err(|error| damaged(7, error))?;
        let serial: i64 = row.get(1)?;
        Ok(Ticket {
            key: row.get(0)?,
            serial: serial.cast_unsigned(),
            incident: row.get(2)?,
            number: row.get(3)?,
            owner: row.get(4)?,
            to: address(row, 5)?,
            message: body.into_message().into(),
            covers: covers(&row.get::<_, Vec<u8>>(8)?),
            created: instant(row, 9)?,
            escalated: row.get(10)?,
        })
    })?;
    let mut tickets = Vec::new();
    for ticket in found {
        let mut ticket = ticket?;
        let attached = files.query_map([&ticket.key], |row| {
            let bytes: Vec<u8> = row.get(3)?;
            let (name, mime, alt) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Attachment { name, mime, alt, bytes: bytes.into() })
        })?;
        let attached: Vec<Attachment> = attached.collect::<rusqlite::Result<_>>()?;
        if !attached.is_empty() {
            std::sync::Arc::make_mut(&mut ticket.message).attachments = attached;
        }
        tickets.push(ticket);
    }
    Ok(tickets)
}

fn heard(connection: &Connection) -> rusqlite::Result<Vec<Heard>> {
    let mut all = connection.prepare(
        "SELECT DISTINCT t.incident, t.owner, t.channel, t.address FROM ticket t
         JOIN incident i ON i.id = t.incident WHERE t.heard = 1 AND i.ended IS NULL
         ORDER BY t.incident, t.owner, t.channel, t.address",
    )?;
    let found = all.query_map([], |row| {
        Ok(Heard { incident: row.get(0)?, owner: row.get(1)?, to: address(row, 2)? })
    })?;
    found.collect()
}

fn dead_letters(connection: &Connection) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut all = connection.prepare(
        "SELECT owner, channel, address, subject, evidence, settled FROM ticket
         WHERE how IN ('rejected', 'given up') ORDER BY settled DESC LIMIT 100",
    )?;
    let found = all.query_map([], |row| {
        Ok(DeadLetter {
            owner: row.get(0)?,
            channel: address(row, 1)?.channel(),
            subject: row.get(3)?,
            reason: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            at: instant(row, 5)?,
        })
    })?;
    let mut letters: Vec<DeadLetter> = found.collect::<rusqlite::Result<_>>()?;
    letters.reverse();
    Ok(letters)
}

fn reached(connection: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut all = connection.prepare(
        "SELECT DISTINCT t.incident, t.number FROM ticket t JOIN ticket o
         ON o.incident = t.incident AND o.number = t.number
         WHERE o.settled IS NULL AND t.how = 'delivered' ORDER BY t.incident, t.number",
    )?;
    let found = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect()
}

fn address(row: &Row<'_>, at: usize) -> rusqlite::Result<Address> {
    let (channel, name): (String, std::sync::Arc<str>) = (row.get(at)?, row.get(at + 1)?);
    match channel.as_str() {
        "email" => Ok(Address::Email(name)),
        "matrix" => Ok(Address::Matrix(name)),
        "webhook" => Ok(Address::Webhook(name)),
        _ => Err(damaged(at, "no such channel")),
    }
}

pub(super) fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "email",
        Channel::Matrix => "matrix",
        Channel::Webhook => "webhook",
    }
}

fn covers(bytes: &[u8]) -> Vec<(Fingerprint, bool)> {
    let (entries, _) = bytes.as_chunks::<9>();
    let read = |entry: &[u8; 9]| {
        let [a, b, c, d, e, f, g, h, firing] = *entry;
        (Fingerprint(u64::from_le_bytes([a, b, c, d, e, f, g, h])), firing != 0)
    };
    entries.iter().map(read).collect()
}

pub(super) fn instant(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    row.get(at).map(Timestamp::from_millis)
}

pub(super) fn labels(row: &Row<'_>, at: usize) -> rusqlite::Result<Labels> {
    let bytes: Vec<u8> = row.get(at)?;
    Labels::from_bytes(&bytes).ok_or_else(|| damaged(at, "not a set of labels"))
}

pub(super) fn damaged(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, error.into())
}

/// The newest notes of a topic that are kept.
const MOST_NOTES: i64 = 10_000;

pub(super) fn read_notes(
    connection: &Connection,
    topic: &str,
) -> rusqlite::Result<Vec<(String, String)>> {
    let mut all =
        connection.prepare_cached("SELECT key, value FROM note WHERE topic = ?1 ORDER BY id")?;
    let found = all.query_map([topic], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect()
}

pub(super) fn write_notes(
    transaction: &Transaction<'_>,
    topic: &str,
    notes: &[(String, Option<String>)],
) -> rusqlite::Result<()> {
    for (key, value) in notes {
        transaction
            .prepare_cached("DELETE FROM note WHERE topic = ?1 AND key = ?2")?
            .execute([topic, key])?;
        if let Some(value) = value {
            transaction
                .prepare_cached("INSERT INTO note (topic, key, value) VALUES (?1, ?2, ?3)")?
                .execute([topic, key, value])?;
        }
    }
    transaction
        .prepare_cached(
            "DELETE FROM note WHERE topic = ?1 AND id <= (SELECT id FROM note WHERE topic = ?1
             ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![topic, MOST_NOTES])?;
    Ok(())
}

/// A message without its pictures, as JSON.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    subject: Cow<'a, str>,
    text: Cow<'a, str>,
    html: Cow<'a, str>,
    language: Cow<'a, str>,
    urgency: u8,
    resolved: bool,
    incident: Cow<'a, str>,
    payload: Cow<'a, str>,
    #[serde(default)]
    plot: Option<PlotBody>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    headers: Cow<'a, [(String, String)]>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    account: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    from: Cow<'a, str>,
}

/// A picture that a message wants.
#[derive(Serialize, Deserialize)]
struct PlotBody {
    expression: String,
    labels: Vec<(String, String)>,
    since: i64,
    until: i64,
    firing: bool,
    zone: String,
    alt: String,
}

impl PlotBody {
    fn of(plot: Plot) -> Self {
        let Plot { expression, labels, since, until, firing, zone, alt } = plot;
        let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (since, until) = (since.millis(), until.millis());
        Self { expression, labels: labels.collect(), since, until, firing, zone, alt }
    }

    /// `None` when the labels are none: the message goes without.
    fn into_plot(self) -> Option<Plot> {
        let Self { expression, labels, since, until, firing, zone, alt } = self;
        let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = Labels::from_pairs(labels).ok()?;
        let (since, until) = (Timestamp::from_millis(since), Timestamp::from_millis(until));
        Some(Plot { expression, labels, since, until, firing, zone, alt })
    }
}

impl<'a> Body<'a> {
    fn of(message: &'a Message) -> Self {
        let urgency = match message.urgency {
            Urgency::Low => 0,
            Urgency::Normal => 1,
            Urgency::High => 2,
        };
        Self {
            subject: (&message.subject).into(),
            text: (&message.text).into(),
            html: (&message.html).into(),
            language: (&message.language).into(),
            urgency,
            resolved: message.resolved,
            incident: (&message.incident).into(),
            payload: (&message.payload).into(),
            headers: (&*message.headers).into(),
            account: (&message.account).into(),
            from: (&message.from).into(),
            plot: message.plot.clone().map(PlotBody::of),
        }
    }

    fn into_message(self) -> Message {
        let urgency = match self.urgency {
            0 => Urgency::Low,
            1 => Urgency::Normal,
            _ => Urgency::High,
        };
        let plot = self.plot.and_then(PlotBody::into_plot);
        Message {
            subject: self.subject.into_owned(),
            text: self.text.into_owned(),
            html: self.html.into_owned(),
            language: self.language.into_owned(),
            urgency,
            resolved: self.resolved,
            incident: self.incident.into_owned(),
            payload: self.payload.into_owned(),
            attachments: Vec::new(),
            headers: self.headers.into_owned(),
            account: self.account.into_owned(),
            from: self.from.into_owned(),
            is_makeshift: false,
            plot,
        }
    }
}
