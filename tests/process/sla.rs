//! What was promised about a service, judged from what the program itself saw.

use std::process::Command;

use augenmass::demo::peers::Mood;
use serde_json::Value;

use crate::harness::{augenmass, wait_for};
use crate::is_over;
use crate::world::{FAILING, LONG, World};

const PROMISE: &str = "\
calendars: {always: {hours: {mon-sun: '00:00-24:00'}}}
promises:
  council:
    times: {all day: {calendar: always, available: 98%}}
    short: {below: 10m, per_day: 1, per_week: 1}
";

fn report(arguments: &[&str]) -> (i32, Value, String) {
    let output = Command::output(augenmass().args(["sla", "report"]).args(arguments)).unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A zone in which it is about noon: no day, week or month ends while the test runs.
#[allow(clippy::disallowed_methods)] // the process reads the machine's clock too
fn zone_at_noon() -> String {
    let now = jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap();
    let ahead = 12 - now.to_zoned(jiff::tz::TimeZone::UTC).hour();
    // POSIX counts the other way round.
    format!("Etc/GMT{:+}", -ahead)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_stands_in_the_report_with_its_reason() {
    let mut world = World::start().await;
    let promised = world.config("").replace("owner: team\n", "owner: team\n    promise: council\n");
    world.write(&format!("timezone: {}\n{promised}{PROMISE}", zone_at_noon()));
    let file = world.file();
    let file = file.to_str().unwrap();
    let process = world.run();
    let server = format!("http://127.0.0.1:{}", world.port);
    let online = ["--config", file, "--server", &server, "-o", "json"];
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    for outage in 1..=2 {
        world.page.set("/", FAILING);
        assert!(!is_over(&world.letter().await));
        world.page.set("/", Mood::Fine);
        assert!(is_over(&world.letter().await));
        let (code, found, problem) = report(&online);
        assert_eq!((code, problem.as_str()), (0, ""), "{found}");
        let outages = found[0]["outages"].as_array().unwrap();
        assert_eq!(outages.len(), outage, "{found}");
        for judged in outages {
            assert_eq!(judged["targets"][0], "page");
            // One short outage a day does not count; of two, both do.
            let part = &judged["parts"][0];
            assert_eq!(part["counts"], outage == 2, "{found}");
            assert_eq!(part["reckoning"], ["short", "too_many_that_day"][outage - 1]);
        }
        let level = &found[0]["service_times"][0];
        assert_eq!(level["standing"], "open");
        // The month before the program ran is unknown, not good.
        assert!(level["unknown_seconds"].as_f64() > Some(11.0 * 3600.0), "{level}");
    }
    // The same from the folder, while the program uses it.
    let data = world.folder.path().join("data");
    let offline = ["--config", file, "--data", data.to_str().unwrap(), "-o", "json"];
    let (code, found, problem) = report(&offline);
    assert_eq!((code, problem.as_str()), (0, ""));
    assert_eq!(found[0]["outages"].as_array().unwrap().len(), 2, "{found}");
    let (code, _, problem) = report(&[&offline[..], &["--service", "other"]].concat());
    assert_eq!(code, 2);
    assert!(
        problem.contains("no service `other` has a promise; those that have: page"),
        "{problem}"
    );
    world.write(&world.config(""));
    let (code, _, problem) = report(&offline);
    assert!(code == 1 && problem.contains("no service of this configuration has a `promise`"));
}
