//! What a small device lacks at its start or loses later: a disk that can be
//! written, a clock, a network, open files, a version that knows the data. The node
//! serves or says in one line why it does not, and is well again when the cause goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::store::SCHEMA_VERSION;
use common::mounts::{node_behind, read_only};
use common::servers::*;
use common::tools::*;
use common::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn health(node: &Node) -> Value {
    let answer = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

fn stop(mut node: Node) -> String {
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
    node.program.stderr()
}

/// Every file below a folder with what is in it.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |file: PathBuf| (file.clone(), fs::read(file).unwrap());
    files_below(folder).into_iter().map(read).collect()
}

#[track_caller]
fn assert_same(now: &BTreeMap<PathBuf, Vec<u8>>, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let names = now.keys().chain(before.keys());
    let changed: Vec<_> = names.filter(|n| now.get(*n) != before.get(*n)).collect();
    assert!(changed.is_empty(), "the folder has changed: {changed:?}");
}

/// `chr-node run` on any free ports, that is expected to end.
fn refused(mut command: Command, data: &Path) -> Ran {
    command
        .env("DATA_DIR", data)
        .env("EDGE2_PORT", "0")
        .env("PEER2_PORT", "0")
        .env("RPC_PORT", "0")
        .env("RPCS_PORT", "off")
        .env("CHR_NETWORK__BIND", "127.0.0.1");
    run(&mut command, SOON)
}

fn plain() -> Command {
    let mut command = chr_node();
    command.arg("run");
    command
}

#[test]
fn a_key_in_a_folder_that_cannot_be_written_is_used_and_nothing_else_is_needed() {
    let home = tempfile::tempdir().unwrap();
    let first = Node::start(home.path());
    let id = first.id().to_owned();
    stop(first);
    // The copy is gone, too: it must not be what keeps the identity from use.
    fs::remove_file(home.path().join("node.key.bak")).unwrap();
    let before = everything(home.path());
    // The whole root with all that is mounted in it: there is no place for anything.
    let script = format!(
        "{}
         for place in $(awk '{{print $2}}' /proc/mounts); do
             mount -o remount,bind,ro $place 2> /dev/null || true
         done
         for place in / /tmp /var/tmp /dev/shm /run {}; do
             ! touch $place/chr-node-test 2> /dev/null || {{ echo $place can be written >&2; exit 1; }}
         done",
        read_only(home.path()),
        home.path().display()
    );
    let Some(mut command) = node_behind(&script) else {
        return;
    };
    command
        .env("DATA_DIR", home.path())
        .env("EDGE2_PORT", "0")
        .env("PEER2_PORT", "0")
        .env("RPC_PORT", "0")
        .env("RPCS_PORT", "off")
        .env("CHR_NETWORK__BIND", "127.0.0.1");
    let mut program = Program::start(&mut command);
    let place = |said: &str, after: &str, until: &str| {
        let (_, rest) = said.split_once(after)?;
        Some(rest.split_once(until)?.0.to_owned())
    };
    let (edge, rpc) = until(SOON, "it serves", || {
        let said = program.stderr();
        let edge = place(&said, " serves devices on ", "\n")?;
        Some((edge, place(&said, "health: http://", "/health")?))
    });
    let route = Route::tcp(
        tempfile::tempdir().unwrap().path(),
        &format!("{id}@{edge}"),
        echo_server(),
    );
    assert_echo(route.listen, &noise(1, 100_000));
    let ask = run(
        chr_node().args(["health", "--rpc", &format!("http://{rpc}")]),
        SOON,
    );
    assert!(ask.out.contains("read-only"), "{}{}", ask.out, ask.err);
    program.signal("-TERM");
    assert!(program.wait(SOON).success());
    assert!(everything(home.path()) == before);
}

