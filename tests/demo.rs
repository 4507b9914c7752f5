//! `chr-node demo` as a newcomer starts it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::{files_below, run, until, Ran};
use common::{chr_node, Program, SOON};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

const SIZE: u64 = 4 << 20;

fn demo(args: &[&str]) -> Ran {
    run(chr_node().arg("demo").args(args), SOON)
}

#[track_caller]
fn object(ran: &Ran) -> Value {
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    serde_json::from_str(&ran.out).expect(&ran.out)
}

/// Bytes of an amount as people read it: `67.1 MB`.
fn amount(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').expect(text);
    let unit = ["B", "kB", "MB", "GB"].iter().position(|u| *u == unit);
    number.parse::<f64>().expect(text) * 1000f64.powi(unit.expect(text) as i32)
}

#[test]
fn the_screen_fits_a_small_terminal_and_no_number_is_missing() {
    let ran = demo(&["--size", "4M"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.len() <= 24, "{}", ran.out);
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let row = |name: &str| {
        let found = lines
            .iter()
            .position(|line| line.trim_start().starts_with(name));
        let at = found.unwrap_or_else(|| panic!("no {name} in {}", ran.out));
        (at, lines[at].trim_start()[name.len()..].trim())
    };
    for name in ["node", "server", "laptop"] {
        let (_, text) = row(name);
        assert!(text.starts_with("0x"), "{text}");
        let place = text
            .split_whitespace()
            .find(|w| w.starts_with("127.0.0.1:"));
        let place: SocketAddr = place.expect(text).parse().expect(text);
        assert_ne!(place.port(), 0, "{text}");
    }
    let downloaded = row("downloaded").1.split(',').next().unwrap();
    assert_eq!(downloaded, "4.2 MB");
    let rate = row("throughput").1.split("/s").next().unwrap();
    assert!(amount(rate) > 100e3, "{rate}");
    let (_, latency) = row("latency");
    let times = latency.split(' ').filter(|word| ["ms", "s"].contains(word));
    assert_eq!(times.count(), 2, "{latency}");
    let (payment, first) = row("payment");
    let second = lines[payment + 1].trim();
    for (name, text) in [("server", first), ("laptop", second)] {
        let told = text.strip_prefix(&format!("{name} signed tickets for "));
        let (signed, counted) = told.expect(text).split_once(", the node counted ").unwrap();
        assert!(amount(signed) >= 4.2e6, "{text}");
        assert!((4.2e6..5.0e6).contains(&amount(counted)), "{text}");
    }
    if cfg!(target_os = "linux") {
        let memory = row("memory").1.split(" for all").next().unwrap();
        assert!((1e6..500e6).contains(&amount(memory)), "{memory}");
    }
    let (_, time) = row("time");
    assert!(time.starts_with(|c: char| c.is_ascii_digit()), "{time}");
    let commands = lines.iter().filter(|line| line.contains("$ ")).count();
    assert_eq!(commands, 3, "{}", ran.out);
}

#[test]
fn what_scripts_are_told_agrees_with_itself() {
    let told = object(&demo(&["--size", "4M", "--json"]));
    let number = |value: &Value| {
        value
            .as_u64()
            .unwrap_or_else(|| panic!("{value} in {told}"))
    };
    assert_eq!(number(&told["bytes"]), SIZE);
    let mut addresses = BTreeSet::new();
    for name in ["node", "server", "laptop"] {
        addresses.insert(told[name]["address"].as_str().unwrap().to_owned());
    }
    assert_eq!(addresses.len(), 3, "{told}");
    let mut places = BTreeSet::new();
    for place in [
        &told["node"]["edge"],
        &told["server"]["target"],
        &told["laptop"]["listen"],
    ] {
        let place: SocketAddr = place.as_str().unwrap().parse().unwrap();
        assert!(place.ip().is_loopback() && place.port() != 0, "{told}");
        places.insert(place);
    }
    assert_eq!(places.len(), 3, "{told}");
    assert_eq!(told["server"]["port"], "tls:8080");
    for name in ["server", "laptop"] {
        // The node sees the bytes of TLS between the devices, too; no one else
        // has used it.
        let counted = number(&told[name]["counted_bytes"]);
        assert!((SIZE + 1..SIZE + SIZE / 10).contains(&counted), "{told}");
        assert!(number(&told[name]["signed_bytes"]) >= counted, "{told}");
    }
    let seconds = number(&told["download_us"]) as f64 / 1e6;
    let rate = SIZE as f64 / seconds / number(&told["bytes_per_second"]) as f64;
    assert!((0.99..1.01).contains(&rate), "{told}");
    assert!(number(&told["latency_p50_us"]) > 0, "{told}");
    assert!(number(&told["latency_samples"]) >= 100, "{told}");
    assert!(number(&told["connect_us"]) > 0, "{told}");
    assert!(
        number(&told["took_us"]) > number(&told["download_us"]),
        "{told}"
    );
    if cfg!(target_os = "linux") {
        assert!(number(&told["memory_bytes"]) > 1_000_000, "{told}");
    }
}

#[test]
fn it_leaves_nothing_behind_and_does_not_care_how_a_node_is_set_here() {
    let home = tempfile::tempdir().unwrap();
    let mut command = chr_node();
    command
        .args(["demo", "--size", "1M", "--json"])
        .current_dir(home.path());
    for name in [
        "HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "TMPDIR",
        "RUNTIME_DIRECTORY",
    ] {
        command.env(name, home.path());
    }
    command
        .env("DATA_DIR", home.path())
        .env("EDGE2_PORT", "off")
        .env(
            "CHR_SECURITY__FLEET_ALLOWLIST",
            format!("0x{}", "9".repeat(40)),
        )
        .env("RPC_PORT", "what");
    let told = object(&run(&mut command, SOON));
    assert_eq!(told["bytes"], 1 << 20);
    assert_eq!(files_below(home.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn ports_that_are_taken_do_not_matter_nor_does_another_demo() {
    // Whoever has one of them already serves as well.
    let taken: Vec<_> = [41046, 41047, 8545, 8080]
        .map(|port| TcpListener::bind(("127.0.0.1", port)))
        .into_iter()
        .collect();
    let both: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(|| object(&demo(&["--size", "4M", "--json"]))))
        .collect();
    for one in both {
        assert_eq!(one.join().unwrap()["bytes"], SIZE);
    }
    drop(taken);
}

#[test]
fn a_size_that_cannot_be_is_told_with_those_that_can() {
    for size in ["0", "1", "1023K", "5G", "much", ""] {
        demo(&["--size", size]).assert_one_line(2, &["demo: --size", size]);
    }
    for size in ["0", "5G"] {
        demo(&["--size", size]).assert_one_line(2, &["1M to 4G"]);
    }
    demo(&["64M"]).assert_one_line(2, &["--size 64M"]);
    demo(&["--sise", "4M"]).assert_one_line(2, &["did you mean --size?"]);
    demo(&["--size", "4M", "--size", "4M"]).assert_one_line(2, &["twice"]);
}

#[test]
fn too_few_open_files_are_told_before_anything_fails_half_way() {
    let limited = |files: u32| {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_chr-node");
        command.args([
            "-c",
            &format!("ulimit -n {files} && exec {program} demo --size 1M --json"),
        ]);
        run(&mut command, SOON)
    };
    for files in [6, 20, 31] {
        let words = [files.to_string(), "ulimit -n".to_owned()];
        limited(files).assert_one_line(1, &words.each_ref().map(String::as_str));
    }
    // What it asks for is enough.
    object(&limited(32));
}

#[test]
fn ctrl_c_ends_it_at_once() {
    let mut command = chr_node();
    command.args(["demo", "--size", "4G"]);
    let mut program = Program::start(command.stdout(Stdio::piped()));
    let mut out = program.child.stdout.take().unwrap();
    // The first half of the screen: it is at work.
    let mut said = String::new();
    until(SOON, "who is who", || {
        let mut byte = [0];
        std::io::Read::read_exact(&mut out, &mut byte).unwrap();
        said.push(char::from(byte[0]));
        said.ends_with("cannot read them\n").then_some(())
    });
    program.signal("-INT");
    let status = program.wait(SOON);
    assert_eq!(status.code(), Some(1));
    let stderr = program.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("demo: stopped by SIGINT"), "{stderr}");
}
