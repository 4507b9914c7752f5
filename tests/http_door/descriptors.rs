//! A process without free descriptors: tiny_http's accept loop would end for good.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use chr_node::rpc::Limits;
use nix::sys::resource::{getrlimit, setrlimit, Resource};

use crate::harness::{call, get, post, Client, Service, PATIENCE};

const CHILD: &str = "CHR_TEST_FEW_DESCRIPTORS";

/// Descriptors that the child keeps for connections.
const SPARE: u64 = 10;

/// Serves until its input ends. Started by the test below, in a process of its own.
#[test]
#[ignore = "the child of accept_errors_are_waited_out"]
fn child_with_few_descriptors() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .init();
    let service = Service::with(Limits {
        head: PATIENCE * 2,
        ..Limits::default()
    });
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, used + SPARE, hard).unwrap();
    println!("\nPORT={}", service.addr.port());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn accept_errors_are_waited_out() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "descriptors::child_with_few_descriptors"])
        .args(["--ignored", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept to the end: a child that cannot print fails.
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let port: u16 = output
        .find_map(|line| Some(line.unwrap().strip_prefix("PORT=")?.parse().unwrap()))
        .expect("the child names its port");
    let addr = ([127, 0, 0, 1], port).into();

    let (sender, complaints) = channel();
    let log = BufReader::new(child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });

    let mut kept = Client::connect(addr);
    assert_eq!(kept.ask(&get("/health")).unwrap().status, 200);
    let greedy: Vec<Client> = (0..SPARE * 3)
        .map(|_| {
            let mut client = Client::connect(addr);
            client.send(b"GET /heal");
            client
        })
        .collect();
    let complaint = complaints.recv_timeout(PATIENCE).unwrap();
    assert!(complaint.contains("accept failed"), "{complaint}");
    // Connections that stand are served all the while, by the worker, too.
    assert_eq!(kept.ask(&post(call(1).as_bytes())).unwrap().status, 200);
    drop(greedy);
    let mut late = Client::connect(addr);
    assert_eq!(late.ask(&post(call(2).as_bytes())).unwrap().json()["id"], 2);

    drop(child.stdin.take());
    let code = child.wait().unwrap();
    assert!(code.success(), "{code}");
    reader.join().unwrap();
    // One line for the whole time, not one for each attempt.
    let more: Vec<String> = complaints.try_iter().collect();
    assert!(more.is_empty(), "{more:?}");
}
