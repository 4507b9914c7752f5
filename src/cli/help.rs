//! Help texts. Each has an example that works as it stands but for the address.

mod asking;
mod doctor;
mod store;

use crate::config::KEYS;
use crate::parts;
use std::fmt::Write as _;

/// What there is help on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The program.
    Overview,
    /// `chr-node run`
    Run,
    /// `chr-node publish`
    Publish,
    /// `chr-node forward`
    Forward,
    /// `chr-node message`
    Message,
    /// `chr-node identity`
    Identity,
    /// `chr-node config`
    Config,
    /// `chr-node doctor`
    Doctor,
    /// `chr-node demo`
    Demo,
    /// `chr-node store`
    Store,
    /// `chr-node status`
    Status,
    /// `chr-node peers`
    Peers,
    /// `chr-node tickets`
    Tickets,
    /// `chr-node rewards`
    Rewards,
    /// `chr-node health`
    Health,
}

impl Topic {
    /// The subcommand's name; empty for the program itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Topic::Overview => "",
            Topic::Run => "run",
            Topic::Publish => "publish",
            Topic::Forward => "forward",
            Topic::Message => "message",
            Topic::Identity => "identity",
            Topic::Config => "config",
            Topic::Doctor => "doctor",
            Topic::Demo => "demo",
            Topic::Store => "store",
            Topic::Status => "status",
            Topic::Peers => "peers",
            Topic::Tickets => "tickets",
            Topic::Rewards => "rewards",
            Topic::Health => "health",
        }
    }

    /// The topic of a subcommand's name.
    #[must_use]
    pub fn find(name: &str) -> Option<Topic> {
        [
            Topic::Run,
            Topic::Publish,
            Topic::Forward,
            Topic::Message,
            Topic::Identity,
            Topic::Config,
            Topic::Doctor,
            Topic::Demo,
            Topic::Store,
            Topic::Status,
            Topic::Peers,
            Topic::Tickets,
            Topic::Rewards,
            Topic::Health,
        ]
        .into_iter()
        .find(|topic| topic.name() == name)
    }
}

const OVERVIEW: &str = "\
chr-node: reach a port of a device behind NAT from another device, through a
node that relays and cannot read.

Usage: chr-node [COMMAND] [OPTIONS]

Commands:
  run        serve as a node (what plain `chr-node` does)
  publish    offer a local TCP or UDP port to other devices
  forward    reach another device's published port at a local one
  message    send a few words to another device
  identity   show, make or move a key
  config     check a node's settings, or show where each comes from
  demo       a node and two devices in one process, with a measured download
  store      check, shorten, back up the file that a node keeps all in
  status     show how a running node is, live
  peers      list the nodes that a running node knows
  tickets    show the tickets that a running node holds
  rewards    show what a running node has earned
  health     say whether a running node is well, for scripts
  doctor     say what is wrong with this device, and the remedy
  help       this text, or the one of a command: chr-node help publish

Every command takes --help (-h), --version (-V), and -v for more or -q for
less on standard error (`identity`, `config`, `doctor`, `store` and those that
ask a running node have nothing to add there).

Example, on three machines:
  node$    chr-node run
  server$  chr-node publish 8080:public --node NODE:41046
  laptop$  chr-node forward 127.0.0.1:8080 0xSERVER:8080 --node NODE:41046

Exit codes: 0 success, 1 failure, 2 wrong usage or setting.
";

const RUN: &str = "\
Serve as a node: devices connect to the edge ports, publish ports there and
open each other's.

Usage: chr-node run [OPTIONS]

Options:
  --config FILE      settings as TOML; SIGHUP reads the file again
  --profile NAME     raspberry-pi, router, android, server, or auto [auto]
  --data-dir DIR     folder of the node's key, store and run.json [./data]
  --set KEY=VALUE    give a setting a value; may be repeated
  --ephemeral        an identity for this run only, nothing written
  -v, -q             log more or less than log.level (may be repeated)
  -h, --help         this text
  -V, --version      name and version

