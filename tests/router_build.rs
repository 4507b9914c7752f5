//! The build for routers: profile small, without the parts of Cargo.toml's
//! `[features]`. What it must do it does, and what it is without says so.
//!
//! scripts/test builds it (`cargo build --profile small --no-default-features`);
//! CHR_TEST_ROUTER names another one, such as one for ARM behind an emulator.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::parts;
use common::tools::run;
use common::*;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The router's program, or why there is none to look at.
fn program() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("CHR_TEST_ROUTER") {
        return Some(file.into());
    }
    let debug = Path::new(env!("CARGO_BIN_EXE_chr-node"));
    let small = debug.ancestors().nth(2).unwrap().join("small/chr-node");
    let built = Command::new(&small).arg("--version").output();
    let text = built.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    match text {
        Ok(text) if text.contains("built without: ") => Some(small),
        _ => {
            eprintln!(
                "skipped: no build for routers (cargo build --profile small --no-default-features)"
            );
            None
        }
    }
}

/// As `chr_node()`, for that program.
fn router(program: &Path) -> Command {
    let clean = chr_node();
    let mut command = Command::new(program);
    for (name, value) in clean.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn node(program: &Path, home: &Path, settings: &[(&str, &str)]) -> Node {
    let mut command = router(program);
    command.arg("run");
    Node::start_command(command, home, settings)
}

fn get(node: &Node, path: &str) -> String {
    node.http(&format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ))
}

#[test]
fn a_router_carries_bytes_between_its_own_devices_and_is_well() {
    let Some(program) = program() else { return };
    let home = tempfile::tempdir().unwrap();
    let node = node(&program, &home.path().join("node"), &[]);
    let echo = echo_server();
    let mut command = router(&program);
    command
        .args(["publish", &format!("{echo}=8080:public"), "--json"])
        .args(["--node", &node.address(), "--identity"])
        .arg(home.path().join("p.key"));
    let publisher = Device::start_command(&mut command);
    let ready = publisher.expect("ready");
    let mut command = router(&program);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    command
        .args(["forward", "127.0.0.1:0", &target, "--json"])
        .args(["--node", &node.address(), "--identity"])
        .arg(home.path().join("f.key"));
    let forwarder = Device::start_command(&mut command);
    let listen = forwarder.expect("ready")["listen"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut stream = TcpStream::connect(listen).unwrap();
    let sent = noise(1, 300_000);
    let mut half = stream.try_clone().unwrap();
    let content = sent.clone();
    let writer = std::thread::spawn(move || half.write_all(&content).unwrap());
    let mut came = vec![0; sent.len()];
    stream.read_exact(&mut came).unwrap();
    writer.join().unwrap();
    assert!(sent == came, "other bytes came back");

    let health = get(&node, "/health");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let info = node.ask("chr_node_info");
    assert_eq!(info["node_id"], node.id());
    assert_eq!(info["devices"], 2);
    let rpc = format!("http://{}", node.rpc());
    for command in ["health", "status", "peers", "tickets"] {
        let said = run(router(&program).args([command, "--rpc", &rpc]), SOON);
        assert_eq!(said.code, 0, "{command}: {}", said.err);
        assert!(!said.out.is_empty(), "{command}");
    }
}

#[test]
fn the_five_methods_have_every_field_that_they_always_have() {
    let Some(program) = program() else { return };
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let small = node(&program, homes[0].path(), &[]);
    let whole = Node::start(homes[1].path());
    for method in [
        "chr_node_info",
        "peer_list",
        "network_stats",
        "reward_status",
        "fleet_status",
    ] {
        let names = |answer: &Value| -> Vec<String> {
            let fields = answer.as_object().into_iter().flatten();
            fields.map(|(name, _)| name.clone()).collect()
        };
        let (ours, wanted) = (small.ask(method), whole.ask(method));
        assert_eq!(ours.is_array(), wanted.is_array(), "{method}");
        assert_eq!(names(&ours), names(&wanted), "{method}");
    }
    let rewards = small.ask("reward_status");
    assert!(rewards["period_start"].is_null(), "{rewards}");
    assert_eq!(rewards["notes"][0], parts_text("rewards", "reward periods"));
    assert!(small.ask("network_stats")["history"].is_null());
}

/// What this build says of a part; the test's own build has them all.
fn parts_text(feature: &str, what: &str) -> String {
    let known = parts::ALL.iter().any(|part| part.feature == feature);
    assert!(known, "{feature}");
    format!("this build has no {what} (built without the feature {feature})")
}

#[test]
fn what_a_router_is_without_says_so_wherever_it_is_asked_for() {
    let Some(program) = program() else { return };
    let said = run(router(&program).arg("--version"), SOON);
    for part in parts::ALL {
        assert!(said.out.contains(part.feature), "{}", said.out);
    }
    for (words, feature, what) in [
        (&["demo"][..], "demo", "demonstration"),
        (&["store", "check"], "store-tools", "store tools"),
        (&["rewards"], "rewards", "reward periods"),
        (
            &["message", "0xAA", "x"],
            "messages",
            "messages between devices",
        ),
        (
            &["publish", "--messages"],
            "messages",
            "messages between devices",
        ),
        (
            &["run", "--set", "network.rpcs_port=8443"],
            "https",
            "HTTPS port",
        ),
        (
            &["run", "--set", "chain.url=http://127.0.0.1:1"],
            "chain",
            "chain client",
        ),
    ] {
        let said = run(router(&program).args(words), SOON);
        assert_eq!(said.code, 2, "{words:?}: {}", said.err);
        assert!(
            said.err.contains(&parts_text(feature, what)),
            "{words:?}: {}",
            said.err
        );
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("shared.toml");
    std::fs::write(&file, "[rewards]\nperiod = \"2h\"\n").unwrap();
    let mut command = router(&program);
    command.arg("run").arg("--config").arg(&file);
    let data = home.path().join("node");
    let node = Node::start_command(command, &data, &[("RPCS_PORT", "0")]);
    let log = node.program.stderr();
    for name in ["rewards.period", "network.rpcs_port"] {
        let told = log.lines().find(|line| line.contains(name));
        let told = told.unwrap_or_else(|| panic!("{name}: {log}"));
        assert!(told.contains("has no effect: this build has no"), "{told}");
    }
    assert!(node.run["rpcs"].is_null());
    for (path, feature, what) in [
        ("/", "status-page", "status page"),
        ("/metrics", "metrics", "metrics"),
        ("/events", "events", "event streams"),
        ("/ws", "events", "event streams"),
    ] {
        let answer = get(&node, path);
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(
            answer.contains(&parts_text(feature, what)),
            "{path}: {answer}"
        );
    }
    for (method, feature, what) in [
        ("eth_blockNumber", "chain", "chain client"),
        ("stats_history", "history", "statistics of the past"),
        ("rpc_discover", "openrpc", "OpenRPC document"),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let answer = node.http(&format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert!(
            answer.contains(&parts_text(feature, what)),
            "{method}: {answer}"
        );
    }
}
