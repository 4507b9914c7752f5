//! A node behind a home router: three network namespaces, the router with Debian's
//! miniupnpd, which gives ports by PCP, NAT-PMP and UPnP and opens its firewall for
//! IPv6. What others outside see is looked at from outside.
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
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What the router does beside mapping: NAT, and nothing comes in by itself.
const RULES: &str = r#"
table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain prerouting {
    type nat hook prerouting priority -100;
    jump prerouting_miniupnpd
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    jump postrouting_miniupnpd
    meta nfproto ipv4 oifname "wan" masquerade
  }
}
"#;
/// What a router forgets when it is restarted.
const FORGET: &str = "
flush chain inet filter miniupnpd
flush chain inet filter prerouting_miniupnpd
flush chain inet filter postrouting_miniupnpd
";
/// A router that does not know PCP: its version of the protocol is dropped.
const NO_PCP: &str = "
table inet nopcp {
  chain in {
    type filter hook input priority 0;
    udp dport 5351 @th,64,8 2 drop
  }
}
";

/// What hotels and offices do: nothing but the web's ports.
const FIREWALL: &str = r#"
table inet firewall {
  chain out {
    type filter hook prerouting priority -300;
    iifname "wan" tcp dport 41046 drop
  }
}
"#;

fn run_words(words: &str) -> Result<(), String> {
    let mut words = words.split_whitespace();
    let ran = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned()),
    }
}

/// `home` (192.168.50.2, 2600:50::2) - router (192.168.50.1, fe80::1, outside `wan`) -
/// world (20.N.0.1, 2600:N::1). For IPv6 there is no NAT.
struct Lab {
    tag: String,
    folder: TempDir,
}

impl Lab {
    /// The namespaces, or the word why there are none.
    fn new(tag: &str, wan: &str) -> Option<Lab> {
        for program in ["ip", "nft", "miniupnpd", "curl", "sysctl"] {
            find_or_skip(program)?;
        }
        let lab = Lab {
            tag: format!("chr{tag}{}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
        };
        match lab.make(wan) {
            Ok(()) => Some(lab),
            Err(why) => {
                println!("skipped: no network namespaces with NAT here: {why}");
                None
            }
        }
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.tag)
    }

    fn make(&self, wan: &str) -> Result<(), String> {
        let [w, g, h] = ["world", "router", "home"].map(|host| self.name(host));
        for name in [&w, &g, &h] {
            run_words(&format!("ip netns add {name}"))?;
            run_words(&format!("ip -n {name} link set lo up"))?;
        }
        for line in [
            format!("ip -n {w} link add sw type bridge"),
            format!("ip -n {w} link set sw up"),
            format!("ip -n {w} addr add 20.1.0.1/8 dev sw"),
            format!("ip -n {w} addr add 20.2.0.1/8 dev sw"),
            format!("ip -n {w} addr add 2600:1::1/32 dev sw nodad"),
            format!("ip -n {w} addr add 2600:1::2/32 dev sw nodad"),
            format!("ip -n {g} link add wan type veth peer name port netns {w}"),
            format!("ip -n {w} link set port master sw up"),
            format!("ip -n {g} addr add {wan} dev wan"),
            format!("ip -n {g} addr add 2600:1::9/32 dev wan nodad"),
            format!("ip -n {g} link set wan up"),
            format!("ip -n {h} link add eth0 type veth peer name lan netns {g}"),
            format!("ip -n {g} addr add 192.168.50.1/24 dev lan"),
            // One address of the link, as routers have it.
            format!("ip -n {g} link set lan addrgenmode none"),
            format!("ip -n {g} addr add fe80::1/64 dev lan nodad"),
            format!("ip -n {g} addr add 2600:50::1/64 dev lan nodad"),
            format!("ip -n {g} link set lan up"),
            format!("ip -n {h} addr add 192.168.50.2/24 dev eth0"),
            format!("ip -n {h} addr add 2600:50::2/64 dev eth0 nodad"),
            format!("ip -n {h} link set eth0 up"),
            format!("ip -n {h} route add default via 192.168.50.1"),
            format!("ip -n {h} -6 route add default via fe80::1 dev eth0"),
            format!("ip -n {w} -6 route add 2600:50::/64 via 2600:1::9"),
            format!("ip netns exec {g} sysctl -qw net.ipv4.ip_forward=1"),
            format!("ip netns exec {g} sysctl -qw net.ipv6.conf.all.forwarding=1"),
        ] {
            run_words(&line)?;
        }
        self.nft(RULES)
    }

