use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use super::super::router::Shared;
use super::form::Form;
use super::reply::{Reply, Success};
use crate::ports::{TargetStatus, Verdict};

/// The one pool that all of our targets are in.
const POOL: &str = "augenmass";

/// `/targets`: what is probed, in the words of scraping.
pub(super) async fn targets(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let state = form.get("state").to_ascii_lowercase();
    let pool = form.get("scrapePool");
    let shown = state != "dropped" && (pool.is_empty() || pool == POOL);
    let active: Vec<Value> = if shown {
        shared.doors.board.targets().iter().map(|status| target(status, &shared)).collect()
    } else {
        Vec::new()
    };
    Ok(Success::from(json!({
        "activeTargets": active,
        "droppedTargets": [],
        "droppedTargetCounts": { POOL: 0 },
    })))
}

/// `/scrape_pools`
pub(super) async fn pools() -> Reply {
    Ok(Success::from(json!({ "scrapePools": [POOL] })))
}

/// `/alertmanagers`: none, because we tell people ourselves.
pub(super) async fn alertmanagers() -> Reply {
    Ok(Success::from(json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] })))
}

fn target(status: &TargetStatus, shared: &Shared) -> Value {
    let (health, error) = match &status.verdict {
        Verdict::Up => ("up", ""),
        Verdict::Failing { cause } | Verdict::Down { cause } => ("down", &**cause),
        Verdict::NotMeasured { obstacle } => ("unknown", &**obstacle),
        Verdict::Waiting => ("unknown", ""),
    };
    let address = address(status);
    let labels = json!({
        "job": POOL,
        "instance": &*shared.settings.instance,
        "service": &*status.service,
        "owner": &*status.owner,
        "target": &*status.target,
        "probe": &*status.probe,
    });
    json!({
        "discoveredLabels": labels.clone(),
        "labels": labels,
        "scrapePool": POOL,
        "scrapeUrl": address,
        "globalUrl": address,
        "lastError": error,
        "lastScrape": status.last.unwrap_or_default().to_string(),
        "lastScrapeDuration": status.took.unwrap_or_default().as_secs_f64(),
        // Not known here, and client libraries insist on them.
        "scrapeInterval": "0s",
        "scrapeTimeout": "0s",
        "health": health,
    })
}

/// Client libraries want a URL: `printer://192.0.2.7` where the target is none.
fn address(status: &TargetStatus) -> String {
    match url::Url::parse(&status.target) {
        Ok(url) if url.has_host() => status.target.to_string(),
        _ => format!("{}://{}", status.probe.replace('_', "-"), status.target),
    }
}
