//! A machine whose network comes, goes, moves or costs money: network namespaces in
//! which addresses and routes are changed while nodes and devices run.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::*;
use common::*;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A change is heard of at once; the rest is what a busy machine takes.
const AT_ONCE: Duration = Duration::from_secs(10);

fn ip(words: &str) -> Result<(), String> {
    let ran = Command::new("ip")
        .args(words.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned()),
    }
}

/// `a` (eth0, 10.77.0.1, down) and `b` (eth0, 10.77.0.2), joined by a cable.
struct Lab {
    tag: String,
    folder: TempDir,
}

impl Lab {
    /// The namespaces; none where they cannot be had, which is printed.
    fn new(tag: &str) -> Option<Lab> {
        for program in ["ip", "curl"] {
            find_or_skip(program)?;
        }
        let lab = Lab {
            tag: format!("chr{tag}{}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
        };
        match lab.make() {
            Ok(()) => Some(lab),
            Err(why) => {
                println!("skipped: no network namespaces here: {why}");
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        for host in ["a", "b"] {
            ip(&format!("netns add {}", self.name(host)))?;
            self.try_ip(host, "link set lo up")?;
        }
        let other = self.name("b");
        self.try_ip(
            "a",
            &format!("link add eth0 type veth peer name eth0 netns {other}"),
        )?;
        self.try_ip("a", "addr add 10.77.0.1/24 dev eth0")?;
        self.try_ip("b", "addr add 10.77.0.2/24 dev eth0")?;
        self.try_ip("b", "link set eth0 up")
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.tag)
    }

    fn try_ip(&self, host: &str, words: &str) -> Result<(), String> {
        ip(&format!("-n {} {words}", self.name(host)))
    }

    fn ip(&self, host: &str, words: &str) {
        self.try_ip(host, words)
            .unwrap_or_else(|why| panic!("ip {words}: {why}"));
    }

    /// The rest of the command runs on this host.
    fn on(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        without_settings(command)
    }

    /// A node on all of the host's addresses, with the ports that nodes have;
    /// `before` are words before the program's name.
    fn node(&self, host: &str, before: &[&str], settings: &[(&str, &str)]) -> Node {
        let data = self.folder.path().join(host);
        std::fs::create_dir_all(&data).unwrap();
        let program = [env!("CARGO_BIN_EXE_chr-node"), "run"];
        let words: Vec<&str> = before.iter().copied().chain(program).collect();
        let mut command = self.on(host, words[0]);
        command.args(&words[1..]);
        let mut all = vec![
            ("CHR_NETWORK__BIND", "0.0.0.0"),
            ("EDGE2_PORT", "41046"),
            ("PEER2_PORT", "51055"),
            ("RPC_PORT", "8545"),
            ("SEED_LIST", "none"),
        ];
        all.extend(settings);
        Node::start_command(command, &data, &all)
    }

    /// The result of a method of the node on this host; null where it does not answer.
    fn ask(&self, host: &str, method: &str) -> Value {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let mut curl = self.on(host, "curl");
        curl.args(["--silent", "--max-time", "5", "--json", &body]);
        let output = curl.arg("http://127.0.0.1:8545/rpc").output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["result"].clone()
    }

    fn device(&self, host: &str, name: &str, node: &str) -> Device {
        let mut command = self.on(host, env!("CARGO_BIN_EXE_chr-node"));
        command.args([
            "publish",
            "8000:public",
            "--json",
            "--node",
            node,
            "--identity",
        ]);
        Device::start_command(command.arg(self.folder.path().join(name)))
    }

    fn waits_for_devices(&self, count: u64, most: Duration) {
        until(most, &format!("{count} sessions"), || {
            (self.ask("a", "chr_node_info")["devices"] == count).then_some(())
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in ["a", "b"] {
            let _ = ip(&format!("netns del {}", self.name(host)));
        }
    }
}

fn says(node: &Node, words: &str, most: Duration) {
    until(most, words, || {
        node.program.stderr().contains(words).then_some(())
    });
}

#[test]
fn bytes_are_spared_from_the_moment_when_packets_leave_by_mobile_data() {
    let Some(lab) = Lab::new("lm") else {
        return;
    };
    for line in [
        "link add wlan0 type veth peer name point",
        "link add wwan0 type veth peer name tower",
        "link set point up",
        "link set tower up",
        "addr add 192.168.7.2/24 dev wlan0",
        "addr add 10.9.0.2/30 dev wwan0",
        "addr add 2001:db8:7::2/64 dev wlan0 nodad",
        "addr add 2001:db8:9::2/64 dev wwan0 nodad",
        "link set wlan0 up",
        "link set wwan0 up",
        "route add default via 192.168.7.1",
    ] {
        lab.ip("a", line);
    }
    let node = lab.node("a", &[], &[]);
    let is_metered = |wanted: bool| {
        until(AT_ONCE, &format!("metered is {wanted}"), || {
            let device = lab.ask("a", "node_status")["device"].clone();
            (device["metered"] == wanted).then_some(())
        });
    };
    is_metered(false);
    // Wi-Fi goes on to have its address: all that changes is the way out.
    lab.ip("a", "route replace default dev wwan0");
    is_metered(true);
    let mut curl = lab.on("a", "curl");
    let output = curl.args(["--silent", "http://127.0.0.1:8545/metrics"]);
    let metrics = String::from_utf8(output.output().unwrap().stdout).unwrap();
    assert!(metrics.contains("\nchr_network_metered 1\n"), "{metrics}");
    lab.ip("a", "route replace default via 192.168.7.1");
    is_metered(false);
    // A network of IPv6 alone.
    lab.ip("a", "route del default");
    lab.ip("a", "addr del 192.168.7.2/24 dev wlan0");
    lab.ip("a", "-6 route add default dev wwan0");
    is_metered(true);
    lab.ip("a", "-6 route replace default via 2001:db8:7::1");
    is_metered(false);
    let said = node.program.stderr();
    assert_eq!(said.matches("the network is metered").count(), 2, "{said}");
    assert_eq!(said.matches("is no longer metered").count(), 2, "{said}");
}

#[test]
fn a_device_that_the_old_network_swallowed_is_let_go_in_seconds_and_the_others_stay() {
    let Some(lab) = Lab::new("ld") else {
        return;
    };
    // Without a peer port nobody else would look at the network.
    let node = lab.node("a", &[], &[("PEER2_PORT", "off")]);
    let near = format!("{}@127.0.0.1:41046", node.id());
    let _near = lab.device("a", "near.key", &near);
    lab.waits_for_devices(1, SOON);
    lab.ip("a", "link set eth0 up");
    let far = lab.device("b", "far.key", &format!("{}@10.77.0.1:41046", node.id()));
    far.expect("ready");
    lab.waits_for_devices(2, SOON);
    // Its address is taken from it: no word of it reaches the node any more.
    lab.ip("b", "addr del 10.77.0.2/24 dev eth0");
    let before = node.program.stderr().len();
    lab.ip("a", "addr add 10.88.0.1/24 dev eth0");
    lab.waits_for_devices(1, Duration::from_secs(20));
    let log = node.program.stderr().split_off(before);
    assert!(!log.contains("ERROR"), "{log}");
    // It comes back with its network, which nobody had to tell it.
    lab.ip("b", "addr add 10.77.0.2/24 dev eth0");
    lab.waits_for_devices(2, SOON);
}

#[test]
fn a_fleet_is_not_dialled_without_a_network_and_is_at_once_when_there_is_one() {
    let Some(lab) = Lab::new("lf") else {
        return;
    };
    let far = lab.node("b", &[], &[]);
    let fleet = format!("far={}@10.77.0.2:51055", far.id());
    let mut home = lab.node("a", &[], &[("CHR_FLEET__NODES", &fleet)]);
    // Some life meanwhile.
    let near = format!("{}@127.0.0.1:41046", home.id());
    let _near = lab.device("a", "near.key", &near);
    lab.waits_for_devices(1, SOON);
    lab.ip("a", "link set eth0 up");
    says(&home, "fleet node far is connected", AT_ONCE);
    let said = home.program.stderr();
    assert!(!said.contains("cannot be reached"), "{said}");
    // Gone, noticed, and not dialled either.
    lab.ip("a", "link set eth0 down");
    says(&home, "there is no network any more", AT_ONCE);
    lab.ip("a", "link set eth0 up");
    says(&home, "there is a network again", AT_ONCE);
    until(SOON, "the link stands", || {
        let peers = lab.ask("a", "chr_node_info")["peers"].clone();
        (peers == 1).then_some(())
    });
    home.program.signal("-TERM");
    assert!(home.program.wait(SOON).success());
    let said = home.program.stderr();
    assert!(!said.contains("cannot be reached"), "{said}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_that_the_kernel_tells_nothing_sees_a_change_within_half_a_minute() {
    let Some(lab) = Lab::new("lp") else {
        return;
    };
    if find_or_skip("python3").is_none() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/no_news.py");
    let before = ["python3", script.to_str().unwrap()];
    let trial = run(lab.on("a", before[0]).args([before[1], "true"]), SOON);
    if trial.err.contains("no filter") {
        return println!("skipped: {}", trial.err.trim());
    }
    let fleet = format!("far=0x{}@10.77.0.2:51055", "1".repeat(40));
    let node = lab.node("a", &before, &[("CHR_FLEET__NODES", &fleet)]);
    // Since it is late to see a network come, it tries without one.
    says(&node, "cannot be reached", AT_ONCE);
    until(SOON, "it serves", || {
        (!lab.ask("a", "chr_node_info").is_null()).then_some(())
    });
    lab.ip("a", "link set eth0 up");
    let late = Duration::from_secs(45);
    says(&node, "there is a network again", late);
}
