//! Asking devices that do not keep to the rules: bounded in time, rows and questions.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use super::transport::{Operation, Peer, Question, SnmpError, SnmpTransport};
use super::value::{Binding, Oid, Value};
use crate::ports::{Clock, Tick};
use crate::probe::SnmpAuth;

/// Names in one question. Old devices drop longer ones without a word.
const NAMES: usize = 10;

/// Rows in one answer of GETBULK.
const AT_ONCE: u32 = 10;

/// How often `genErr` is answered by asking again; some old printers give it now and then.
const AGAIN: u32 = 2;

/// The values of a column by row.
pub type Column = BTreeMap<Vec<u32>, Value>;

/// A talk with one device, until its deadline.
pub struct Session<'a> {
    transport: &'a dyn SnmpTransport,
    clock: &'a dyn Clock,
    peer: &'a Peer,
    deadline: Tick,
}

impl<'a> Session<'a> {
    /// Asks nothing yet.
    pub fn new(
        transport: &'a dyn SnmpTransport,
        clock: &'a dyn Clock,
        peer: &'a Peer,
        deadline: Tick,
    ) -> Self {
        Self { transport, clock, peer, deadline }
    }

    /// Asks for sysObjectID, which every agent has, so that "no answer" and "no such thing" differ.
    ///
    /// # Errors
    /// No answer, or none that can be used.
    pub async fn hello(&self) -> Result<(), SnmpError> {
        self.get(&[Oid::new(&[1, 3, 6, 1, 2, 1, 1, 2, 0])]).await.map(|_| ())
    }

    /// The values of `oids`, in their order; `None` where the device has none. What a device
    /// cannot answer together is asked apart.
    ///
    /// # Errors
    /// No answer, or none that can be used.
    pub async fn get(&self, oids: &[Oid]) -> Result<Vec<Option<Value>>, SnmpError> {
        let mut values = vec![None; oids.len()];
        let mut todo: Vec<Vec<usize>> =
            (0..oids.len()).collect::<Vec<_>>().chunks(NAMES).map(<[usize]>::to_vec).collect();
        todo.reverse();
        while let Some(mut part) = todo.pop() {
            let names: Vec<Oid> = part.iter().map(|&at| oids[at].clone()).collect();
            match self.ask(Operation::Get, &names).await {
                Ok(bindings) => {
                    for at in part {
                        let found = bindings.iter().find(|binding| binding.oid == oids[at]);
                        values[at] = found.and_then(|binding| present(&binding.value));
                    }
                }
                Err(error) => match judge(&error, part.len()) {
                    // In v1 one missing object fails the whole question.
                    Repair::Drop(index) => {
                        part.remove(index);
                        if !part.is_empty() {
                            todo.push(part);
                        }
                    }
                    Repair::Split => {
                        let half = part.split_off(part.len() / 2);
                        todo.push(half);
                        todo.push(part);
                    }
                    Repair::GiveUp => {}
                    Repair::Fail => return Err(error),
                },
            }
        }
        Ok(values)
    }

    /// Walks several columns side by side, at most `rows` instances of each, one question for
    /// each row: GETNEXT, since GETBULK is broken on many office devices. A column ends where the device
    /// leaves it, does not get on (loops exist), says nothing more, or refuses.
    ///
    /// # Errors
    /// No answer, or none that can be used.
    pub async fn walk(&self, columns: &[Oid], rows: usize) -> Result<Vec<Column>, SnmpError> {
        self.walk_by(Operation::GetNext, columns, rows).await
    }

    /// The same with ten rows for each question (GETBULK) where the version has it and the device
    /// bears it: for switches and hosts, whose tables are long. A device that does not answer so is asked
    /// row by row.
    ///
    /// # Errors
    /// No answer, or none that can be used.
    pub async fn walk_fast(&self, columns: &[Oid], rows: usize) -> Result<Vec<Column>, SnmpError> {
        if matches!(self.peer.auth, SnmpAuth::V1 { .. }) {
            return self.walk(columns, rows).await;
        }
        match self.walk_by(Operation::GetBulk(AT_ONCE), columns, rows).await {
            Err(SnmpError::Silence | SnmpError::Status { .. } | SnmpError::Malformed(_)) => {
                self.walk(columns, rows).await
            }
            other => other,
        }
    }

