//! The command line: what was asked for ([`args`]), one file a subcommand, and
//! how an error ends the program.
//!
//! `main.rs` calls [`parse`] and [`dispatch`] and prints the [`Failure`]. Every
//! subcommand first turns its arguments into a plan (settings resolved, files
//! found), which tests look at, and then carries the plan out.

pub mod args;
pub mod config;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod forward;
pub mod health;
pub mod help;
pub mod identity;
pub mod logging;
pub mod message;
pub mod peers;
pub mod publish;
pub mod rewards;
pub mod rpc;
pub mod run;
pub mod screen;
pub mod session;
pub mod spec;
pub mod status;
pub mod store;
mod thrift;
pub mod tickets;
pub mod told;

pub use args::{parse, Command};

use crate::config::value::peers::name_servers as read_name_servers;
use crate::config::ConfigError;
use crate::parts::{DEMO, DOCTOR, MESSAGES, REWARDS, STORE_TOOLS};
use crate::platform::limits::raise_descriptors;
use crate::platform::{memory, resolver};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;

/// Why the program ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// What was asked for cannot be: exit code 2.
    Usage(String),
    /// It could have been, and did not work: exit code 1.
    Failed(String),
}

impl Failure {
    /// What the process returns.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) => 1,
        }
    }
}

/// One line that says what, where and what to do. Arguments and file names are
/// quoted in it, so control characters come out escaped.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(message) | Failure::Failed(message)) = self;
        for c in message.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Usage(error.to_string())
    }
}

/// Carries a command out; returns when it is done or was told to stop.
///
/// # Errors
/// What the subcommand says.
pub fn dispatch(command: &Command) -> Result<(), Failure> {
    memory::prepare();
    if asks_for_names(command) {
        resolver::configure(name_servers(std::env::var_os(NAME_SERVERS))?);
    }
    match command {
        Command::Run(args) => run::execute(args),
        Command::Publish(args) => publish::execute(args),
        Command::Forward(args) => forward::execute(args),
        Command::Message(args) if MESSAGES.built => message::execute(args),
        Command::Identity(args) => identity::execute(args),
        Command::Config(args) => config::execute(args),
        Command::Demo(args) if DEMO.built => demo::execute(args),
        Command::Doctor(args) if DOCTOR.built => doctor::execute(args),
        Command::Store(args) if STORE_TOOLS.built => store::execute(args),
        Command::Status(args) => status::execute(args),
        Command::Peers(args) => peers::execute(args),
        Command::Tickets(args) => tickets::execute(args),
        Command::Rewards(args) if REWARDS.built => rewards::execute(args),
        Command::Health(args) => health::execute(args),
        Command::Help(topic) => print(&help::text(*topic)),
        Command::Version => print(&help::version()),
        // The arguments of these are not read in a build without them.
        Command::Message(_) => Err(Failure::Usage(MESSAGES.absent.to_owned())),
        Command::Demo(_) => Err(Failure::Usage(DEMO.absent.to_owned())),
        Command::Doctor(_) => Err(Failure::Usage(DOCTOR.absent.to_owned())),
        Command::Store(_) => Err(Failure::Usage(STORE_TOOLS.absent.to_owned())),
        Command::Rewards(_) => Err(Failure::Usage(REWARDS.absent.to_owned())),
    }
}

/// Where a device is told what `network.dns` tells a node: it has no settings.
const NAME_SERVERS: &str = "CHR_NETWORK__DNS";

/// Whether a command looks names up without having the settings of a node. (With
/// them, it is the node that says whom to ask.)
fn asks_for_names(command: &Command) -> bool {
    matches!(
        command,
        Command::Publish(_)
            | Command::Forward(_)
            | Command::Message(_)
            | Command::Status(_)
            | Command::Peers(_)
            | Command::Tickets(_)
            | Command::Rewards(_)
            | Command::Health(_)
    )
}

fn name_servers(value: Option<OsString>) -> Result<Vec<SocketAddr>, Failure> {
    let text = value.unwrap_or_default();
    read_name_servers(&text.to_string_lossy())
        .map_err(|problem| Failure::Usage(format!("{NAME_SERVERS}: {problem}")))
}

/// Open files without which a program cannot even wait for something.
const FILES: u64 = 16;

/// Whether the process may open `least` files and sockets. Asked before anything
/// is begun: half way, it would be somebody's odd error.
fn enough_files(command: &str, least: u64) -> Result<(), Failure> {
    let files = raise_descriptors().now;
    if files >= least {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{command}: this process may open {files} files and sockets, it needs {least}: raise the limit, such as by `ulimit -n 1024`"
    )))
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
///
/// # Errors
/// When the output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_the_file_is_called() {
        let failure = Failure::Failed("a\nb\r\x1b[2Jc: é".to_owned());
        assert_eq!(failure.to_string(), "a\\nb\\r\\u{1b}[2Jc: é");
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
    }
}
