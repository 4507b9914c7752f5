//! The settings, and which checks come of them.

use super::kept;
use super::node::Around;
use crate::cli::args::SettingsArgs;
use crate::cli::config::{here, verdict, Machine};
use crate::cli::run::NODE_KEY;
use crate::cli::{told, Failure};
use crate::config::{Key, Loaded, Request, Settings};
use crate::parts::POWER;
use crate::platform::checks::clock::Times;
use crate::platform::checks::disk::Folder;
use crate::platform::checks::ports::Wanted;
use crate::platform::checks::power::Bounds;
use crate::platform::checks::{self, Finding, Job, Report, State};
use crate::platform::device::Device;
use crate::platform::limits::raise_descriptors;
use crate::platform::memory::{Memory, Whose};
use crate::platform::{clock, resolver};
use crate::store::{StoreError, StoreOptions};
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Where the system's files are.
pub(super) const ROOT: &str = "/";
/// What is said of a disk that does not answer.
const DEAD: (State, &str) = (
    State::Failure,
    "the disk does not answer: look at its mount (`mount`, `dmesg`), or choose another storage.data_dir (--data-dir)",
);
/// What is said of anything else that is late.
const SLOW: (State, &str) = (State::Warning, "the device is very busy: try again");

/// The settings, and what was found about them.
pub(super) struct Plan {
    pub(super) loaded: Loaded,
    pub(super) findings: Vec<Finding>,
}