#[test]
fn no_identity_and_no_place_for_one_is_told_with_both_ways_out() {
    let home = tempfile::tempdir().unwrap();
    let Some(command) = node_behind(&read_only(home.path())) else {
        return;
    };
    let ran = refused(command, home.path());
    let place = home.path().display().to_string();
    ran.assert_one_line(1, &[&place, "--data-dir", "--ephemeral"]);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_vanishes_while_the_node_runs_ends_nothing() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let node = Node::start(&data);
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    assert_eq!(health(&node)["status"], "ok");
    fs::rename(&data, home.path().join("away")).unwrap();
    assert_echo(route.listen, &noise(2, 100_000));
    for name in ["b", "c"] {
        fs::create_dir(home.path().join(name)).unwrap();
    }
    // What a new device pays cannot be kept; it is served, and health says why.
    let newcomer = Route::tcp(&home.path().join("b"), &node.address(), echo_server());
    assert_echo(newcomer.listen, &noise(3, 100_000));
    until(SOON, "health tells that the folder is away", || {
        let said = health(&node);
        assert_ne!(said["status"], "failing", "{said}");
        said.to_string().contains("is away").then_some(())
    });
    fs::rename(home.path().join("away"), &data).unwrap();
    assert_echo(route.listen, &noise(4, 100_000));
    let last = Route::tcp(&home.path().join("c"), &node.address(), echo_server());
    assert_echo(last.listen, &noise(5, 100_000));
    until(SOON, "all is well again", || {
        (health(&node)["status"] == "ok").then_some(())
    });
    let id = node.id().to_owned();
    drop((route, newcomer, last));
    stop(node);
    let again = Node::start(&data);
    assert_eq!(again.id(), id);
}

/// These words of a shell, where the node is.
fn where_it_mounts(node: &Node, script: &str) {
    let mut enter = Command::new("nsenter");
    if !nix::unistd::geteuid().is_root() {
        enter.args(["--preserve-credentials", "-U"]);
    }
    enter.args(["-m", "-t", &node.program.child.id().to_string()]);
    let ran = run(enter.args(["sh", "-ec", script]), SOON);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_drive_that_is_unmounted_is_told_without_a_write_and_used_again_when_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let [place, drive] = ["store", "drive"].map(|name| home.path().join(name));
    for folder in [&place, &drive] {
        fs::create_dir(folder).unwrap();
    }
    let (place, drive) = (place.display(), drive.display());
    let mount = format!("mount --bind {drive} {place}");
    let Some(command) = node_behind(&mount) else {
        return;
    };
    let node = Node::start_command(command, home.path(), &[]);
    assert_eq!(health(&node)["status"], "ok");
    let says = |what: &str| {
        until(SOON, what, || {
            let said = health(&node);
            assert_ne!(said["status"], "failing", "{said}");
            said.to_string().contains(what).then_some(())
        });
    };
    let well = || {
        until(SOON, "all is well again", || {
            (health(&node)["status"] == "ok").then_some(())
        });
    };
    // Nobody has written anything since the start.
    where_it_mounts(&node, &format!("umount -l {place}"));
    says("is away");
    // The folder below is as empty as it was.
    assert_eq!(fs::read_dir(home.path().join("store")).unwrap().count(), 0);
    where_it_mounts(&node, &mount);
    well();
    // Another drive comes with a copy of the store.
    let copy = format!(
        "umount -l {place}\nmount -t tmpfs -o size=4m none {place}\ncp {drive}/data.mdb {place}/"
    );
    where_it_mounts(&node, &copy);
    until(SOON, "the store is opened anew", || {
        let said = node.program.stderr();
        said.contains("another file is in its place").then_some(())
    });
    well();
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    well();
    drop(route);
    let said = stop(node);
    for told in [
        "is away",
        "its file is back",
        "another file is in its place",
    ] {
        assert_eq!(said.matches(told).count(), 1, "{told}: {said}");
    }
}

