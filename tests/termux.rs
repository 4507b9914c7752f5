//! `platform/termux/install.sh` and the service that it makes, in a folder that
//! imitates Termux: a root without `/tmp`, `/etc` and `/bin`, a user without any
//! right, runit as supervisor, and a name server in Termux's own file alone.
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
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// As Android numbers an app's user.
const USER: &str = "10123";
const PREFIX: &str = "/data/data/com.termux/files/usr";
const HOME: &str = "/data/data/com.termux/files/home";
/// Where Termux's file says that the name server is: it has no place for a port.
const DNS: &str = "127.77.53.1";
const APPLETS: &[&str] = &[
    "sh",
    "awk",
    "cat",
    "chmod",
    "cp",
    "dirname",
    "grep",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "uname",
    "kill",
    "test",
    "ls",
    "env",
];

/// A phone: its root folder, and runsvdir as long as it is on.
struct Phone {
    root: tempfile::TempDir,
    supervisor: Option<Program>,
}

impl Phone {
    /// None where one cannot be made, which is printed.
    fn new() -> Option<Phone> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: chroot needs root");
            return None;
        }
        let mut tools = Vec::new();
        for tool in ["runsvdir", "runsv", "svlogd", "sv", "busybox", "sha256sum"] {
            tools.push(find_or_skip(tool)?);
        }
        let phone = Phone {
            root: tempfile::tempdir().unwrap(),
            supervisor: None,
        };
        for folder in ["lib", "lib64", "usr/lib", "proc", "dev"] {
            fs::create_dir_all(phone.root.path().join(folder)).unwrap();
        }
        for folder in ["bin", "etc", "tmp", "var/service", "share"] {
            fs::create_dir_all(phone.inside(PREFIX).join(folder)).unwrap();
        }
        fs::create_dir_all(phone.inside(HOME).join("release")).unwrap();
        let bin = phone.inside(PREFIX).join("bin");
        for tool in &tools[..5] {
            fs::copy(tool, bin.join(tool.file_name().unwrap())).unwrap();
        }
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let resolv = phone.inside(PREFIX).join("etc/resolv.conf");
        fs::write(resolv, format!("nameserver {DNS}\n")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("platform/termux/install.sh");
        fs::copy(script, phone.release().join("install.sh")).unwrap();
        own(phone.root.path());
        let here = phone.on(&["env"]).stdin(Stdio::null()).output();
        let why = match here {
            Ok(done) if done.status.success() => return Some(phone),
            Ok(done) => String::from_utf8_lossy(&done.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        println!("skipped: no root of its own can be entered here: {why}");
        None
    }

    /// A path of the phone as the test sees it.
    fn inside(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn release(&self) -> PathBuf {
        self.inside(HOME).join("release")
    }

    fn data(&self) -> PathBuf {
        self.inside(PREFIX).join("var/lib/chr-node")
    }

    /// A command in the phone, by its user.
    fn on(&self, words: &[&str]) -> Command {
        let root = self.root.path().display();
        let libraries = ["/lib", "/lib64", "/usr/lib", "/proc", "/dev"];
        let mounts: String = libraries
            .iter()
            .filter(|folder| Path::new(folder).is_dir())
            .map(|folder| format!("mount --rbind {folder} {root}{folder}\n"))
            .collect();
        let script = format!("{mounts}exec chroot --userspec={USER}:{USER} {root} \"$@\"");
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-ec", &script, "phone"])
            .args(words)
            .env_clear()
            .env(
                "PATH",
                format!("{PREFIX}/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            )
            .env("PREFIX", PREFIX)
            .env("HOME", HOME)
            .env("SVDIR", format!("{PREFIX}/var/service"))
            .current_dir("/");
        command
    }

    /// Puts a program into the release folder; `more` makes it another one.
    fn make_release(&self, more: &[u8]) {
        let machine = nix::sys::utsname::uname().unwrap();
        let target = match machine.machine().to_str().unwrap() {
            "aarch64" => "aarch64-unknown-linux-musl",
            "armv7l" => "armv7-unknown-linux-musleabihf",
            _ => "x86_64-unknown-linux-musl",
        };
        let name = format!("chr-node-0.1.0-{target}");
        let file = self.release().join(&name);
        fs::copy(env!("CARGO_BIN_EXE_chr-node"), &file).unwrap();
        let mut open = fs::OpenOptions::new().append(true).open(&file).unwrap();
        open.write_all(more).unwrap();
        fs::write(self.release().join("chr-node.1"), ".TH CHR-NODE 1\n").unwrap();
        let sums = Command::new("sha256sum")
            .args([name.as_str(), "install.sh", "chr-node.1"])
            .current_dir(self.release())
            .output()
            .unwrap();
        fs::write(self.release().join("SHA256SUMS"), sums.stdout).unwrap();
    }

    fn install(&self, options: &[&str]) -> Ran {
        let script = format!("{HOME}/release/install.sh");
        let mut words = vec!["sh", script.as_str()];
        words.extend(options);
        run(&mut self.on(&words), SOON * 2)
    }

    /// Switches it on: what termux-services does when Termux starts.
    fn start(&mut self) {
        let services = format!("{PREFIX}/var/service");
        let mut command = self.on(&["runsvdir", &services]);
        // No fixed ports in a test; on a phone these are in the settings.
        for (name, value) in [
            ("EDGE2_PORT", "0"),
            ("PEER2_PORT", "0"),
            ("RPC_PORT", "0"),
            ("RPCS_PORT", "off"),
            ("CHR_NETWORK__BIND", "127.0.0.1"),
        ] {
            command.env(name, value);
        }
        self.supervisor = Some(Program::start(command.stdout(Stdio::null())));
    }

    /// run.json of a node that is not `before`.
    fn node(&self, before: Option<&Value>) -> Value {
        let file = self.data().join("run.json");
        until(SOON * 2, "the node runs", || {
            let run: Value = serde_json::from_str(&fs::read_to_string(&file).ok()?).ok()?;
            let new = before.is_none_or(|before| before["pid"] != run["pid"]);
            new.then_some(run)
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.inside(PREFIX).join("var/log/sv/chr-node/current"))
            .unwrap_or_default()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            // SIGHUP: it takes down what it supervises.
            supervisor.signal("-HUP");
            supervisor.wait(SOON);
        }
        if std::thread::panicking() {
            eprintln!("--- the service's log:\n{}", self.log());
        }
    }
}

fn own(folder: &Path) {
    let owner = format!("{USER}:{USER}");
    let done = Command::new("chown")
        .args(["-hR", &owner])
        .arg(folder)
        .status();
    assert!(done.unwrap().success());
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_gone(pid: &Value) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_phone_s_node_survives_being_killed_and_upgraded_and_is_found_by_its_name() {
    let Some(mut phone) = Phone::new() else {
        return;
    };
    phone.make_release(b"");
    phone.start();
    let installed = phone.install(&[]);
    assert_eq!(installed.code, 0, "{}{}", installed.out, installed.err);
    let first = phone.node(None);

    // The user's own settings and a device that speaks of the node by name.
    let dns = name_server(&format!("{DNS}:53"), &[("phone.test", Ipv4Addr::LOCALHOST)]);
    if let Err(why) = dns {
        println!("skipped: names in Termux's file, no server at {DNS}:53: {why}");
    } else {
        forwards_by_name(&phone, &first);
    }

    // Killed as Android kills.
    let killed = Command::new("kill")
        .args(["-KILL", &first["pid"].to_string()])
        .status();
    assert!(killed.unwrap().success());
    let second = phone.node(Some(&first));
    assert_eq!(second["node_id"], first["node_id"]);

    // Another version over it.
    let settings = phone.inside(PREFIX).join("etc/chr-node/chr-node.toml");
    let mut text = fs::read_to_string(&settings).unwrap();
    text.push_str("# my own remark\n");
    fs::write(&settings, &text).unwrap();
    phone.make_release(b"\nanother version");
    let upgraded = phone.install(&[]);
    assert_eq!(upgraded.code, 0, "{}{}", upgraded.out, upgraded.err);
    assert!(
        upgraded.out.contains("untouched") && upgraded.out.contains("restarted"),
        "{}",
        upgraded.out
    );
    let third = phone.node(Some(&second));
    assert_eq!(third["node_id"], first["node_id"]);
    assert_eq!(fs::read_to_string(&settings).unwrap(), text);
    let program = fs::read(phone.inside(PREFIX).join("bin/chr-node")).unwrap();
    assert!(program.ends_with(b"another version"));
    until(SOON, "the service's log has it", || {
        phone.log().contains("serves devices").then_some(())
    });

    // Removed: the process ends, the identity stays; purged: it is gone.
    let removed = phone.install(&["--remove"]);
    assert_eq!(removed.code, 0, "{}{}", removed.out, removed.err);
    until(SOON, "the node ends", || {
        is_gone(&third["pid"]).then_some(())
    });
    assert!(removed.out.contains("identity") && phone.data().join("node.key").exists());
    for gone in [
        "bin/chr-node",
        "var/service/chr-node",
        "share/man/man1/chr-node.1",
    ] {
        assert!(!phone.inside(PREFIX).join(gone).exists(), "{gone}");
    }
    assert_eq!(phone.install(&["--purge"]).code, 0);
    assert!(!phone.data().exists() && !settings.exists());
}

/// A port is published and forwarded by devices on the phone that know the node's
/// name alone.
fn forwards_by_name(phone: &Phone, node: &Value) {
    let edge = node["edge"][0].as_str().unwrap();
    let place = format!("phone.test:{}", edge.rsplit_once(':').unwrap().1);
    let echo = echo_server();
    let device = |words: &[&str]| {
        let mut all = vec!["chr-node"];
        all.extend(words);
        all.extend(["--json", "--node", &place]);
        Device::start_command(&mut phone.on(&all))
    };
    let publisher = device(&["publish", &format!("{echo}:public")]);
    let address = publisher.expect("ready")["device"]
        .as_str()
        .unwrap()
        .to_owned();
    let forwarder = device(&["forward", "127.0.0.1:0", &format!("{address}:{echo}")]);
    let listen = forwarder.expect("ready")["listen"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut stream = std::net::TcpStream::connect(listen).unwrap();
    stream.write_all(b"through the phone").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    assert_eq!(back, "through the phone");
}

#[test]
fn a_file_that_was_changed_on_the_way_replaces_nothing() {
    let Some(phone) = Phone::new() else {
        return;
    };
    phone.make_release(b"");
    assert_eq!(phone.install(&[]).code, 0);
    let program = phone.inside(PREFIX).join("bin/chr-node");
    let before = fs::read(&program).unwrap();
    let sums = phone.release().join("SHA256SUMS");
    let good = fs::read_to_string(&sums).unwrap();
    let (changed, missing) = (
        good.replacen(&good[..4], "beef", 1),
        good.replace("musl", "gnu"),
    );
    for (text, words) in [(changed, "changed on the way"), (missing, "does not name")] {
        fs::write(&sums, text).unwrap();
        let ran = phone.install(&[]);
        assert_eq!(ran.code, 1, "{}", ran.out);
        assert!(
            ran.err.starts_with("install.sh: ") && ran.err.contains(words),
            "{}",
            ran.err
        );
    }
    fs::remove_file(&sums).unwrap();
    assert!(phone.install(&[]).err.contains("SHA256SUMS is missing"));
    // What does not run here is not put in place either.
    let other = fs::read_dir(phone.release())
        .unwrap()
        .map(|e| e.unwrap().path());
    let file = other
        .into_iter()
        .find(|f| f.to_string_lossy().contains("chr-node-0"))
        .unwrap();
    fs::write(&file, "#!/missing\n").unwrap();
    let sum = Command::new("sha256sum")
        .arg(file.file_name().unwrap())
        .current_dir(phone.release())
        .output();
    fs::write(&sums, sum.unwrap().stdout).unwrap();
    let ran = phone.install(&[]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.err.contains("does not run here"), "{}", ran.err);
    assert_eq!(fs::read(&program).unwrap(), before);
    assert!(!program.with_file_name("chr-node.new").exists());
}

#[test]
fn without_termux_services_and_name_servers_it_says_what_to_install() {
    let Some(phone) = Phone::new() else {
        return;
    };
    phone.make_release(b"");
    fs::remove_file(phone.inside(PREFIX).join("bin/sv")).unwrap();
    fs::remove_file(phone.inside(PREFIX).join("etc/resolv.conf")).unwrap();
    let ran = phone.install(&[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("pkg install termux-services"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("pkg install resolv-conf"), "{}", ran.out);
    assert!(phone
        .inside(PREFIX)
        .join("var/service/chr-node/down")
        .exists());
    assert_eq!(phone.install(&["--purge"]).code, 0);
    let ran = phone.install(&["--dns", "192.0.2.53"]);
    assert!(!ran.out.contains("resolv-conf"), "{}", ran.out);
    let mut show = phone.on(&["chr-node", "config", "show", "--config"]);
    show.arg(format!("{PREFIX}/etc/chr-node/chr-node.toml"));
    let shown = run(&mut show, SOON);
    assert!(
        shown.out.contains("192.0.2.53:53") && shown.out.contains("android"),
        "{}",
        shown.out
    );
    // Wrong words are told.
    assert_eq!(phone.install(&["--prefx"]).code, 2);
    assert_eq!(phone.install(&["--prefix", "/missing"]).code, 1);
    assert!(phone.install(&["--help"]).out.contains("--purge"));
}
