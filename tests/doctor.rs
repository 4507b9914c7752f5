//! `chr-node doctor` on devices that are well and on such that are not: each fault is
//! made, and has to be named with its remedy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;
#[path = "common/lmdb_file.rs"]
mod lmdb_file;

use common::dns::name_server;
use common::mounts::{behind, node_behind, read_only, small_disk};
use common::programs::identity;
use common::tools::*;
use common::*;
use lmdb_file::{lmdb_file, Machine};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the doctor has said.
#[derive(Debug)]
struct Told {
    code: i32,
    lines: Vec<Value>,
    text: String,
}

impl Told {
    /// Runs it; every line must be what the documents say.
    #[track_caller]
    fn by(command: &mut Command) -> Told {
        let ran = run(command, SOON);
        let text = ran.out + &ran.err;
        let mut lines: Vec<Value> = text
            .lines()
            .filter(|line| !line.starts_with("chr-node: doctor: "))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text}")))
            .collect();
        let summary = lines.pop().expect("a summary");
        assert_eq!(summary["summary"], true, "{text}");
        let mut counts = [0; 3];
        for line in &lines {
            assert!(
                line["name"].is_string() && line["found"].is_string(),
                "{line}"
            );
            assert_ne!(line["found"], "", "{line}");
            let state = line["state"].as_str().unwrap();
            let state = ["ok", "warning", "failure"]
                .iter()
                .position(|s| *s == state);
            counts[state.unwrap()] += 1;
            assert_eq!(line["remedy"].is_null(), state == Some(0), "{line}");
        }
        let names = ["ok", "warnings", "failures"];
        assert_eq!(
            names.map(|name| summary[name].as_u64().unwrap()),
            counts,
            "{text}"
        );
        assert!(summary["milliseconds"].is_u64(), "{text}");
        assert_eq!(ran.code, i32::from(counts[2] > 0), "{text}");
        Told {
            code: ran.code,
            lines,
            text,
        }
    }

    /// Something is told by this check in this state, with these words in what was
    /// found and these in the remedy.
    #[track_caller]
    fn has(&self, name: &str, state: &str, found: &str, remedy: &str) -> &Told {
        let part = |line: &Value, part: &str, text: &str| {
            line[part].as_str().unwrap_or_default().contains(text)
        };
        let there = self.lines.iter().any(|line| {
            line["name"] == name
                && line["state"] == state
                && part(line, "found", found)
                && part(line, "remedy", remedy)
        });
        assert!(
            there,
            "no {state} of {name} with {found:?} and {remedy:?}: {}",
            self.text
        );
        self
    }

    /// The checks that are not well.
    fn unwell(&self) -> Vec<&str> {
        let unwell = self.lines.iter().filter(|line| line["state"] != "ok");
        unwell.map(|line| line["name"].as_str().unwrap()).collect()
    }
}

/// What makes it look at a folder, any free ports, and nothing else of the machine's
/// settings.
fn words(data: &Path) -> Vec<String> {
    let mut words: Vec<String> = ["doctor", "--json", "--data-dir"].map(Into::into).to_vec();
    words.push(data.to_str().unwrap().to_owned());
    for set in [
        "edge_ports=0",
        "peer_port=0",
        "rpc_port=0",
        "rpcs_port=off",
        "bind=127.0.0.1",
    ] {
        words.extend(["--set".to_owned(), format!("network.{set}")]);
    }
    words
}

fn asked(data: &Path) -> Command {
    let mut command = chr_node();
    command.args(words(data));
    command
}

/// The same after a script has mounted something; None where it cannot.
fn asked_behind(script: &str, data: &Path) -> Option<Command> {
    let words = words(data);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    behind(script, &words)
}