/// How `unshare` makes a network of the test's own, without even loopback. None
/// where that cannot be done, which is printed.
fn own_network() -> Option<&'static str> {
    let flags = match nix::unistd::geteuid().is_root() {
        true => "-n",
        false => "-rn",
    };
    let tried = Command::new("unshare")
        .args([flags, "ip", "link", "set", "lo", "up"])
        .output();
    if !tried.is_ok_and(|ran| ran.status.success()) {
        println!("skipped: no network namespaces here");
        return None;
    }
    Some(flags)
}

/// The rest of the command runs in the node's network.
fn beside(node: &Node) -> Command {
    let mut enter = Command::new("nsenter");
    if !nix::unistd::geteuid().is_root() {
        enter.args(["--preserve-credentials", "-U"]);
    }
    enter.args(["-n", "-t", &node.program.child.id().to_string()]);
    without_settings(enter)
}

#[test]
fn a_node_without_any_network_starts_and_serves_when_there_is_one() {
    let Some(flags) = own_network() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let program = chr_node();
    let program = program.get_program().to_str().unwrap();
    let mut command = Command::new("unshare");
    command.args([flags, program, "run"]);
    let settings = [("CHR_NETWORK__SEEDS", "seed.example:51055")];
    let begun = Instant::now();
    let node = Node::start_command(command, &home.path().join("data"), &settings);
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited");
    let device = |name: &str, words: &[&str]| {
        let mut command = beside(&node);
        command.arg(program).args(words).args(["--json", "--node"]);
        command.arg(node.address()).arg("--identity");
        command.arg(home.path().join(name));
        command
    };
    // A device that is there before the network is, as after a boot.
    let receiver = Device::start_command(&mut device("r", &["publish", "--messages"]));
    let error = receiver.event(SOON).expect("a try in vain");
    assert_eq!(error["event"], "error", "{error}");
    let up = run(beside(&node).args(["ip", "link", "set", "lo", "up"]), SOON);
    assert_eq!(up.code, 0, "{}", up.err);
    let ready = receiver.expect("ready");
    let address = ready["device"].as_str().unwrap();
    let sent = run(&mut device("s", &["message", address, "at last"]), SOON);
    assert_eq!(sent.code, 0, "{}", sent.err);
    assert_eq!(receiver.expect("message")["text"], "at last");
    let url = format!("http://{}", node.rpc());
    let health = run(beside(&node).args([program, "health", "--rpc", &url]), SOON);
    // Other nodes are not there to be asked; its own devices are served.
    let well = ["ok", "degraded"].iter().any(|w| health.out.starts_with(w));
    assert!(well, "{}{}", health.out, health.err);
    let said = node.program.stderr();
    assert!(!said.contains("ERROR") && !said.contains("panic"), "{said}");
    drop(receiver);
    stop(node);
}

/// What a cheap board has at its boot, all at once.
#[test]
fn no_clock_no_names_and_few_open_files_together_do_not_keep_devices_out() {
    let Some(faketime) = Faketime::find_or_skip() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let etc = home.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let script = format!("mount --bind {} /etc\nulimit -n 64", etc.display());
    let Some(mut command) = node_behind(&script) else {
        return;
    };
    faketime.apply(&mut command, "@1970-01-01 00:00:20");
    command.env("PREFIX", etc.join("none"));
    let settings = [("CHR_NETWORK__SEEDS", "seed.example:51055")];
    let begun = Instant::now();
    let node = Node::start_command(command, &home.path().join("data"), &settings);
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited");
    let said = node.ask("chr_node_info");
    assert_eq!(said["clock_trusted"], false, "{said}");
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 1_000_000));
    let crowd: Vec<_> = (0..100)
        .filter_map(|_| std::net::TcpStream::connect(node.edge()).ok())
        .collect();
    let said = health(&node);
    assert_ne!(said["status"], "failing", "{said}");
    assert_echo(route.listen, &noise(2, 1_000_000));
    drop((crowd, route));
    let said = stop(node);
    assert!(said.contains("seed seed.example"), "{said}");
    assert!(!said.contains("ERROR") && !said.contains("panic"), "{said}");
}

