//! Whether a promise was kept in a month, outage by outage.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;

use super::availability::{Availability, Outage};
use super::promise::{Cause, Excuse, Promise, ServiceTime};
use crate::calendar::ranges::{both, split, tidy, total, without};
use crate::model::{TimeRange, Timestamp};

/// Whether, and why, a part of an outage counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reckoning {
    /// It counts.
    Counts,
    /// It is short, but there were too many such on its day.
    CountsTooManyThatDay(usize),
    /// It is short, but there were too many such in its week.
    CountsTooManyThatWeek(usize),
    /// It was planned, but beyond what a month may have.
    CountsBeyondPlanned(Arc<str>),
    /// It was planned, but announced too late.
    CountsAnnouncedLate(Arc<str>),
    /// No promise holds at that time.
    OutsideHours,
    /// It is too short.
    Short,
    /// It was planned and announced.
    Planned(Arc<str>),
    /// Nobody could have done anything.
    ForceMajeure(Arc<str>),
    /// The customer wanted it.
    ByCustomer(Arc<str>),
}

impl Reckoning {
    /// Whether it counts against the promise.
    pub fn counts(&self) -> bool {
        matches!(
            self,
            Self::Counts
                | Self::CountsTooManyThatDay(_)
                | Self::CountsTooManyThatWeek(_)
                | Self::CountsBeyondPlanned(_)
                | Self::CountsAnnouncedLate(_)
        )
    }
}

/// A part of an outage in one service time, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The service time by its place in the promise; `None` where no promise holds.
    pub time: Option<usize>,
    /// How long it was.
    pub length: Duration,
    /// Whether it counts.
    pub reckoning: Reckoning,
}

/// An outage, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The whole of it, also what lies in another month.
    pub outage: Outage,
    /// Its parts in this month.
    pub parts: Vec<Part>,
}

/// How a promise for one part of the time stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// What it is called.
    pub name: Arc<str>,
    /// The promised part, 0–1.
    pub promised: f64,
    /// How much of this time the whole month has.
    pub whole: Duration,
    /// How much of it has passed.
    pub passed: Duration,
    /// Down time that counts.
    pub counted: Duration,
    /// Down time that does not.
    pub not_counted: Duration,
    /// Time of which nobody knows.
    pub unknown: Duration,
}

/// What can be said about a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Kept, whatever happened when nobody looked.
    Kept,
    /// Not kept, whatever happened when nobody looked.
    Broken,
    /// It hangs on what happened when nobody looked.
    NotKnown,
    /// The month goes on, and there is time left.
    Open,
}

impl Level {
    fn ratio(&self, down: Duration) -> Option<f64> {
        let passed = Some(self.passed).filter(|passed| !passed.is_zero())?;
        Some(1.0 - down.as_secs_f64() / passed.as_secs_f64())
    }

    /// The available part of the time that has passed, 0–1, when it was up whenever nobody looked.
    /// `None` when nothing has passed.
    pub fn at_most(&self) -> Option<f64> {
        self.ratio(self.counted)
    }

    /// The same when it was down whenever nobody looked.
    pub fn at_least(&self) -> Option<f64> {
        self.ratio(self.counted + self.unknown)
    }

    /// Whether the promise is kept.
    pub fn standing(&self) -> Standing {
        if self.passed < self.whole {
            return if self.counted > self.allowed() { Standing::Broken } else { Standing::Open };
        }
        match (self.at_least(), self.at_most()) {
            (Some(least), _) if least >= self.promised => Standing::Kept,
            (_, Some(most)) if most < self.promised => Standing::Broken,
            _ => Standing::NotKnown,
        }
    }

    /// How long it may still be down in the whole month.
    pub fn left(&self) -> Duration {
        self.allowed().saturating_sub(self.counted)
    }

    fn allowed(&self) -> Duration {
        let allowed = self.whole.as_secs_f64() * (1.0 - self.promised);
        Duration::try_from_secs_f64(allowed).unwrap_or_default()
    }
}

/// A month of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The month, up to now while it lasts.
    pub range: TimeRange,
    /// One for each service time of the promise.
    pub levels: Vec<Level>,
    /// Outages in the month.
    pub outages: Vec<Judged>,
}

/// The range of which the availability must be known to judge a month: short outages count by
/// weeks, and weeks lie across the ends of months.
pub fn needed(month: TimeRange) -> TimeRange {
    let week = Duration::from_secs(8 * 86_400);
    TimeRange::new(month.start() - week, month.end() + week).unwrap_or(month)
}

