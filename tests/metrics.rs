//! `/metrics` of a real node: read by Prometheus' own client library, held to the
//! rules of promtool, and every metric is seen to move or it is said why it cannot.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::wire::control::TicketAsk;
use common::chain::made_up;
use common::network::{known, node_at, peer_address};
use common::raw::{key, Raw};
use common::servers::*;
use common::tools::*;
use common::*;
use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What cannot move here, and why.
const STILL: &[(&str, &str)] = &[
    (
        "chr_store_waiting_rows",
        "rows of statistics come after a minute",
    ),
    (
        "chr_cache_disk_bytes",
        "contracts alone go there; tests/chain.rs has one",
    ),
    (
        "chr_chain_refused_total",
        "takes a flood of questions; tests/chain.rs has one",
    ),
    ("chr_build_info", "says what does not change"),
    ("chr_ready", "0 only while nobody can ask"),
    ("chr_clock_trusted", "the machine's clock is right"),
    ("chr_connections_limit", "follows from settings"),
    ("chr_memory_budget_bytes", "follows from settings"),
    (
        "chr_store_open",
        "the disk takes the store here; tests/store_faults.rs has others",
    ),
    (
        "chr_store_failures_total",
        "the disk works here; tests/health.rs fills one",
    ),
    ("chr_store_rows_damaged", "nothing is damaged here"),
    (
        "chr_store_rows_dropped_total",
        "takes a disk that refuses for hours",
    ),
    ("chr_store_map_bytes", "grows when the store is full"),
    (
        "chr_store_size_bytes",
        "the file grows by pages, and has room for these rows",
    ),
    ("chr_cache_capacity_bytes", "follows from settings"),
    (
        "chr_dht_reachable",
        "nobody here is a stranger to the other",
    ),
    ("chr_device_memory_bytes", "what is built in"),
    ("chr_device_processors", "what is built in"),
    (
        "chr_device_memory_limit_bytes",
        "a service's limit, where there is one",
    ),
    (
        "chr_device_temperature_celsius",
        "not every machine has a sensor",
    ),
    ("chr_device_power_saver", "tests/power.rs moves it"),
    ("chr_network_metered", "tests/links.rs moves it"),
    ("chr_ports_refused", "tests/power.rs moves it"),
    (
        "chr_device_battery_ratio",
        "not every machine has a battery",
    ),
    (
        "chr_device_battery_charging",
        "not every machine has a battery",
    ),
    ("process_max_fds", "is raised before anybody can ask"),
    ("process_start_time_seconds", "says what does not change"),
    (
        "chr_reward_performance_ratio",
        "is 1 as long as all goes well",
    ),
    ("chr_reward_uptime_ratio", "is 1 as long as the node was up"),
    (
        "chr_reward_pending_tokens",
        "moves when a period ends; tests of the rewards have that",
    ),
    ("chr_reward_day_tokens", "is known after ten minutes"),
];

fn get(place: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn metrics(place: SocketAddr) -> String {
    let answer = get(place, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let kind = "content-type: text/plain; version=0.0.4";
    assert!(head.to_ascii_lowercase().contains(kind), "{head}");
    body.to_owned()
}

/// Families with the sum of their samples; a histogram's is its count.
fn families(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            name = rest.split(' ').next().unwrap();
            found.insert(name.to_owned(), 0.0);
        }
        let value = line.rsplit(' ').next().unwrap();
        let bucket = line
            .strip_prefix(name)
            .is_some_and(|l| l.starts_with("_bucket"));
        if !line.starts_with('#') && !bucket {
            *found.get_mut(name).unwrap() += value.parse::<f64>().unwrap();
        }
    }
    found
}