#[test]
fn an_address_that_comes_after_the_start_is_served_when_it_is_there() {
    let Some(flags) = own_network() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    // The address comes when the file `up` is there, or goes with the test.
    let script = format!(
        "ip link set lo up
         (while [ ! -e {0}/up ]; do sleep 0.05; [ -d {0} ] || exit; done
          ip address add 10.77.0.1/32 dev lo; : > {0}/is-up
         ) > /dev/null 2>&1 &
         exec \"$0\" run",
        home.path().display()
    );
    let node = chr_node();
    let mut command = Command::new("unshare");
    command
        .args([flags, "sh", "-c", &script])
        .arg(node.get_program())
        .env("CHR_NETWORK__SEEDS", "seed.example:51055");
    let settings = [("CHR_NETWORK__BIND", "10.77.0.1")];
    let node = Node::start_command(command, &home.path().join("data"), &settings);
    let said = node.program.stderr();
    assert!(said.contains("does not have 10.77.0.1"), "{said}");
    fs::write(home.path().join("up"), "").unwrap();
    until(SOON, "the address is there", || {
        home.path().join("is-up").exists().then_some(())
    });
    let inside = |words: &[&str]| run(beside(&node).args(words), SOON);
    let program = chr_node();
    let program = program.get_program().to_str().unwrap();
    let key = home.path().join("m.key");
    // A session with it: the message itself has nobody to go to.
    let ran = inside(&[
        program,
        "message",
        "0x00112233445566778899aabbccddeeff00112233",
        "hi",
        "--node",
        &node.address(),
        "--identity",
        key.to_str().unwrap(),
    ]);
    assert!(
        ran.err
            .contains("0x00112233445566778899aabbccddeeff00112233"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("cannot reach"), "{}", ran.err);
    stop(node);
}

#[test]
fn a_clock_that_is_set_while_the_node_runs_is_believed_then() {
    let Some(faketime) = Faketime::find_or_skip() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let clock = home.path().join("clock");
    fs::write(&clock, "@1970-01-01 00:10:00\n").unwrap();
    let mut command = chr_node();
    faketime.apply(&mut command, "");
    command
        .env_remove("FAKETIME")
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_CACHE_DURATION", "1");
    let node = Node::start_command(command, &home.path().join("data"), &[]);
    let trusted = || node.ask("chr_node_info")["clock_trusted"].clone();
    assert_eq!(trusted(), false);
    // It relays meanwhile.
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    fs::write(&clock, "+0\n").unwrap();
    until(SOON, "the clock is believed", || {
        (trusted() == true).then_some(())
    });
    assert_echo(route.listen, &noise(2, 100_000));
    drop(route);
    stop(node);
}

#[test]
fn too_few_open_files_are_told_before_anything_is_begun() {
    let home = tempfile::tempdir().unwrap();
    let limited = |files: u32| {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_chr-node");
        let script = format!("ulimit -n {files} && exec {program} run");
        command.args(["-c", &script]);
        command
    };
    let ran = refused(limited(24), home.path());
    ran.assert_one_line(1, &["24 files", "ulimit -n"]);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    // The least that is taken is enough for a device and for health.
    let node = Node::start_command(limited(40), home.path(), &[]);
    let raw = common::raw::Raw::greeted(&node, &common::raw::key());
    let said = health(&node);
    assert_ne!(said["status"], "failing", "{said}");
    assert!(!node.program.stderr().contains("ERROR"), "{said}");
    drop(raw);
    stop(node);
}

/// Makes a store's file one of the next version: the row of its schema, key
/// and value side by side, wherever a page has it.
fn of_a_later_version(data: &Path) {
    let row = |schema: u32| {
        let version = [1, u8::try_from(schema).unwrap()];
        let sum =
            crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&[&b"schema"[..], &version].concat());
        [&b"schema"[..], &version, &sum.to_le_bytes()].concat()
    };
    let (ours, later) = (row(SCHEMA_VERSION), row(SCHEMA_VERSION + 1));
    let mut bytes = fs::read(data).unwrap();
    let mut found = 0;
    for at in 0..bytes.len() - ours.len() {
        if bytes[at..].starts_with(&ours) {
            bytes[at..at + later.len()].copy_from_slice(&later);
            found += 1;
        }
    }
    assert!(found > 0, "no row of the schema");
    fs::write(data, bytes).unwrap();
}

