//! The service script and the packages for OpenWrt, with stand-ins for what only a
//! router has: rc.common, UCI and procd (tests/openwrt/).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::{self, until};
use common::{Program, SOON};
use std::collections::BTreeMap;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chr-node");

/// What procd was told of one instance.
#[derive(Debug, Default)]
struct Instance {
    command: Vec<String>,
    params: BTreeMap<String, Vec<String>>,
}

/// A router's folders, empty but for the program.
struct Router {
    root: TempDir,
    shell: &'static [&'static str],
}

impl Router {
    fn new(shell: &'static [&'static str]) -> Router {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        symlink(PROGRAM, root.path().join("usr/bin/chr-node")).unwrap();
        Router { root, shell }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// `service chr-node ACTION` with these UCI settings.
    fn service(&self, action: &str, uci: &str) -> BTreeMap<String, Instance> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openwrt");
        let _ = std::fs::remove_file(self.path("procd"));
        let _ = std::fs::remove_file(self.path("log"));
        std::fs::write(self.path("uci"), uci).unwrap();
        let path = std::env::var("PATH").unwrap();
        let output = Command::new(self.shell[0])
            .args(&self.shell[1..])
            .arg(tests.join("rc.common"))
            .arg("platform/openwrt/files/etc/init.d/chr-node")
            .arg(action)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("PATH", format!("{}:{path}", tests.join("bin").display()))
            .env("IPKG_INSTROOT", self.root.path())
            .env("UCI_FILE", self.path("uci"))
            .env("PROCD_LOG", self.path("procd"))
            .env("LOGGER_LOG", self.path("log"))
            .env("NODE_PID", self.path("pid"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        self.told()
    }

    fn told(&self) -> BTreeMap<String, Instance> {
        let mut all = BTreeMap::new();
        let mut open: Option<(String, Instance)> = None;
        for line in self.text("procd").lines() {
            let (mut names, mut words) = (Vec::new(), Vec::new());
            for word in line.split(' ') {
                match word.strip_prefix('x').and_then(unhex) {
                    Some(text) => words.push(text),
                    None => names.push(word),
                }
            }
            match names[..] {
                ["open"] => open = Some((words.remove(0), Instance::default())),
                ["close"] => all.extend(open.take()),
                ["set", "command"] => open.as_mut().unwrap().1.command = words,
                ["append", "command"] => open.as_mut().unwrap().1.command.extend(words),
                ["set", key] => {
                    open.as_mut()
                        .unwrap()
                        .1
                        .params
                        .insert(key.to_owned(), words);
                }
                _ => panic!("{line}"),
            }
        }
        all
    }

    /// The words of an instance, the root and the program's path left out.
    fn words(&self, instance: &Instance) -> Vec<String> {
        let root = self.root.path().to_str().unwrap();
        assert_eq!(instance.command[0], format!("{root}/usr/bin/chr-node"));
        let rest = instance.command[1..].iter();
        rest.map(|word| word.replace(root, "")).collect()
    }

    fn settings(&self) -> String {
        let root = self.root.path().to_str().unwrap();
        self.text("var/etc/chr-node.toml").replace(root, "")
    }
}

fn unhex(digits: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

/// The shells that the script has to run in; what a router has is busybox's.
fn shells() -> Vec<&'static [&'static str]> {
    let mut shells: Vec<&'static [&'static str]> = vec![];
    for (shell, name) in [(&["busybox", "ash"][..], "busybox"), (&["dash"], "dash")] {
        if tools::find_or_skip(name).is_some() {
            shells.push(shell);
        }
    }
    shells
}

const SMALL: &str =
    "config node 'node'\n\toption edge_port '0'\n\toption peer_port '0'\n\toption rpc_port '0'\n";

#[test]
fn the_settings_as_they_are_delivered_start_a_node() {
    let uci = std::fs::read_to_string("platform/openwrt/files/etc/config/chr-node").unwrap();
    for shell in shells() {
        let router = Router::new(shell);
        let all = router.service("start", &uci);
        assert_eq!(router.text("log"), "");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["node"]);
        let node = &all["node"];
        assert_eq!(
            router.words(node),
            ["run", "--config", "/var/etc/chr-node.toml"]
        );
        assert_eq!(node.params["respawn"], ["3600", "5", "0"], "for ever");
        for line in [
            "node.profile = \"router\"",
            "storage.data_dir = \"/etc/chr-node\"",
            "network.edge_ports = \"41046 41047\"",
            "network.rpc_bind = \"127.0.0.1\"",
            "network.rpcs_port = \"off\"",
        ] {
            assert!(router.settings().contains(line), "{}", router.settings());
        }
        assert!(
            !router.settings().contains("node.name"),
            "an empty option is none"
        );
        let mode = |name: &str| router.path(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("var/etc/chr-node.toml"), 0o600);
        assert_eq!(
            (mode("etc/chr-node"), mode("var/run/chr-node")),
            (0o700, 0o700)
        );
    }
}