    /// The rest of the command runs on this host.
    fn on(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        without_settings(command)
    }

    fn nft(&self, rules: &str) -> Result<(), String> {
        let mut nft = self.on("router", "nft");
        let mut child = nft
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        child
            .stdin
            .take()
            .unwrap()
            .write_all(rules.as_bytes())
            .unwrap();
        let ran = child.wait_with_output().unwrap();
        match ran.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned()),
        }
    }

    /// The router's daemon; `more` are lines of its settings.
    fn daemon(&self, more: &str) -> Program {
        let file = self.folder.path().join("miniupnpd.conf");
        let text = format!(
            "ext_ifname=wan\nlistening_ip=lan\nenable_upnp=yes\nsecure_mode=yes\nnotify_interval=60\n\
             uuid=00000000-0000-0000-0000-000000000001\nupnp_table_name=filter\nupnp_nat_table_name=filter\n\
             upnp_forward_chain=miniupnpd\nupnp_nat_chain=prerouting_miniupnpd\n\
             upnp_nat_postrouting_chain=postrouting_miniupnpd\n{more}\nallow 1-65535 0.0.0.0/0 1-65535\n"
        );
        std::fs::write(&file, text).unwrap();
        let pid = self.folder.path().join("miniupnpd.pid");
        let _ = std::fs::remove_file(&pid);
        let mut command = self.on("router", "miniupnpd");
        command.args(["-d", "-f"]).arg(&file).arg("-P").arg(&pid);
        let daemon = Program::start(command.stdout(Stdio::null()));
        until(SOON, "the router's daemon listens", || {
            daemon.stderr().contains("HTTP listening").then_some(())
        });
        daemon
    }

    /// Ports that lead inside, by the router's own rules.
    fn mapped(&self) -> Vec<u16> {
        let mut nft = self.on("router", "nft");
        nft.args(["list", "chain", "inet", "filter", "prerouting_miniupnpd"]);
        let text = String::from_utf8(nft.output().unwrap().stdout).unwrap();
        let rules = text.lines().filter_map(|line| line.split_once(" dport "));
        let mut ports: Vec<u16> = rules
            .map(|(_, rest)| rest.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        ports.sort_unstable();
        ports
    }

    fn waits_for(&self, ports: &[u16]) {
        let what = format!("the router has {ports:?}");
        until(SOON, &what, || (self.mapped() == ports).then_some(()));
    }

    /// How many ports of the node at home the router's firewall lets in by IPv6.
    fn holes(&self) -> usize {
        let mut nft = self.on("router", "nft");
        nft.args(["list", "chain", "inet", "filter", "miniupnpd"]);
        let text = String::from_utf8(nft.output().unwrap().stdout).unwrap();
        text.matches("0x26000050000000000000000000000002").count()
    }

    /// A node with the ports that nodes have.
    fn node(&self, host: &str, ip: &str, seeds: &str) -> Node {
        self.node_at(host, ip, ip, seeds)
    }

    /// The same with several addresses.
    fn node_at(&self, host: &str, bind: &str, ip: &str, seeds: &str) -> Node {
        let data: PathBuf = self.folder.path().join(format!("node-{ip}"));
        std::fs::create_dir_all(&data).unwrap();
        let mut command = self.on(host, env!("CARGO_BIN_EXE_chr-node"));
        command.arg("run");
        let settings = [
            ("CHR_NETWORK__BIND", bind),
            ("CHR_NETWORK__RPC_BIND", ip),
            ("EDGE2_PORT", "41046,443"),
            ("PEER2_PORT", "51055"),
            ("RPC_PORT", "8545"),
            ("SEED_LIST", seeds),
        ];
        Node::start_command(command, &data, &settings)
    }

    /// What the node at home says of its health's network layer.
    fn network_health(&self) -> Value {
        let mut curl = self.on("home", "curl");
        curl.args(["--silent", "http://192.168.50.2:8545/health"]);
        let output = curl.stdin(Stdio::null()).output().unwrap();
        let health: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let layers = health["layers"].as_array().cloned().unwrap_or_default();
        let mut layers = layers.into_iter();
        layers
            .find(|layer| layer["layer"] == "network")
            .unwrap_or_default()
    }

    fn device(&self, host: &str, name: &str, args: &[&str]) -> Device {
        let mut command = self.on(host, env!("CARGO_BIN_EXE_chr-node"));
        command
            .args(args)
            .args(["--json", "--identity"])
            .arg(self.folder.path().join(format!("{name}.key")));
        Device::start_command(&mut command)
    }

    /// Whether the page at home can be had at this port of the world.
    fn fetch(&self, port: u16) -> bool {
        let place = format!("http://127.0.0.1:{port}/page");
        let mut curl = self.on("world", "curl");
        curl.args(["--silent", "--max-time", "10", &place]);
        let output = curl.stdin(Stdio::null()).output().unwrap();
        output.stdout == b"from home"
    }

    fn web(&self, folder: &Path) -> Program {
        std::fs::write(folder.join("page"), "from home").unwrap();
        let mut command = self.on("home", "python3");
        command
            .args(["-m", "http.server", "--bind", "127.0.0.1", "8000"])
            .current_dir(folder)
            .stdout(Stdio::null());
        Program::start(&mut command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in ["home", "router", "world"] {
            let _ = run_words(&format!("ip netns del {}", self.name(host)));
        }
    }
}

const NONE: [u16; 0] = [];
const ALL: [u16; 4] = [443, 41046, 51055, 51055];

fn says(node: &Node, words: &str) {
    until(SOON, words, || {
        node.program.stderr().contains(words).then_some(())
    });
}

#[test]
fn others_find_a_node_behind_nat_after_its_router_forgot_and_moved() {
    if find_or_skip("python3").is_none() {
        return;
    }
    let Some(lab) = Lab::new("rp", "20.0.0.9/8") else {
        return;
    };
    let mut daemon = lab.daemon("enable_natpmp=yes");
    let first = lab.node("world", "20.1.0.1", "none");
    let seed = format!("{}@20.1.0.1:51055", first.id());
    let second = lab.node("world", "20.2.0.1", &seed);
    let mut home = lab.node("home", "192.168.50.2", &seed);
    says(
        &home,
        "the router maps ports: PCP at 192.168.50.1: 20.0.0.9, UDP 51055",
    );
    lab.waits_for(&ALL);
    says(&home, "others see this node at 20.0.0.9:51055");

    let pages = tempfile::tempdir().unwrap();
    let _web = lab.web(pages.path());
    let inside = format!("{}@192.168.50.2:41046", home.id());
    let publisher = lab.device("home", "p", &["publish", "8000:public", "--node", &inside]);
    let device = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();

    // A device outside connects to the node itself, by the port that a firewall lets out.
    lab.nft(FIREWALL).unwrap();
    let outside = format!("{}@20.0.0.9:41046,443", home.id());
    let (listen, target) = ("18000", format!("{device}:8000"));
    let _direct = lab.device(
        "world",
        "d",
        &["forward", listen, &target, "--node", &outside],
    );
    until(SOON, "a page through the router", || {
        lab.fetch(18000).then_some(())
    });

    // Another one knows a node of the world alone, which finds this one by its record.
    let at_first = format!("{}@20.1.0.1:41046", first.id());
    let (listen, target) = ("18001", format!("{device}:8000"));
    let _found = lab.device(
        "world",
        "f",
        &["forward", listen, &target, "--node", &at_first],
    );
    until(SOON, "a page by what the node announces", || {
        lab.fetch(18001).then_some(())
    });

    // The router is restarted, and has forgotten.
    daemon.signal("-KILL");
    daemon.wait(SOON);
    lab.nft(FORGET).unwrap();
    assert_eq!(lab.mapped(), NONE);
    drop(daemon);
    let daemon = lab.daemon("enable_natpmp=yes");
    lab.waits_for(&ALL);

    // The provider gives it another address.
    let router = lab.name("router");
    run_words(&format!("ip -n {router} addr del 20.0.0.9/8 dev wan")).unwrap();
    run_words(&format!("ip -n {router} addr add 20.0.0.10/8 dev wan")).unwrap();
    says(
        &home,
        "the router maps ports: PCP at 192.168.50.1: 20.0.0.10, UDP 51055",
    );
    says(&home, "others see this node at 20.0.0.10:51055");
    let at_second = format!("{}@20.2.0.1:41046", second.id());
    let (listen, target) = ("18002", format!("{device}:8000"));
    let _again = lab.device(
        "world",
        "a",
        &["forward", listen, &target, "--node", &at_second],
    );
    until(SOON, "a page at the new address", || {
        lab.fetch(18002).then_some(())
    });

    home.program.signal("-TERM");
    home.program.wait(SOON);
    assert_eq!(
        lab.mapped(),
        NONE,
        "the router still has ports: {}",
        daemon.stderr()
    );
}

#[test]
fn a_router_that_knows_only_nat_pmp_or_only_upnp_gives_its_ports_and_gets_them_back() {
    let Some(lab) = Lab::new("ro", "20.0.0.9/8") else {
        return;
    };
    for (way, pmp, rules) in [("UPnP", "no", ""), ("NAT-PMP", "yes", NO_PCP)] {
        lab.nft(rules).unwrap();
        let _daemon = lab.daemon(&format!("enable_natpmp={pmp}"));
        let mut home = lab.node("home", "192.168.50.2", "none");
        says(
            &home,
            &format!("the router maps ports: {way} at 192.168.50.1: 20.0.0.9"),
        );
        assert_eq!(lab.mapped(), ALL);
        home.program.signal("-TERM");
        home.program.wait(SOON);
        assert_eq!(lab.mapped(), NONE, "{way}: {}", home.program.stderr());
    }
}

#[test]
fn a_second_nat_is_named_in_health_and_its_address_is_not_told() {
    let Some(lab) = Lab::new("rd", "10.9.0.9/8") else {
        return;
    };
    let router = lab.name("router");
    let words = "double NAT, or the provider's: CGNAT";
    for address in ["10.9.0.9", "100.64.0.9"] {
        run_words(&format!("ip -n {router} addr flush dev wan")).unwrap();
        run_words(&format!("ip -n {router} addr add {address}/8 dev wan")).unwrap();
        let _daemon = lab.daemon("enable_natpmp=yes");
        let home = lab.node("home", "192.168.50.2", "none");
        let layer = until(SOON, words, || {
            let layer = lab.network_health();
            let named = layer["reason"].as_str()?.contains(words);
            named.then_some(layer)
        });
        assert_eq!(layer["state"], "degraded");
        assert!(layer["remedy"]
            .as_str()
            .unwrap()
            .contains("docs/reachability.md"));
        assert!(!home
            .program
            .stderr()
            .contains(&format!("others see this node at {address}")));
    }
}

#[test]
fn behind_cgnat_and_a_firewall_devices_come_in_by_ipv6_through_holes_that_close_at_the_end() {
    if find_or_skip("python3").is_none() {
        return;
    }
    let Some(lab) = Lab::new("r6", "100.64.0.9/8") else {
        return;
    };
    let mut daemon = lab.daemon("enable_natpmp=yes");
    let first = lab.node("world", "2600:1::1", "none");
    let seed = format!("{}@[2600:1::1]:51055", first.id());
    let _second = lab.node("world", "2600:1::2", &seed);
    let both = "192.168.50.2,2600:50::2";
    let mut home = lab.node_at("home", both, "192.168.50.2", &seed);
    let given = "the router lets in by IPv6: PCP at fe80::1: 2600:50::2, UDP 51055, TCP 51055";
    says(&home, given);
    until(SOON, "four holes", || (lab.holes() == 4).then_some(()));

    let pages = tempfile::tempdir().unwrap();
    let _web = lab.web(pages.path());
    let inside = format!("{}@[2600:50::2]:41046", home.id());
    let publisher = lab.device("home", "p", &["publish", "8000:public", "--node", &inside]);
    let device = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    // A device outside that knows a node of the world alone: the two nodes have to
    // find and reach one another.
    let at_first = format!("{}@[2600:1::1]:41046", first.id());
    let (listen, target) = ("18000", format!("{device}:8000"));
    let _found = lab.device(
        "world",
        "f",
        &["forward", listen, &target, "--node", &at_first],
    );
    until(SOON, "a page by what the node announces", || {
        lab.fetch(18000).then_some(())
    });
    // And one that connects to the node itself.
    let (listen, target) = ("18001", format!("{device}:8000"));
    let _direct = lab.device(
        "world",
        "d",
        &["forward", listen, &target, "--node", &inside],
    );
    until(SOON, "a page through the firewall", || {
        lab.fetch(18001).then_some(())
    });
    // CGNAT hurts nobody here.
    until(SOON, "a healthy network", || {
        (lab.network_health()["state"] == "ok").then_some(())
    });

    // The router is restarted, and has forgotten.
    daemon.signal("-KILL");
    daemon.wait(SOON);
    lab.nft(FORGET).unwrap();
    assert_eq!(lab.holes(), 0);
    drop(daemon);
    let daemon = lab.daemon("enable_natpmp=yes");
    until(SOON, "the holes again", || (lab.holes() == 4).then_some(()));

    home.program.signal("-TERM");
    home.program.wait(SOON);
    assert_eq!(lab.holes(), 0, "the router: {}", daemon.stderr());
}