/// What this machine would itself be warned about, however well it is: then a test
/// of a healthy one leaves that check out, and says so.
fn of_this_machine(folder: &Path) -> Vec<&'static str> {
    let mut out = Vec::new();
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let rtc = fs::read_dir("/sys/class/rtc").is_ok_and(|mut all| all.next().is_some());
    if !rtc && !text("/proc/cpuinfo").contains("hypervisor") {
        out.push("clock");
    }
    let kind = nix::sys::statfs::statfs(folder).unwrap().filesystem_type();
    use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC};
    if kind == OVERLAYFS_SUPER_MAGIC || kind == TMPFS_MAGIC {
        out.push("folder");
    }
    if !out.is_empty() {
        println!("left out: {out:?}, of which this machine would itself be warned");
    }
    out
}

#[track_caller]
fn is_well(told: &Told, folder: &Path) {
    let mut unwell = told.unwell();
    unwell.retain(|name| !of_this_machine(folder).contains(name));
    assert_eq!(unwell, Vec::<&str>::new(), "{}", told.text);
}

#[test]
fn a_healthy_machine_has_no_warning_within_two_seconds_with_and_without_a_node() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let begun = Instant::now();
    let told = Told::by(&mut asked(&data));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    is_well(&told, home.path());
    assert!(!data.exists(), "it has made the folder");
    let names: Vec<&str> = told
        .lines
        .iter()
        .map(|line| line["name"].as_str().unwrap())
        .collect();
    let all = [
        "settings",
        "clock",
        "names",
        "ports",
        "files",
        "folder",
        "identity",
        "store",
        "node",
        "reach",
        "machine",
        "memory",
        "power",
        "randomness",
        "service",
    ];
    assert_eq!(names, all);

    let node = Node::start(&data);
    let place = format!("network.edge_ports={}", node.edge().port());
    let begun = Instant::now();
    let told = Told::by(asked(&data).args(["--set", &place]));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    is_well(&told, home.path());
    told.has("ports", "ok", "held by the node itself", "")
        .has("node", "ok", "health ok", "")
        .has("clock", "ok", "the running node believes it", "")
        .has("store", "ok", "in use", "")
        .has("identity", "ok", node.id(), "");
    drop(node);

    let before = files_below(&data);
    let told = Told::by(&mut asked(&data));
    is_well(&told, home.path());
    told.has("store", "ok", "sound", "");
    assert_eq!(files_below(&data), before);
    // For people: a line a check, and one that counts.
    let ran = run(chr_node().args(["doctor", "--data-dir"]).arg(&data), SOON);
    assert_eq!(ran.out.lines().count(), all.len() + 1, "{}", ran.out);
    assert!(ran.out.contains("ok       identity    0x"), "{}", ran.out);
}

#[test]
fn a_port_that_another_program_has_is_told_with_its_name() {
    let home = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let edge = format!("network.edge_ports={port}");
    let told = Told::by(asked(home.path()).args(["--set", &edge]));
    let me = format!("(process {})", std::process::id());
    told.has("ports", "failure", &me, "choose another port");
    assert_eq!(told.code, 1);
    // Datagrams count where they are used.
    let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = format!("network.peer_port={}", other.local_addr().unwrap().port());
    let told = Told::by(asked(home.path()).args(["--set", &peer]));
    told.has(
        "ports",
        "failure",
        "network.peer_port",
        "choose another port",
    );
    let told = Told::by(
        asked(home.path())
            .args(["--set", "network.bind=192.0.2.77"])
            .args(["--set", "network.edge_ports=41046"]),
    );
    told.has("ports", "warning", "does not have the address", "");
}

#[test]
fn a_mistake_in_a_file_is_a_failure_and_one_on_the_command_line_is_usage() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("chr-node.toml");
    fs::write(&file, "[network]\nedge_port = 5\n").unwrap();
    let told = Told::by(asked(&home.path().join("data")).arg("--config").arg(&file));
    told.has("settings", "failure", "edge_ports", "config check");
    assert!(told.lines.len() > 10, "{}", told.text);
    for wrong in [["--set", "network.edge_ports=x"], ["--json", "now"]] {
        let ran = run(asked(home.path()).args(wrong), SOON);
        ran.assert_one_line(2, &[]);
    }
}

