//! Which targets are meant.

use std::path::Path;

use crate::config::{Config, Sources, parse_probe, suggestion};
use crate::probe::Target;

/// The targets that the words mean: of a configuration, or made of the words alone.
///
/// # Errors
/// What is wrong with them, for a person.
pub fn targets(
    config: Option<&Path>,
    words: &[String],
    sources: &dyn Sources,
) -> Result<Vec<Target>, String> {
    let Some(file) = config else { return one(words, sources).map(|target| vec![target]) };
    let config = Config::load(file, sources).map_err(|problems| problems.to_string())?;
    let all = config.probes.targets;
    if all.is_empty() {
        return Err(format!("{}: it has no probes", file.display()));
    }
    let is = |target: &Target, word: &str| *target.name == *word || *target.service == *word;
    for word in words {
        if !all.iter().any(|target| is(target, word)) {
            let names = all.iter().flat_map(|target| [&*target.name, &*target.service]);
            let near = suggestion(word, names);
            return Err(format!(
                "{}: there is no target or service `{word}`{near}",
                file.display()
            ));
        }
    }
    let meant = |target: &Target| words.is_empty() || words.iter().any(|word| is(target, word));
    Ok(all.into_iter().filter(meant).collect())
}

/// `KIND TARGET`, a web address, or `mail_queue` alone.
fn one(words: &[String], sources: &dyn Sources) -> Result<Target, String> {
    let (kind, what) = match words {
        [kind, what] => (kind.as_str(), what.as_str()),
        [url] if url.starts_with("http://") || url.starts_with("https://") => {
            ("http", url.as_str())
        }
        [kind] if kind == "mail_queue" => ("mail_queue", "{postfix: local}"),
        // It may hold a password, so that it is not said again.
        [other] if other.contains("://") => {
            return Err("only addresses with http:// or https:// need no kind of probe".to_owned());
        }
        [kind] => {
            return Err(format!("`probe {kind}` needs a target; see `augenmass probe --help`"));
        }
        _ => {
            return Err("expected a web address, or a kind of probe and its target, such as \
                        `http https://www.example.org/` or `printer 192.0.2.7`; several targets \
                        at once come from a file (`--config`)"
                .to_owned());
        }
    };
    // Options are YAML, as in the configuration; everything else is text as it stands.
    let value = match what.trim_start().starts_with('{') {
        true => what.to_owned(),
        false => format!("'{}'", what.replace('\'', "''")),
    };
    parse_probe(&format!("{kind}: {value}"), Path::new(""), sources).map_err(|problems| {
        problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("\n")
    })
}
