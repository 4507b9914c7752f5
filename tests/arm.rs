//! The program as it runs on ARM, under an emulator, with devices of this machine.
//! scripts/test-arm builds it and names it in the environment:
//! `TEST_ARM_AARCH64` and `TEST_ARM_ARMV7`, paths of the static builds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::ticket::epoch_of;
use chr_node::wire::control::{TicketAccepted, TicketAsk, TicketTooLow};
use common::raw::{key, Raw};
use common::servers::{assert_echo, digest_server, write_blocks, Route};
use common::tools::{find_or_skip, run, Faketime};
use common::*;
use serde_json::Value;
use std::io::Read;
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Emulated code is ten to twenty times slower, that of tests not even optimised.
const EMULATED: Duration = Duration::from_secs(180);

/// A build for another machine.
struct Foreign {
    /// As scripts/cross/run calls it.
    arch: &'static str,
    program: PathBuf,
}

impl Foreign {
    /// Those that were built; says so when there are none.
    fn all() -> Vec<Foreign> {
        let mut found = Vec::new();
        for (arch, variable) in [("aarch64", "TEST_ARM_AARCH64"), ("arm", "TEST_ARM_ARMV7")] {
            match std::env::var_os(variable) {
                Some(program) => found.push(Foreign {
                    arch,
                    program: program.into(),
                }),
                None => eprintln!("skipped: {variable} names no program; scripts/test-arm does"),
            }
        }
        found
    }

    /// The program, to be run here.
    fn command(&self) -> Command {
        let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cross/run");
        let mut command = Command::new(runner);
        command.arg(self.arch).arg(&self.program);
        without_settings(command)
    }

    fn node(&self, data: &Path, settings: &[(&str, &str)]) -> Node {
        Node::start_command(self.command(), data, settings)
    }
}

#[test]
fn the_build_is_for_that_machine_and_needs_nothing_of_it() {
    for foreign in Foreign::all() {
        let file = std::fs::read(&foreign.program).unwrap();
        // ELF: e_ident[EI_CLASS], and e_machine at 18.
        let wanted = match foreign.arch {
            "aarch64" => (2, 183),
            _ => (1, 40),
        };
        let machine = u16::from_le_bytes([file[18], file[19]]);
        assert_eq!((file[4], machine), wanted, "{}", foreign.arch);
        let said = run(foreign.command().arg("--version"), EMULATED);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.contains(env!("CARGO_PKG_VERSION")), "{}", said.out);
    }
}

#[test]
fn the_demo_runs_to_its_end() {
    for foreign in Foreign::all() {
        let demo = run(
            foreign.command().args(["demo", "--size", "1M", "--json"]),
            EMULATED,
        );
        assert_eq!((demo.code, demo.err.as_str()), (0, ""), "{}", foreign.arch);
        let told: Value = serde_json::from_str(&demo.out).unwrap();
        assert_eq!(told["bytes"], MIB);
        for name in ["server", "laptop"] {
            let (counted, signed) = (&told[name]["counted_bytes"], &told[name]["signed_bytes"]);
            assert!(counted.as_u64().unwrap() > MIB, "{told}");
            assert!(signed.as_u64() >= counted.as_u64(), "{told}");
        }
    }
}

/// Sends blocks through a route to a server that answers with what it got.
fn assert_digest(route: &Route, count: usize) {
    let mut stream = route.connect();
    stream.set_read_timeout(Some(EMULATED)).unwrap();
    let sent = write_blocks(&mut stream, 7, count);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..8], (count as u64 * MIB).to_be_bytes());
    assert_eq!(answer[8..], sent);
}