#[test]
fn a_folder_of_another_user_is_told_and_how_to_ask_as_that_one() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Where this was built others may not look.
    let program = home.path().join("chr-node");
    fs::copy(chr_node().get_program(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let nobody = || {
        let mut command = without_settings(Command::new(&program));
        command
            .uid(65534)
            .gid(65534)
            .args(words(&data))
            .current_dir("/");
        command
    };
    let told = Told::by(&mut nobody());
    told.has("folder", "failure", "no permission", "sudo -u USER")
        .has("folder", "failure", "no permission", "chown")
        .has("identity", "failure", "", "run this as the owner")
        .has("node", "ok", "may not look", "");
    // One that is not there yet and cannot be made.
    fs::remove_dir(&data).unwrap();
    Told::by(&mut nobody()).has("folder", "failure", "no permission", "--data-dir");
    // Files that a start as root has left.
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
    fs::write(data.join("node.key"), "x").unwrap();
    let told = Told::by(&mut asked(&data));
    told.has(
        "identity",
        "warning",
        "does not belong to the owner",
        "chown -R 65534",
    );
}

#[test]
fn disks_that_are_full_read_only_or_in_memory_are_told() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(mut command) = asked_behind(&read_only(&data), &data) else {
        return;
    };
    Told::by(&mut command).has("folder", "failure", "read-only", "remount it writable");
    let full = small_disk(&data, "1m", 2 << 20);
    let told = Told::by(&mut asked_behind(&full, &data).unwrap());
    told.has("folder", "failure", "is full", "free some space")
        .has("folder", "warning", "memory", "identity export");
    let tight = small_disk(&data, "2m", 0);
    let told = Told::by(&mut asked_behind(&tight, &data).unwrap());
    told.has("folder", "warning", "nearly full", "free some space");
    let files = format!(
        "mount -t tmpfs -o size=64m,nr_inodes=8 none {}",
        data.display()
    );
    let told = Told::by(&mut asked_behind(&files, &data).unwrap());
    told.has("folder", "warning", "files more", "remove files");
    // A store of its own may be in memory: flash is spared.
    let store = home.path().join("store");
    fs::create_dir(&store).unwrap();
    let memory = small_disk(&store, "64m", 0);
    let mut command = asked_behind(&memory, &data).unwrap();
    let told = Told::by(command.args(["--set", &format!("storage.store_dir={}", store.display())]));
    told.has("store_dir", "ok", "on tmpfs", "");
}

#[test]
fn a_memory_card_with_fat_is_told() {
    let Some(mkfs) = find_or_skip("mkfs.vfat") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (image, data) = (home.path().join("image"), home.path().join("data"));
    fs::create_dir(&data).unwrap();
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = run(Command::new(mkfs).arg(&image), SOON);
    assert_eq!(made.code, 0, "{}", made.err);
    let script = format!(
        "mount -o loop,umask=0 {} {}",
        image.display(),
        data.display()
    );
    let Some(mut command) = asked_behind(&script, &data) else {
        return;
    };
    let told = Told::by(&mut command);
    told.has("folder", "warning", "FAT", "storage.data_dir");
    assert_eq!(told.code, 0, "{}", told.text);
}

