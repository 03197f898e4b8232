//! The verbs, one file each.

use std::process::ExitCode;

/// Runs the verb named on the command line.
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
