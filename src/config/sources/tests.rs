//! Tests of `sources.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn load(
    command_line: &[Assignment],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    Request::new(command_line, None, environment).load_on(&Device::default())
}

use proptest::prelude::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(k, v)| (OsString::from(k), OsString::from(v)))
        .collect()
}

fn set(key: &str, value: &str) -> Assignment {
    Assignment {
        key: key.to_owned(),
        value: value.to_owned(),
        option: "--set",
    }
}

fn message(command_line: &[Assignment], pairs: &[(&str, &str)]) -> String {
    load(command_line, environment(pairs))
        .expect_err("accepted")
        .to_string()
}

#[test]
fn the_command_line_beats_the_environment_and_the_later_option_the_earlier() {
    let loaded = load(
        &[set("network.rpc_port", "1"), set("network.rpc_port", "2")],
        environment(&[
            ("RPC_PORT", "3"),
            ("EDGE2_PORT", "4 5"),
            ("CHR_NETWORK__EDGE_PORTS", "6"),
            ("PATH", "/bin"),
        ]),
    )
    .unwrap();
    assert_eq!(loaded.settings.network.rpc_port, Some(2));
    assert_eq!(
        loaded.origin("network.rpc_port"),
        &Source::CommandLine("--set")
    );
    assert_eq!(loaded.settings.network.edge_ports, [6]);
    assert_eq!(
        loaded.origin("network.edge_ports").to_string(),
        "environment variable CHR_NETWORK__EDGE_PORTS"
    );
    assert_eq!(loaded.origin("log.level"), &Source::Default);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn an_environment_shared_with_other_versions_still_starts_the_node() {
    let loaded = load(
        &[],
        environment(&[
            ("PEER2_PORT", "51055"),
            ("RPCS_PORT", "8443"),
            ("SEED_LIST", "none"),
            ("REWARD_ADDRESS", ""),
            ("DATA_DIR", ""),
            ("CHR_NODE__NAME", ""),
        ]),
    )
    .unwrap();
    let plain = load(&[], []).unwrap();
    assert_eq!(loaded.settings, plain.settings);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn an_unknown_key_is_named_with_its_source_and_the_one_that_was_meant() {
    assert_eq!(
        message(&[set("performance.rpc_port", "1")], &[]),
        "unknown setting \"performance.rpc_port\" (command line, --set); did you mean network.rpc_port?"
    );
    assert_eq!(
        message(&[], &[("CHR_NETWORK__EDGE_PROTS", "1")]),
        "unknown setting \"network.edge_prots\" (environment variable CHR_NETWORK__EDGE_PROTS); did you mean network.edge_ports?"
    );
    assert_eq!(
        message(&[], &[("CHR_COLOUR", "red")]),
        "unknown setting \"colour\" (environment variable CHR_COLOUR); `chr-node run --help` lists all of them"
    );
}

#[test]
fn a_bad_value_is_named_with_its_source_and_what_is_allowed() {
    assert_eq!(
        message(&[], &[("RPC_PORT", "web")]),
        "network.rpc_port = \"web\" (environment variable RPC_PORT): a port is a number from 0 to 65535; allowed: a port, 0 for any free one, or off"
    );
    let long = message(&[set("log.level", "a\nb")], &[]);
    assert!(
        !long.contains('\n') && long.contains("error, warn"),
        "{long}"
    );
}

#[test]
fn a_bad_value_is_not_hidden_by_a_better_source() {
    message(&[set("network.rpc_port", "1")], &[("RPC_PORT", "web")]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_not_utf_8_is_an_error_and_not_another_folder() {
    use std::os::unix::ffi::OsStringExt;
    let pairs = vec![("DATA_DIR".into(), OsString::from_vec(vec![b'/', 0xff]))];
    let error = load(&[], pairs).unwrap_err().to_string();
    assert!(
        error.contains("DATA_DIR") && error.contains("UTF-8"),
        "{error}"
    );
}

#[test]
fn an_idle_timeout_below_the_ping_interval_is_remarked_upon() {
    let loaded = load(&[set("performance.idle_timeout", "5s")], []).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
}

/// A settings file with this text; the folder lives as long as it is needed.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chr.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn load_file(text: &str) -> Result<Loaded, ConfigError> {
    let (_folder, path) = file(text);
    Request::new(&[], Some(&path), []).load_on(&Device::default())
}

fn file_message(text: &str) -> String {
    let message = load_file(text).expect_err("accepted").to_string();
    let (before, after) = message.split_once("chr.toml").expect(&message);
    let (words, _folder) = before.rsplit_once('(').unwrap_or((before, ""));
    format!("{words}|{after}")
}

#[test]
fn each_layer_beats_the_one_below() {
    let (_folder, path) = file(
        "[node]\nprofile = \"router\"\n[performance]\nmax_connections = 1\nsession_buffer = \"2M\"\nidle_timeout = \"4m\"\n",
    );
    let pairs = [
        ("CHR_PERFORMANCE__SESSION_BUFFER", "3M"),
        ("CHR_PERFORMANCE__IDLE_TIMEOUT", "3m"),
    ];
    let command_line = [set("performance.idle_timeout", "2m")];
    let loaded = Request::new(&command_line, Some(&path), environment(&pairs))
        .load_on(&Device::default())
        .unwrap();
    for (key, value, origin) in [
        ("tickets.chain_id", "1284", Source::Default),
        (
            "performance.max_window",
            "512K",
            Source::Profile(Profile::Router),
        ),
        (
            "performance.max_connections",
            "1",
            Source::File(path.clone(), 4),
        ),
        (
            "performance.session_buffer",
            "3M",
            Source::Environment(pairs[0].0.to_owned()),
        ),
        (
            "performance.idle_timeout",
            "2m",
            Source::CommandLine("--set"),
        ),
        ("node.profile", "router", Source::File(path.clone(), 2)),
    ] {
        let row = Key::find(key).unwrap();
        assert_eq!((row.get)(&loaded.settings), value, "{key}");
        assert_eq!(loaded.origin(key), &origin, "{key}");
    }
    assert_eq!(loaded.settings.node.profile, Profile::Router);
    assert_eq!(loaded.chosen, None);
}

#[test]
fn the_profile_is_the_one_that_the_highest_layer_names() {
    let (_folder, path) = file("[node]\nprofile = \"router\"\n");
    let of = |command_line: &[Assignment], pairs: &[(&str, &str)]| {
        Request::new(command_line, Some(&path), environment(pairs))
            .load_on(&Device::default())
            .unwrap()
            .settings
    };
    let variable = [("CHR_NODE__PROFILE", "android")];
    assert_eq!(of(&[], &[]).node.profile, Profile::Router);
    assert_eq!(of(&[], &variable).node.profile, Profile::Android);
    let line = [set("node.profile", "server")];
    assert_eq!(of(&line, &variable).node.profile, Profile::Server);
    // `auto` above a name chooses, and the values are those of what it chose.
    let auto = of(&[set("node.profile", "auto")], &variable);
    assert_eq!(auto.node.profile, Profile::RaspberryPi);
    assert_eq!(auto.performance.max_connections, 1000);
}

#[test]
fn every_profile_can_be_loaded_and_says_its_own_name() {
    for profile in Profile::ALL {
        let content = parse(profile).unwrap();
        let named = content.entries.iter().find(|e| e.key == "node.profile");
        assert_eq!(named.unwrap().text, profile.name());
        let loaded = load(&[set("node.profile", profile.name())], []).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new(), "{profile}");
        let from_profile = KEYS
            .iter()
            .filter(|key| loaded.origin(key.name) == &Source::Profile(profile));
        assert_eq!(from_profile.count() + 1, content.entries.len(), "{profile}");
    }
}

#[test]
fn every_value_of_a_profile_says_why_it_is_that() {
    for profile in Profile::ALL {
        for entry in parse(profile).unwrap().entries {
            let reason = profile.reason(&entry.key);
            if entry.key == "node.profile" {
                assert_eq!(reason, None);
                continue;
            }
            let reason = reason.unwrap_or_default();
            assert!(reason.ends_with('.'), "{profile} {}: {reason:?}", entry.key);
        }
        assert_eq!(profile.reason("log.level"), None);
    }
    let both = Profile::RaspberryPi.reason("security.accept_rate").unwrap();
    assert!(both.starts_with("A handshake takes") && both.ends_with("of one core."));
}

/// A machine with these files.
fn device(files: &[(&str, &str)]) -> Device {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Device::read_below(root.path(), false)
}

#[test]
fn auto_looks_at_the_machine_once_and_takes_its_class_s_values() {
    let large = ("proc/meminfo", "MemTotal: 64000000 kB\n");
    for (files, profile, connections) in [
        (&[large, ("etc/openwrt_release", "")][..], "router", 200),
        (&[large, ("system/build.prop", "")][..], "android", 50),
        (
            &[("proc/meminfo", "MemTotal: 60000 kB\n")][..],
            "router",
            200,
        ),
        (
            &[
                large,
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", "402653184\n"),
            ][..],
            "raspberry-pi",
            1_000,
        ),
        (&[][..], "raspberry-pi", 1_000),
    ] {
        let request = Request::new(&[], None, []);
        let loaded = request.load_on(&device(files)).unwrap();
        assert_eq!(loaded.settings.node.profile.name(), profile, "{files:?}");
        assert_eq!(loaded.settings.performance.max_connections, connections);
        assert!(loaded.chosen.is_some());
        // The limit of a container may change; what the node is does not.
        let later = request.load_on(&device(&[large])).unwrap();
        assert_eq!(loaded.changes(&later), []);
        assert_eq!(later.settings.node.profile.name(), profile);
    }
}

#[test]
fn termux_is_a_phone_although_it_hides_the_system_s_files() {
    let request = Request::new(&[], None, environment(&[("TERMUX_VERSION", "0.118")]));
    let loaded = request.load().unwrap();
    assert_eq!(loaded.settings.node.profile, Profile::Android);
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_line_and_the_remedy() {
    for (text, wanted) in [
        (
            "[network]\n\nrpc_prot = 1\n",
            "unknown setting \"network.rpc_prot\" |:3); did you mean network.rpc_port?",
        ),
        (
            "[netwrok]\nrpc_port = 1\n",
            "unknown section [netwrok] |:1); did you mean [network]?",
        ),
        (
            "[colours]\n",
            "unknown section [colours] |:1); the sections are node, network, storage, performance, security, tickets, rewards, fleet, chain, power, runtime, log",
        ),
        (
            "rpc_port = 1\n",
            "unknown setting \"rpc_port\" |:1); did you mean network.rpc_port?",
        ),
        (
            "[network]\nrpc_port = 70000\n",
            "network.rpc_port = \"70000\" |:2): a port is a number from 0 to 65535; allowed: a port, 0 for any free one, or off",
        ),
        (
            "[node]\nname = [\"a\", \"b\"]\n",
            "node.name = \"a, b\" |:2): a list does not belong here; allowed: up to 64 characters",
        ),
        (
            "[node]\nname = 7\n",
            "node.name = \"7\" |:2): a number does not belong here; allowed: up to 64 characters",
        ),
        (
            "[security]\nrequire_tickets = 1\n",
            "security.require_tickets = \"1\" |:2): a number does not belong here; allowed: true or false",
        ),
    ] {
        assert_eq!(file_message(text), wanted);
    }
    for (text, wanted) in [
        (
            "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
            "log.level is there twice |:3), first in line 2; keep one",
        ),
        (
            "network.rpc_port = 1\n[network]\nrpc_port = 2\n",
            "network.rpc_port is there twice |:3), first in line 1; keep one",
        ),
        (
            "[log]\n[node]\n[log]\n",
            "[log] is there twice |:3), first in line 1; keep one",
        ),
    ] {
        assert_eq!(file_message(text), wanted);
    }
}

#[test]
fn a_mistake_in_the_file_is_not_hidden_by_a_better_source() {
    let (_folder, path) = file("[network]\nrpc_port = \"web\"\n");
    let command_line = [set("network.rpc_port", "1")];
    assert!(Request::new(&command_line, Some(&path), []).load().is_err());
}

#[test]
fn a_file_is_read_again_by_the_next_load() {
    let (_folder, path) = file("[network]\nrpc_port = 1\n");
    let request = Request::new(&[], Some(&path), []);
    let before = request.load().unwrap();
    std::fs::write(&path, "[network]\nrpc_port = 2\n").unwrap();
    assert_eq!(before.changes(&request.load().unwrap()).len(), 1);
    std::fs::remove_file(&path).unwrap();
    assert!(request
        .load()
        .unwrap_err()
        .to_string()
        .contains("cannot be read"));
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_fall_over(key in "\\PC{0,80}", value in "\\PC{0,80}") {
        if let Err(error) = load(&[set(&key, &value)], []) {
            prop_assert!(!error.to_string().contains('\n'));
        }
        for row in KEYS {
            if let Err(error) = load(&[set(row.name, &value)], []) {
                prop_assert!(error.to_string().contains(row.allowed));
            }
        }
    }
}
