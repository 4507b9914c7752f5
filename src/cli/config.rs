//! `chr-node config`: whether a node would start with these settings, and what
//! each of them is, where it came from and what it comes to on this machine.

use super::args::{ConfigAction, ConfigArgs};
use super::{print, Failure};
use crate::config::value::show_size;
use crate::config::{Key, Loaded, Request, Settings, Source, KEYS};
use crate::platform::limits::{connection_cap, raise_descriptors, Descriptors};
use crate::platform::memory::Memory;
use crate::sorted::object;
use crate::store::StoreOptions;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;

/// A value that depends on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// What it comes to.
    pub value: String,
    /// Why, as a phrase.
    pub why: String,
}

/// What values may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Memory and its limits.
    pub memory: Memory,
    /// Descriptors.
    pub descriptors: Descriptors,
}

/// Checks or shows.
///
/// # Errors
/// The settings cannot be, in the words of `run`.
pub fn execute(args: &ConfigArgs) -> Result<(), Failure> {
    let settings = &args.settings;
    let file = settings.file.as_deref();
    let request = Request::new(&settings.assignments, file, std::env::vars_os());
    let loaded = request.load()?;
    for warning in &loaded.warnings {
        // A closed stream is no harm: the answer is on the other one.
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let machine = Machine {
        memory: Memory::read(),
        descriptors: raise_descriptors(),
    };
    match (args.action, args.json) {
        (ConfigAction::Check, true) => {
            let profile = loaded.settings.node.profile.name();
            let warnings = &loaded.warnings;
            let answer = json!({"ok": true, "profile": profile, "warnings": warnings});
            print(&format!("{answer}\n"))
        }
        (ConfigAction::Check, false) => print(&verdict(&loaded, &request)),
        (ConfigAction::Show, true) => print(&lines_of_json(&loaded, &machine)),
        (ConfigAction::Show, false) => print(&table(&loaded, &machine)),
    }
}

pub(super) fn verdict(loaded: &Loaded, request: &Request) -> String {
    let what = match &request.file {
        Some(path) => format!("{} and all other settings", path.display()),
        None => "the settings".to_owned(),
    };
    let profile = loaded.settings.node.profile;
    let why = match &loaded.chosen {
        Some(why) => format!(" (chosen by auto: {why})"),
        None => String::new(),
    };
    format!("{what} are fine; profile {profile}{why}\n")
}

/// What a value comes to on a machine; `None` when it is what it says.
#[must_use]
pub fn here(key: &Key, loaded: &Loaded, machine: &Machine) -> Option<Here> {
    let settings = &loaded.settings;
    match key.name {
        "node.profile" => loaded.chosen.as_ref().map(|why| Here {
            value: settings.node.profile.name().to_owned(),
            why: why.clone(),
        }),
        "node.memory_limit" if settings.node.memory_limit.is_none() => {
            Some(memory(settings, machine))
        }
        "storage.data_dir" => data_dir(settings),
        "storage.map_size" if settings.storage.map_size.is_none() => Some(Here {
            value: show_size(StoreOptions::default().map_size as u64),
            why: format!("the first size on {}-bit systems", usize::BITS),
        }),
        "performance.max_connections" => connections(settings, machine),
        _ => None,
    }
}

fn memory(settings: &Settings, machine: &Machine) -> Here {
    let Memory {
        total,
        available,
        limit,
    } = machine.memory;
    let known = |what: &str, bytes: Option<u64>| bytes.map(|n| format!("{} {what}", whole(n)));
    let facts: Vec<String> = [
        known("free", available),
        known("allowed by the service or container", limit),
        known("in the machine", total),
    ]
    .into_iter()
    .flatten()
    .collect();
    Here {
        value: show_size(settings.memory_budget(&machine.memory)),
        why: if facts.is_empty() {
            "the machine does not say how much memory it has".to_owned()
        } else {
            format!("of {}", facts.join(", "))
        },
    }
}

/// Whole megabytes, as people compare them.
fn whole(bytes: u64) -> String {
    show_size(bytes >> 20 << 20)
}

fn data_dir(settings: &Settings) -> Option<Here> {
    let path = &settings.storage.data_dir;
    if path.is_absolute() {
        return None;
    }
    let folder = std::path::absolute(path).ok()?;
    Some(Here {
        value: folder.display().to_string(),
        why: "below the folder that this was started in".to_owned(),
    })
}

fn connections(settings: &Settings, machine: &Machine) -> Option<Here> {
    let wanted = settings.performance.max_connections;
    let budget = settings.memory_budget(&machine.memory);
    let cap = connection_cap(wanted, machine.descriptors.now, budget);
    (cap.connections < wanted).then(|| Here {
        value: cap.connections.to_string(),
        why: format!("{} allows no more", cap.bound),
    })
}

/// A source in the words of scripts, and where exactly.
fn words(source: &Source) -> (&'static str, Option<String>) {
    match source {
        Source::Default => ("default", None),
        Source::Profile(profile) => ("profile", Some(profile.name().to_owned())),
        Source::Device(why) => ("device", Some(why.clone())),
        Source::File(path, line) => ("file", Some(format!("{}:{line}", path.display()))),
        Source::Environment(name) => ("environment", Some(name.clone())),
        Source::CommandLine(option) => ("command line", Some((*option).to_owned())),
        Source::Call(way) => ("call", Some((*way).to_owned())),
    }
}

/// Why it is that, where more can be said than where it came from.
fn reason(key: &Key, loaded: &Loaded) -> Option<String> {
    match loaded.origin(key.name) {
        Source::Profile(profile) => profile.reason(key.name),
        Source::Device(why) => Some(why.clone()),
        _ => None,
    }
}

fn lines_of_json(loaded: &Loaded, machine: &Machine) -> String {
    let mut text = String::new();
    for key in KEYS {
        let (source, place) = words(loaded.origin(key.name));
        let here = here(key, loaded, machine);
        let here =
            here.map(|here| object(&mut [("value", here.value.into()), ("why", here.why.into())]));
        let line = object(&mut [
            ("key", key.name.into()),
            ("value", (key.get)(&loaded.settings).into()),
            ("source", source.into()),
            ("where", place.into()),
            ("why", reason(key, loaded).into()),
            ("default", key.default().into()),
            ("live", key.live.into()),
            ("here", here.into()),
        ]);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn table(loaded: &Loaded, machine: &Machine) -> String {
    let rows: Vec<(&Key, String)> = KEYS
        .iter()
        .map(|key| (key, (key.get)(&loaded.settings)))
        .map(|(key, value)| match value.as_str() {
            "" => (key, "none".to_owned()),
            _ => (key, value),
        })
        .collect();
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let keys = width(&mut rows.iter().map(|(key, _)| key.name.len()));
    // A long list must not push the last column out of sight.
    const WIDEST: usize = 24;
    let values = width(&mut rows.iter().map(|(_, value)| value.chars().count())).min(WIDEST);
    let mut text = String::new();
    for (key, value) in rows {
        let source = loaded.origin(key.name);
        let _ = writeln!(text, "{:keys$}  {value:values$}  {source}", key.name);
        if let (Source::Profile(_), Some(why)) = (source, reason(key, loaded)) {
            let _ = writeln!(text, "{:keys$}    {why}", "");
        }
        if let Some(here) = here(key, loaded, machine) {
            let _ = writeln!(text, "{:keys$}    here {}: {}", "", here.value, here.why);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::Assignment;

    fn loaded(pairs: &[(&str, &str)]) -> Loaded {
        let settings: Vec<Assignment> = pairs
            .iter()
            .map(|(key, value)| Assignment {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
                option: "--set",
            })
            .collect();
        Request::new(&settings, None, []).load().unwrap()
    }

    const MACHINE: Machine = Machine {
        memory: Memory {
            total: Some(64 << 20),
            available: Some(40 << 20),
            limit: None,
        },
        descriptors: Descriptors {
            before: 1024,
            now: 1024,
        },
    };

    fn of(name: &str, pairs: &[(&str, &str)]) -> Option<Here> {
        here(Key::find(name).expect(name), &loaded(pairs), &MACHINE)
    }

    #[test]
    fn what_a_value_comes_to_is_what_the_node_would_take() {
        let limit = of("node.memory_limit", &[]).unwrap();
        assert_eq!(limit.value, "20M");
        assert_eq!(limit.why, "of 40M free, 64M in the machine");
        assert_eq!(
            of("node.memory_limit", &[("node.memory_limit", "9M")]),
            None
        );
        let many = [("performance.max_connections", "5000")];
        let cap = of("performance.max_connections", &many).unwrap();
        assert_eq!(cap.value, "640");
        assert!(cap.why.contains("node.memory_limit"), "{}", cap.why);
        let few = [("performance.max_connections", "5")];
        assert_eq!(of("performance.max_connections", &few), None);
    }

    #[test]
    fn a_profile_that_was_asked_for_needs_no_reason() {
        assert!(of("node.profile", &[]).is_some());
        assert_eq!(of("node.profile", &[("node.profile", "router")]), None);
    }

    #[test]
    fn the_table_is_aligned_and_no_line_ends_in_spaces() {
        let text = table(&loaded(&[("node.name", "Ada's node")]), &MACHINE);
        let name = text.lines().find(|l| l.starts_with("node.name")).unwrap();
        let level = text.lines().find(|l| l.starts_with("log.level")).unwrap();
        assert_eq!(name.find("Ada's"), level.find("info"));
        assert_eq!(name.find("command line"), level.find("built-in"));
        for line in text.lines() {
            assert_eq!(line.trim_end(), line);
        }
    }
}