/// Reads the node's metrics again and again; what values each family had.
struct Sampler {
    seen: Arc<Mutex<BTreeMap<String, BTreeSet<u64>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sampler {
    fn start(place: SocketAddr) -> Sampler {
        let seen: Arc<Mutex<BTreeMap<String, BTreeSet<u64>>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (values, end) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for (name, value) in families(&metrics(place)) {
                    let mut values = values.lock().unwrap();
                    values.entry(name).or_default().insert(value.to_bits());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Sampler {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    fn has_moved(&self, name: &str) -> bool {
        self.seen
            .lock()
            .unwrap()
            .get(name)
            .is_some_and(|v| v.len() > 1)
    }

    #[track_caller]
    fn until_moved(&self, name: &str) {
        until(SOON, &format!("{name} moves"), || {
            self.has_moved(name).then_some(())
        });
    }

    fn end(mut self) -> (Vec<String>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let seen = self.seen.lock().unwrap();
        let (moved, still): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, v)| v.len() > 1);
        let names = |list: Vec<(&String, &BTreeSet<u64>)>| {
            list.into_iter().map(|(name, _)| name.clone()).collect()
        };
        (names(moved), names(still))
    }
}

/// What the independent parser makes of it; `None` where it lacks.
fn judged(text: &str) -> Option<Value> {
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let mut import = Command::new(python);
        import.args(["-c", "import prometheus_client"]);
        import.stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        println!("skipped: Python has no prometheus_client (Debian: python3-prometheus-client)");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_metrics.py");
    let mut child = Command::new(python)
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A chain that is far behind at first, then of now, then broken.
#[derive(Default)]
struct Chain {
    phase: AtomicU8,
}

const BEHIND: u8 = 0;
const SYNCED: u8 = 1;
const BROKEN: u8 = 2;

impl Chain {
    fn serve(self: Arc<Self>) -> u16 {
        made_up(move |method, _| {
            let phase = self.phase.load(Ordering::Relaxed);
            if phase == BROKEN {
                return json!({"neither": "result nor error"});
            }
            if method == "eth_getBalance" {
                std::thread::sleep(Duration::from_millis(300));
            }
            let since = std::time::UNIX_EPOCH.elapsed().unwrap();
            let now = since.as_secs() - if phase == BEHIND { 1_000_000 } else { 0 };
            let result = match method {
                "eth_chainId" => json!("0x504"),
                "eth_blockNumber" => json!(format!("{now:#x}")),
                "eth_getBlockByNumber" => json!({
                    "number": format!("{now:#x}"), "timestamp": format!("{now:#x}"),
                    "hash": format!("0x{now:064x}"), "transactions": [],
                }),
                _ => json!("0x1"),
            };
            json!({"jsonrpc": "2.0", "result": result})
        })
    }
}

fn post(place: SocketAddr, method: &str, params: Value) -> String {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let body = call.to_string();
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!(
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn every_metric_moves_and_promtool_would_find_nothing() {
    let home = tempfile::tempdir().unwrap();
    let other = node_at(home.path(), 32, "none", &[]);
    let place = peer_address(&other);
    let port = place.rsplit(':').next().unwrap().to_owned();
    drop(other);
    let chain = Arc::new(Chain::default());
    let url = format!("http://127.0.0.1:{}", chain.clone().serve());
    let settings = [
        ("CHR_FLEET__NODES", format!("cellar={place}")),
        ("CHR_SECURITY__MAX_SESSIONS_PER_ADDRESS", "24".to_owned()),
        ("CHR_REWARDS__RATES", "gigabyte=1000, hour=0.5".to_owned()),
        ("CHR_CHAIN__URL", url),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let node = node_at(home.path(), 31, "none", &settings);
    let rpc = node.rpc();
    let sampler = Sampler::start(rpc);
    sampler.until_moved("chr_health_state");
    let other = node_at(home.path(), 32, "none", &[("PEER2_PORT", port.as_str())]);
    until(SOON, "the nodes know each other", || {
        (known(&node) > 0).then_some(())
    });

    // Devices, ports and payment.
    let route = Route::tcp(home.path(), &node.address(), digest_server());
    let mut stream = route.connect();
    stream.set_write_timeout(Some(SOON)).unwrap();
    write_blocks(&mut stream, 3, 40);
    sampler.until_moved("chr_windows_bytes");
    sampler.until_moved("chr_relay_bytes_total");
    let mut raw = Raw::greeted(&node, &key());
    let ask: TicketAsk = raw.expect();
    let mut forged = raw.sign(ask.epoch, 1 << 20);
    forged.total_bytes += 1;
    raw.request(&forged);
    sampler.until_moved("chr_tickets_refused_total");
    let nobody = format!("0x{}:8080", "5a".repeat(20));
    let (_seeker, listen) = Device::forward(
        home.path(),
        "seeker",
        &node.address(),
        "127.0.0.1:0",
        &nobody,
        &[],
    );
    for name in ["chr_device_lookups", "chr_ports_failed_total"] {
        until(SOON, &format!("{name} moves"), || {
            let _ = TcpStream::connect(listen);
            sampler.has_moved(name).then_some(())
        });
    }
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    drop(route);
    sampler.until_moved("chr_sessions_ended_total");

    // Strangers: silent ones, too many, and one who sends nonsense.
    let edge = node.edge();
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(edge)).collect();
    sampler.until_moved("chr_connections_denied_total");
    sampler.until_moved("chr_handshakes_in_progress");
    drop(silent);
    let nonsense = UdpSocket::bind("127.77.0.33:0").unwrap();
    let peer: SocketAddr = node.run["peer"].as_str().unwrap().parse().unwrap();
    nonsense.send_to(&[9; 300], peer).unwrap();
    sampler.until_moved("chr_dht_packets_lost_total");

    // Those who watch.
    for path in ["/health", "/nothing"] {
        get(rpc, path);
    }
    post(rpc, "no_such_method", json!([]));
    // One question, asked by two at once of a chain that takes its time.
    let account = json!([format!("0x{}", "5a".repeat(20)), "latest"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| post(rpc, "eth_getBalance", account.clone()));
        }
    });
    let mut listener = TcpStream::connect(rpc).unwrap();
    let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    listener.write_all(request).unwrap();
    sampler.until_moved("chr_event_listeners");
    drop(listener);
    chain.phase.store(SYNCED, Ordering::Relaxed);
    sampler.until_moved("chr_chain_synced");

    let text = metrics(rpc);

    // At the end the other node dies.
    other.program.signal("-KILL");
    drop(other);
    chain.phase.store(BROKEN, Ordering::Relaxed);
    sampler.until_moved("chr_chain_up");
    sampler.until_moved("chr_device_load1");
    sampler.until_moved("chr_dht_timeouts_total");

    let (moved, still) = sampler.end();
    let excused = |name: &String| STILL.iter().any(|(still, _)| still == name);
    let stuck: Vec<_> = still.into_iter().filter(|name| !excused(name)).collect();
    assert!(stuck.is_empty(), "never moved: {stuck:#?}");
    assert!(moved.len() > 50, "{moved:?}");

    documents_know(&text, &families(&text).into_keys().collect());
    if let Some(report) = judged(&text) {
        assert_eq!(report["problems"], json!([]));
        let found = report["families"].as_object().unwrap();
        let ours: Vec<String> = families(&text).into_keys().collect();
        let theirs: Vec<String> = found.keys().cloned().collect();
        assert_eq!(ours, theirs, "both readers find the same");
    }
}

/// Those which not every machine has: a name that is used anywhere is one of the
/// node's or one of these.
const NOT_EVERYWHERE: [&str; 7] = [
    "chr_device_memory_limit_bytes",
    "chr_device_temperature_celsius",
    "chr_device_battery_ratio",
    "chr_device_battery_charging",
    "chr_dht_reachable",
    "chr_reward_performance_ratio",
    "chr_reward_day_tokens",
];

/// Names of metrics in a text, without what a histogram puts behind them.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("chr_") || word.starts_with("process_"));
    let plain = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let end = ends.into_iter().find(|end| name.ends_with(end));
        name.strip_suffix(end.unwrap_or("")).unwrap().to_owned()
    };
    names.map(plain).collect()
}

/// The dashboard, the alerts and docs/rpc.md name the metrics that there are, and
/// the last one all of them.
fn documents_know(text: &str, real: &BTreeSet<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let mut all = real.clone();
    all.extend(NOT_EVERYWHERE.map(str::to_owned));
    let dashboard = read("platform/monitoring/grafana-dashboard.json");
    let panels: Value = serde_json::from_str(&dashboard).unwrap();
    let expressions: String = panels["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default())
        .map(|target| target["expr"].as_str().unwrap().to_owned() + "\n")
        .collect();
    let shown = names_in(&expressions);
    let unknown: Vec<_> = shown.difference(&all).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
    let missing: Vec<_> = all.difference(&shown).collect();
    assert!(missing.is_empty(), "no panel has them: {missing:?}");

    let alerts = read("platform/monitoring/alerts.yml");
    let rules = alerts.matches("- alert:").count();
    assert!(rules > 10 && alerts.matches("remedy: '").count() == rules);
    let watched = alerts
        .lines()
        .filter(|line| line.trim().starts_with("expr:"));
    let watched: String = watched.collect::<Vec<_>>().join("\n");
    let unknown: Vec<_> = names_in(&watched).difference(&all).cloned().collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");

    let told = read("docs/rpc.md");
    let (_, chapter) = told.split_once("\n## Metrics\n").unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let rows = chapter.lines().filter(|line| line.starts_with("| `"));
    let mut named = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = cells[0].trim_start_matches("| ").trim_matches('`');
        named.insert(name.to_owned());
        if real.contains(name) {
            let line = format!("# TYPE {name} {}\n", cells[1]);
            assert!(text.contains(&line), "the kind in {row}");
            let help = cells[3].trim_end_matches(" |");
            let line = format!("# HELP {name} {help}\n");
            assert!(text.contains(&line), "the meaning in {row}");
        }
    }
    assert_eq!(named, all, "the table in docs/rpc.md, and what there is");
}
