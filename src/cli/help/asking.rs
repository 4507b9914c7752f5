//! Help on the commands that ask a running node.

use super::Topic;

const OPTIONS: &str = "  --rpc URL          the node's HTTP port, such as http://127.0.0.1:8545
                     [the node of the data folder, else the settings]
  --data-dir DIR     folder of the node, which has its run.json [./data]
  --config FILE      settings of the node, as are --profile NAME and
                     --set KEY=VALUE
";

const ENDING: &str = "  -h, --help         this text
  -V, --version      name and version
";

const PEERS: [&str; 3] = [
    "\
List the nodes that a running node knows, connected ones first: where they
are, who dialled the link, round trip, how likely they answer (0 to 1), when
they answered last, links since they are known, and what the present link
has carried.

Usage: chr-node peers [--rpc URL] [--json]
",
    "  --json             one object a line, as peer_list returns them\n",
    "
Example:
  chr-node peers --rpc http://127.0.0.1:8545
",
];

const STATUS: [&str; 3] = [
    "\
Show how a running node is: health with reasons and remedies, traffic,
sessions, other nodes, tickets and rewards, fleet, store, device and what
happened lately. In a terminal it is drawn anew each second until Ctrl-C or q;
elsewhere it is printed once.

Usage: chr-node status [--rpc URL] [--once] [--json]
",
    "  --once             print it once, all of it, and end
  --json             the same as one JSON object on one line, as node_status
                     returns it; prints once
",
    "
Examples:
  chr-node status
  chr-node status --once --rpc http://127.0.0.1:8545
",
];

const TICKETS: [&str; 3] = [
    "\
Show the tickets that a running node holds: for each epoch and fleet how many,
the bytes and connections that they pay for and what they are worth, and the
latest ones since the node started.

Usage: chr-node tickets [--rpc URL] [--json]
",
    "  --json             one JSON object on one line, as ticket_list returns it\n",
    "
Example:
  chr-node tickets --data-dir /var/lib/chr-node
",
];

const REWARDS: [&str; 3] = [
    "\
Show what a running node has earned: the period that runs, what is pending,
what the present pace comes to, and the periods before. What the scores and
tokens are made of stands in docs/rewards.md.

Usage: chr-node rewards [--rpc URL] [--json]
",
    "  --json             one JSON object on one line, as reward_status returns it\n",
    "
Example:
  chr-node rewards --data-dir /var/lib/chr-node
",
];

const HEALTH: [&str; 3] = [
    "\
Say whether a running node is well; if not, what is wrong and what to do.

Usage: chr-node health [--rpc URL] [--json]
",
    "  --json             one JSON object on one line, as /health returns it\n",
    "
Exit code 0: ok or degraded (it relays, but something is missing). 1: failing,
or no node answers.

Example:
  chr-node health --rpc http://127.0.0.1:8545
",
];

/// The text on one of these commands.
pub(super) fn text(topic: Topic) -> String {
    let [about, json, ending] = match topic {
        Topic::Status => STATUS,
        Topic::Tickets => TICKETS,
        Topic::Rewards => REWARDS,
        Topic::Health => HEALTH,
        _ => PEERS,
    };
    format!("{about}\nOptions:\n{OPTIONS}{json}{ENDING}{ending}")
}