#[test]
fn ports_of_this_machine_s_devices_go_through_a_node_on_arm_byte_for_byte() {
    for foreign in Foreign::all() {
        let home = tempfile::tempdir().unwrap();
        let node = foreign.node(home.path(), &[]);
        let (there, back) = (digest_server(), echo_server());
        let route = Route::tcp(home.path(), &node.address(), there);
        assert_digest(&route, 4);
        drop(route);
        let route = Route::tcp(home.path(), &node.address(), back);
        assert_echo(route.listen, &noise(3, 300_000));
    }
}

#[test]
fn a_device_on_arm_reaches_a_port_of_this_machine_and_offers_its_own() {
    for foreign in Foreign::all() {
        let home = tempfile::tempdir().unwrap();
        let node = Node::start(home.path());
        let device = |name: &str, words: &[&str]| {
            let mut command = foreign.command();
            command
                .args(words)
                .args(["--node", &node.address(), "--json", "--identity"])
                .arg(home.path().join(name));
            Device::start_command(&mut command)
        };
        let spec = format!("{}=8080:public", echo_server());
        let ready = |device: &Device, field: &str| {
            let ready = device.expect("ready");
            ready[field].as_str().unwrap().to_owned()
        };
        // Ours publishes, theirs forwards; then the other way round.
        let (_ours, event) = Device::publish(home.path(), "ours", &node.address(), &[&spec]);
        let target = format!("{}:8080", event["device"].as_str().unwrap());
        let theirs = device("theirs.key", &["forward", "127.0.0.1:0", &target]);
        let listen = ready(&theirs, "listen").parse().unwrap();
        assert_echo(listen, &noise(4, 300_000));
        drop(theirs);
        let theirs = device("theirs.key", &["publish", &spec]);
        let target = format!("{}:8080", ready(&theirs, "device"));
        let (_forward, listen) = Device::forward(
            home.path(),
            "forward",
            &node.address(),
            "127.0.0.1:0",
            &target,
            &[],
        );
        assert_echo(listen, &noise(5, 300_000));
    }
}

#[test]
fn an_acknowledged_ticket_and_the_identity_survive_a_kill_on_arm() {
    for foreign in Foreign::all() {
        let home = tempfile::tempdir().unwrap();
        let mut node = foreign.node(home.path(), &[]);
        let id = node.id().to_owned();
        let key = key();
        let mut raw = Raw::greeted(&node, &key);
        let ask: TicketAsk = raw.expect();
        let ticket = raw.sign(ask.epoch, 10 * MIB);
        raw.request(&ticket);
        let accepted: TicketAccepted = raw.expect();
        assert!(accepted.durable, "{accepted:?}");
        node.program.signal("-KILL");
        node.program.wait(SOON);
        let node = foreign.node(home.path(), &[]);
        assert_eq!(node.id(), id, "{}", foreign.arch);
        let mut again = Raw::greeted(&node, &key);
        again.expect::<TicketAsk>();
        let less = again.sign(accepted.epoch, 10 * MIB - 1);
        again.request(&less);
        let low: TicketTooLow = again.expect();
        assert_eq!(low.last_total, 10 * MIB, "{}", foreign.arch);
    }
}

/// Debian's qemu-user: there a program that asks for the time goes through the
/// machine's C library, where `faketime` can answer.
#[test]
fn a_clock_past_2038_does_not_end_the_program_on_32_bits() {
    let (Some(qemu), Some(faketime)) = (find_or_skip("qemu-arm"), Faketime::find_or_skip()) else {
        return;
    };
    for foreign in Foreign::all() {
        if foreign.arch != "arm" {
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let mut command = without_settings(Command::new(&qemu));
        faketime.apply(&mut command, "@2040-01-02 00:00:00");
        command.arg(&foreign.program);
        let node = Node::start_command(command, home.path(), &[]);
        // Answers carry the date.
        let health =
            node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        let mut raw = Raw::greeted(&node, &key());
        let ask: TicketAsk = raw.expect();
        // 2040-01-02 is this many seconds after 1970.
        assert_eq!(ask.epoch, epoch_of(2_209_075_200), "{ask:?}");
    }
}
