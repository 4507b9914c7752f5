//! Nodes on hosts of their own: three network namespaces joined by a switch in a
//! fourth. What loopback hides (addresses, routes that end, hosts that vanish)
//! shows here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::*;
use common::*;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Network namespaces of this test, removed with it.
struct Hosts {
    tag: String,
    count: u8,
}

fn ip(words: &str) -> Result<(), String> {
    let ran = Command::new("ip")
        .args(words.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if ran.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned())
    }
}

impl Hosts {
    /// `count` hosts on one network, or the word why not.
    fn new(tag: &str, count: u8) -> Option<Hosts> {
        find_or_skip("ip")?;
        let hosts = Hosts {
            tag: format!("chr{tag}{}", std::process::id()),
            count,
        };
        match hosts.make() {
            Ok(()) => Some(hosts),
            Err(why) => {
                println!("skipped: no network namespaces here: {why}");
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let switch = self.name(0);
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add sw type bridge"))?;
        ip(&format!("-n {switch} link set sw up"))?;
        for host in 1..=self.count {
            let name = self.name(host);
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!(
                "-n {name} link add eth0 type veth peer name p{host} netns {switch}"
            ))?;
            ip(&format!("-n {switch} link set p{host} master sw up"))?;
            ip(&format!(
                "-n {name} addr add {}/24 dev eth0",
                Hosts::address(host)
            ))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(())
    }

    fn name(&self, host: u8) -> String {
        format!("{}-{host}", self.tag)
    }

    fn address(host: u8) -> String {
        format!("10.77.0.{host}")
    }

    /// The rest of the command runs on this host.
    fn on(&self, host: u8, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    /// A node on this host, with the ports that nodes have.
    fn node(&self, home: &Path, host: u8, seeds: &str, before: &[&str]) -> Node {
        let data = home.join(format!("node{host}"));
        std::fs::create_dir_all(&data).unwrap();
        let own = Hosts::address(host);
        let program = env!("CARGO_BIN_EXE_chr-node");
        let mut words = before.to_vec();
        words.push(program);
        let mut command = self.on(host, words[0]);
        command.args(&words[1..]).arg("run");
        let settings = [
            ("CHR_NETWORK__BIND", own.as_str()),
            ("EDGE2_PORT", "41046"),
            ("PEER2_PORT", "51055"),
            ("RPC_PORT", "8545"),
            ("SEED_LIST", seeds),
        ];
        Node::start_command(command, &data, &settings)
    }

    /// `publish` or `forward` on this host.
    fn device(&self, home: &Path, host: u8, name: &str, args: &[&str]) -> Device {
        let mut command = self.on(host, env!("CARGO_BIN_EXE_chr-node"));
        command
            .args(args)
            .args(["--json", "--identity"])
            .arg(home.join(format!("{name}.key")));
        Device::start_command(&mut command)
    }

    /// A web page served on this host's loopback.
    fn web_server(&self, host: u8, port: u16, folder: &Path) -> Program {
        let mut command = self.on(host, "python3");
        command
            .args(["-m", "http.server", "--bind", "127.0.0.1"])
            .arg(port.to_string())
            .current_dir(folder)
            .stdout(Stdio::null());
        let server = Program::start(&mut command);
        until(SOON, "the web server listens", || {
            self.fetch(host, port).then_some(())
        });
        server
    }

    /// Whether the page can be had at this host's port.
    fn fetch(&self, host: u8, port: u16) -> bool {
        let place = format!("http://127.0.0.1:{port}/page");
        let mut command = self.on(host, "curl");
        command.args(["--silent", "--max-time", "20", &place]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        output.stdout == b"across hosts"
    }

    fn fetched_again(&self, host: u8, port: u16, most: Duration) -> Duration {
        let begun = Instant::now();
        until(most, "the page comes", || {
            self.fetch(host, port).then_some(())
        });
        begun.elapsed()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in 0..=self.count {
            let _ = ip(&format!("netns del {}", self.name(host)));
        }
    }
}

#[test]
fn devices_on_different_hosts_meet_whichever_node_dies() {
    if find_or_skip("curl").is_none() || find_or_skip("python3").is_none() {
        return;
    }
    let Some(hosts) = Hosts::new("m", 4) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("page"), "across hosts").unwrap();
    let first = hosts.node(home.path(), 1, "none", &[]);
    let seed = format!("{}@10.77.0.1:51055", first.id());
    // A seed may be written as an address of the web, too.
    let second = hosts.node(home.path(), 2, &format!("diode://{seed}"), &[]);
    let third = hosts.node(home.path(), 3, &seed, &[]);
    let fourth = hosts.node(home.path(), 4, "10.77.0.1:51055", &[]);

    // The publisher lives beside the second node and knows the third as well.
    let _web = hosts.web_server(2, 8000, home.path());
    let publisher = hosts.device(
        home.path(),
        2,
        "p",
        &[
            "publish",
            "8000:public",
            "--node",
            &second.address(),
            "--node",
            &third.address(),
        ],
    );
    let device = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    let forwarder = hosts.device(
        home.path(),
        4,
        "f",
        &[
            "forward",
            "127.0.0.1:9000",
            &format!("{device}:8000"),
            "--node",
            &fourth.address(),
        ],
    );
    forwarder.expect("ready");
    hosts.fetched_again(4, 9000, SOON);

    // Nobody needs the first node any more.
    drop(first);
    let took = hosts.fetched_again(4, 9000, SOON);
    assert!(took < Duration::from_secs(30), "{took:?}");
    // The one that is needed goes, without a word.
    drop(second);
    let took = hosts.fetched_again(4, 9000, SOON);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_device_whose_address_has_changed_is_back_before_its_next_ping() {
    let Some(hosts) = Hosts::new("a", 2) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = hosts.node(home.path(), 1, "none", &[]);
    let publisher = hosts.device(
        home.path(),
        2,
        "p",
        &["publish", "8000:public", "--node", &node.address()],
    );
    publisher.expect("ready");
    let name = hosts.name(2);
    ip(&format!("-n {name} addr add 10.77.0.102/24 dev eth0")).unwrap();
    ip(&format!("-n {name} addr del 10.77.0.2/24 dev eth0")).unwrap();
    // The last address of a network takes the others with it.
    let _ = ip(&format!("-n {name} addr add 10.77.0.102/24 dev eth0"));
    let begun = Instant::now();
    publisher.expect("lost");
    publisher.expect("back");
    // Eight seconds for an answer that cannot come, and one attempt. Without a word
    // from the kernel it would have been up to two minutes.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_device_without_a_network_tries_nothing_and_is_back_when_one_comes() {
    let Some(hosts) = Hosts::new("u", 2) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = hosts.node(home.path(), 1, "none", &[]);
    let name = hosts.name(2);
    ip(&format!("-n {name} addr del 10.77.0.2/24 dev eth0")).unwrap();
    let publisher = hosts.device(
        home.path(),
        2,
        "p",
        &["publish", "8000:public", "--node", &node.address()],
    );
    until(SOON, "it says that there is no network", || {
        let said = publisher.program.stderr();
        said.contains("there is no network").then_some(())
    });
    ip(&format!("-n {name} addr add 10.77.0.2/24 dev eth0")).unwrap();
    let begun = Instant::now();
    publisher.expect("ready");
    // It does not look before five minutes have passed, unless it is told.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
