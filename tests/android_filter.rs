//! A node and devices under a filter of system calls as Android puts on its apps:
//! calls that its list lacks end the program there, and fail elsewhere.
#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::*;
use common::*;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rest of the command runs under the filter; None where there is none.
fn filtered(program: &Path, action: &str) -> Option<Command> {
    find_or_skip("python3")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/android_filter.py");
    let begin = || {
        let mut command = Command::new("python3");
        command.arg(&script).arg(action).arg(program);
        for (name, _) in chr_node().get_envs().filter(|(_, value)| value.is_none()) {
            command.env_remove(name);
        }
        command
    };
    let trial = run(begin().arg("--version"), SOON);
    if trial.err.contains("no filter") {
        println!("skipped: {}", trial.err.trim());
        return None;
    }
    assert_eq!(trial.code, 0, "{}", trial.err);
    Some(begin())
}

/// A life: a node starts, a port is published and forwarded through it, all stop.
fn live(program: &Path, action: &str) {
    let home = tempfile::tempdir().unwrap();
    let Some(mut command) = filtered(program, action) else {
        return;
    };
    command.args(["run", "--profile", "android"]);
    let mut node = Node::start_command(command, home.path(), &[]);
    let place = node.address();
    let echo = echo_server();
    let device = |name: &str, words: &[&str]| {
        let mut command = filtered(program, action).unwrap();
        command
            .args(words)
            .args(["--json", "--node", &place, "--identity"]);
        Device::start_command(command.arg(home.path().join(name)))
    };
    let mut publisher = device("p.key", &["publish", &format!("{echo}:public")]);
    let address = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut forwarder = device(
        "f.key",
        &["forward", "127.0.0.1:0", &format!("{address}:{echo}")],
    );
    let listen = forwarder.expect("ready")["listen"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut stream = std::net::TcpStream::connect(listen).unwrap();
    stream.write_all(b"filtered").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    assert_eq!(back, "filtered");
    assert!(node
        .http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .contains("200 OK"));
    let mut doctor = filtered(program, action).unwrap();
    doctor.args(["doctor", "--profile", "android", "--data-dir"]);
    // As Termux's own shell says it.
    let doctor = run(doctor.arg(home.path()).env("TERMUX_VERSION", "0.118"), SOON);
    assert!(
        doctor.out.contains("health ok"),
        "{}{}",
        doctor.out,
        doctor.err
    );
    node.program.signal("-HUP");
    until(SOON, "the settings are read", || {
        node.program.stderr().contains("read again").then_some(())
    });
    for program in [
        &mut forwarder.program,
        &mut publisher.program,
        &mut node.program,
    ] {
        program.signal("-TERM");
        let status = program.wait(SOON);
        assert!(status.success(), "{status}: {}", program.stderr());
    }
}

#[test]
fn a_call_that_the_system_does_not_have_ends_nothing() {
    live(Path::new(env!("CARGO_BIN_EXE_chr-node")), "enosys");
}

#[test]
#[cfg(target_env = "gnu")]
fn the_filter_of_these_tests_ends_a_program_that_calls_what_it_must_not() {
    if filtered(Path::new("/bin/true"), "enosys").is_none() {
        return;
    }
    // glibc registers a list of robust mutexes for each thread, at once.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/android_filter.py");
    let mut command = Command::new("python3");
    let ended = command
        .arg(script)
        .args(["trap", env!("CARGO_BIN_EXE_chr-node"), "--version"])
        .output();
    assert_eq!(
        ended.unwrap().status.code(),
        None,
        "it was not ended by a signal"
    );
}

#[test]
fn the_static_program_makes_no_call_that_android_ends_it_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let built = ["release", "small", "debug"].map(|profile| {
        folder
            .join("x86_64-unknown-linux-musl")
            .join(profile)
            .join("chr-node")
    });
    match built.iter().find(|file| file.is_file()) {
        Some(program) => {
            live(program, "trap");
            live(program, "eperm");
        }
        None => {
            println!("skipped: no static program: scripts/cross-build x86_64-unknown-linux-musl")
        }
    }
}