/// Reads the settings as `run` does. A mistake in a file or in the environment is a
/// finding, and the other checks go by what is left.
///
/// # Errors
/// [`Failure::Usage`] for a mistake on the command line.
pub(super) fn read(
    args: &SettingsArgs,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Plan, Failure> {
    let mut report = Report::new("settings");
    let request = Request::new(&args.assignments, args.file.as_deref(), environment);
    let loaded = match request.load() {
        Ok(loaded) => {
            report.fact(&verdict(&loaded, &request).trim_end());
            for warning in &loaded.warnings {
                let (found, remedy) = super::halves(warning);
                match remedy.as_str() {
                    "" => report.warn(&found, "take the setting out"),
                    remedy => report.warn(&found, remedy),
                }
            }
            loaded
        }
        Err(error) => {
            let left = Request::new(&args.assignments, None, []).load()?;
            report.fail(
                &error.to_string(),
                "correct it (`chr-node config check` says when it is right); the checks below go by the command line and the defaults",
            );
            left
        }
    };
    Ok(Plan {
        loaded,
        findings: report.done(),
    })
}

/// An error of the system at a path, in the words of the node's start.
fn words(path: &Path, error: &io::Error) -> (String, String) {
    let (found, remedy) = super::of_store(&StoreError::from_io(path, error));
    if error.kind() == io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() {
        let remedy = format!("if the node runs as another user, ask as that one (`sudo -u USER chr-node doctor`); else {remedy}");
        return (found, remedy);
    }
    (found, remedy)
}

/// The folders to be looked at: the data folder, and the store's where that is on
/// another file system.
pub(super) fn folders(settings: &Settings) -> Vec<Folder> {
    let storage = &settings.storage;
    let apart = storage.store_dir.is_some();
    let mut folders = vec![Folder {
        check: "folder",
        path: storage.data_dir.clone(),
        store: !apart,
        key: true,
    }];
    if apart {
        folders.push(Folder {
            check: "store_dir",
            path: storage.store(),
            store: true,
            key: false,
        });
    }
    folders
}

fn wanted(settings: &Settings) -> Vec<Wanted> {
    let network = &settings.network;
    let of = |key, addresses: &Vec<_>, port: u16, both| Wanted {
        key,
        addresses: addresses.clone(),
        port,
        both,
    };
    let mut wanted: Vec<Wanted> = network
        .edge_ports
        .iter()
        .map(|port| of("network.edge_ports", &network.bind, *port, false))
        .collect();
    let others = [
        ("network.peer_port", &network.bind, network.peer_port, true),
        (
            "network.rpc_port",
            &network.rpc_bind,
            network.rpc_port,
            false,
        ),
        (
            "network.rpcs_port",
            &network.rpc_bind,
            network.rpcs_port,
            false,
        ),
    ];
    for (key, addresses, port, both) in others {
        wanted.extend(port.map(|port| of(key, addresses, port, both)));
    }
    wanted
}

/// All checks, in the order in which they are printed.
pub(super) fn jobs(loaded: &Loaded, around: &Around) -> Vec<Job> {
    let settings = &loaded.settings;
    let root = || Path::new(ROOT);
    let termux = std::env::var_os("TERMUX_VERSION").is_some();
    let node = around.own.as_ref().map(|own| own.pid);
    let mut jobs: Vec<Job> = Vec::new();
    let mut add = |check, late, work: Box<dyn FnOnce() -> Vec<Finding> + Send>| {
        jobs.push(Job { check, late, work });
    };
    let (floor, trusted) = (around.floor, around.trusted());
    add(
        "clock",
        SLOW,
        Box::new(move || {
            let now = told::now();
            let android = Device::read_below(root(), termux).android;
            let times = Times {
                now,
                told: &told::date(now),
                built: clock::build_date(),
                floor,
                trusted,
                kept: checks::clock::kept(android),
            };
            checks::clock::clock(root(), &times)
        }),
    );
    let network = &settings.network;
    resolver::configure(network.dns.clone());
    let mut hosts: Vec<String> = network.seeds.iter().map(|seed| seed.host.clone()).collect();
    hosts.extend(
        settings
            .fleet
            .nodes
            .iter()
            .map(|node| node.place.host.clone()),
    );
    add(
        "names",
        (
            State::Warning,
            "no name server answers: check the network, or set network.dns to another one; the node asks again by itself",
        ),
        Box::new(move || checks::names::names(&hosts)),
    );
    let (ports, own) = (wanted(settings), around.own.clone());
    add(
        "ports",
        SLOW,
        Box::new(move || checks::ports::ports(root(), &ports, own.as_ref())),
    );
    let (files, cap) = (raise_descriptors(), settings.performance.max_connections);
    let whose = Whose::find(root(), node);
    let machine = Machine {
        memory: Memory::read_of(root(), whose),
        descriptors: files,
    };
    let fits = Key::find("performance.max_connections").and_then(|key| here(key, loaded, &machine));
    let fits = fits.and_then(|here| here.value.parse().ok()).unwrap_or(cap);
    add(
        "files",
        SLOW,
        Box::new(move || checks::files::files(root(), files, node, (fits, cap))),
    );
    for folder in folders(settings) {
        add(
            folder.check,
            DEAD,
            Box::new(move || checks::disk::folder(root(), &folder, words)),
        );
    }
    let key = settings.storage.data_dir.join(NODE_KEY);
    add("identity", DEAD, Box::new(move || kept::identity(&key)));
    let (store, running) = (settings.storage.store(), node.is_some());
    add(
        "store",
        DEAD,
        Box::new(move || kept::store(&store, running)),
    );
    let seen = around.clone();
    add("node", SLOW, Box::new(move || seen.node(root())));
    let seen = around.clone();
    add("reach", SLOW, Box::new(move || seen.reach()));
    add(
        "machine",
        SLOW,
        Box::new(move || checks::machine::machine(root(), &checks::machine::Machine::read())),
    );
    let budget = settings.memory_budget(&machine.memory);
    let set = settings.node.memory_limit.is_some();
    let map = map_size(settings);
    add(
        "memory",
        SLOW,
        Box::new(move || checks::memory::memory(root(), whose, budget, set, map)),
    );
    let bounds = bounds(settings);
    add(
        "power",
        SLOW,
        Box::new(move || checks::power::power(root(), bounds)),
    );
    add(
        "randomness",
        (
            State::Failure,
            "the kernel has no randomness yet: keys cannot be made; wait, or give the device a source (rng-tools, haveged, virtio-rng)",
        ),
        Box::new(move || checks::machine::randomness(root())),
    );
    add(
        "service",
        SLOW,
        Box::new(move || checks::service::service(root(), node)),
    );
    jobs
}

/// What a node does where power is short, if this build has that.
fn bounds(settings: &Settings) -> Bounds {
    if !POWER.built {
        return Bounds::default();
    }
    let power = &settings.power;
    Bounds {
        saves: power.saver_below,
        refuses: power.refuse_below,
        heat: power.refuse_above,
    }
}

/// Addresses that the store takes at first.
pub(super) fn map_size(settings: &Settings) -> u64 {
    let usual = StoreOptions::default().map_size as u64;
    settings.storage.map_size.unwrap_or(usual)
}
