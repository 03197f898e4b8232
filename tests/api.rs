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
    let want = json!({ "mail_queue_size_bytes": [{ "type": "gauge", "help": "How big the messages of a queue are together.", "unit": "bytes" }] });
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
fn queries_at_one_instant_and_at_many() {
    let served = start();
    let now = served.now.seconds();
    let one = data(&served, &format!("query?query=printer_pages_total&time={now}"));
    let want = json!({ "resultType": "vector", "result": [{
        "metric": {
            "__name__": "printer_pages_total", "instance": "orwell", "job": "augenmass", "owner": "office",
            "probe": "printer", "service": "printer-s71", "target": "192.0.2.7",
        },
        "value": [now, "1234567"],
    }] });
    assert_eq!(one, want);
    assert_eq!(
        data(&served, "query?query=1%2B1&time=5"),
        json!({ "resultType": "scalar", "result": [5, "2"] })
    );
    assert_eq!(
        data(&served, "query?query=%22a%22&time=5"),
        json!({ "resultType": "string", "result": [5, "a"] })
    );
    assert_eq!(
        data(&served, "query?query=up&time=5"),
        json!({ "resultType": "vector", "result": [] })
    );
    // Four series of one sample each 15 s: the last 30 s are two of each.
    let matrix = data(&served, &format!("query?query=probe_success[30s]&time={now}"));
    assert_eq!(matrix["result"].as_array().unwrap().len(), 4);
    assert_eq!(matrix["result"][0]["values"].as_array().unwrap().len(), 2);

    let (start, end) = (now - 60.0, now);
    let path = format!("query_range?query=sum(probe_success)&start={start}&end={end}&step=15s");
    let range = data(&served, &path);
    assert_eq!(
        (&range["resultType"], &range["result"][0]["metric"]),
        (&json!("matrix"), &json!({}))
    );
    let values = range["result"][0]["values"].as_array().unwrap();
    assert_eq!((values.len(), &values[4]), (5, &json!([end, "3"])));
    let posted = post(served.address, "/api/v1/query_range", path.split_once('?').unwrap().1);
    assert_eq!(body(&posted)["data"], range);
}

#[test]
fn options_of_a_query() {
    let served = start();
    let now = served.now.seconds();
    let (_, cut) = get(&served, &format!("query?query=probe_success&time={now}&limit=3"));
    assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 3);
    assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));
    let later = now + 100.0;
    let found = data(&served, &format!("query?query=printer_pages_total&time={later}"));
    assert_eq!(found["result"].as_array().unwrap().len(), 1);
    let path = format!("query?query=printer_pages_total&time={later}&lookback_delta=50");
    assert_eq!(data(&served, &path)["result"], json!([]));
    let stats = data(
        &served,
        &format!("query?query=sum_over_time(probe_success[1m])&time={now}&stats=true"),
    );
    assert_eq!(stats["stats"]["samples"]["totalQueryableSamples"], 16, "{stats}");
    assert!(stats["stats"]["timings"]["execTotalTime"].as_f64().unwrap() > 0.0);
    let (_, noted) = get(&served, &format!("query?query=rate(probe_success[5m])&time={now}"));
    assert!(noted["infos"][0].as_str().unwrap().starts_with("PromQL info: "), "{noted}");
    let (status, failed) =
        get(&served, &format!("query?query=probe_success*on(owner)probe_measured&time={now}"));
    assert_eq!((status, &failed["errorType"]), (422, &json!("execution")), "{failed}");
    let (status, wrong) = get(&served, "query_range?query=probe_success[5m]&start=1&end=2&step=1");
    assert_eq!((status, &wrong["errorType"]), (400, &json!("bad_data")), "{wrong}");
    assert_eq!(
        wrong["error"],
        "invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"
    );
}

/// A subquery of more than ten million steps.
const ENDLESS: &str = "max_over_time(sum(count_over_time(probe_duration_seconds[1h]))[1d:10ms])";

#[test]
fn a_query_ends_when_its_time_is_over_or_it_takes_too_much() {
    // Only its time may end it, however fast the machine is.
    let queries = QueryLimits { samples: usize::MAX, ..QueryLimits::default() };
    let served = Served::start(Settings { queries, ..Served::settings() });
    let now = served.now.seconds();
    let (status, late) = get(&served, &format!("query?query={ENDLESS}&time={now}&timeout=100ms"));
    assert_eq!((status, &late["errorType"]), (503, &json!("timeout")), "{late}");
    assert_eq!(late["error"], "query timed out in expression evaluation");
    drop(served);
    let queries = QueryLimits { samples: 1_000, ..QueryLimits::default() };
    let served = Served::start(Settings { queries, ..Served::settings() });
    let (status, large) = get(&served, &format!("query?query=probe_success[1d]&time={now}"));
    assert_eq!((status, &large["errorType"]), (422, &json!("execution")), "{large}");
}

