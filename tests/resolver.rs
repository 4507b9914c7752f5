//! Host names where the system names no name server, as in Termux or in an image
//! from scratch: the whole program without `/etc/resolv.conf`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::dns::name_server;
use common::tools::*;
use common::*;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The rest of the command runs where `/etc` has only what is in `etc`. None where
/// that cannot be done, which is printed.
fn without_names(etc: &Path) -> Option<Command> {
    let script = format!("mount --bind {} /etc\nexec \"$0\" \"$@\"", etc.display());
    let flags = match nix::unistd::geteuid().is_root() {
        true => "-m",
        false => "-rm",
    };
    let enter = |command: &mut Command| {
        command.args([flags, "sh", "-ec", &script]);
    };
    let mut trial = Command::new("unshare");
    enter(&mut trial);
    let tried = trial.arg("true").stdin(Stdio::null()).output();
    if !tried.is_ok_and(|done| done.status.success()) {
        println!("skipped: nothing can be mounted here");
        return None;
    }
    let mut command = Command::new("unshare");
    enter(&mut command);
    let node = chr_node();
    command.arg(node.get_program());
    for (name, _) in node.get_envs().filter(|(_, value)| value.is_none()) {
        command.env_remove(name);
    }
    // A phone's variables, if this is one, would name its server.
    command.env("PREFIX", etc.join("none"));
    Some(command)
}

#[test]
fn devices_find_their_node_by_a_name_that_only_a_configured_server_knows() {
    let home = tempfile::tempdir().unwrap();
    let etc = tempfile::tempdir().unwrap();
    let dns = name_server("127.0.0.1:0", &[("node.phone.test", HOME)]).unwrap();
    let node = Node::start(home.path());
    let echo = echo_server();
    let place = format!("node.phone.test:{}", node.edge().port());
    let device = |name: &str, args: &[&str]| -> Option<Device> {
        let mut command = without_names(etc.path())?;
        command
            .env("CHR_NETWORK__DNS", dns.to_string())
            .args(args)
            .args(["--json", "--node", &place, "--identity"])
            .arg(home.path().join(name));
        Some(Device::start_command(&mut command))
    };
    // The target is a name, too, and none that is asked of anyone.
    let spec = format!("localhost:{echo}=7:public");
    let Some(publisher) = device("p.key", &["publish", &spec]) else {
        return;
    };
    let address = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = format!("{address}:7");
    let forwarder = device("f.key", &["forward", "127.0.0.1:0", &target]).unwrap();
    let listen = forwarder.expect("ready")["listen"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut stream = std::net::TcpStream::connect(listen).unwrap();
    std::io::Write::write_all(&mut stream, b"by name").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    std::io::Read::read_to_string(&mut stream, &mut back).unwrap();
    assert_eq!(back, "by name");
}

#[test]
fn a_node_starts_at_once_without_names_and_finds_its_seed_when_it_is_told_of_a_server() {
    let etc = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let first = tempfile::tempdir().unwrap();
    let seed = Node::start(first.path());
    let dns = name_server("127.0.0.1:0", &[("seed.phone.test", HOME)]).unwrap();
    let Some(mut command) = without_names(etc.path()) else {
        return;
    };
    let file = home.path().join("chr-node.toml");
    std::fs::write(&file, "").unwrap();
    command.args(["run", "--config"]).arg(&file);
    let begun = Instant::now();
    let seeds = format!("seed.phone.test:{}", seed.peer().port());
    let node = Node::start_command(command, home.path(), &[("SEED_LIST", &seeds)]);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    until(SOON, "it says what to do", || {
        let said = node.program.stderr();
        (said.contains("seed.phone.test") && said.contains("network.dns")).then_some(())
    });
    assert!(node.ask("chr_node_info")["health"] != "failing");
    std::fs::write(&file, format!("[network]\ndns = \"{dns}\"\n")).unwrap();
    node.program.signal("-HUP");
    let most = Duration::from_secs(90);
    until(most, "the seed is known", || {
        node.known().iter().any(|id| id == seed.id()).then_some(())
    });
}

#[test]
fn what_cannot_be_found_names_who_was_asked_and_what_to_do() {
    let etc = tempfile::tempdir().unwrap();
    let dns = name_server("127.0.0.1:0", &[]).unwrap().to_string();
    let ask = |server: &str| -> Option<Ran> {
        let mut command = without_names(etc.path())?;
        command.env("CHR_NETWORK__DNS", server);
        command.args(["health", "--rpc", "http://node.phone.test:8545"]);
        Some(run(&mut command, SOON))
    };
    let Some(alone) = ask("") else {
        return;
    };
    alone.assert_one_line(
        1,
        &["node.phone.test", "names no name server", "network.dns"],
    );
    ask(&dns)
        .unwrap()
        .assert_one_line(1, &["no such name", &dns]);
    // Nobody listens on port 1.
    ask("127.0.0.1:1")
        .unwrap()
        .assert_one_line(1, &["127.0.0.1:1: "]);
    ask("dns.example")
        .unwrap()
        .assert_one_line(2, &["CHR_NETWORK__DNS", "\"dns.example\""]);
}
