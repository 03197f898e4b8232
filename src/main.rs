//! Arguments, runtime, exit code; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    augenmass::cli::main()
}