/// Judges a month, `month` in the promise's zone; what has not passed by `now` is no part of it.
/// `None` when it has not begun.
pub fn judge(
    promise: &Promise,
    month: TimeRange,
    now: Timestamp,
    availability: &Availability,
    excuses: &[Excuse],
) -> Option<Report> {
    let passed = TimeRange::new(month.start(), month.end().min(now))?;
    let open: Vec<_> = promise.times.iter().map(|time| time.hours.open(month)).collect();
    let excused = Excused::new(promise, excuses);
    let mut bench = Bench {
        left: promise.times.iter().map(|time| time.planned).collect(),
        short: ShortOnes::among(&availability.outages, promise, &excused),
        promise,
        open: &open,
        excused: &excused,
    };
    let inside = availability.outages.iter();
    let inside = inside.filter_map(|outage| Some((outage, outage.range.intersect(passed)?)));
    let outages: Vec<Judged> = inside.map(|(outage, part)| bench.judged(outage, part)).collect();
    let forgiven = tidy([excused.force_majeure(), excused.by_customer()].concat());
    let unknown = without(&both(&availability.unknown, &[passed]), &forgiven);
    let levels = promise.times.iter().zip(&open).enumerate();
    let levels = levels.map(|(at, (time, open))| level(at, time, open, passed, &outages, &unknown));
    Some(Report { range: passed, levels: levels.collect(), outages })
}

fn level(
    at: usize,
    time: &ServiceTime,
    open: &[TimeRange],
    passed: TimeRange,
    outages: &[Judged],
    unknown: &[TimeRange],
) -> Level {
    let parts = || outages.iter().flat_map(|one| &one.parts).filter(|part| part.time == Some(at));
    let sum = |counts: bool| -> Duration {
        parts().filter(|part| part.reckoning.counts() == counts).map(|part| part.length).sum()
    };
    Level {
        name: time.name.clone(),
        promised: time.available,
        whole: total(open),
        passed: total(&both(open, &[passed])),
        counted: sum(true),
        not_counted: sum(false),
        unknown: total(&both(unknown, open)),
    }
}

/// Excuses by what they are.
struct Excused<'a> {
    excuses: &'a [Excuse],
    announced: Duration,
}

impl<'a> Excused<'a> {
    fn new(promise: &Promise, excuses: &'a [Excuse]) -> Self {
        Self { excuses, announced: promise.announced }
    }

    fn ranges(&self, fits: impl Fn(&Excuse) -> bool) -> Vec<TimeRange> {
        tidy(self.excuses.iter().filter(|one| fits(one)).map(|one| one.range).collect())
    }

    fn force_majeure(&self) -> Vec<TimeRange> {
        self.ranges(|one| one.cause == Cause::ForceMajeure)
    }

    fn by_customer(&self) -> Vec<TimeRange> {
        self.ranges(|one| one.cause == Cause::ByCustomer)
    }

    fn is_early(&self, one: &Excuse) -> bool {
        let Cause::Planned { announced } = one.cause else { return false };
        one.range.start().since(announced).is_some_and(|before| before >= self.announced)
    }

    fn planned(&self) -> Vec<TimeRange> {
        self.ranges(|one| self.is_early(one))
    }

    fn late(&self) -> Vec<TimeRange> {
        self.ranges(|one| matches!(one.cause, Cause::Planned { .. }) && !self.is_early(one))
    }

    /// Somebody's words for a cause at that time.
    fn reason(&self, range: TimeRange, fits: impl Fn(&Excuse) -> bool) -> Arc<str> {
        let found =
            self.excuses.iter().find(|one| fits(one) && one.range.intersect(range).is_some());
        found.map_or_else(|| "".into(), |one| one.reason.clone())
    }
}

/// How many short outages each day and each week had.
struct ShortOnes {
    /// Date and Monday of each.
    days: Vec<(Date, Date)>,
}

fn day(at: Timestamp, promise: &Promise) -> Option<(Date, Date)> {
    let at = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
    let date = promise.zone.to_datetime(at).date();
    let since_monday = i64::from(date.weekday().to_monday_zero_offset());
    Some((date, date.checked_sub(jiff::Span::new().days(since_monday)).ok()?))
}

