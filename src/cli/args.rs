//! What was asked for: the words of the command line as types.
//!
//! Everything that can be judged without looking at files, the environment or
//! the network is judged here, so that a slip is answered at once and with
//! exit code 2.

mod config;
mod demo;
mod device;
mod node;
mod reader;
mod rpc;

use super::help::Topic;
use super::rpc::Endpoint;
use super::spec::{Listen, Mode, Protocol, Target};
use super::Failure;
use crate::config::slip::nearest;
use crate::config::value::shown;
use crate::config::Assignment;
use crate::edge::device::NodeAddress;
use crate::identity::Address;
use crate::parts::{self, DEMO, DOCTOR, MESSAGES, REWARDS, STORE_TOOLS};
use lexopt::Parser;
use reader::Reader;
use std::ffi::OsString;
use std::path::PathBuf;

/// A subcommand with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve as a node.
    Run(RunArgs),
    /// Offer local ports to other devices.
    Publish(PublishArgs),
    /// Reach a port of another device.
    Forward(ForwardArgs),
    /// Send a message to another device.
    Message(MessageArgs),
    /// Show or make a key.
    Identity(IdentityArgs),
    /// Check or show a node's settings.
    Config(ConfigArgs),
    /// Say what is wrong with the device.
    Doctor(DoctorArgs),
    /// Show a small network at work.
    Demo(DemoArgs),
    /// Look at the store's file.
    Store(StoreArgs),
    /// Show how a running node is.
    Status(RpcArgs),
    /// List the nodes that a running node knows.
    Peers(RpcArgs),
    /// Show the tickets that a running node holds.
    Tickets(RpcArgs),
    /// Show what a running node has earned.
    Rewards(RpcArgs),
    /// Say whether a running node is well.
    Health(RpcArgs),
    /// Print a help text.
    Help(Topic),
    /// Print name and version.
    Version,
}

/// How much is logged, in steps above (`-v`) or below (`-q`) the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbosity(pub i8);

/// Where a node's settings come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsArgs {
    /// `--set`, `--data-dir` and `--profile`, in their order.
    pub assignments: Vec<Assignment>,
    /// `--config FILE`
    pub file: Option<PathBuf>,
}

/// What to do with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAction {
    /// Say whether a node would start with them.
    Check,
    /// Print each with where it came from.
    Show,
}

/// `chr-node config`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigArgs {
    /// Check or show.
    pub action: ConfigAction,
    /// As `run` takes them.
    pub settings: SettingsArgs,
    /// The answer as JSON, one object a line.
    pub json: bool,
}

/// `chr-node doctor`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorArgs {
    /// As `run` takes them.
    pub settings: SettingsArgs,
    /// One JSON object a line.
    pub json: bool,
}

/// `chr-node run`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunArgs {
    /// The settings.
    pub settings: SettingsArgs,
    /// Identity for this run only, nothing written.
    pub ephemeral: bool,
    /// `-v`, `-q`
    pub verbosity: Verbosity,
}

/// What `publish`, `forward` and `message` have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceArgs {
    /// Nodes in order of preference, at least one.
    pub nodes: Vec<NodeAddress>,
    /// Key file; `None` is the default one.
    pub identity: Option<PathBuf>,
    /// The most that tickets may promise, in bytes; `None` is no bound.
    pub max_bytes: Option<u64>,
    /// Fleet to write tickets for; `None` is the node's.
    pub fleet: Option<Address>,
    /// Without end-to-end TLS (the other device must agree).
    pub plain: bool,
    /// Accept that a node's address is another than the remembered one.
    pub accept_node: bool,
    /// Events as JSON, one object a line.
    pub json: bool,
    /// `-v`, `-q`
    pub verbosity: Verbosity,
}

/// A port to publish, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// Name or address (without brackets) of the service.
    pub host: String,
    /// The service's port.
    pub local: u16,
    /// The port that others ask for.
    pub port: u16,
    /// What it carries.
    pub protocol: Protocol,
    /// Who may open it.
    pub mode: Mode,
}

/// `chr-node publish`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishArgs {
    /// Nodes, identity and the like.
    pub device: DeviceArgs,
    /// What is offered, at least one if no messages are taken; no two of the same
    /// port and protocol.
    pub ports: Vec<PublishedPort>,
    /// Whether messages are taken.
    pub messages: bool,
    /// Who may open private ports, and send messages.
    pub allow: Vec<Address>,
    /// File of the devices that may open protected ports, and send messages.
    pub fleet_devices: Option<PathBuf>,
}

/// `chr-node forward`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardArgs {
    /// Nodes, identity and the like.
    pub device: DeviceArgs,
    /// Where local programs connect to.
    pub listen: Listen,
    /// The device's port behind it.
    pub target: Target,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageText {
    /// These words.
    Words(String),
    /// What comes on standard input.
    Input,
}

/// `chr-node message`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageArgs {
    /// Nodes, identity and the like.
    pub device: DeviceArgs,
    /// The device that is to get it.
    pub to: Address,
    /// What it says.
    pub text: MessageText,
}

