use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde_json::json;

use super::super::router::Shared;
use super::compute::{Watch, compute};
use super::form::Form;
use super::json::{push_labels, push_list, push_number, push_result, push_time};
use super::reply::{Failure, HEAD, Reply, Success};
use crate::model::Timestamp;
use crate::ports::Select;
use crate::promql::{self, Answer, Expr, Options, Usage};

/// Most points of one series in an answer.
const MAX_POINTS: i64 = 11_000;

/// What both kinds of queries share.
struct Asked {
    text: String,
    expr: Expr,
    lookback: Duration,
    timeout: Duration,
    limit: usize,
    stats: Stats,
}

/// What the request wants to know about its own costs: `stats=…`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stats {
    None,
    Some,
    /// For each step too.
    All,
}

impl Asked {
    fn read(form: &Form, shared: &Shared) -> Result<Self, Failure> {
        let limits = &shared.settings.queries;
        let text = form.get("query").to_owned();
        let lookback = form.length_or("lookback_delta", limits.lookback)?;
        let timeout = form.length_or("timeout", limits.timeout)?;
        let expr = promql::parse(&text).map_err(|error| Failure::parameter("query", error))?;
        let stats = match form.get("stats") {
            "" => Stats::None,
            "all" => Stats::All,
            _ => Stats::Some,
        };
        Ok(Self { text, expr, lookback, timeout, limit: form.limit()?, stats })
    }
}

/// `/query`: an expression at one instant.
pub(super) async fn instant(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let at = form.time_or("time", shared.doors.clock.wall())?;
    let asked = Asked::read(&form, &shared)?;
    compute(&shared, asked.timeout, move |shared, watch| {
        evaluate(shared, watch, &asked, (at, Duration::ZERO), |store, options| {
            promql::instant(&asked.expr, store, at, options)
        })
    })
    .await
}

/// `/query_range`: an expression at many instants.
pub(super) async fn range(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let (start, end) = (form.time("start")?, form.time("end")?);
    if end < start {
        return Err(Failure::parameter("end", "end timestamp must not be before start time"));
    }
    let step = form.length("step")?;
    if step <= 0 {
        return Err(Failure::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end.millis().saturating_sub(start.millis()) / step > MAX_POINTS {
        return Err(Failure::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ));
    }
    let asked = Asked::read(&form, &shared)?;
    let step = Duration::from_millis(step.unsigned_abs());
    compute(&shared, asked.timeout, move |shared, watch| {
        evaluate(shared, watch, &asked, (start, step), |store, options| {
            promql::range(&asked.expr, store, start, end, step, options)
        })
    })
    .await
}

/// `/query_exemplars`: those that were pushed to us, of the series that the expression reads.
pub(super) async fn exemplars(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let (start, end) = (form.time("start")?, form.time("end")?);
    if end < start {
        return Err(Failure::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr =
        promql::parse(form.get("query")).map_err(|error| Failure::parameter("query", error))?;
    let sets = expr.selectors();
    let receive = shared.doors.receive.iter();
    let found: Vec<_> = receive.flat_map(|door| door.exemplars(&sets, start, end)).collect();
    let mut data = String::new();
    push_list(&mut data, found, |out, (labels, exemplars)| {
        out.push_str("{\"seriesLabels\":");
        push_labels(out, &labels);
        out.push_str(",\"exemplars\":");
        push_list(out, exemplars, |out, exemplar| {
            out.push_str("{\"labels\":");
            push_labels(out, &exemplar.labels);
            out.push_str(",\"value\":");
            push_number(out, exemplar.value);
            out.push_str(",\"timestamp\":");
            push_time(out, exemplar.at);
            out.push('}');
        });
        out.push('}');
    });
    Ok(Success::of(data))
}

fn evaluate(
    shared: &Shared,
    watch: &Watch,
    asked: &Asked,
    steps: (Timestamp, Duration),
    run: impl FnOnce(&dyn Select, &Options<'_>) -> Result<Answer, promql::EvalError>,
) -> Reply {
    let limits = &shared.settings.queries;
    let interrupt = || watch.interrupt();
    let options = Options {
        lookback: asked.lookback,
        max_samples: limits.samples,
        max_series: limits.series,
        count_samples: asked.stats != Stats::None,
        interrupt: &interrupt,
        ..Options::default()
    };
    let snapshot = shared.doors.samples.snapshot();
    let prepared = watch.lasted();
    let answer = run(&*snapshot, &options)?;
    let mut data = [HEAD, "{"].concat();
    let truncated = push_result(&mut data, &answer.value, asked.limit);
    if asked.stats != Stats::None {
        let total = watch.lasted();
        let timings = json!({
            "evalTotalTime": total.as_secs_f64(),
            "resultSortTime": 0,
            "queryPreparationTime": prepared.as_secs_f64(),
            "innerEvalTime": total.saturating_sub(prepared).as_secs_f64(),
            "execQueueTime": watch.queued.as_secs_f64(),
            "execTotalTime": (watch.queued + total).as_secs_f64(),
        });
        data.push_str(&format!(",\"stats\":{{\"timings\":{timings},\"samples\":"));
        push_usage(&mut data, &answer.usage, steps, asked.stats == Stats::All);
        data.push('}');
    }
    data.push('}');
    let note = |note: &promql::Annotation| note.in_query(&asked.text);
    let reply = Success {
        begun: data,
        warnings: answer.warnings.iter().map(note).collect(),
        infos: answer.infos.iter().map(note).collect(),
    };
    Ok(reply.cut(truncated))
}

/// What the query cost, as Prometheus counts it.
fn push_usage(
    out: &mut String,
    usage: &Usage,
    (start, step): (Timestamp, Duration),
    each_step: bool,
) {
    out.push('{');
    if each_step {
        out.push_str("\"totalQueryableSamplesPerStep\":");
        let mut at = start;
        push_list(out, &usage.per_step, |out, count| {
            out.push('[');
            push_time(out, at);
            out.push_str(&format!(",{count}]"));
            at = at + step;
        });
        out.push(',');
    }
    let (total, peak) = (usage.per_step.iter().sum::<u64>(), usage.peak_samples);
    out.push_str(&format!("\"totalQueryableSamples\":{total},\"peakSamples\":{peak}}}"));
}