    async fn walk_by(
        &self,
        operation: Operation,
        columns: &[Oid],
        rows: usize,
    ) -> Result<Vec<Column>, SnmpError> {
        let mut found: Vec<Column> = vec![Column::new(); columns.len()];
        for start in (0..columns.len()).step_by(NAMES) {
            let end = columns.len().min(start + NAMES);
            let part = &mut found[start..end];
            self.walk_some(operation, &columns[start..end], rows, part).await?;
        }
        Ok(found)
    }

    async fn walk_some(
        &self,
        operation: Operation,
        columns: &[Oid],
        rows: usize,
        found: &mut [Column],
    ) -> Result<(), SnmpError> {
        let mut cursors: Vec<Cursor> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Cursor { at, last: column.clone() })
            .collect();
        // Each round moves each cursor or ends it: rounds are bounded by rows.
        for _ in 0..=rows {
            if cursors.is_empty() {
                return Ok(());
            }
            let steps = self.next_of(operation, &cursors).await?;
            let mut open = Vec::with_capacity(cursors.len());
            for (mut cursor, steps) in cursors.into_iter().zip(steps) {
                let mut goes_on = !steps.is_empty();
                for binding in steps {
                    let column = &mut found[cursor.at];
                    let index = binding.oid.index_in(&columns[cursor.at]);
                    goes_on = index.is_some()
                        && binding.oid > cursor.last
                        && binding.value != Value::EndOfView
                        && column.len() < rows;
                    let (true, Some(index)) = (goes_on, index) else { break };
                    if let Some(value) = present(&binding.value) {
                        column.insert(index.to_vec(), value);
                    }
                    cursor.last = binding.oid;
                }
                if goes_on {
                    open.push(cursor);
                }
            }
            cursors = open;
        }
        Ok(())
    }

    /// The instances after each cursor: none at the end, with GETNEXT at most one.
    async fn next_of(
        &self,
        operation: Operation,
        cursors: &[Cursor],
    ) -> Result<Vec<Vec<Binding>>, SnmpError> {
        let mut steps = vec![Vec::new(); cursors.len()];
        let mut todo: Vec<Vec<usize>> = vec![(0..cursors.len()).collect()];
        while let Some(mut part) = todo.pop() {
            let names: Vec<Oid> = part.iter().map(|&at| cursors[at].last.clone()).collect();
            let bulk = matches!(operation, Operation::GetBulk(_));
            match self.ask(operation, &names).await {
                // Row after row, the last one perhaps cut.
                Ok(bindings) if bindings.len() == part.len() || bulk => {
                    for (binding, at) in bindings.into_iter().zip(part.iter().cycle()) {
                        steps[*at].push(binding);
                    }
                }
                Ok(_) if part.len() > 1 => {
                    // Fewer or more answers than questions: nobody knows which is which.
                    todo.extend(part.into_iter().map(|at| vec![at]));
                }
                Ok(bindings) => steps[part[0]].extend(bindings.into_iter().next()),
                Err(error) => match judge(&error, part.len()) {
                    Repair::Drop(index) => {
                        part.remove(index);
                        if !part.is_empty() {
                            todo.push(part);
                        }
                    }
                    Repair::Split => {
                        let half = part.split_off(part.len() / 2);
                        todo.push(half);
                        todo.push(part);
                    }
                    // The caller goes on row by row.
                    Repair::GiveUp if bulk => return Err(error),
                    Repair::GiveUp => {}
                    Repair::Fail => return Err(error),
                },
            }
        }
        Ok(steps)
    }

    async fn ask(&self, operation: Operation, oids: &[Oid]) -> Result<Vec<Binding>, SnmpError> {
        let mut tries = 0;
        loop {
            let left = self.deadline.since(self.clock.mono());
            if left == Duration::ZERO {
                return Err(SnmpError::Silence);
            }
            let question = Question { operation, oids };
            let answer = timeout(left, self.transport.ask(self.peer, question)).await;
            match answer.unwrap_or(Err(SnmpError::Silence)) {
                Err(SnmpError::Status { status: SnmpError::GEN_ERR, .. }) if tries < AGAIN => {
                    tries += 1;
                }
                other => return other,
            }
        }
    }
}