#[test]
fn a_value_is_one_value_whatever_stands_in_it() {
    let short = r#"a "b" $(id) `id` ; \ é | & > * #x"#;
    let strange = r#"a "b" $(touch PWNED) `touch PWNED` ; \ é | & > * #x"#;
    for shell in shells() {
        let router = Router::new(shell);
        let strange = strange.replace("PWNED", router.path("pwned").to_str().unwrap());
        let uci = format!(
            "{SMALL}\toption name '{short}'\n\tlist set 'network.host=fd00::1'\n\
             config publish 'web'\n\tlist node 'n:1'\n\tlist node 'm:2'\n\tlist spec '{strange}'\n\
             \tlist spec '22'\n\tlist allow '0xa b'\n\toption identity '/k/{strange}'\n\
             \toption max_bytes '10G'\n\toption plain '1'\n\toption fleet_devices '{strange}'\n\
             config forward\n\tlist node 'n:1'\n\toption listen '127.0.0.1:1'\n\toption target '{strange}'\n\
             config publish 'ears'\n\toption messages '1'\n\tlist node 'n:1'\n\
             config publish 'off'\n\toption enabled '0'\n",
        );
        let all = router.service("start", &uci);
        assert_eq!(router.text("log"), "");
        let identity = format!("/k/{strange}");
        let cut = |text: &str| text.replace(router.root.path().to_str().unwrap(), "");
        let words = |name: &str| router.words(&all[name]);
        let wanted = [
            "publish",
            &strange,
            "22",
            "--allow",
            "0xa b",
            "--fleet-devices",
            &strange,
            "--node",
            "n:1",
            "--node",
            "m:2",
            "--identity",
            &identity,
            "--max-bytes",
            "10G",
            "--plain",
        ];
        assert_eq!(words("publish_web"), wanted.map(cut));
        let forward = all
            .keys()
            .find(|name| name.starts_with("forward_"))
            .unwrap();
        let section = forward.strip_prefix("forward_").unwrap();
        let own = format!("/etc/chr-node/{section}.key");
        let wanted = [
            "forward",
            "127.0.0.1:1",
            &strange,
            "--node",
            "n:1",
            "--identity",
            &own,
        ];
        assert_eq!(words(forward), wanted.map(cut));
        let wanted = [
            "publish",
            "--messages",
            "--node",
            "n:1",
            "--identity",
            "/etc/chr-node/ears.key",
        ];
        assert_eq!(words("publish_ears"), wanted);
        assert_eq!(all.len(), 4, "{all:?}");
        // The settings are what the program reads of the file.
        let shown = Command::new(PROGRAM)
            .args(["config", "show", "--json", "--config"])
            .arg(router.path("var/etc/chr-node.toml"))
            .env_clear()
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let rows = shown
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let name = rows
            .into_iter()
            .find(|row| row["key"] == "node.name")
            .unwrap();
        assert_eq!(name["value"], short);
        assert!(!router.path("pwned").exists(), "a value was run");
    }
}

#[test]
fn flash_that_cannot_hold_the_store_keeps_the_key_alone() {
    for shell in shells() {
        let router = Router::new(shell);
        std::fs::create_dir_all(router.path("proc")).unwrap();
        let mounts = |kind: &str| {
            let text = format!("/dev/mtdblock6 /overlay {kind} rw,noatime 0 0\n");
            std::fs::write(router.path("proc/mounts"), text).unwrap();
        };
        mounts("ubifs");
        router.service("start", SMALL);
        assert!(!router.settings().contains("store_dir"));
        mounts("jffs2");
        router.service("start", SMALL);
        let line = "storage.store_dir = \"/var/run/chr-node/store\"";
        assert!(router.settings().contains(line), "{}", router.settings());
        assert!(router.text("log").contains("lost at a reboot"));
        router.service("start", &format!("{SMALL}\toption store_dir '/mnt/usb'\n"));
        let line = "storage.store_dir = \"/mnt/usb\"";
        assert!(router.settings().contains(line), "{}", router.settings());
        assert_eq!(router.text("log"), "");
    }
}

