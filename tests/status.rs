//! The commands that ask a running node: what they say is what the node says, in a
//! terminal and elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::{run, until, Ran};
use common::{chr_node, echo_server, noise, Device, Node, SOON};
use serde_json::{json, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A node that has carried something between two devices, which stay connected.
struct Busy {
    node: Node,
    publisher: String,
    _devices: [Device; 2],
    _home: tempfile::TempDir,
}

const CARRIED: usize = 300_000;

impl Busy {
    fn start() -> Busy {
        let home = tempfile::tempdir().unwrap();
        let node = Node::start_with(
            &home.path().join("data"),
            &[
                ("NAME", "attic"),
                ("CHR_REWARDS__RATES", "gigabyte=0.5, hour=3"),
            ],
        );
        let port = echo_server();
        let spec = format!("{port}:public");
        let (publisher, ready) = Device::publish(home.path(), "a", &node.address(), &[&spec]);
        let address = ready["device"].as_str().unwrap().to_owned();
        let target = format!("{address}:{port}");
        let listen = "127.0.0.1:0";
        let (forwarder, at) =
            Device::forward(home.path(), "b", &node.address(), listen, &target, &[]);
        let mut stream = TcpStream::connect(at).unwrap();
        let sent = noise(7, CARRIED);
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, sent);
        Busy {
            node,
            publisher: address,
            _devices: [publisher, forwarder],
            _home: home,
        }
    }

    fn ask(&self, command: &str) -> Ran {
        let data = self.node.data.to_str().unwrap();
        let words = command.split_whitespace();
        run(chr_node().args(words).args(["--data-dir", data]), SOON)
    }

    fn json(&self, command: &str) -> Value {
        let ran = self.ask(command);
        assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }
}

#[test]
fn what_the_commands_say_is_what_the_node_says() {
    let busy = Busy::start();
    let node = &busy.node;
    // Both tickets are counted with the next tick.
    let rewards = until(SOON, "tickets in the period", || {
        let status = node.ask("reward_status");
        (status["tickets"]["count"].as_u64()? >= 2).then_some(status)
    });
    let held = node.ask("ticket_list");
    let sum = |field: &str| -> u64 {
        let rows = held["epochs"].as_array().unwrap().iter();
        rows.map(|row| row[field].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("count"), 2);
    assert_eq!(rewards["tickets"]["value"], sum("score"));
    assert_eq!(rewards["tickets"]["bytes"], sum("bytes"));

    assert_eq!(busy.json("tickets --json"), held);
    let tickets = busy.ask("tickets");
    assert_eq!(tickets.code, 0);
    assert!(
        tickets.out.contains(&sum("score").to_string()),
        "{}",
        tickets.out
    );
    assert!(tickets.out.contains(&busy.publisher), "{}", tickets.out);

    let told = busy.json("rewards --json");
    assert_eq!(told["tickets"], rewards["tickets"]);
    assert_eq!(told["period_end"], rewards["period_end"]);
    assert_eq!(told["rates"], json!({"gigabyte": "0.5", "hour": "3"}));
    let shown = busy.ask("rewards");
    let value = format!("worth {}", rewards["tickets"]["value"]);
    assert!(shown.out.contains(&value), "{}", shown.out);
    assert!(shown.out.contains("pays nothing out"), "{}", shown.out);
    // Two tokens' worth of numbers that move: never less than before.
    let earned = |status: &Value| {
        let text = status["chr_tokens_earned"].as_str().unwrap();
        chr_node::tokens::Tokens::parse(text).unwrap()
    };
    assert!(earned(&told) >= earned(&rewards));
    let least = chr_node::tokens::Tokens::parse("0.5").unwrap();
    let least = least.times(rewards["tickets"]["value"].as_u64().unwrap(), 1_000_000_000);
    assert!(earned(&rewards) > least, "{rewards}");

    let status = busy.json("status --json");
    for field in ["node_id", "version", "edge_ports", "name"] {
        assert_eq!(status["info"][field], node.ask("chr_node_info")[field]);
    }
    let carried = 4 * CARRIED as u64;
    let network = node.ask("network_stats");
    let both =
        |stats: &Value| stats["bytes_in"].as_u64().unwrap() + stats["bytes_out"].as_u64().unwrap();
    assert!(both(&network) >= carried, "{network}");
    assert_eq!(both(&status["network"]), both(&network));
    let once = busy.ask("status --once");
    assert_eq!(once.code, 0, "{}", once.err);
    assert!(!once.out.contains('\x1b'), "{}", once.out);
    for wanted in [
        "attic",
        node.id(),
        "health ok",
        "devices 2",
        "sessions  2",
        &value,
        &sum("score").to_string(),
    ] {
        assert!(once.out.contains(wanted), "{wanted} in\n{}", once.out);
    }
    // No terminal: the same without being told so.
    let plain = busy.ask("status");
    assert_eq!(plain.out.lines().next(), once.out.lines().next());

    let health = busy.ask("health");
    assert_eq!((health.code, health.out.lines().next()), (0, Some("ok")));
    assert_eq!(busy.json("health --json")["status"], "ok");
}

/// Answers one request with these bytes; its URL.
fn answering(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer.as_bytes());
    });
    url
}