/// What to do with a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityAction {
    /// Print the address of an existing key.
    Show,
    /// Make a key where there is none.
    New,
    /// Write the key down for another machine.
    Export {
        /// `--output FILE`; `None` is standard output.
        output: Option<PathBuf>,
    },
    /// Take over a key from another machine.
    Import {
        /// What export wrote; `-` is standard input.
        file: PathBuf,
    },
}

/// `chr-node identity`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityArgs {
    /// Show, new, export or import.
    pub action: IdentityAction,
    /// `--identity FILE`; `None` is the node's own key.
    pub file: Option<PathBuf>,
    /// `--data-dir DIR`, where the node's own key is.
    pub data_dir: Option<Assignment>,
    /// The answer as JSON.
    pub json: bool,
}

/// `chr-node demo`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoArgs {
    /// Bytes to download.
    pub size: u64,
    /// The result as JSON, one object.
    pub json: bool,
    /// `-v`, `-q`
    pub verbosity: Verbosity,
}

/// What to do with the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// Say what is in it and whether it is sound.
    Check,
    /// Make its file shorter.
    Compact,
    /// Write its rows as lines of JSON.
    Export {
        /// `--output FILE`; `None` is standard output.
        output: Option<PathBuf>,
    },
    /// Read such lines into it.
    Import {
        /// The file.
        file: PathBuf,
        /// `--replace`: its rows win over those of the store.
        replace: bool,
    },
}

/// `chr-node store`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreArgs {
    /// What to do.
    pub action: StoreAction,
    /// As `run` takes them: where the store is.
    pub settings: SettingsArgs,
    /// The answer as JSON.
    pub json: bool,
}

/// A command that asks a running node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcArgs {
    /// `--rpc URL`; `None` is the node of the data folder.
    pub rpc: Option<Endpoint>,
    /// As `run` takes them: where the data folder is.
    pub settings: SettingsArgs,
    /// The answer as JSON, one object a line.
    pub json: bool,
    /// `status --once`: printed once, also in a terminal.
    pub once: bool,
}

const COMMANDS: [&str; 15] = [
    "run", "publish", "forward", "message", "identity", "config", "store", "status", "peers",
    "tickets", "rewards", "health", "doctor", "demo", "help",
];

/// Reads the arguments (without the program's name).
///
/// # Errors
/// [`Failure::Usage`] for whatever cannot be understood.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    let mut args = args.into_iter().peekable();
    // An option first means `run`: a plain `chr-node` is a node.
    let option_first = args
        .peek()
        .is_none_or(|first| first.as_encoded_bytes().starts_with(b"-"));
    let name = if option_first { None } else { args.next() };
    let name = name.map(|name| name.to_string_lossy().into_owned());
    if let Some(part) = name.as_deref().and_then(parts::missing_for_command) {
        return Err(Failure::Usage(part.absent.to_owned()));
    }
    let parser = Parser::from_args(args);
    match name.as_deref() {
        None => node::run(Reader::new(parser, Topic::Overview)),
        Some("run") => node::run(Reader::new(parser, Topic::Run)),
        Some("publish") => device::publish(Reader::new(parser, Topic::Publish)),
        Some("forward") => device::forward(Reader::new(parser, Topic::Forward)),
        Some("message") if MESSAGES.built => device::message(Reader::new(parser, Topic::Message)),
        Some("identity") => node::identity(Reader::new(parser, Topic::Identity)),
        Some("config") => config::parse(Reader::new(parser, Topic::Config)),
        Some("doctor") if DOCTOR.built => config::doctor(Reader::new(parser, Topic::Doctor)),
        Some("demo") if DEMO.built => demo::parse(Reader::new(parser, Topic::Demo)),
        Some("store") if STORE_TOOLS.built => node::store(Reader::new(parser, Topic::Store)),
        Some("status") => asking(parser, Topic::Status, Command::Status),
        Some("peers") => asking(parser, Topic::Peers, Command::Peers),
        Some("tickets") => asking(parser, Topic::Tickets, Command::Tickets),
        Some("rewards") if REWARDS.built => asking(parser, Topic::Rewards, Command::Rewards),
        Some("health") => asking(parser, Topic::Health, Command::Health),
        Some("help") => node::help(Reader::new(parser, Topic::Overview)),
        Some(other) => Err(Failure::Usage(format!(
            "unknown command \"{}\"; {}",
            shown(other),
            match nearest(other, COMMANDS) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("the commands are {}", COMMANDS.join(", ")),
            }
        ))),
    }
}

fn asking(
    parser: Parser,
    topic: Topic,
    command: fn(RpcArgs) -> Command,
) -> Result<Command, Failure> {
    Ok(match rpc::parse(Reader::new(parser, topic))? {
        Ok(args) => command(args),
        Err(rpc::Instead::Help(topic)) => Command::Help(topic),
        Err(rpc::Instead::Version) => Command::Version,
    })
}

#[cfg(test)]
mod tests;
