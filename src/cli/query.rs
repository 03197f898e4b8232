//! Asking a server or a data folder in the terminal.

pub mod answer;
mod pieces;
mod plot;
mod server;
pub mod show;
pub mod source;
pub mod table;
pub mod time;

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::output::{complain, is_terminal, say};
use crate::config::parse_duration;
use crate::model::Timestamp;
use crate::ports::{Clock, SystemClock};
use crate::promql;
use answer::Answered;
use show::{Form, Screen};
use source::{Place, Trouble};

/// `augenmass query …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The value of an expression at one instant, as a table
    #[command(after_help = "Example:\n  augenmass query instant 'probe_success == 0'")]
    Instant {
        /// PromQL
        #[arg(value_name = "EXPR")]
        expr: String,
        /// When: `now`, a length before now such as `-6h`, seconds since 1970, or RFC 3339
        #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
        at: String,
        #[command(flatten)]
        common: Common,
    },
    /// The values of an expression over a time, as a plot
    #[command(after_help = "Example:\n  augenmass query range 'probe_duration_seconds' --from -6h")]
    Range {
        /// PromQL
        #[arg(value_name = "EXPR")]
        expr: String,
        #[command(flatten)]
        span: Span,
        /// Time between two values, such as `30s`; as fits the terminal, when absent
        #[arg(long, value_name = "LENGTH", value_parser = length)]
        step: Option<Duration>,
        #[command(flatten)]
        common: Common,
    },
    /// The label sets of the series that match any of the selectors
    #[command(after_help = "Example:\n  augenmass query series 'up{job=\"web\"}' --from -1d")]
    Series {
        /// Selectors
        #[arg(required = true, value_name = "MATCH")]
        matches: Vec<String>,
        #[command(flatten)]
        span: Span,
        #[command(flatten)]
        common: Common,
    },
    /// The names of labels, or the values of one
    #[command(after_help = "Example:\n  augenmass query labels service")]
    Labels {
        /// A label whose values are wanted
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Only of series that match
        #[arg(long = "match", value_name = "MATCH")]
        matches: Vec<String>,
        #[command(flatten)]
        span: Span,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Span {
    /// Begin: `now`, a length before now such as `-6h`, seconds since 1970, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true)]
    from: String,
    /// End, written the same way
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: String,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    place: Place,
    /// How to write it; a table, or for ranges a plot, when absent
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Form>,
}

/// A length of time on the command line; longer than nothing.
pub fn length(text: &str) -> Result<Duration, String> {
    let found = parse_duration(text).filter(|length| !length.is_zero());
    found.ok_or_else(|| "expected a length of time such as `30s` or `5m`".to_owned())
}

/// Exit code 1 when there is no answer, 2 when the question makes no sense.
pub fn run(arguments: Arguments) -> ExitCode {
    super::block_on(async move {
        let now = SystemClock::start().wall();
        match ask(arguments.what, now).await {
            Ok(text) => {
                let text = text.trim_end_matches('\n');
                if !text.is_empty() {
                    say(text);
                }
                ExitCode::SUCCESS
            }
            Err(trouble) => trouble.said(),
        }
    })
}

async fn ask(what: What, now: Timestamp) -> Result<String, Trouble> {
    let usage = Trouble::Usage;
    match what {
        What::Instant { expr, at, common } => {
            let at = time::instant(&at, now).map_err(usage)?;
            let source = common.place.source()?;
            let form = [("query", expr.clone()), ("time", time::for_api(at))];
            let answered = source.get("query", &form).await;
            let answered = answered.map_err(|trouble| marked(trouble, &expr))?;
            remark(&answered);
            show::value(&answered.data, common.output.unwrap_or(Form::Table), &screen())
        }
        What::Range { expr, span, step, common } => {
            let (from, to) = span.read(now)?;
            let screen = screen();
            let step = step.unwrap_or_else(|| time::step_for(from, to, screen.width));
            let source = common.place.source()?;
            let answered = pieces::range(&source, &expr, (from, to), step).await;
            let answered = answered.map_err(|trouble| marked(trouble, &expr))?;
            remark(&answered);
            show::value(&answered.data, common.output.unwrap_or(Form::Plot), &screen)
        }
        What::Series { matches, span, common } => {
            let (from, to) = span.read(now)?;
            let source = common.place.source()?;
            let answered = source.get("series", &named(matches, from, to)).await?;
            remark(&answered);
            show::series(&answered.data, common.output.unwrap_or(Form::Table), &screen())
        }
        What::Labels { name, matches, span, common } => {
            let (from, to) = span.read(now)?;
            let source = common.place.source()?;
            let path = match &name {
                Some(name) => format!("label/{}/values", source::path_word(name)),
                None => "labels".to_owned(),
            };
            let answered = source.get(&path, &named(matches, from, to)).await?;
            remark(&answered);
            let title = name.as_deref().unwrap_or("label");
            show::words(&answered.data, title, common.output.unwrap_or(Form::Table))
        }
    }
}

impl Span {
    fn read(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Trouble> {
        let from = time::instant(&self.from, now).map_err(Trouble::Usage)?;
        let to = time::instant(&self.to, now).map_err(Trouble::Usage)?;
        if to < from {
            return Err(Trouble::Usage("--to is before --from".to_owned()));
        }
        Ok((from, to))
    }
}

fn named(matches: Vec<String>, from: Timestamp, to: Timestamp) -> Vec<(&'static str, String)> {
    let matches = matches.into_iter().map(|text| ("match[]", text));
    matches.chain([("start", time::for_api(from)), ("end", time::for_api(to))]).collect()
}

/// Warnings and infos are not data.
fn remark(answered: &Answered) {
    for (kind, notes) in [("warning", &answered.warnings), ("info", &answered.infos)] {
        for note in notes {
            complain(&format!("{kind}: {note}"));
        }
    }
}

/// On a terminal, what our own parser cannot read is marked under the query. A server may know a
/// wider language, so it is asked first.
fn marked(trouble: Trouble, expr: &str) -> Trouble {
    let (Trouble::Failed(message) | Trouble::Usage(message)) = &trouble;
    match promql::parse(expr) {
        Err(error) if std::io::stderr().is_terminal() => {
            Trouble::Usage(format!("{message}\n{}", error.marked(expr)))
        }
        Err(_) => Trouble::Usage(message.clone()),
        Ok(_) => trouble,
    }
}

/// What the terminal holds; 80 columns where there is none.
pub fn screen() -> Screen {
    let given = std::env::var("COLUMNS").ok().and_then(|text| text.parse::<u16>().ok());
    let found = terminal_size::terminal_size();
    let width = given.or(found.map(|(width, _)| width.0)).unwrap_or(80);
    let height = found.map_or(24, |(_, height)| height.0);
    Screen {
        width: usize::from(width).clamp(40, 1_000),
        height: usize::from(height).clamp(10, 60),
        colour: is_terminal(),
        cut: std::io::stdout().is_terminal(),
    }
}

impl ValueEnum for Form {
    fn value_variants<'a>() -> &'a [Self] {
        &[Form::Table, Form::Plot, Form::Json, Form::Csv]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Form::Table => ("table", "Aligned columns"),
            Form::Plot => ("plot", "A line for each series; only for ranges"),
            Form::Json => ("json", "As the HTTP API gives it"),
            Form::Csv => ("csv", "A line for each value, with a head (RFC 4180)"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}
