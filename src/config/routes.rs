//! `alertmanager:`: who is told by the routes of an `alertmanager.yml`.

use std::path::{Path, PathBuf};

use super::problem::{Position, Problem, Problems};
use super::reader::Reader;
use super::yaml::{Kind, Node};
use super::{AlertmanagerFile, Basics, Outfit};
use crate::alerting::{Ends, Owner};
use crate::notify;

/// An `alertmanager.yml` that runs.
#[derive(Clone, Debug)]
pub struct AlertmanagerSection {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub file: AlertmanagerFile,
    /// Its receivers.
    pub outfit: Outfit,
}

const ENDS: &[(&str, Ends)] =
    &[("as_alertmanager", Ends::AsAlertmanager), ("reach_who_heard", Ends::ReachWhoHeard)];

/// `alertmanager: FILE`, or `{file: FILE, ends: …}`; `instead` is a file that the command line
/// names.
pub fn alertmanager(
    node: Option<&Node>,
    instead: Option<&Path>,
    owners: &[(Owner, Position)],
    basics: &Basics,
    channels: &notify::Settings,
    reader: &mut Reader<'_>,
) -> Option<AlertmanagerSection> {
    let start = Position { line: 1, column: 1 };
    let at = node.map_or(start, |node| node.at);
    let (mut path, mut ends) = (None, Ends::AsAlertmanager);
    match node.map(|node| (&node.kind, node)) {
        None => {}
        Some((Kind::Map(_), node)) => {
            let mut fields = reader.fields(node, "alertmanager")?;
            path = fields.need("file", reader).and_then(|node| reader.path(node, "file"));
            if let Some(node) = fields.get("ends") {
                ends = reader.choice(node, "ends", ENDS).unwrap_or(ends);
            }
            fields.finish(reader);
        }
        Some((_, node)) => path = reader.path(node, "alertmanager"),
    }
    let path = instead.map(Path::to_owned).or(path)?;
    let mut file = match reader.alertmanager(&path) {
        Ok(file) => file,
        Err(problems) => {
            tell(&path, problems.problems, at, reader);
            return None;
        }
    };
    tell(&path, file.obstacles.clone(), at, reader);
    file.plan.ends = ends;
    let owner = |name: &str| owners.iter().any(|(owner, _)| *owner.name == *name);
    let outfit = file.outfit(owner, &basics.language, &basics.timezone);
    for receiver in file.receivers.iter().filter(|r| owner(&r.name) && !r.integrations.is_empty()) {
        let message = format!(
            "the receiver `{}` has the name of an owner: leave its integrations out to mean that \
             owner, or give it another name",
            receiver.name
        );
        tell(&path, vec![Problem { at: receiver.at, message }], at, reader);
    }
    if outfit.matrix && channels.matrix.is_none() {
        let path = path.display();
        reader.problem(at, format!("{path}: `matrix_configs` needs `notify.matrix` in this file"));
    }
    Some(AlertmanagerSection { path, file, outfit })
}

/// Problems of the other file, at the line that names it.
fn tell(path: &Path, problems: Vec<Problem>, at: Position, reader: &mut Reader<'_>) {
    for problem in problems {
        let one = Problems { file: path.to_owned(), problems: vec![problem] };
        reader.problem(at, one.to_string());
    }
}
