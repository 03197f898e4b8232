//! Queries between our programs and theirs: `augenmass query` asks a Prometheus, Prometheus'
//! `promtool` and client libraries ask us.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::board::Served;
use crate::harness::{Running, augenmass, free_port, require, wait_for, wait_for_port};

const START: i64 = 1_750_000_000;

/// A Prometheus with an hour of samples of four series.
fn prometheus(folder: &Path) -> Option<(Running, String)> {
    let (program, promtool) = (require("prometheus")?, require("promtool")?);
    let mut page = String::from("# TYPE requests_total unknown\n");
    for series in ["a", "b", "c", "d"] {
        for step in 0..240 {
            let at = START + step * 15;
            page.push_str(&format!("requests_total{{instance=\"{series}\"}} {} {at}\n", step * 30));
        }
    }
    page.push_str("# EOF\n");
    let (file, data, config) =
        (folder.join("page.om"), folder.join("data"), folder.join("prometheus.yml"));
    std::fs::write(&file, page).unwrap();
    std::fs::write(&config, "global: {evaluation_interval: 1m}\n").unwrap();
    let mut make = Command::new(promtool);
    make.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&file, &data]);
    assert!(make.output().unwrap().status.success());
    let port = free_port();
    let running = Running::start(
        Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    wait_for_port(port);
    let url = format!("http://127.0.0.1:{port}");
    wait_for("Prometheus to be ready", Duration::from_secs(60), || {
        let mut ask = augenmass();
        ask.args(["query", "instant", "1", "--server", &url]);
        ask.output().unwrap().status.success().then_some(())
    });
    Some((running, url))
}

fn good(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn our_verb_asks_a_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, url)) = prometheus(folder.path()) else { return };
    let query = |arguments: &[&str]| {
        let mut command = augenmass();
        command.arg("query").args(arguments).args(["--server", &url]).output().unwrap()
    };
    let (from, to) = (START.to_string(), (START + 3_585).to_string());
    let sum =
        good(&query(&["instant", "round(sum(rate(requests_total[5m])), 0.001)", "--at", &to]));
    assert_eq!(sum.split_whitespace().collect::<Vec<_>>(), ["value", "8"]);
    let over = ["--from", &from, "--to", &to];
    let plot = good(&query(&[&["range", "requests_total"], &over[..]].concat()));
    assert!(plot.contains("requests_total{instance=\"d\"}  last 7140, min 0, max 7140"), "{plot}");
    // More points than a Prometheus gives in one answer.
    let far = ["--from", &from, "--to", &to, "--step", "200ms", "-o", "csv"];
    let csv = good(&query(&[&["range", "sum(requests_total)"], &far[..]].concat()));
    assert_eq!(csv.lines().count(), 1 + 3_585 * 5 + 1);
    assert_eq!(good(&query(&[&["labels", "instance"], &over[..]].concat())), "a\nb\nc\nd\n");
    let series = good(&query(&[&["series", "requests_total"], &over[..]].concat()));
    assert_eq!(series.lines().count(), 4);
    let wrong = query(&["instant", "sum(rate(requests_total[5m])"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("unclosed left parenthesis"));
}

