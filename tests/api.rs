//! The HTTP API as its clients see it: envelope, status codes and words of Prometheus.

#[path = "peers/board.rs"]
mod board;
#[path = "peers/http.rs"]
mod http;

use std::io::{Read, Write};
use std::time::Duration;

use augenmass::web::{QueryLimits, Settings};
use board::Served;
use http::{Answer, ask, connect, post, read};
use serde_json::{Value, json};

fn start() -> Served {
    Served::start(Served::settings())
}

fn get(served: &Served, path: &str) -> (u16, Value) {
    let answer = ask(served.address, &format!("GET /api/v1/{}", path.replace('"', "%22")), &[]);
    assert_eq!(answer.header("content-type"), "application/json", "{path}");
    (answer.status, body(&answer))
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn data(served: &Served, path: &str) -> Value {
    let (status, mut answer) = get(served, path);
    assert_eq!((status, answer["status"].as_str()), (200, Some("success")), "{path}: {answer}");
    answer["data"].take()
}

#[test]
fn what_makes_no_sense_is_refused_in_prometheus_words() {
    let served = start();
    let long = "a".repeat(20_000);
    for (path, status, kind, words) in [
        (
            "query",
            400,
            "bad_data",
            "invalid parameter \"query\": unknown position: parse error: no expression found in input",
        ),
        (
            "query?query=up&time=x",
            400,
            "bad_data",
            "invalid parameter \"time\": cannot parse \"x\" to a valid timestamp",
        ),
        (
            "query?query=up&timeout=x",
            400,
            "bad_data",
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        ("query?query=up{", 400, "bad_data", "invalid parameter \"query\": 1:4: parse error: "),
        (
            "query?query=up&limit=-1",
            400,
            "bad_data",
            "invalid parameter \"limit\": limit must be non-negative",
        ),
        (
            "query?query=%zz",
            400,
            "bad_data",
            "error parsing form values: invalid URL escape \"%zz\"",
        ),
        ("query?query=%ff", 400, "bad_data", "error parsing form values: "),
        (
            "query_range?query=up&end=1&step=1",
            400,
            "bad_data",
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
        ),
        (
            "query_range?query=up&start=2&end=1&step=1",
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "query_range?query=up&start=1&end=2&step=0",
            400,
            "bad_data",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted",
        ),
        (
            "query_range?query=up&start=0&end=11001&step=1",
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points per timeseries.",
        ),
        (
            "query_range?query=up&start=1&end=2&step=1e300",
            400,
            "bad_data",
            "invalid parameter \"step\": cannot parse \"1e300\" to a valid duration. It overflows int64",
        ),
        ("series", 400, "bad_data", "no match[] parameter provided"),
        ("series?match[]={a=\"\"}", 400, "bad_data", "invalid parameter \"match[]\": "),
        (
            "series?match[]=up&start=2&end=1",
            400,
            "bad_data",
            "end timestamp must not be before start timestamp",
        ),
        ("labels?match[]=up{", 400, "bad_data", "invalid parameter \"match[]\": "),
        (
            "query_exemplars?query=up&start=2&end=1",
            400,
            "bad_data",
            "end timestamp must not be before start timestamp",
        ),
        (
            "format_query?query=up%2B",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:4: parse error: ",
        ),
    ] {
        let (found, answer) = get(&served, path);
        assert_eq!((found, answer["errorType"].as_str()), (status, Some(kind)), "{path}: {answer}");
        assert_eq!(answer["status"], "error");
        assert!(answer["error"].as_str().unwrap().starts_with(words), "{path}: {answer}");
    }
    let answer = post(served.address, "/api/v1/query", &format!("query={long}{{"));
    assert_eq!((answer.status, body(&answer)["errorType"].as_str()), (400, Some("bad_data")));
    let answer = post(served.address, "/api/v1/query", &format!("query={}", "a".repeat(3 << 20)));
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn series_labels_and_values() {
    let served = start();
    let all = data(&served, "series?match[]=probe_success&match[]={service=\"mail\"}");
    assert_eq!(all.as_array().unwrap().len(), 4 + 7, "{all}");
    let one = data(&served, "series?match[]=printer_pages_total");
    let want = json!([{
        "__name__": "printer_pages_total", "instance": "orwell", "job": "augenmass",
        "owner": "office", "probe": "printer", "service": "printer-s71", "target": "192.0.2.7",
    }]);
    assert_eq!(one, want);
    let (_, cut) = get(&served, "series?match[]=probe_success&limit=1");
    assert_eq!(cut["data"].as_array().unwrap().len(), 1);
    assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));
    assert_eq!(data(&served, "series?match[]=probe_success&end=1"), json!([]));

    let names = data(&served, "labels?match[]=printer_state");
    assert_eq!(
        names,
        json!(["__name__", "instance", "job", "owner", "probe", "service", "state", "target"])
    );
    assert_eq!(
        data(&served, "labels?match[]=printer_state&limit=2"),
        json!(["__name__", "instance"])
    );
    let posted = post(served.address, "/api/v1/labels", "match[]=printer_state&limit=1");
    assert_eq!(body(&posted)["data"], json!(["__name__"]));

    assert_eq!(data(&served, "label/queue/values"), json!(["active", "deferred"]));
    assert_eq!(data(&served, "label/U__queue/values?limit=1"), json!(["active"]));
    assert_eq!(data(&served, "label/nothing/values"), json!([]));
    let services = data(&served, "label/service/values?match[]=probe_success{owner=\"web-team\"}");
    assert_eq!(services, json!(["homepage", "mail", "wiki"]));
}

#[test]
fn status_and_metadata() {
    let served = start();
    let build = data(&served, "status/buildinfo");
    assert!(
        build["version"].as_str().unwrap().starts_with("3.") && build.get("features").is_none()
    );
    assert_eq!(data(&served, "status/config"), json!({ "yaml": "instance: orwell\n" }));
    assert_eq!(data(&served, "status/flags")["query.lookback-delta"], "5m");
    assert_eq!(data(&served, "status/runtimeinfo")["reloadConfigSuccess"], true);
    let store = data(&served, "status/tsdb?limit=1");
    assert_eq!(
        store["seriesCountByMetricName"],
        json!([{ "name": "probe_http_duration_seconds", "value": 5 }])
    );
    let meta = data(&served, "metadata?metric=mail_queue_size_bytes");
    let want = json!({ "mail_queue_size_bytes": [{ "type": "gauge", "help": "Size of a queue.", "unit": "bytes" }] });
    assert_eq!(meta, want);
    assert_eq!(data(&served, "metadata?limit=2").as_object().unwrap().len(), 2);
    assert!(data(&served, "metadata")["augenmass_web_connections"][0]["help"].is_string());
    assert_eq!(data(&served, "query_exemplars?query=up&start=1&end=2"), json!([]));
}

#[test]
fn targets_in_the_words_of_scraping() {
    let served = start();
    let targets = data(&served, "targets?state=active");
    let active = targets["activeTargets"].as_array().unwrap();
    assert_eq!(active.len(), 4);
    let wiki = active.iter().find(|target| target["labels"]["service"] == "wiki").unwrap();
    assert_eq!(
        (&wiki["health"], &wiki["lastError"]),
        (&json!("down"), &json!("connection refused <script>"))
    );
    assert_eq!(data(&served, "targets?state=dropped")["activeTargets"], json!([]));
    assert_eq!(data(&served, "scrape_pools"), json!({ "scrapePools": ["augenmass"] }));
}

#[test]
fn expressions_as_text_and_tree() {
    let served = start();
    let text = data(&served, "format_query?query=sum(rate(a[5m]))by(b)");
    assert_eq!(text, "sum by (b) (rate(a[5m]))");
    let tree = data(&served, "parse_query?query=-sum(rate(a{b!~\"c\"}[5m]%20offset%201m))by(b)");
    let want = json!({ "type": "unaryExpr", "op": "-", "expr": {
        "type": "aggregation", "op": "sum", "param": null, "grouping": ["b"], "without": false,
        "expr": { "type": "call",
            "func": { "name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector" },
            "args": [{ "type": "matrixSelector", "name": "a", "range": 300_000, "offset": 60_000,
                "timestamp": null, "startOrEnd": null,
                "matchers": [{ "name": "b", "type": "!~", "value": "c" }, { "name": "__name__", "type": "=", "value": "a" }],
            }],
        },
    } });
    assert_eq!(tree, want);
    let tree = data(&served, "parse_query?query=a%20%2Bon(c)b%20@%20end()");
    assert_eq!(
        tree["matching"],
        json!({ "card": "one-to-one", "labels": ["c"], "on": true, "include": [] })
    );
    assert_eq!(tree["rhs"]["startOrEnd"], "end");
}

#[test]
fn other_sites_read_only_when_they_may() {
    let served = start();
    let origin = "Origin: https://grafana.example.org";
    let closed = ask(served.address, "GET /api/v1/status/buildinfo", &[origin]);
    assert_eq!(closed.header("access-control-allow-origin"), "");
    drop(served);
    let settings =
        Settings { cors_origins: vec!["https://grafana.example.org".into()], ..Served::settings() };
    let served = Served::start(settings);
    let open = ask(served.address, "GET /api/v1/status/buildinfo", &[origin]);
    assert_eq!(open.header("access-control-allow-origin"), "https://grafana.example.org");
    assert_eq!(open.header("cross-origin-resource-policy"), "cross-origin");
    let asked = "Access-Control-Request-Method: POST";
    let preflight = ask(served.address, "OPTIONS /api/v1/query", &[origin, asked]);
    assert_eq!(preflight.status, 200);
    assert!(preflight.header("access-control-allow-methods").contains("POST"));
    let other =
        ask(served.address, "GET /api/v1/status/buildinfo", &["Origin: https://evil.example"]);
    assert_eq!(other.header("access-control-allow-origin"), "");
}

#[test]
fn queries_that_cannot_run_soon_are_turned_away() {
    let queries = QueryLimits { waiting: 0, ..QueryLimits::default() };
    let served = Served::start(Settings { queries, ..Served::settings() });
    let (status, answer) = get(&served, "labels");
    assert_eq!((status, answer["errorType"].as_str()), (503, Some("unavailable")));
    assert!(
        served.telemetry.encode().contains("augenmass_web_queries_ended_total{reason=\"busy\"} 1")
    );
}

#[test]
fn a_body_that_never_ends_is_cut_off() {
    let limits = augenmass::web::Limits {
        stall_timeout: Duration::from_millis(300),
        ..augenmass::web::Limits::default()
    };
    let served = Served::start(Settings { limits, ..Served::settings() });
    let mut slow = connect(served.address);
    let head = "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\nquery=";
    slow.write_all(head.as_bytes()).unwrap();
    let answer = read(slow);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("the body did not arrive in time"), "{}", answer.text());
}

#[test]
fn answers_come_compressed() {
    let served = start();
    let answer = ask(served.address, "GET /api/v1/metadata", &["Accept-Encoding: gzip"]);
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with(r#"{"status":"success","data":{"#));
}
