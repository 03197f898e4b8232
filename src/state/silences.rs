//! Silences as rows.

use rusqlite::{Connection, Transaction, params};

use super::tables::{damaged, instant};
use crate::model::{Matcher, Silence, Test};

pub(super) fn put(transaction: &Transaction<'_>, silence: &Silence) -> rusqlite::Result<()> {
    let matchers: Vec<[&str; 3]> = silence.matchers.iter().map(written).collect();
    let matchers = serde_json::to_string(&matchers)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO silence VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?
        .execute(params![
            &*silence.id,
            matchers,
            silence.starts.millis(),
            silence.ends.millis(),
            &*silence.created_by,
            &*silence.comment,
            silence.updated.millis(),
            silence.until_resolved,
            silence.incident.as_deref(),
        ])?;
    Ok(())
}

/// Name, operator, value.
fn written(matcher: &Matcher) -> [&str; 3] {
    let (operator, value) = match matcher.test() {
        Test::Equal(value) => ("=", &**value),
        Test::NotEqual(value) => ("!=", &**value),
        Test::Match(pattern) => ("=~", pattern.as_str()),
        Test::NotMatch(pattern) => ("!~", pattern.as_str()),
    };
    [matcher.name(), operator, value]
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Silence>> {
    let mut all = connection.prepare(
        "SELECT id, matchers, starts, ends, created_by, comment, updated, until_resolved, incident
         FROM silence ORDER BY starts, id",
    )?;
    let found = all.query_map([], |row| {
        let text: String = row.get(1)?;
        let parts: Vec<[String; 3]> =
            serde_json::from_str(&text).map_err(|error| damaged(1, error))?;
        let matchers = parts.iter().map(matcher).collect::<rusqlite::Result<_>>()?;
        Ok(Silence {
            id: row.get(0)?,
            matchers,
            starts: instant(row, 2)?,
            ends: instant(row, 3)?,
            created_by: row.get(4)?,
            comment: row.get(5)?,
            updated: instant(row, 6)?,
            until_resolved: row.get(7)?,
            incident: row.get(8)?,
        })
    })?;
    found.collect()
}

fn matcher([name, operator, value]: &[String; 3]) -> rusqlite::Result<Matcher> {
    let regex = |equal| {
        crate::alerting::regex_matcher(name, value, equal).map_err(|error| damaged(1, error))
    };
    match operator.as_str() {
        "=" => Ok(Matcher::equal(name, value)),
        "!=" => Ok(Matcher::new(name, Test::NotEqual(value.as_str().into()))),
        "=~" => regex(true),
        "!~" => regex(false),
        _ => Err(damaged(1, "no such operator")),
    }
}