#[test]
fn a_disk_that_does_not_answer_holds_up_nothing_else() {
    let Some(python) = find_or_skip("python3") else {
        return;
    };
    if !nix::unistd::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        println!("skipped: no file system can be made that hangs (/dev/fuse, root)");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    // It takes the kernel's questions and answers the first alone, so that whoever asks
    // cannot even be killed. All of it is gone when its descriptor is.
    let script = "import ctypes, os, struct, subprocess, sys, threading\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        fuse = os.open('/dev/fuse', os.O_RDWR)\n\
        how = f'fd={fuse},rootmode=40000,user_id=0,group_id=0'.encode()\n\
        if libc.mount(b'x', sys.argv[1].encode(), b'fuse', 0, how):\n\
        \x20   os._exit(77)\n\
        def serve():\n\
        \x20   while True:\n\
        \x20       length, what, number = struct.unpack('<IIQ', os.read(fuse, 1 << 20)[:16])\n\
        \x20       if what == 26:\n\
        \x20           init = struct.pack('<IIIIHHIIHHI7I', 7, 31, 65536, 0, 12, 9, 65536, 1, 1, 0, 0, *[0] * 7)\n\
        \x20           os.write(fuse, struct.pack('<IiQ', 16 + len(init), 0, number) + init)\n\
        threading.Thread(target=serve, daemon=True).start()\n\
        try:\n\
        \x20   os._exit(subprocess.run(sys.argv[2:], timeout=20).returncode)\n\
        except subprocess.TimeoutExpired:\n\
        \x20   os._exit(76)\n";
    let mut command = without_settings(Command::new("unshare"));
    command.arg("-m").arg(python).args(["-c", script]);
    command
        .arg(&data)
        .arg(chr_node().get_program())
        .args(words(&data));
    let begun = Instant::now();
    let ran = run(&mut command, Duration::from_secs(40));
    if ran.code == 77 {
        println!("skipped: no FUSE file system can be mounted here");
        return;
    }
    assert_ne!(ran.code, 76, "it hung: {}{}", ran.out, ran.err);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ran.code, 1, "{}", ran.err);
    let folder = ran
        .out
        .lines()
        .find(|line| line.contains("\"folder\""))
        .unwrap();
    assert!(
        folder.contains("no answer within") && folder.contains("mount"),
        "{folder}"
    );
    let machine = ran
        .out
        .lines()
        .find(|line| line.contains("\"machine\""))
        .unwrap();
    assert!(machine.contains("\"ok\""), "{machine}");
}

#[test]
fn a_clock_that_is_not_set_is_told() {
    let Some(faketime) = Faketime::find_or_skip() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = asked(home.path());
    faketime.apply(&mut command, "1970-01-02 00:00:00");
    Told::by(&mut command).has("clock", "warning", "before this program was built", "NTP");
    // Behind what the store remembers: the node has run today.
    let node = Node::start(home.path());
    node.program.signal("-TERM");
    let mut node = node;
    node.program.wait(SOON);
    let mut command = asked(home.path());
    faketime.apply(&mut command, "-3h");
    Told::by(&mut command).has("clock", "warning", "the store remembers", "NTP");
}

#[test]
fn a_store_that_a_newer_version_has_written_is_told_and_not_touched() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    fs::create_dir(&store).unwrap();
    let mut value = vec![1, 99];
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&[&b"schema"[..], &value].concat());
    value.extend(sum.to_le_bytes());
    let here = Machine {
        word: std::mem::size_of::<usize>(),
        little: cfg!(target_endian = "little"),
        page_size: 4096,
    };
    let bytes = lmdb_file(here, &[("meta", vec![(b"schema".to_vec(), value)])]);
    fs::write(store.join("data.mdb"), &bytes).unwrap();
    let told = Told::by(&mut asked(home.path()));
    told.has("store", "failure", "schema 99", "install that version");
    assert_eq!(fs::read(store.join("data.mdb")).unwrap(), bytes);
    assert_eq!(files_below(home.path()).len(), 1);
    // The start says the same.
    let ran = run(
        chr_node()
            .args(["run", "--data-dir"])
            .arg(home.path())
            .args([
                "--set",
                "network.edge_ports=0",
                "--set",
                "network.peer_port=0",
                "--set",
                "network.rpc_port=0",
                "--set",
                "network.rpcs_port=off",
                "--set",
                "network.bind=127.0.0.1",
            ]),
        SOON,
    );
    ran.assert_one_line_among(1, &["schema 99", "install that version"]);
    // A file that is damaged, and one that was set aside before.
    fs::write(store.join("data.mdb"), &bytes[..4096]).unwrap();
    fs::write(store.join("data.mdb.damaged-1"), "x").unwrap();
    let told = Told::by(&mut asked(home.path()));
    told.has("store", "warning", "damaged", "sets it aside")
        .has("store", "warning", "set aside by a recovery", "delete it");
}