#[test]
fn on_a_terminal_there_are_colours_progress_and_marks() {
    let Some(script) = require("script") else { return };
    let served = Served::start(Served::settings());
    let server = format!("--server http://{}", served.address);
    let program = augenmass().get_program().to_str().unwrap().to_owned();
    let on_terminal = |arguments: &str| {
        let mut command = Command::new(&script);
        command.env_remove("NO_COLOR").env("COLUMNS", "80").env("TERM", "xterm");
        command.args(["-qec", &format!("{program} query {arguments} {server}"), "/dev/null"]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = on_terminal("instant 'sum(up) by (job) + on'");
    assert_eq!(code, Some(2), "{said}");
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let place = lines.iter().position(|line| *line == "sum(up) by (job) + on").expect(&said);
    assert_eq!(lines[place + 1].trim_start(), "^", "{said}");
    let (code, said) = on_terminal("range probe_success --from -1d --step 15s");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\u{1b}[32m"), "the first series is green: {said}");
    assert!(said.contains("/20"), "pieces are counted: {said}");
    let (_, said) = on_terminal("instant probe_success");
    assert!(said.contains("\u{1b}[1m"), "the head is bold: {said}");
}

#[test]
fn promtool_asks_us() {
    let Some(promtool) = require("promtool") else { return };
    let served = Served::start(Served::settings());
    let server = format!("http://{}", served.address);
    let now = served.now.millis() / 1000;
    let (from, to) = ((now - 3_600).to_string(), now.to_string());
    let ask = |arguments: &[&str]| {
        good(&Command::new(&promtool).arg("query").args(arguments).output().unwrap())
    };
    let instant = ask(&["instant", "-o", "json", "--time", &to, &server, "count(probe_success)"]);
    let instant: Value = serde_json::from_str(&instant).unwrap();
    assert_eq!(instant[0]["value"][1], "4");
    let over = ["--start", &from, "--end", &to];
    let range =
        ask(&[&["range", "-o", "json", "--step", "60s"], &over[..], &[&server, "probe_success"]]
            .concat());
    let range: Value = serde_json::from_str(&range).unwrap();
    assert_eq!(range[3]["values"].as_array().unwrap().len(), 61);
    let series = ask(&[&["series", "--match", "probe_success"], &over[..], &[&server]].concat());
    assert_eq!(series.lines().filter(|line| line.contains("probe_success")).count(), 4);
    let labels = ask(&[&["labels"], &over[..], &[&server, "service"]].concat());
    assert_eq!(
        labels.split_whitespace().collect::<Vec<_>>(),
        ["homepage", "mail", "printer-s71", "wiki"]
    );
}

/// What people who wrote scripts for a Prometheus use.
const PYTHON: &str = r#"
import sys
from datetime import datetime, timedelta
from prometheus_api_client import Metric, MetricRangeDataFrame, MetricSnapshotDataFrame, PrometheusConnect
from prometheus_api_client import PrometheusApiClientException

prom = PrometheusConnect(url=sys.argv[1])
assert prom.check_prometheus_connection()
assert 'probe_success' in prom.all_metrics()
assert prom.get_label_values('service') == ['homepage', 'mail', 'printer-s71', 'wiki']
assert 'owner' in prom.get_label_names()
now = prom.get_current_metric_value('probe_success', label_config={'service': 'wiki'})
assert len(now) == 1 and now[0]['value'][1] == '0', now
assert prom.custom_query('count(probe_success)')[0]['value'][1] == '4'
try:
    prom.custom_query('sum(')
    raise SystemExit('no exception')
except PrometheusApiClientException as error:
    assert '400' in str(error) and 'parse error' in str(error), error
end = datetime.now()
found = prom.custom_query_range('probe_success', start_time=end - timedelta(hours=1), end_time=end, step='60s')
assert len(found) == 4 and len(found[0]['values']) in (60, 61), found
data = prom.get_metric_range_data('printer_pages_total', start_time=end - timedelta(hours=2), end_time=end)
assert len(Metric(data[0]).metric_values) > 400
frame = MetricRangeDataFrame(data)
assert frame['value'].max() <= 1234567, frame
assert len(MetricSnapshotDataFrame(now)) == 1
aggregated = prom.get_metric_aggregation(query='probe_success', operations=['max', 'average'])
assert aggregated['max'] == 1, aggregated
assert prom.get_targets()['activeTargets'][0]['scrapePool'] == 'augenmass'
print('all well')
"#;

#[test]
fn a_python_client_asks_us() {
    let Some(python) = require("prometheus-client-python") else { return };
    // A link into an environment finds its packages only by its real name.
    let python = std::fs::read_link(&python).unwrap_or(python);
    let served = Served::start(Served::settings());
    let server = format!("http://{}", served.address);
    let output = Command::new(python).args(["-c", PYTHON, &server]).output().unwrap();
    assert_eq!(good(&output), "all well\n");
}

#[test]
fn a_rust_client_asks_us() {
    use prometheus_http_query::{Client, Selector};
    let served = Served::start(Served::settings());
    let client = Client::try_from(format!("http://{}", served.address)).unwrap();
    let now = served.now.millis() / 1000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(
            client.is_server_healthy().await.unwrap() && client.is_server_ready().await.unwrap()
        );
        let counted = client.query("count(probe_success)").at(now).stats().get().await.unwrap();
        assert_eq!(counted.data().as_vector().unwrap()[0].sample().value(), 4.0);
        let samples = counted.stats().unwrap().samples();
        assert_eq!((samples.total_queryable_samples(), samples.peak_samples() > 0), (4, true));
        let range =
            client.query_range("probe_success", now - 3_600, now, 60.0).post().await.unwrap();
        let range = range.data().as_matrix().unwrap();
        assert_eq!((range.len(), range[0].samples().len()), (4, 61));
        let selector = Selector::new().metric("probe_success").eq("service", "wiki");
        let series =
            client.series([&selector]).unwrap().start(now - 60).end(now).get().await.unwrap();
        assert_eq!(series[0]["target"], "http://wiki.example.org/");
        assert!(client.label_names().get().await.unwrap().contains(&"owner".to_owned()));
        assert_eq!(client.label_values("service").get().await.unwrap().len(), 4);
        assert_eq!(client.targets(None).await.unwrap().active().len(), 4);
        assert_eq!(client.rules().get().await.unwrap().len(), 2);
        assert_eq!(client.alerts().await.unwrap().len(), 3);
        assert!(!client.metric_metadata().get().await.unwrap().is_empty());
        assert!(!client.build_information().await.unwrap().version().is_empty());
        client.runtime_information().await.unwrap();
        client.tsdb_statistics().await.unwrap();
        client.flags().await.unwrap();
        client.alertmanagers().await.unwrap();
        let error = client.query("sum(").get().await.unwrap_err();
        assert!(error.to_string().contains("parse error"), "{error}");
    });
}