struct Cursor {
    /// Which column.
    at: usize,
    /// The last instance seen; the column itself before the first.
    last: Oid,
}

/// What to do about an error-status.
enum Repair {
    /// Ask again without this name.
    Drop(usize),
    /// Ask in two halves.
    Split,
    /// This one name has no value for us.
    GiveUp,
    /// It ends here.
    Fail,
}

fn judge(error: &SnmpError, names: usize) -> Repair {
    let SnmpError::Status { status, index } = *error else { return Repair::Fail };
    match status {
        SnmpError::NO_SUCH_NAME => match usize::try_from(index).ok().and_then(|i| i.checked_sub(1))
        {
            Some(at) if at < names => Repair::Drop(at),
            _ if names > 1 => Repair::Split,
            _ => Repair::GiveUp,
        },
        SnmpError::TOO_BIG | SnmpError::GEN_ERR if names > 1 => Repair::Split,
        SnmpError::TOO_BIG | SnmpError::GEN_ERR => Repair::GiveUp,
        _ => Repair::Fail,
    }
}

fn present(value: &Value) -> Option<Value> {
    match value {
        Value::Absent | Value::EndOfView => None,
        value => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Agent, fake_peer};
    use super::*;
    use crate::ports::SystemClock;

    const TABLE: &[u32] = &[1, 3, 6, 1, 9, 1];

    fn agent() -> Agent {
        let mut agent = Agent::default();
        for row in [1, 2, 4, 13] {
            agent.put(&[1, 3, 6, 1, 9, 1, 5, 1, row], Value::Integer(i64::from(row)));
            agent.put(&[1, 3, 6, 1, 9, 1, 6, 1, row], Value::Bytes(vec![b'a'; 3]));
        }
        // A column with a hole, and one with a NULL in it.
        agent.put(&[1, 3, 6, 1, 9, 1, 7, 1, 4], Value::Integer(-3));
        agent.put(&[1, 3, 6, 1, 9, 1, 8, 1, 1], Value::Absent);
        agent.put(&[1, 3, 6, 1, 9, 1, 8, 1, 2], Value::Integer(8));
        agent
    }

    fn columns() -> Vec<Oid> {
        (5..9).map(|column| Oid::new(TABLE).below(&[column])).collect()
    }

    fn check(found: &[Column]) {
        let rows: Vec<u32> = found[0].keys().map(|index| index[1]).collect();
        assert_eq!(rows, [1, 2, 4, 13]);
        assert_eq!(found[1].len(), 4);
        assert_eq!(found[2].get(&[1, 4][..]), Some(&Value::Integer(-3)));
        assert_eq!(found[3].len(), 1);
    }

    async fn walk(agent: &Agent, rows: usize) -> Result<Vec<Column>, SnmpError> {
        let (clock, peer) = (SystemClock::start(), fake_peer());
        let deadline = clock.mono().after(Duration::from_secs(30));
        Session::new(agent, &clock, &peer, deadline).walk(&columns(), rows).await
    }

    async fn get(agent: &Agent, oids: &[Oid]) -> Result<Vec<Option<Value>>, SnmpError> {
        let (clock, peer) = (SystemClock::start(), fake_peer());
        let deadline = clock.mono().after(Duration::from_secs(30));
        Session::new(agent, &clock, &peer, deadline).get(oids).await
    }

    #[tokio::test]
    async fn columns_are_joined_by_index_and_holes_do_not_matter() {
        let agent = agent();
        check(&walk(&agent, 100).await.unwrap());
        // Four rows and the step beyond, all columns in one question.
        assert_eq!(agent.asked(), 5);
    }

    #[tokio::test]
    async fn long_tables_are_read_ten_rows_at_once() {
        let fast = async |agent: &Agent| {
            let (clock, peer) = (SystemClock::start(), fake_peer());
            let deadline = clock.mono().after(Duration::from_secs(30));
            Session::new(agent, &clock, &peer, deadline).walk_fast(&columns(), 1_000).await
        };
        let plain = agent();
        check(&fast(&plain).await.unwrap());
        assert_eq!(plain.asked(), 1);
        let mut long = Agent::default();
        for row in 0..500 {
            long.put(&[1, 3, 6, 1, 9, 1, 5, 1, row], Value::Integer(1));
            long.put(&[1, 3, 6, 1, 9, 1, 8, 1, row], Value::Integer(2));
        }
        let found = fast(&long).await.unwrap();
        assert_eq!((found[0].len(), found[3].len()), (500, 500));
        assert!(long.asked() <= 52, "{}", long.asked());
        for odd in [agent().at_most(1), agent().gen_err(9), agent().losing_bindings()] {
            check(&fast(&odd).await.unwrap());
        }
        let circling = agent().circling();
        assert!(fast(&circling).await.unwrap()[0].len() <= 1_000 && circling.asked() <= 300);
    }

    #[tokio::test]
    async fn version_1_answers_no_such_name() {
        let agent = agent().version_1();
        check(&walk(&agent, 100).await.unwrap());
        let present = Oid::new(&[1, 3, 6, 1, 9, 1, 5, 1, 2]);
        let absent = Oid::new(&[1, 3, 6, 1, 9, 1, 5, 1, 3]);
        let values = get(&agent, &[absent.clone(), present.clone(), absent]).await.unwrap();
        assert_eq!(values, [None, Some(Value::Integer(2)), None]);
    }

    #[tokio::test]
    async fn what_is_too_big_is_asked_in_halves() {
        let agent = agent().at_most(1);
        check(&walk(&agent, 100).await.unwrap());
    }

    #[tokio::test]
    async fn gen_err_now_and_then_is_survived_and_for_ever_is_bounded() {
        let agent = agent().gen_err(2);
        check(&walk(&agent, 100).await.unwrap());
        let agent = super::super::fake::Agent::default().gen_err(u32::MAX);
        let found = walk(&agent, 100).await.unwrap();
        assert!(found.iter().all(Column::is_empty));
        assert!(agent.asked() < 40, "{}", agent.asked());
    }

    #[tokio::test]
    async fn a_device_that_goes_in_circles_is_left() {
        let agent = agent().circling();
        let found = walk(&agent, 1_000).await.unwrap();
        assert!(found[0].len() <= 1_000 && agent.asked() <= 1_100, "{}", agent.asked());
    }

    #[tokio::test]
    async fn a_table_without_end_is_cut() {
        let mut agent = Agent::default();
        for row in 0..500 {
            agent.put(&[1, 3, 6, 1, 9, 1, 5, 1, row], Value::Integer(1));
        }
        let found = walk(&agent, 64).await.unwrap();
        assert_eq!(found[0].len(), 64);
        assert!(agent.asked() <= 66, "{}", agent.asked());
    }

    #[tokio::test]
    async fn wrong_counts_of_answers_are_asked_one_by_one() {
        let agent = agent().losing_bindings();
        check(&walk(&agent, 100).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_refusals_are_errors() {
        assert_eq!(walk(&Agent::silent(), 100).await, Err(SnmpError::Silence));
        let refusing = agent().refusing(16);
        let error = get(&refusing, &columns()).await.unwrap_err();
        assert_eq!(error, SnmpError::Status { status: 16, index: 0 });
        assert!(error.to_string().contains("community"));
    }

    #[tokio::test]
    async fn many_names_are_asked_ten_at_a_time() {
        let agent = agent();
        let names: Vec<Oid> = (0..25).map(|row| Oid::new(TABLE).below(&[5, 1, row])).collect();
        let values = get(&agent, &names).await.unwrap();
        assert_eq!(values.iter().flatten().count(), 4);
        assert_eq!(agent.asked(), 3);
    }
}