#[test]
fn a_query_ends_when_its_client_goes_away() {
    let served = start();
    let mut client = connect(served.address);
    let path = format!("/api/v1/query?query={ENDLESS}&time={}", served.now.seconds());
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let running = |count: i64| {
        for _ in 0..500 {
            if served.telemetry.web.queries.get() == count {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    };
    assert!(running(1), "it began");
    drop(client);
    assert!(running(0), "it ended");
}

#[test]
fn rules_and_alerts() {
    let served = start();
    let groups = data(&served, "rules");
    let groups = groups["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    let [slow, down, record] = &groups[0]["rules"].as_array().unwrap()[..] else { panic!() };
    assert_eq!(
        (&slow["state"], &slow["type"], &slow["health"]),
        (&json!("pending"), &json!("alerting"), &json!("ok"))
    );
    assert_eq!((&down["alerts"][0]["value"], &down["duration"]), (&json!("1e+00"), &json!(60.0)));
    assert_eq!(record["lastError"], "found duplicate series");
    assert!(record.get("state").is_none() && slow.get("lastError").is_none());

    let names = |path: &str| -> Vec<String> {
        let groups = data(&served, path)["groups"].clone();
        let rules =
            groups.as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap().clone());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("rules?type=record"), ["job:up:sum"]);
    assert_eq!(names("rules?rule_name[]=TonerLow"), ["TonerLow"]);
    assert_eq!(names("rules?rule_group[]=office"), ["TonerLow"]);
    assert_eq!(names("rules?file[]=other.yml"), [""; 0]);
    assert_eq!(names("rules?match[]={class=\"1\"}"), [""; 0]);
    assert_eq!(names("rules?match[]={class=\"2\"}&match[]={x=\"y\"}"), names("rules"));
    assert_eq!(names("rules?type=alert"), ["PageSlow", "ServiceDown", "TonerLow"]);
    assert_eq!(
        names("rules?type=alert&rule_name[]=PageSlow&rule_name[]=TonerLow"),
        ["PageSlow", "TonerLow"]
    );
    assert_eq!(names("rules?file[]=rules/web.yml&rule_group[]=office"), ["TonerLow"]);
    let toner = data(&served, "rules?rule_name[]=TonerLow")["groups"][0]["rules"][0].clone();
    assert_eq!(toner["health"], "ok");
    assert!(toner["warnings"][0].as_str().unwrap().contains("template depth"));
    assert!(toner["alerts"][0]["keepFiringSince"].is_string());
    for field in ["lastEvaluation", "evaluationTime", "query", "labels", "annotations"] {
        assert!(!toner[field].is_null(), "{field}");
    }
    let quiet = data(&served, "rules?exclude_alerts=true");
    assert_eq!(quiet["groups"][0]["rules"][0]["alerts"], json!([]));
    let first = data(&served, "rules?group_limit=1");
    assert_eq!(first["groups"][0]["name"], "web");
    let next = first["groupNextToken"].as_str().unwrap();
    let second = data(&served, &format!("rules?group_limit=1&group_next_token={next}"));
    assert_eq!(second["groups"][0]["name"], "office");
    assert!(second.get("groupNextToken").is_none());
    assert_eq!(get(&served, "rules?type=x").0, 400);
    assert_eq!(get(&served, "rules?group_limit=1&group_next_token=x").0, 400);

    let alerts = data(&served, "alerts");
    assert_eq!(alerts["alerts"].as_array().unwrap().len(), 3);
    assert_eq!(alerts["alerts"][0]["labels"]["alertname"], "PageSlow");
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
fn an_answer_that_nobody_reads_is_given_up() {
    let limits = augenmass::web::Limits {
        stall_timeout: Duration::from_millis(300),
        ..augenmass::web::Limits::default()
    };
    let served = Served::start(Settings { limits, ..Served::settings() });
    let mut silent = connect(served.address);
    // Each answer has half a megabyte; together they are more than any socket keeps.
    let path = format!("/api/v1/query?query=probe_success[1d]&time={}", served.now.seconds());
    let asked = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(60);
    silent.write_all(asked.as_bytes()).unwrap();
    let open = || served.telemetry.web.connections.get();
    let closed = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        open() == 0
    });
    assert!(closed, "{} connections are still open", open());
    assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
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