#[test]
fn a_key_without_its_copy_or_open_to_others_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (_, address) = identity(home.path(), "node.key");
    let (key, copy) = (
        home.path().join("node.key"),
        home.path().join("node.key.bak"),
    );
    let whole = fs::read(&key).unwrap();
    let told = || Told::by(&mut asked(home.path()));
    told()
        .has("identity", "ok", &address, "")
        .has("identity", "ok", "with a copy", "");
    fs::write(&copy, "chr-key-1 damaged").unwrap();
    told().has("identity", "warning", "is damaged", "take it away");
    // The start says so, too, with the same remedy, and goes on.
    let node = Node::start(home.path());
    let log = node.program.stderr();
    assert!(
        log.contains("node.key.bak is damaged") && log.contains("take it away"),
        "{log}"
    );
    drop(node);
    let other = tempfile::tempdir().unwrap();
    let (foreign, theirs) = identity(other.path(), "node.key");
    fs::copy(foreign, &copy).unwrap();
    told().has("identity", "warning", &theirs, "take it away");
    fs::write(&copy, &whole).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    told().has("identity", "failure", "open to other users", "chmod 600");
    fs::remove_file(&key).unwrap();
    told().has("identity", "failure", "is missing", "cp -p");
    assert!(!key.exists() && copy.metadata().unwrap().mode() & 0o777 == 0o600);
}

#[test]
fn limits_on_files_memory_and_addresses_are_told() {
    let home = tempfile::tempdir().unwrap();
    let limited = |limit: &str| {
        let mut command = without_settings(Command::new("sh"));
        command.args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")]);
        command
            .arg(chr_node().get_program())
            .args(words(home.path()));
        command
    };
    Told::by(&mut limited("ulimit -n 64")).has("files", "warning", "64 files", "LimitNOFILE");
    Told::by(&mut limited("ulimit -v 1000000")).has("memory", "failure", "addresses", "ulimit -v");
    let told = Told::by(asked(home.path()).env("MEMORY_LIMIT", "900G"));
    told.has(
        "memory",
        "warning",
        "node.memory_limit is 900 GB",
        "lower node.memory_limit",
    );
    // The limit of a container, as its own files say it.
    let groups = home.path().join("groups");
    fs::create_dir_all(groups.join("memory")).unwrap();
    fs::write(groups.join("memory.max"), "16777216\n").unwrap();
    fs::write(groups.join("memory/memory.limit_in_bytes"), "16777216\n").unwrap();
    let script = format!("mount --bind {} /sys/fs/cgroup", groups.display());
    if let Some(mut command) = asked_behind(&script, &home.path().join("data")) {
        Told::by(&mut command).has("memory", "warning", "16 MB", "MemoryMax=");
    }
}

