//! Other nodes: where, how many, which.

use super::{info, node_with};
use crate::common::programs::identity;
use crate::common::tools::*;
use crate::common::*;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const ALL: [(&str, &str); 0] = [];

/// Whether something answers a datagram of the DHT there: without a cookie every
/// node says what to come back with.
fn answers_datagrams(place: SocketAddr) -> bool {
    use chr_node::dht::Seal;
    use chr_node::identity::{Address, SecretKey};
    use chr_node::wire::dht::{encode, peek, Body, Packet, Type};
    let key = SecretKey::generate();
    let ping = Packet {
        txid: 7,
        cookie: 0,
        from: key.address(),
        to: Address::ZERO,
        body: Body::Ping {
            serving: false,
            check: None,
        },
    };
    let bytes = encode(&ping, &|digest| Seal::sign(&key, digest)).unwrap();
    let socket = UdpSocket::bind((place.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(SOON / 10)).unwrap();
    let mut buffer = [0; 2000];
    for _ in 0..5 {
        socket.send_to(&bytes, place).unwrap();
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let header = peek(&buffer[..len]).unwrap();
            return from == place && header.kind == Type::Challenge && header.txid == 7;
        }
    }
    false
}

pub fn peer_port() {
    let (_home, node) = node_with(&[("PEER2_PORT", "off")]);
    assert!(node.run["peer"].is_null());
    assert!(info(&node)["peer_port"].is_null() && info(&node)["peers"].is_null());
    assert!(node.ask("network_stats")["dht"].is_null());
    drop(node);
    let (_home, node) = node_with(&[]);
    let place = node.peer();
    assert_eq!(info(&node)["peer_port"], place.port());
    TcpStream::connect(place).unwrap();
    assert!(answers_datagrams(place), "no answer at {place}");
}

/// A node at 127.0.0.N.
fn at(n: u8, settings: &[(&str, &str)]) -> (TempDir, Node) {
    let bind = format!("127.0.0.{n}");
    let mut all = vec![("CHR_NETWORK__BIND", bind.as_str())];
    all.extend(settings);
    node_with(&all)
}

fn knows(node: &Node, other: &Node) -> Option<()> {
    node.known().iter().any(|id| id == other.id()).then_some(())
}

pub fn seeds() {
    let (_home, first) = at(2, &ALL);
    let list = format!("none, {}", first.seed());
    let (_home2, second) = at(3, &[("SEED_LIST", &list)]);
    until(SOON, "the seed is known", || knows(&second, &first));
    until(SOON, "the seed knows who came", || knows(&first, &second));
    // Nobody is dialled who is not named.
    let (_home3, third) = at(4, &ALL);
    assert_eq!(third.known(), Vec::<String>::new());
}

pub fn dns() {
    use crate::common::{dns::name_server, mounts::node_behind};
    // Without the system's own file nobody else is asked.
    let etc = tempfile::tempdir().unwrap();
    let Some(command) = node_behind(&format!("mount --bind {} /etc", etc.path().display())) else {
        return;
    };
    let names = [("seed.test", std::net::Ipv4Addr::new(127, 0, 0, 6))];
    let server = name_server("127.0.0.1:0", &names).unwrap().to_string();
    let (_home, first) = at(6, &ALL);
    let seeds = format!("seed.test:{}", first.peer().port());
    let settings = [
        ("CHR_NETWORK__BIND", "127.0.0.7"),
        ("SEED_LIST", seeds.as_str()),
        ("CHR_NETWORK__DNS", &server),
    ];
    let home = tempfile::tempdir().unwrap();
    let second = Node::start_command(command, home.path(), &settings);
    until(SOON, "the seed is known", || knows(&second, &first));
}

/// A fleet of these, as the setting has it.
fn fleet_of(nodes: &[&Node]) -> String {
    let name = |(n, node): (usize, &&Node)| format!("n{n}={}", node.seed());
    let names: Vec<String> = nodes.iter().enumerate().map(name).collect();
    names.join(" ")
}

