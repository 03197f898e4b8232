use std::collections::BTreeMap;

use super::{Bug, Luck};
use crate::ports::{Address, Channel, Delivery, DeliveryError, Receipt};

/// Something that lies in somebody's mailbox or room. Times are true milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: i64,
    /// When the other side's answer is there.
    pub(super) answered: i64,
    pub(super) delivery: Delivery,
}

/// Servers with their accidents.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) arrivals: Vec<Arrival>,
    /// When each key was sent first.
    pub(super) sent: BTreeMap<String, i64>,
    /// Outages of servers, true milliseconds.
    pub(super) down: BTreeMap<Channel, Vec<(i64, i64)>>,
    /// These are refused for good.
    pub(super) refused: Vec<Address>,
    /// How many repeats of a key are excused by lost answers and duplicating networks.
    pub(super) excused: BTreeMap<String, u64>,
    /// Calm seas: no accidents at all.
    pub(super) calm: bool,
    pub(super) lost_answers: u64,
    pub(super) slow_answers: u64,
    pub(super) refusals: u64,
    pub(super) duplicates: u64,
    pub(super) bug: Option<Bug>,
}

impl Network {
    pub(super) fn is_down(&self, channel: Channel, now: i64) -> bool {
        let outages = self.down.get(&channel).into_iter().flatten();
        outages.into_iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    /// Carries one message; gives when the answer comes, and the answer.
    pub(super) fn carry(
        &mut self,
        now: i64,
        mut delivery: Delivery,
        luck: &mut Luck,
    ) -> (i64, Result<Receipt, DeliveryError>) {
        let later = |reason: &str| DeliveryError::Retry { reason: reason.to_owned(), after: None };
        let channel = delivery.to.channel();
        self.sent.entry(delivery.key.clone()).or_insert(now);
        let mut latency = 20 + i64::try_from(luck.below(280)).unwrap();
        if !self.calm && luck.once_in(50) {
            latency += 10_000 + i64::try_from(luck.below(50_000)).unwrap();
            self.slow_answers += 1;
        }
        if self.is_down(channel, now) {
            if luck.once_in(3) {
                // Nobody answers, nothing arrived.
                return (now + 10_000, Err(DeliveryError::Unsure { reason: "timeout".to_owned() }));
            }
            return (now + latency, Err(later("connection refused")));
        }
        if self.refused.contains(&delivery.to) {
            self.refusals += 1;
            let reason = "no such user".to_owned();
            return (now + latency, Err(DeliveryError::Rejected { reason }));
        }
        let accident = if self.calm { 99 } else { luck.below(20) };
        if accident == 0 {
            return (now + latency, Err(later("greylisted")));
        }
        if self.bug == Some(Bug::WrongAddress) && luck.once_in(50) {
            delivery.to = Address::Email("office@example.org".into());
        }
        let key = delivery.key.clone();
        if self.bug == Some(Bug::LostAnswerIsNewKey) && self.excused.contains_key(&key) {
            delivery.key.push_str("-again");
        }
        let (mut at, answered) = (now + latency / 2, now + latency);
        if self.bug == Some(Bug::EndsComeLate) && delivery.message.subject == "AllResolved" {
            at += 180_000;
        }
        self.arrivals.push(Arrival { at, answered, delivery: delivery.clone() });
        match accident {
            1 => {
                self.lost_answers += 1;
                *self.excused.entry(key).or_default() += 1;
                let reason = "hung up".to_owned();
                let answer = match self.bug {
                    Some(Bug::LostAnswerIsRefusal) => DeliveryError::Rejected { reason },
                    _ => DeliveryError::Unsure { reason },
                };
                (answered.max(now + 5_000), Err(answer))
            }
            2 => {
                self.duplicates += 1;
                *self.excused.entry(key.clone()).or_default() += 1;
                self.arrivals.push(Arrival { at: answered, answered, delivery });
                (now + latency, Ok(Receipt(key)))
            }
            _ => (now + latency, Ok(Receipt(key))),
        }
    }
}