#[test]
fn an_empty_battery_and_a_hot_processor_are_told() {
    let home = tempfile::tempdir().unwrap();
    let class = home.path().join("class");
    for (file, text) in [
        ("power_supply/BAT0/type", "Battery\n"),
        ("power_supply/BAT0/capacity", "4\n"),
        ("power_supply/BAT0/status", "Discharging\n"),
        ("thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("thermal/thermal_zone0/temp", "97000\n"),
    ] {
        let file = class.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let script = format!("mount --bind {} /sys/class", class.display());
    let Some(mut command) = asked_behind(&script, &home.path().join("data")) else {
        return;
    };
    let told = Told::by(&mut command);
    told.has("power", "warning", "4 %", "charge")
        .has("power", "warning", "97 degrees", "cool");
    assert_eq!(told.code, 0);
}

#[test]
fn a_program_that_an_emulator_runs_is_told() {
    let emulator = format!("qemu-{}", std::env::consts::ARCH);
    let Some(emulator) = find_or_skip(&emulator) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    // Under the name of the process that makes the checks: another one would not be
    // emulated, for it is of this machine's kind.
    let mut command = without_settings(Command::new(emulator));
    command
        .args(["-0", "chr-node: doctor"])
        .arg(chr_node().get_program());
    let ran = run(command.args(words(home.path())), Duration::from_secs(60));
    let line = ran.out.lines().find(|line| line.contains("\"machine\""));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["state"], "warning", "{line}");
    assert!(
        line["found"].as_str().unwrap().contains("run by qemu-"),
        "{line}"
    );
    assert!(
        line["remedy"].as_str().unwrap().contains("own processor"),
        "{line}"
    );
}

#[test]
fn a_seed_s_name_is_looked_up_and_no_name_server_is_told() {
    let home = tempfile::tempdir().unwrap();
    let etc = tempfile::tempdir().unwrap();
    let dns = name_server("127.0.0.1:0", &[("seed.test", Ipv4Addr::new(127, 9, 9, 9))]).unwrap();
    let script = format!("mount --bind {} /etc", etc.path().display());
    let data = home.path().join("data");
    let ask = |seeds: &str, dns: Option<String>| {
        let mut command = asked_behind(&script, &data)?;
        command
            .env("SEED_LIST", seeds)
            .env("PREFIX", etc.path().join("none"));
        if let Some(dns) = dns {
            command.env("CHR_NETWORK__DNS", dns);
        }
        Some(Told::by(&mut command))
    };
    let Some(told) = ask("seed.test:5", None) else {
        return;
    };
    told.has("names", "failure", "seed.test", "network.dns");
    // With an address among the seeds the node gets on.
    let told = ask("seed.test:5 127.0.0.1:6", None).unwrap();
    told.has("names", "warning", "seed.test", "network.dns");
    ask("127.0.0.1:6", None)
        .unwrap()
        .has("names", "ok", "no setting needs one", "");
    let told = ask("seed.test:5", Some(dns.to_string())).unwrap();
    told.has("names", "ok", "seed.test is 127.9.9.9", "");
    let told = ask("nowhere.test:5", Some(dns.to_string())).unwrap();
    told.has("names", "failure", "nowhere.test", "network.dns");
}

#[test]
fn what_the_running_node_has_found_is_told_and_the_start_names_its_disk() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(command) = node_behind(&small_disk(&data, "8m", 0)) else {
        return;
    };
    let mut command = command;
    command
        .env("DATA_DIR", &data)
        .env("CHR_NETWORK__BIND", "127.0.0.1")
        .env("RPCS_PORT", "off")
        // Nobody is there.
        .env("SEED_LIST", "127.0.0.1:9");
    for port in ["EDGE2_PORT", "PEER2_PORT", "RPC_PORT"] {
        command.env(port, "0");
    }
    let node = Program::start(&mut command);
    // As the node sees its disk.
    let inside = format!("/proc/{}/root{}", node.child.id(), data.display());
    let inside = Path::new(&inside);
    until(SOON, "the node runs", || {
        let text = fs::read_to_string(inside.join("run.json")).ok();
        text.filter(|text| text.ends_with('\n'))
    });
    let log = node.stderr();
    assert!(
        log.contains("WARN  folder: ") && log.contains("identity export"),
        "{log}"
    );
    let told = until(SOON, "the node misses its seed", || {
        let told = Told::by(&mut asked(inside));
        told.unwell().contains(&"reach").then_some(told)
    });
    told.has(
        "reach",
        "warning",
        "no other node has answered",
        "network.seeds",
    )
    .has("folder", "warning", "memory", "identity export");
}