pub fn fleet_nodes() {
    let (_home, first) = at(2, &ALL);
    let (_home2, second) = at(3, &[("CHR_FLEET__NODES", &fleet_of(&[&first]))]);
    until(SOON, "the link stands", || {
        (info(&second)["peers"] == 1 && info(&first)["peers"] == 1).then_some(())
    });
    until(SOON, "its name is told", || {
        let log = second.program.stderr();
        log.contains("fleet node n0 is connected").then_some(())
    });
    let peer = second.ask("peer_list")[0].clone();
    assert_eq!(
        (&peer["node_id"], &peer["connected"], &peer["direction"]),
        (&first.id().into(), &true.into(), &"out".into())
    );
    assert_eq!(first.ask("peer_list")[0]["direction"], "in");
}

pub fn max_peers() {
    let (_home, first) = at(2, &ALL);
    let (_home2, second) = at(3, &ALL);
    let fleet = fleet_of(&[&first, &second]);
    let fleet = ("CHR_FLEET__NODES", fleet.as_str());
    let (_home3, free) = at(4, &[fleet]);
    until(SOON, "both links stand", || {
        (info(&free)["peers"] == 2).then_some(())
    });
    drop(free);
    let (_home4, bound) = at(5, &[fleet, ("CHR_NETWORK__MAX_PEERS", "1")]);
    until(SOON, "one link stands", || {
        (info(&bound)["peers"] == 1).then_some(())
    });
    let end = std::time::Instant::now() + Duration::from_secs(2);
    while std::time::Instant::now() < end {
        assert!(info(&bound)["peers"].as_u64().unwrap() <= 1);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Nodes in the routing table.
fn contacts(node: &Node) -> u64 {
    node.ask("network_stats")["dht"]["nodes"].as_u64().unwrap()
}

pub fn serve() {
    let (_home, first) = at(2, &[("CHR_NETWORK__SERVE", "yes")]);
    let seed = first.seed();
    let (_home2, client) = at(3, &[("SEED_LIST", &seed), ("CHR_NETWORK__SERVE", "no")]);
    until(SOON, "the client has joined", || {
        (contacts(&client) == 1).then_some(())
    });
    let (_home3, server) = at(4, &[("SEED_LIST", &seed), ("CHR_NETWORK__SERVE", "yes")]);
    until(SOON, "who serves is in the table", || {
        (contacts(&first) == 1).then_some(())
    });
    drop(server);
    // The client was there before, and is in nobody's table.
    assert_eq!(contacts(&client), 1);
}

pub fn metered() {
    let (_home, first) = at(2, &[("CHR_NETWORK__SERVE", "yes")]);
    let seed = first.seed();
    let settings = [
        ("SEED_LIST", seed.as_str()),
        ("CHR_NETWORK__SERVE", "yes"),
        ("CHR_NETWORK__METERED", "yes"),
    ];
    let (_home2, metered) = at(3, &settings);
    let said = until(SOON, "bytes are saved", || {
        let device = metered.ask("node_status")["device"].clone();
        (device["metered"] == true).then_some(device)
    });
    // Bytes have nothing to do with power, and nothing is refused for them.
    assert_eq!(said["power_saver"], false, "{said}");
    assert!(said["ports_refused"].is_null(), "{said}");
    let log = metered.program.stderr();
    assert!(log.contains("the network is metered"), "{log}");
    until(SOON, "it has joined", || {
        (contacts(&metered) == 1).then_some(())
    });
    // It says that it serves, and is in nobody's table all the same.
    until(SOON, "it only asks", || {
        (contacts(&first) == 0).then_some(())
    });
}

/// A node at 127.0.0.N whose id begins with a bit of one, or of zero.
fn in_half(n: u8, ones: bool, settings: &[(&str, &str)]) -> (TempDir, Node) {
    let bind = format!("127.0.0.{n}");
    let mut all = vec![("CHR_NETWORK__BIND", bind.as_str())];
    all.extend(settings);
    loop {
        let home = tempfile::tempdir().unwrap();
        let (_, id) = identity(home.path(), "node.key");
        if ("8"..="g").contains(&&id[2..3]) == ones {
            let node = Node::start_with(home.path(), &all);
            assert_eq!(node.id(), id);
            return (home, node);
        }
    }
}

pub fn subnet_limits() {
    for (limits, most) in [("always", 2), ("auto", 4)] {
        let settings = [
            ("CHR_NETWORK__SERVE", "yes"),
            ("CHR_NETWORK__SUBNET_LIMITS", limits),
        ];
        let (_home, first) = in_half(2, false, &settings);
        let seed = first.seed();
        let mut settings = settings.to_vec();
        settings.push(("SEED_LIST", &seed));
        // All in one /24, and all in the same bucket of the first.
        let others: Vec<_> = (3..7).map(|n| in_half(n, true, &settings)).collect();
        for (_, other) in &others {
            until(SOON, "it has joined", || {
                let log = other.program.stderr();
                log.contains("joined the network").then_some(())
            });
        }
        until(SOON, "the table is as full as it may", || {
            (contacts(&first) == most).then_some(())
        });
        // It stays so: everybody has been heard of by now.
        for _ in 0..20 {
            assert_eq!(contacts(&first), most);
        }
    }
}

/// A host behind a router that says nothing, or the word why there is none.
struct Behind(String);

impl Behind {
    fn new() -> Option<Behind> {
        for program in ["ip", "curl"] {
            find_or_skip(program)?;
        }
        let host = Behind(format!("chrpm{}", std::process::id()));
        let name = &host.0;
        for line in [
            format!("netns add {name}"),
            format!("-n {name} link set lo up"),
            format!("-n {name} link add eth0 type veth peer name eth1"),
            format!("-n {name} link set eth1 up"),
            format!("-n {name} addr add 192.168.51.2/24 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} route add default via 192.168.51.1"),
        ] {
            let mut ip = Command::new("ip");
            let done = ip.args(line.split(' ')).output().unwrap().status.success();
            if !done {
                println!("skipped: no network namespaces here: ip {line}");
                return None;
            }
        }
        Some(host)
    }

    fn on(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        without_settings(command)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let mut ip = Command::new("ip");
        let _ = ip.args(["netns", "del", &self.0]).output();
    }
}

pub fn port_mapping() {
    let Some(host) = Behind::new() else {
        return;
    };
    for (value, asked) in [("auto", true), ("off", false)] {
        let home = tempfile::tempdir().unwrap();
        let mut command = host.on(env!("CARGO_BIN_EXE_chr-node"));
        command.arg("run");
        let settings = [
            ("CHR_NETWORK__BIND", "192.168.51.2"),
            ("CHR_NETWORK__PORT_MAPPING", value),
        ];
        let node = Node::start_command(command, home.path(), &settings);
        let url = format!("http://{}/rpc", node.rpc());
        let ask = || {
            let mut curl = host.on("curl");
            curl.args([
                "--silent",
                "--header",
                "Content-Type: application/json",
                "--data",
            ]);
            curl.args([r#"{"jsonrpc":"2.0","id":1,"method":"node_status"}"#, &url]);
            let output = curl.output().unwrap();
            let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
            answer["result"]["device"].get("port_mapping").cloned()
        };
        let told = until(SOON, "the node answers", || {
            ask().filter(|told| told.is_null() != asked)
        });
        assert_eq!(told.is_string(), asked, "{value}: {told}");
    }
}

pub fn refresh() {
    let often = ("CHR_NETWORK__REFRESH", "30s");
    let serve = ("CHR_NETWORK__SERVE", "yes");
    let (_home, first) = at(2, &[serve, often]);
    let seed = first.seed();
    let (_home2, second) = at(3, &[serve, ("SEED_LIST", &seed)]);
    let requests = |node: &Node| {
        let text =
            node.http("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("chr_dht_requests_total "));
        line.unwrap().parse::<f64>().unwrap() as u64
    };
    let both = || (requests(&first), requests(&second));
    until(SOON, "both have joined", || {
        (contacts(&first) == 1 && contacts(&second) == 1).then_some(())
    });
    // What joining brings about is over when nothing was asked for five seconds.
    let mut seen = (both(), std::time::Instant::now());
    until(SOON, "they have joined", || {
        let now = both();
        if now != seen.0 {
            seen = (now, std::time::Instant::now());
        }
        (seen.1.elapsed() > Duration::from_secs(5)).then_some(())
    });
    until(Duration::from_secs(50), "it looks again", || {
        (requests(&first) > seen.0 .0).then_some(())
    });
    assert_eq!(requests(&second), seen.0 .1, "a minute is not over");
}