#[test]
fn a_mistake_in_the_settings_is_told_and_starts_nothing() {
    for shell in shells() {
        for (uci, wanted) in [
            ("\toption peer_prt '1'", "there is no option peer_prt"),
            ("\toption peer_port 'x'", "network.peer_port"),
            ("\toption profile 'toaster'", "raspberry-pi"),
            ("\tlist set 'novalue'", "section.key=value"),
            ("\tlist set 'node=1'", "no section.key"),
            ("\tlist set 'a b.c=1'", "no section.key"),
            ("\tlist set 'dht.nonsense=1'", "dht.nonsense"),
            ("\toption name 'two\nlines'", "line break"),
        ] {
            let router = Router::new(shell);
            let all = router.service("start", &format!("config node 'node'\n{uci}\n"));
            assert!(all.is_empty(), "{uci}: {all:?}");
            let log = router.text("log");
            assert!(
                log.contains(wanted) && log.contains("/etc/config/chr-node"),
                "{uci}: {log}"
            );
            assert!(!router.path("var/etc/chr-node.toml").exists());
            assert!(!router.path("var/etc/chr-node.toml.new").exists());
        }
        for (uci, wanted) in [
            ("config publish 'a'\n\tlist spec '1'\n", "node is missing"),
            ("config publish 'a'\n\tlist node 'n:1'\n", "spec is missing"),
            (
                "config forward 'a'\n\tlist node 'n:1'\n\toption listen '1'\n",
                "target is missing",
            ),
            (
                "config forward 'a'\n\tlist node '-x'\n\toption listen '1'\n\toption target 'x'\n",
                "dash",
            ),
            ("config forward 'a'\n\tlist nodes 'x'\n", "no option nodes"),
            (
                "config publish 'a'\n\toption node 'n:1'\n\tlist spec '1'\n",
                "uci add_list chr-node.a.node='n:1'",
            ),
        ] {
            let router = Router::new(shell);
            let all = router.service("start", uci);
            assert!(all.is_empty(), "{uci}: {all:?}");
            assert!(
                router.text("log").contains(wanted),
                "{uci}: {}",
                router.text("log")
            );
        }
    }
}

/// What procd would run.
fn started(instance: &Instance, output: &Path) -> Program {
    let mut command = Command::new(&instance.command[0]);
    command.args(&instance.command[1..]).env_clear();
    for pair in instance.params.get("env").into_iter().flatten() {
        let (name, value) = pair.split_once('=').unwrap();
        command.env(name, value);
    }
    command.stdout(std::fs::File::create(output).unwrap());
    Program::start(&mut command)
}

#[test]
fn the_service_serves_and_hears_of_new_settings_without_a_restart() {
    let Some(shell) = shells().into_iter().next() else {
        return;
    };
    let router = Router::new(shell);
    let all = router.service("start", SMALL);
    let mut node = started(&all["node"], &router.path("node-said"));
    let run = until(SOON, "run.json", || {
        serde_json::from_str::<serde_json::Value>(&router.text("etc/chr-node/run.json")).ok()
    });
    let identity = run["node_id"].as_str().unwrap().to_owned();
    assert!(router.text("etc/chr-node/node.key").contains(&identity));

    // A router that publishes a port at its own node.
    let edge = run["edge"][0].as_str().unwrap();
    let uci = format!(
        "{SMALL}config publish 'web'\n\tlist node '{identity}@{edge}'\n\tlist spec '80:public'\n"
    );
    let all = router.service("start", &uci);
    let device = started(&all["publish_web"], &router.path("device-said"));
    until(SOON, "the device's port", || {
        let said = router.text("device-said");
        said.contains(":80").then_some(())
    });
    assert!(router.path("etc/chr-node/web.key").exists());
    drop(device);

    std::fs::write(router.path("pid"), node.child.id().to_string()).unwrap();
    router.service("reload", &format!("{SMALL}\toption log_level 'debug'\n"));
    assert_eq!(router.text("log"), "");
    until(SOON, "the new settings", || {
        node.stderr().contains("log.level").then_some(())
    });
    // A mistake leaves what runs as it is, also in what procd is told.
    let before = router.settings();
    let all = router.service("reload", &format!("{SMALL}\toption peer_port 'x'\n"));
    assert!(all.contains_key("node"), "procd would stop the node");
    assert!(router.text("log").contains("peer_port"));
    assert_eq!(router.settings(), before);
    assert!(
        node.child.try_wait().unwrap().is_none(),
        "{}",
        node.stderr()
    );
}

/// `scripts/package KIND` with the program of this build taken for a static one.
fn package(kind: &str, words: &[&str]) -> Output {
    Command::new("scripts/package")
        .arg(kind)
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Else a commit between two runs is a difference.
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap()
}