fn is_short(outage: &Outage, promise: &Promise) -> bool {
    promise.short.is_some_and(|short| outage.range.length() < short.below)
}

impl ShortOnes {
    /// Those of which anything is left when what is excused is taken away.
    fn among(outages: &[Outage], promise: &Promise, excused: &Excused<'_>) -> Self {
        let gone =
            tidy([excused.force_majeure(), excused.by_customer(), excused.planned()].concat());
        let left = |outage: &&Outage| !without(&[outage.range], &gone).is_empty();
        let short = outages.iter().filter(|outage| is_short(outage, promise)).filter(left);
        Self { days: short.filter_map(|outage| day(outage.range.start(), promise)).collect() }
    }

    fn reckoning(&self, outage: &Outage, promise: &Promise) -> Reckoning {
        let (Some(short), Some((date, monday))) =
            (promise.short, day(outage.range.start(), promise))
        else {
            return Reckoning::Counts;
        };
        let that_day = self.days.iter().filter(|(other, _)| *other == date).count();
        let that_week = self.days.iter().filter(|(_, other)| *other == monday).count();
        if that_day > short.per_day {
            Reckoning::CountsTooManyThatDay(that_day)
        } else if that_week > short.per_week {
            Reckoning::CountsTooManyThatWeek(that_week)
        } else {
            Reckoning::Short
        }
    }
}

/// Judges outages in order of time.
struct Bench<'a> {
    promise: &'a Promise,
    open: &'a [Vec<TimeRange>],
    excused: &'a Excused<'a>,
    short: ShortOnes,
    /// What is left of the planned work that does not count, for each service time.
    left: Vec<Duration>,
}

impl Bench<'_> {
    /// An outage of which `inside` lies in the month.
    fn judged(&mut self, outage: &Outage, inside: TimeRange) -> Judged {
        let mut parts = Vec::new();
        let mut outside = vec![inside];
        for (at, open) in self.open.iter().enumerate() {
            outside = without(&outside, open);
            for (ranges, reckoning) in self.in_time(at, outage, both(&[inside], open)) {
                let length = total(&ranges);
                if !length.is_zero() {
                    parts.push(Part { time: Some(at), length, reckoning });
                }
            }
        }
        if !outside.is_empty() {
            let (length, reckoning) = (total(&outside), Reckoning::OutsideHours);
            parts.push(Part { time: None, length, reckoning });
        }
        Judged { outage: outage.clone(), parts }
    }

    fn in_time(
        &mut self,
        at: usize,
        outage: &Outage,
        rest: Vec<TimeRange>,
    ) -> Vec<(Vec<TimeRange>, Reckoning)> {
        let excused = self.excused;
        let mut found = Vec::new();
        let take =
            |rest: Vec<TimeRange>, away: &[TimeRange]| (both(&rest, away), without(&rest, away));
        let reason = |fits: &dyn Fn(&Excuse) -> bool| excused.reason(outage.range, fits);
        let (gone, rest) = take(rest, &excused.force_majeure());
        let why = reason(&|one| one.cause == Cause::ForceMajeure);
        found.push((gone, Reckoning::ForceMajeure(why)));
        let (gone, rest) = take(rest, &excused.by_customer());
        found.push((gone, Reckoning::ByCustomer(reason(&|one| one.cause == Cause::ByCustomer))));
        let (planned, rest) = take(rest, &excused.planned());
        let (allowed, beyond) = split(&planned, self.left[at]);
        self.left[at] = self.left[at].saturating_sub(total(&allowed));
        let why = reason(&|one| excused.is_early(one));
        found.push((allowed, Reckoning::Planned(why.clone())));
        let late_ranges = excused.late();
        let (late, rest) = take(rest, &late_ranges);
        let otherwise = if is_short(outage, self.promise) {
            self.short.reckoning(outage, self.promise)
        } else {
            Reckoning::Counts
        };
        if otherwise == Reckoning::Short {
            found.push(([beyond, late, rest].concat(), Reckoning::Short));
            return found;
        }
        found.push((beyond, Reckoning::CountsBeyondPlanned(why)));
        let why = reason(&|one| matches!(one.cause, Cause::Planned { .. }));
        found.push((late, Reckoning::CountsAnnouncedLate(why)));
        found.push((rest, otherwise));
        found
    }
}

#[cfg(test)]
#[path = "level_tests.rs"]
mod tests;