#[test]
fn data_of_a_newer_version_is_refused_and_not_a_byte_of_the_folder_changes() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    drop(route);
    stop(node);
    let store = home.path().join("store/data.mdb");
    let ours = fs::read(&store).unwrap();
    of_a_later_version(&store);
    let before = everything(home.path());
    let newer = ["written by a newer version", "install that version"];
    refused(plain(), home.path()).assert_one_line_among(1, &newer);
    for words in [&["check"][..], &["compact"], &["export"]] {
        let mut command = chr_node();
        command
            .arg("store")
            .args(words)
            .arg("--data-dir")
            .arg(home.path());
        let ran = run(&mut command, SOON);
        assert_eq!(ran.code, 1, "{words:?}: {}", ran.out);
        assert!(ran.err.contains("newer version"), "{words:?}: {}", ran.err);
        // Nor can anything be taken for the beginning of a backup.
        assert!(words != ["export"] || ran.out.is_empty(), "{}", ran.out);
    }
    assert_same(&everything(home.path()), &before);
    fs::write(&store, ours).unwrap();
    // A key of another form is not replaced by a new identity either.
    let key = home.path().join("node.key");
    let text = fs::read_to_string(&key).unwrap();
    for name in ["node.key", "node.key.bak"] {
        let newer = text.replace("chr-key-1 ", "chr-key-2 ");
        fs::write(home.path().join(name), newer).unwrap();
    }
    let before = everything(home.path());
    let place = key.display().to_string();
    refused(plain(), home.path()).assert_one_line(1, &[&place]);
    assert_same(&everything(home.path()), &before);
    for name in ["node.key", "node.key.bak"] {
        fs::write(home.path().join(name), &text).unwrap();
    }
    // What was left alone is as good as before.
    stop(Node::start(home.path()));
}

#[test]
fn a_node_moves_to_new_hardware_with_its_identity_and_its_rows() {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = (home.path().join("old"), home.path().join("new"));
    let node = Node::start(&old);
    let id = node.id().to_owned();
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    drop(route);
    let tickets = node.ask("ticket_list")["epochs"].clone();
    assert_eq!(tickets[0]["count"], 2, "{tickets}");
    stop(node);
    let done = |words: &[&str], data: &Path, file: &Path| {
        let mut command = chr_node();
        command.args(words).arg(file).arg("--data-dir").arg(data);
        let ran = run(&mut command, SOON);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.err);
    };
    let (key, rows) = (home.path().join("key"), home.path().join("rows"));
    done(&["identity", "export", "--output"], &old, &key);
    done(&["store", "export", "--output"], &old, &rows);
    fs::create_dir(&new).unwrap();
    done(&["identity", "import"], &new, &key);
    done(&["store", "import"], &new, &rows);
    let node = Node::start(&new);
    assert_eq!(node.id(), id);
    assert_eq!(node.ask("ticket_list")["epochs"], tickets);
    stop(node);
}

