//! The `chr-node` program: parses, then calls the library.

use chr_node::cli;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = cli::parse(std::env::args_os().skip(1)).and_then(|command| cli::dispatch(&command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to tell anyone when standard error is gone.
            let _ = writeln!(std::io::stderr(), "chr-node: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