#[test]
fn a_script_learns_by_the_exit_code_that_a_node_is_failing() {
    let body = json!({"status": "failing", "reasons": [{"layer": "process", "state": "failing",
        "reason": "a loop hangs", "remedy": "restart it"}]});
    let health = |url: &str| run(chr_node().args(["health", "--rpc", url]), SOON);
    let url = answering("503 Service Unavailable", &body.to_string());
    let failing = health(&url);
    failing.assert_one_line(1, &["failing"]);
    assert!(failing.out.contains("restart it"), "{}", failing.out);
    let url = answering(
        "200 OK",
        &json!({"status": "degraded", "reasons": []}).to_string(),
    );
    assert_eq!(health(&url).code, 0);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    health(&place).assert_one_line(1, &[&place, "nothing listens"]);
}

#[test]
fn errors_of_asking_are_one_line_with_what_to_do() {
    for command in ["status", "tickets", "rewards", "health"] {
        let refused = |options: &[&str], words: &[&str]| {
            let ran = run(chr_node().arg(command).args(options), SOON);
            ran.assert_one_line(2, words);
            assert!(ran.out.is_empty());
        };
        refused(
            &["--rpc", "https://a.b:8443"],
            &["HTTP", "network.rpc_port"],
        );
        refused(&["--rpc"], &["--rpc"]);
        refused(&["now"], &["now"]);
        refused(&["--oncee"], &["--oncee"]);
        let empty = tempfile::tempdir().unwrap();
        let data = empty.path().to_str().unwrap();
        let mut off = chr_node();
        off.args([command, "--data-dir", data, "--set", "network.rpc_port=off"]);
        run(&mut off, SOON).assert_one_line(1, &["no node runs here", data]);
        let help = run(chr_node().args([command, "--help"]), SOON);
        assert_eq!(help.code, 0);
        assert!(help.out.contains("--rpc URL"), "{}", help.out);
    }
    let denied = json!({"jsonrpc": "2.0", "id": 1,
        "error": {"code": -32001, "message": "the operator's token is needed"}});
    let url = answering("401 Unauthorized", &denied.to_string());
    run(chr_node().args(["tickets", "--rpc", &url]), SOON)
        .assert_one_line(1, &["operator's token is needed"]);
    let help = run(chr_node().args(["health", "--help"]), SOON);
    assert!(help.out.contains("Exit code 0"), "{}", help.out);
}

