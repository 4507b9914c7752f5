//! The checks that are cheap enough for each start of a node: files of the kernel and
//! a few of its own, some milliseconds. What the start says by itself (ports,
//! descriptors, the clock, a disk that cannot be used) is not said again.

use super::{kept, plan};
use crate::cli::run::NODE_KEY;
use crate::config::Settings;
use crate::platform::checks::{self, machine::Machine, State};
use crate::platform::memory::{Memory, Whose};
use std::path::Path;

/// Writes a line to the log for each thing that is not as it should be. `keeps`:
/// the node has a folder.
pub fn at_start(settings: &Settings, keeps: bool) {
    let root = Path::new(plan::ROOT);
    let budget = settings.memory_budget(&Memory::read());
    let set = settings.node.memory_limit.is_some();
    let mut found = checks::machine::machine(root, &Machine::read());
    found.extend(checks::memory::memory(
        root,
        Whose::Ours,
        budget,
        set,
        plan::map_size(settings),
    ));
    found.extend(checks::power::supply(root));
    found.extend(checks::service::service(root, Some(std::process::id())));
    if keeps {
        for folder in plan::folders(settings) {
            found.extend(checks::disk::quick(root, &folder));
        }
        let storage = &settings.storage;
        found.extend(kept::quick(
            &storage.data_dir.join(NODE_KEY),
            &storage.store(),
        ));
    }
    for finding in found.iter().filter(|f| f.state != State::Ok) {
        log::warn!("{}: {}; {}", finding.check, finding.found, finding.remedy);
    }
}
