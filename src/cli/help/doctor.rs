//! Help on `chr-node doctor`.

/// The text.
pub(super) const TEXT: &str = "\
Look at this device for a node with these settings: one line a check, ok,
warning or failure, with what was found and what to do. With the node running
and without; nothing is changed, nothing is sent to strangers.

Usage: chr-node doctor [OPTIONS]

  Checked are the settings, clock, names (DNS), ports, open files, the data
  folder and its disk, identity, store, the running node and who reaches it,
  machine, memory, power, randomness, and what starts the node. A check that
  is not well has a line for each thing that it found. Ask as the user that
  the node runs as, or as root.

Options, as `run` takes them:
  --config FILE      settings as TOML
  --profile NAME     raspberry-pi, router, android, server, or auto [auto]
  --data-dir DIR     folder of the node's key, store and run.json [./data]
  --set KEY=VALUE    give a setting a value; may be repeated
  --json             one JSON object a line: name, state, found, remedy (null
                     where nothing is to be done); the last line has summary,
                     ok, warnings, failures, milliseconds
  -h, --help         this text
  -V, --version      name and version

Exit code 0: nothing has failed, though there may be warnings. 1: something
has. 2: the command line is wrong.

Example:
  chr-node doctor --data-dir /var/lib/chr-node
";