Example:
  chr-node run --data-dir /var/lib/chr-node --set network.rpc_port=off

Settings come from the command line, else from the environment, else from the
file, else from the profile, else from the default in brackets; what holds and
where it came from tells `chr-node config show`, and `chr-node config check`
whether all is well. Each key has a variable: network.rpc_port is
CHR_NETWORK__RPC_PORT; an empty one counts as unset. Durations: 30s, 5m, 1h.
Sizes: 64M, 1G. Lists: commas or spaces, in the file also [\"a\", \"b\"]. Relative
paths, also those in the file, start at the folder that chr-node is started in.
A key with * takes a new value when the node gets SIGHUP.
";

const PUBLISH: &str = "\
Offer local ports to other devices, through a node.

Usage: chr-node publish SPEC... --node [0xADDR@]HOST:PORT [OPTIONS]
       chr-node publish --messages --node [0xADDR@]HOST:PORT [OPTIONS]

  SPEC = [[HOST:]PORT=]PORT[/tcp|/udp][:public|:protected|:private]
    8080:public                       127.0.0.1:8080 as port 8080, to everyone
    22=2222 --allow 0xADDR            127.0.0.1:22 as port 2222, to one device
    192.168.1.5:80=8080/tcp:public    another host's port
    53/udp:protected                  datagrams, to the devices of a list
  Without a mode it is private when --allow is given. IPv6 hosts stand in
  brackets: [fd00::5]:80=8080.

Options:
  --node [0xADDR@]HOST:PORT  node to connect to; repeated, best first: a second
                             session is kept with the next one and takes over
                             at once. With 0xADDR the node must be that one;
                             without, its address is remembered and checked
                             the next time. HOST:41046,443 names more ports of
                             it, for firewalls that let few out
  --messages                 print messages that `chr-node message` sends here:
                             from the devices of --allow and --fleet-devices,
                             without these from everyone
  --allow 0xADDR             device that may open private ports; repeated
  --fleet-devices FILE       devices that may open protected ports, one 0xADDR
                             a line, # begins a remark
  --identity FILE            key of this device
                             [~/.local/share/chr-node/publish.key]
  --max-bytes SIZE           sign tickets for at most this much traffic, such
                             as 10G [no bound]
  --fleet 0xADDR             fleet to write tickets for [the node's]
  --plain                    without end-to-end encryption; only when the other
                             device says so, too
  --accept-node              accept that a node's address has changed
  --json                     events on standard output, one JSON object a line
  -v, -q                     log more or less (may be repeated)
  -h, --help                 this text
  -V, --version              name and version

Example:
  chr-node publish 8080:public --node node.example.org:41046

It prints this device's address, which the other side needs, and runs until it
is stopped. When the node is lost, it reconnects by itself.
";

const FORWARD: &str = "\
Listen on a local port and carry what connects there to a port that another
device has published.

Usage: chr-node forward LISTEN 0xADDR:PORT --node [0xADDR@]HOST:PORT [OPTIONS]

  LISTEN = [IP:]PORT[/tcp|/udp]
    127.0.0.1:8080    this machine alone (as is 8080 by itself)
    0.0.0.0:8080      everyone who reaches this machine
    127.0.0.1:0       any free port; it is printed
    5353/udp          datagrams
  0xADDR:PORT is the other device's address, as `publish` shows it, and the
  port that it published.

Options:
  --node [0xADDR@]HOST:PORT  node to connect to; repeated, best first: a second
                             session is kept with the next one and takes over
                             at once. With 0xADDR the node must be that one;
                             without, its address is remembered and checked
                             the next time. HOST:41046,443 names more ports of
                             it, for firewalls that let few out
  --identity FILE            key of this device
                             [~/.local/share/chr-node/forward.key]
  --max-bytes SIZE           sign tickets for at most this much traffic, such
                             as 10G [no bound]
  --fleet 0xADDR             fleet to write tickets for [the node's]
  --plain                    without end-to-end encryption; only when the other
                             device says so, too
  --accept-node              accept that a node's address has changed
  --json                     events on standard output, one JSON object a line
  -v, -q                     log more or less (may be repeated)
  -h, --help                 this text
  -V, --version              name and version

Example:
  chr-node forward 127.0.0.1:8080 0xADDR:8080 --node node.example.org:41046

It runs until it is stopped. When the node is lost, it reconnects by itself.
";

const MESSAGE: &str = "\
Send a message to another device, encrypted from here to there. It is delivered
when that device runs `chr-node publish --messages` and lets this one.

Usage: chr-node message 0xADDR TEXT --node [0xADDR@]HOST:PORT [OPTIONS]

  0xADDR is the other device's address, as `publish` shows it.
  TEXT has at most 8192 bytes; - is what comes on standard input (of any kind,
  as it is). Write -- before a TEXT that begins with a dash.

Options:
  --node [0xADDR@]HOST:PORT  node to connect to; repeated for fail-over, best
                             first. With 0xADDR the node must be that one;
                             without, its address is remembered and checked
                             the next time. HOST:41046,443 names more ports of
                             it, for firewalls that let few out
  --identity FILE            key of this device, by which the other one knows
                             it [~/.local/share/chr-node/message.key]
  --max-bytes SIZE           sign tickets for at most this much traffic, such
                             as 10M [no bound]
  --fleet 0xADDR             fleet to write tickets for [the node's]
  --accept-node              accept that a node's address has changed
  --json                     what came of it as one JSON object
  -v, -q                     log more or less (may be repeated)
  -h, --help                 this text
  -V, --version              name and version

Example:
  chr-node message 0xADDR hello --node node.example.org:41046

Exit code 0: the other device's program has it. 1: it was not delivered, and
why.
";

const IDENTITY: &str = "\
Show, make or move a key. The address that belongs to it is what others know a
node or a device by.

Usage: chr-node identity show|new [--identity FILE | --data-dir DIR] [--json]
       chr-node identity export [--output FILE] [--identity FILE]
       chr-node identity import FILE|- [--identity FILE]

  show    print the address of a key that exists, also while it is in use
  new     make a key where there is none; an existing one is never replaced
  export  write the secret key down, for a backup or for new hardware
  import  take it over where there is none; then the old place must not use it

Options:
  --output FILE      a new file for you alone, instead of standard output
  --identity FILE    the key file
  --data-dir DIR     the node's own key, DIR/node.key [./data, or DATA_DIR]
  --json             {\"address\":\"0x…\",\"file\":\"…\"}
  -h, --help         this text
  -V, --version      name and version

Examples:
  chr-node identity show --identity ~/.local/share/chr-node/publish.key
  chr-node identity export --output moved.key
  chr-node identity import moved.key
";

const CONFIG: &str = "\
Check a node's settings, or show each with its value and where that came from:
command line, environment, file, profile or built-in default, in this order.

Usage: chr-node config check|show [OPTIONS]

  check   one line and exit code 0, or the mistake and exit code 2
  show    every setting; where a value depends on the machine, also what it
          comes to here, and why

Options, as `run` takes them:
  --config FILE      settings as TOML
  --profile NAME     raspberry-pi, router, android, server, or auto [auto]
  --data-dir DIR     folder of the node's key, store and run.json [./data]
  --set KEY=VALUE    give a setting a value; may be repeated
  --json             one JSON object a line
  -h, --help         this text
  -V, --version      name and version

Example:
  chr-node config show --profile router
";

const DEMO: &str = "\
Show a small network at work: a node and two devices in this process, over real
sockets and TLS on this machine. One device publishes a web server, the other
downloads from it through the node.

Usage: chr-node demo [OPTIONS]

Options:
  --size SIZE      how much to download, from 1M to 4G [64M]
  --json           the result as one JSON object
  -v, -q           log more or less (may be repeated)
  -h, --help       this text
  -V, --version    name and version

Example:
  chr-node demo

It takes any free ports, makes keys for this run only and writes nothing to a
disk. Settings of a node, in the environment or elsewhere, do not count here.
";

/// Name and version, one line; in a second one what this build is without.
#[must_use]
pub fn version() -> String {
    let mut text = format!("chr-node {}\n", env!("CARGO_PKG_VERSION"));
    let without: Vec<_> = parts::left_out().collect();
    if !without.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "built without: {}", without.join(", "));
    }
    text
}

/// The text on a topic.
#[must_use]
pub fn text(topic: Topic) -> String {
    match topic {
        Topic::Overview => OVERVIEW.to_owned(),
        Topic::Run => format!("{RUN}\n{}", settings()),
        Topic::Publish => PUBLISH.to_owned(),
        Topic::Forward => FORWARD.to_owned(),
        Topic::Message => MESSAGE.to_owned(),
        Topic::Identity => IDENTITY.to_owned(),
        Topic::Config => CONFIG.to_owned(),
        Topic::Doctor if !parts::DOCTOR.built => format!("{}\n", parts::DOCTOR.absent),
        Topic::Doctor => doctor::TEXT.to_owned(),
        Topic::Demo => DEMO.to_owned(),
        Topic::Store => store::TEXT.to_owned(),
        Topic::Status | Topic::Peers | Topic::Tickets | Topic::Rewards | Topic::Health => {
            asking::text(topic)
        }
    }
}

/// The table of settings, from the rows that also read them.
fn settings() -> String {
    const INDENT: &str = "      ";
    let mut text = String::new();
    for key in KEYS {
        let default = match key.default().as_str() {
            "" => "none".to_owned(),
            value => value.to_owned(),
        };
        let variable = key.env.map(|name| format!(", {name}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let star = if key.live { "*" } else { "" };
        let _ = writeln!(text, "  {}{star}{variable} [{default}]", key.name);
        for line in wrap(&format!("{} ({})", key.doc, key.allowed), 79 - INDENT.len()) {
            let _ = writeln!(text, "{INDENT}{line}");
        }
    }
    text
}

/// Lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::cli::args::{parse, Command};
    use std::ffi::OsString;

    const TOPICS: [Topic; 15] = [
        Topic::Overview,
        Topic::Run,
        Topic::Publish,
        Topic::Forward,
        Topic::Message,
        Topic::Identity,
        Topic::Config,
        Topic::Doctor,
        Topic::Demo,
        Topic::Store,
        Topic::Status,
        Topic::Peers,
        Topic::Tickets,
        Topic::Rewards,
        Topic::Health,
    ];

    #[test]
    fn every_text_fits_a_terminal_and_ends_in_a_line_break() {
        for topic in TOPICS {
            let text = text(topic);
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{topic:?}");
            for line in text.lines() {
                // A default that cannot be broken (an address) may stick out.
                let fits = line.chars().count() <= 79 || line.starts_with("  tickets.fleet");
                assert!(fits, "{line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        let address = "0x00112233445566778899aabbccddeeff00112233";
        let mut examples = 0;
        for topic in TOPICS {
            let text = text(topic)
                .replace("0xADDR", address)
                .replace("0xSERVER", address);
            let (_, after) = text.split_once("\nExample").unwrap();
            let commands = after
                .lines()
                .skip(1)
                .take_while(|line| !line.is_empty())
                .filter_map(|line| line.split_once("chr-node "));
            for (_, line) in commands {
                let command = parse(line.split_whitespace().map(OsString::from)).expect(line);
                assert!(!matches!(command, Command::Help(_)), "{line}");
                examples += 1;
            }
        }
        assert_eq!(examples, 20);
    }

    #[test]
    fn every_setting_is_in_the_help() {
        let text = text(Topic::Run);
        for key in KEYS {
            assert!(text.contains(&format!("  {}", key.name)), "{}", key.name);
        }
    }
}