/// A program in a terminal, by `tests/python/terminal.py`.
struct Seat {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Seat {
    /// `None`, and why, where there is no Python.
    fn take(arguments: &[&str], (columns, rows): (u16, u16), steps: Value) -> Option<Seat> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/terminal.py");
        let started = Command::new("python3")
            .arg("-B")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: python3 cannot be run: {error}");
                return None;
            }
        };
        let mut argv = vec![env!("CARGO_BIN_EXE_chr-node")];
        argv.extend(arguments);
        let task = json!({"argv": argv, "rows": rows, "columns": columns, "steps": steps,
            "environment": {"TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": ""}});
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{task}").unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Seat {
            child,
            input,
            output,
        })
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect(&line)
    }

    /// The script waits until the test has done something.
    fn go_on(&mut self) {
        writeln!(self.input).unwrap();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// What each wait of the script has seen; the end was orderly.
fn orderly(result: &Value) -> Vec<String> {
    let seen: Vec<String> = serde_json::from_value(result["seen"].clone()).unwrap();
    assert_eq!(result["code"], 0, "{seen:?}");
    assert_eq!(result["restored"], true, "the keyboard is as it was");
    let last = seen.last().unwrap();
    assert!(
        last.contains(LEAVE) && last.contains("\x1b[?25h"),
        "{last:?}"
    );
    assert_eq!(seen[0].matches(ENTER).count(), 1, "{:?}", seen[0]);
    seen
}

#[test]
fn in_a_terminal_the_status_is_drawn_redrawn_resized_and_cleared_away() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let url = format!("http://{}", node.rpc());
    let steps = json!([
        {"wait": "q or Ctrl-C ends"},
        {"wait": "q or Ctrl-C ends"},
        {"resize": [9, 44]},
        {"wait": "\u{1b}[9;1H"},
        {"wait": "q or Ctrl-C ends"},
        {"send": "q"},
    ]);
    let Some(mut seat) = Seat::take(&["status", "--rpc", &url], (100, 40), steps) else {
        return;
    };
    let result = seat.line();
    let seen = orderly(&result);
    assert!(seen[0].contains(node.id()), "{:?}", seen[0]);
    assert!(seen[0].contains("health ok"), "{:?}", seen[0]);
    assert!(seen[0].contains("\x1b[40;1H"), "the last line of 40");
    // Drawn over what was there, not below it.
    assert!(seen[1].contains("\x1b[H") && !seen[1].contains(ENTER));
    assert!(seen[1].contains(node.id()), "{:?}", seen[1]);
    let small = format!("{}{}", seen[2], seen[3]);
    let start = small.rfind("\x1b[H").unwrap();
    let lines: Vec<&str> = small[start..].split("\r\n").collect();
    assert!(lines.len() <= 9, "{lines:#?}");
    assert!(small.contains('…'), "long lines are cut: {small:?}");
}

#[test]
fn ctrl_c_and_a_signal_give_the_terminal_back() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let url = format!("http://{}", node.rpc());
    for ending in [json!({"send": "\u{3}"}), json!({"signal": 15})] {
        let steps = json!([{"wait": "q or Ctrl-C ends"}, ending]);
        let Some(mut seat) = Seat::take(&["status", "--rpc", &url], (80, 24), steps) else {
            return;
        };
        orderly(&seat.line());
    }
}

#[test]
fn a_node_that_goes_away_is_told_on_the_screen_and_the_last_numbers_stay() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path());
    let id = node.id().to_owned();
    let url = format!("http://{}", node.rpc());
    let steps = json!([
        {"wait": "q or Ctrl-C ends"},
        {"say": "stop the node"},
        {"wait": "nothing listens there"},
        {"send": "q"},
    ]);
    let Some(mut seat) = Seat::take(&["status", "--rpc", &url], (200, 30), steps) else {
        return;
    };
    assert_eq!(seat.line()["say"], "stop the node");
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
    seat.go_on();
    let seen = orderly(&seat.line());
    assert!(seen[1].contains("nothing listens there"), "{:?}", seen[1]);
    assert!(seen[1].contains(&id), "{:?}", seen[1]);
}