#[test]
fn the_store_command_finds_a_store_that_the_settings_file_put_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (home.path().join("data"), home.path().join("usb"));
    let place = elsewhere.display().to_string();
    let node = Node::start_with(&data, &[("CHR_STORAGE__STORE_DIR", &place)]);
    stop(node);
    let file = home.path().join("chr.toml");
    fs::write(&file, format!("[storage]\nstore_dir = \"{place}\"\n")).unwrap();
    let mut command = chr_node();
    command.args(["store", "check", "--config"]).arg(&file);
    let ran = run(command.arg("--data-dir").arg(&data), SOON);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains(&place), "{}", ran.out);
    let mut command = chr_node();
    command.args(["store", "check", "--data-dir"]).arg(&data);
    run(&mut command, SOON).assert_one_line(1, &["there is no"]);
}

#[test]
fn a_log_file_on_a_disk_that_fills_up_loses_lines_and_tells_how_many() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let script = common::mounts::small_disk(&logs, "64k", 1 << 20);
    let Some(command) = node_behind(&script) else {
        return;
    };
    let file = logs.join("chr-node.log").display().to_string();
    let settings = [("CHR_LOG__FILE", &*file), ("LOG_LEVEL", "info")];
    let node = Node::start_command(command, &home.path().join("data"), &settings);
    let said = until(SOON, "the full disk is told", || {
        let said = node.program.stderr();
        said.contains("cannot write log.file").then_some(said)
    });
    assert!(said.contains("free some space"), "{said}");
    let route = Route::tcp(home.path(), &node.address(), echo_server());
    assert_echo(route.listen, &noise(1, 100_000));
    let inside = PathBuf::from(format!("/proc/{}/root", node.program.child.id()));
    let inside = inside.join(logs.strip_prefix("/").unwrap());
    fs::remove_file(inside.join("filler")).unwrap();
    // SIGHUP opens it again, and says so even when nothing else is to be said.
    node.program.signal("-HUP");
    let said = until(SOON, "it is written again", || {
        let said = node.program.stderr();
        said.contains("is written again").then_some(said)
    });
    assert!(said.contains("lines are not in it"), "{said}");
    let begun = Instant::now();
    until(SOON, "the file has lines", || {
        let text = fs::read_to_string(inside.join("chr-node.log")).ok()?;
        text.contains("is written again").then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(10));
    stop(node);
}

/// Takes a minute: that long a node waits before it tries its disk again.
#[test]
fn a_folder_that_is_remounted_for_writing_gets_its_store_and_run_json() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    stop(Node::start(&data));
    let rpc = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = rpc.local_addr().unwrap();
    drop(rpc);
    // Once the file `mend` is there, the node's folder can be written again.
    let script = format!(
        "{}
         (while [ ! -e {home}/mend ]; do sleep 0.1; [ -d {home} ] || exit; done
          mount -o remount,bind,rw {data}) > /dev/null 2>&1 &",
        read_only(&data),
        home = home.path().display(),
        data = data.display()
    );
    fs::write(home.path().join("mend"), "").unwrap();
    let Some(mut command) = node_behind(&script) else {
        return;
    };
    fs::remove_file(home.path().join("mend")).unwrap();
    command
        .env("DATA_DIR", &data)
        .env("EDGE2_PORT", "0")
        .env("PEER2_PORT", "0")
        .env("RPC_PORT", place.port().to_string())
        .env("RPCS_PORT", "off")
        .env("CHR_NETWORK__BIND", "127.0.0.1");
    let program = Program::start(&mut command);
    let asked = || {
        let url = format!("http://{place}");
        let ran = run(chr_node().args(["health", "--json", "--rpc", &url]), SOON);
        ran.out
    };
    until(SOON, "health tells of the disk", || {
        asked().contains("read-only").then_some(())
    });
    assert!(!data.join("run.json").exists());
    fs::write(home.path().join("mend"), "").unwrap();
    until(Duration::from_secs(90), "the store is there again", || {
        std::thread::sleep(Duration::from_millis(200));
        let health: Value = serde_json::from_str(&asked()).ok()?;
        (health["status"] == "ok").then_some(())
    });
    until(SOON, "scripts find its ports", || {
        data.join("run.json").exists().then_some(())
    });
    drop(program);
}