/// A static program: what a compiler makes of next to nothing.
fn static_program(folder: &Path) -> Option<String> {
    let source = folder.join("program.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let made = folder.join("program");
    let cc = Command::new("cc")
        .arg("-static")
        .arg("-o")
        .arg(&made)
        .arg(&source)
        .output()
        .ok()?;
    cc.status
        .success()
        .then(|| made.to_str().unwrap().to_owned())
}

fn packing() -> bool {
    ["zopfli", "readelf", "python3"]
        .iter()
        .all(|tool| tools::find_or_skip(tool).is_some())
}

#[test]
fn a_package_has_what_opkg_looks_for_and_is_the_same_twice() {
    if !packing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = static_program(folder.path()) else {
        return println!("skipped: packages for OpenWrt: no static C library");
    };
    let arch = if cfg!(target_arch = "aarch64") {
        "aarch64_generic"
    } else {
        "x86_64"
    };
    for kind in ["ipk", "apk"] {
        let make = |out: &str| {
            let out = folder.path().join(out);
            let words = [
                "--arch",
                arch,
                "--binary",
                &program,
                "--out",
                out.to_str().unwrap(),
            ];
            let made = package(kind, &words);
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
            PathBuf::from(String::from_utf8(made.stdout).unwrap().trim_end())
        };
        let (one, two) = (make("one"), make("two"));
        let bytes = std::fs::read(&one).unwrap();
        assert!(bytes == std::fs::read(&two).unwrap(), "{kind} differs");
        let left: Vec<_> = std::fs::read_dir(folder.path().join("one"))
            .unwrap()
            .collect();
        assert_eq!(left.len(), if kind == "ipk" { 1 } else { 2 }, "{left:?}");

        let root = folder.path().join(kind);
        std::fs::create_dir(&root).unwrap();
        let unpacked = Command::new("/usr/bin/python3")
            .args(["tests/openwrt/unpack.py", kind])
            .args([&one, &root])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(
            unpacked.status.success(),
            "{}",
            String::from_utf8_lossy(&unpacked.stderr)
        );
        let control: serde_json::Value = serde_json::from_slice(&unpacked.stdout).unwrap();
        let version = format!("{}-r1", env!("CARGO_PKG_VERSION"));
        assert_eq!(control["version"], version);
        assert_eq!(control["arch"], arch);
        assert_eq!(control["user"], "chr-node=841:chr-node=841");
        assert_eq!(control["conffiles"], "/etc/config/chr-node\n");
        let mode = |name: &str| root.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("usr/bin/chr-node"), 0o755);
        assert_eq!(mode("etc/init.d/chr-node"), 0o755);
        assert_eq!(mode("etc/config/chr-node"), 0o600);
        assert!(
            std::fs::read(root.join("usr/bin/chr-node")).unwrap()
                == std::fs::read(&program).unwrap()
        );
        // A sysupgrade keeps keys and tickets.
        let keep = std::fs::read_to_string(root.join("lib/upgrade/keep.d/chr-node")).unwrap();
        assert_eq!(keep, "/etc/chr-node/\n");
    }
}

#[test]
fn a_wrong_program_or_architecture_is_named_and_leaves_no_package() {
    if !packing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    for (code, words, wanted) in [
        (2, vec![], "--arch"),
        (2, vec!["--arch", "mips_24kc"], "aarch64_*"),
        (2, vec!["--arch", "arm_cortex-a9"], "vfp"),
        (2, vec!["--bogus"], "--bogus"),
        (
            1,
            vec!["--arch", "x86_64", "--binary", "/nowhere"],
            "/nowhere",
        ),
        (
            1,
            vec!["--arch", "x86_64", "--binary", "Cargo.toml"],
            "no program",
        ),
        (
            1,
            vec!["--arch", "arm_cortex-a7_neon-vfpv4", "--binary", PROGRAM],
            "ARM",
        ),
        (
            1,
            vec!["--arch", "x86_64", "--binary", PROGRAM],
            "loads libraries",
        ),
        (
            1,
            vec!["--arch", "x86_64", "--binary", PROGRAM, "--version", "a b"],
            "a b",
        ),
    ] {
        let mut words = words;
        words.extend(["--out", out]);
        let refused = package("ipk", &words);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(
            (refused.status.code(), text.lines().count()),
            (Some(code), 1),
            "{words:?}: {text}"
        );
        assert!(text.contains(wanted), "{words:?}: {text}");
        let left = std::fs::read_dir(out).map_or(0, |all| all.count());
        assert_eq!(left, 0, "{words:?}");
    }
}
