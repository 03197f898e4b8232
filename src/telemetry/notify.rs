use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::catalogue::Registry;

/// Label names with values from closed sets.
type Closed = Vec<(&'static str, &'static str)>;

/// Telling people.
#[derive(Debug)]
pub struct NotifyTelemetry {
    /// Messages on their way.
    tickets_open: Gauge,
    /// Age of the oldest of them.
    oldest_ticket_age_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    tickets_settled: Family<Closed, Counter>,
    retries: Family<Closed, Counter>,
    delivery_duration_seconds: Family<Closed, Histogram>,
    escalations: Counter,
    unaddressed: Counter,
    makeshift_messages: Counter,
    dead_letters: Gauge,
    incidents_open: Gauge,
    overdue_incidents: Gauge,
    deadlines_missed: Counter,
    state_durable: Gauge,
    state_failures: Counter,
    clock_jumps: Counter,
    foreign_alerts_refused: Family<Closed, Counter>,
    links: Family<Closed, Counter>,
}

impl NotifyTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            tickets_open: Gauge::default(),
            oldest_ticket_age_seconds: Gauge::default(),
            tickets_settled: Family::default(),
            retries: Family::default(),
            delivery_duration_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0])
            }),
            escalations: Counter::default(),
            unaddressed: Counter::default(),
            makeshift_messages: Counter::default(),
            dead_letters: Gauge::default(),
            incidents_open: Gauge::default(),
            overdue_incidents: Gauge::default(),
            deadlines_missed: Counter::default(),
            state_durable: Gauge::default(),
            state_failures: Counter::default(),
            clock_jumps: Counter::default(),
            foreign_alerts_refused: Family::default(),
            links: Family::default(),
        };
        new.register(registry);
        new.state_durable.set(1);
        new
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("tickets_open", "Messages on their way", self.tickets_open.clone());
        registry.register_with_unit(
            "oldest_ticket_age",
            "Age of the oldest message on its way, 0 when there is none",
            Unit::Seconds,
            self.oldest_ticket_age_seconds.clone(),
        );
        registry.register(
            "tickets_settled",
            "Messages that ended, by channel and by how: delivered, rejected, given_up, superseded",
            self.tickets_settled.clone(),
        );
        registry.register("retries", "Failed tries to deliver, by channel", self.retries.clone());
        registry.register_with_unit(
            "delivery_duration",
            "How long a try to deliver took, by channel",
            Unit::Seconds,
            self.delivery_duration_seconds.clone(),
        );
        registry.register(
            "escalations",
            "Messages that went to the fallback owner because their owner could not be reached",
            self.escalations.clone(),
        );
        registry.register(
            "unaddressed",
            "Decisions to tell for which nobody could be found",
            self.unaddressed.clone(),
        );
        registry.register(
            "makeshift_messages",
            "Messages in makeshift words or to makeshift addresses: a template is broken",
            self.makeshift_messages.clone(),
        );
        registry.register(
            "dead_letters",
            "Messages that were refused or given up within the last 24 hours",
            self.dead_letters.clone(),
        );
        registry.register(
            "incidents_open",
            "Incidents that were told as begun and not as over yet",
            self.incidents_open.clone(),
        );
        registry.register(
            "state_durable",
            "1 when what was told is safe on disk, 0 when telling goes on from memory alone",
            self.state_durable.clone(),
        );
        registry.register(
            "state_failures",
            "Attempts to write the state that the disk refused",
            self.state_failures.clone(),
        );
        registry.register(
            "clock_jumps",
            "Times the wall clock was set by more than a second",
            self.clock_jumps.clone(),
        );
        registry.register(
            "foreign_alerts_refused",
            "Alerts of others that were not taken: access, form, labels, room",
            self.foreign_alerts_refused.clone(),
        );
        registry.register(
            "links",
            "Signed links in messages that were used: accepted, forged, expired, over, foreign",
            self.links.clone(),
        );
        let registry = registry.of("reaction");
        registry.register(
            "overdue_incidents",
            "Incidents whose reaction deadline has passed and which nobody has acknowledged",
            self.overdue_incidents.clone(),
        );
        registry.register(
            "deadlines_missed",
            "Reaction deadlines that passed without an acknowledgement",
            self.deadlines_missed.clone(),
        );
    }

    /// What is on its way.
    pub fn on_their_way(&self, tickets: usize, oldest_age_seconds: f64, incidents: usize) {
        self.tickets_open.set(i64::try_from(tickets).unwrap_or(i64::MAX));
        self.oldest_ticket_age_seconds.set(oldest_age_seconds);
        self.incidents_open.set(i64::try_from(incidents).unwrap_or(i64::MAX));
    }

    /// Nobody has reacted in time to so many incidents; so many deadlines passed since the start.
    pub fn reactions(&self, overdue: usize, missed: u64) {
        self.overdue_incidents.set(i64::try_from(overdue).unwrap_or(i64::MAX));
        raise(&self.deadlines_missed, missed);
    }

    /// Messages lost within the last 24 hours.
    pub fn lost(&self, letters: usize) {
        self.dead_letters.set(i64::try_from(letters).unwrap_or(i64::MAX));
    }

    /// Messages ended, as counted since the start.
    pub fn settled(&self, channel: &'static str, how: &'static str, total: u64) {
        let labels = vec![("channel", channel), ("how", how)];
        raise(&self.tickets_settled.get_or_create(&labels), total);
    }

    /// Tries failed, as counted since the start.
    pub fn retried(&self, channel: &'static str, total: u64) {
        raise(&self.retries.get_or_create(&vec![("channel", channel)]), total);
    }

    /// One try to deliver was answered.
    pub fn tried(&self, channel: &'static str, seconds: f64) {
        self.delivery_duration_seconds.get_or_create(&vec![("channel", channel)]).observe(seconds);
    }

    /// The fallback owner was told; somebody was looked for in vain; as counted since the start.
    pub fn went_elsewhere(&self, escalations: u64, unaddressed: u64) {
        raise(&self.escalations, escalations);
        raise(&self.unaddressed, unaddressed);
    }

    /// Templates were broken, as counted since the start.
    pub fn makeshift(&self, total: u64) {
        raise(&self.makeshift_messages, total);
    }

    /// Whether the state could be written.
    pub fn state(&self, durable: bool) {
        self.state_durable.set(i64::from(durable));
        if !durable {
            self.state_failures.inc();
        }
    }

    /// Alerts of others were not taken.
    pub fn foreign_refused(&self, reason: &'static str, count: usize) {
        let counter = self.foreign_alerts_refused.get_or_create(&vec![("reason", reason)]);
        counter.inc_by(count as u64);
    }

    /// Somebody used a signed link.
    pub fn link_used(&self, outcome: &'static str) {
        self.links.get_or_create(&vec![("outcome", outcome)]).inc();
    }

    /// The wall clock jumped.
    pub fn clock_jumped(&self) {
        self.clock_jumps.inc();
    }
}

/// Counters here follow totals that are kept elsewhere.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Telemetry;

    #[test]
    fn totals_become_counters() {
        let telemetry = Telemetry::new();
        telemetry.notify.settled("email", "delivered", 3);
        telemetry.notify.settled("email", "delivered", 5);
        telemetry.notify.state(false);
        let text = telemetry.encode();
        let line = r#"augenmass_notify_tickets_settled_total{channel="email",how="delivered"} 5"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains("augenmass_notify_state_durable 0"), "{text}");
        assert!(text.contains("augenmass_notify_oldest_ticket_age_seconds"), "{text}");
    }
}
