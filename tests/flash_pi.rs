//! `scripts/flash-pi` on small made-up images: what lands in them, and that a
//! refusal leaves them as they were. A prepared image is booted by `scripts/boot-test`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::find_or_skip;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the partitions of [`image`] begin, and how long they are, in sectors.
const BOOT: (u64, u64) = (2048, 16_384);
const ROOT: (u64, u64) = (18_432, 32_768);

const CONF: &str = "/etc/chr-node/chr-node.toml";
const UNIT: &str = "/etc/systemd/system/chr-node-first-boot.service";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/chr-node-first-boot.service";
const FOLDER: &str = "/var/lib/chr-node-first-boot";

/// What dpkg knows on the made-up system.
const STATUS: &str =
    "Package: dpkg\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1.21\n\n\
    Package: systemd\nStatus: install ok installed\nArchitecture: arm64\nVersion: 252\n\n\
    Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.134\n\n\
    Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n";

/// False: something is missing, which was said.
fn tools() -> bool {
    let wanted = "partx sfdisk mke2fs debugfs e2fsck dumpe2fs mkfs.vfat dpkg-deb xz";
    wanted.split(' ').all(|tool| find_or_skip(tool).is_some())
}

fn path() -> String {
    // The program that checks settings is the one of this build.
    let program = Path::new(env!("CARGO_BIN_EXE_chr-node")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:/usr/sbin:/sbin", program.display())
}

/// Runs a tool that must succeed.
#[track_caller]
fn tool(words: &[&str]) -> String {
    let mut command = Command::new(words[0]);
    let ran = command.args(&words[1..]).env("PATH", path()).output();
    let ran = ran.unwrap_or_else(|e| panic!("{}: {e}", words[0]));
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{words:?}: {out}{err}");
    out
}

struct Bench {
    home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().unwrap();
        Bench { home }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// The package; `change` is applied to its control file.
    fn package(&self, name: &str, change: impl Fn(String) -> String) -> String {
        let tree = self.at(&format!("{name}.tree"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("etc/chr-node")).unwrap();
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        let control =
            "Package: chr-node\nVersion: 9.8.7\nArchitecture: arm64\nMaintainer: nobody <a@b.c>\n\
            Depends: libnothing | adduser (>= 3)\nInstalled-Size: 100\nDescription: for a test\n";
        fs::write(tree.join("DEBIAN/control"), change(control.to_owned())).unwrap();
        fs::write(tree.join("DEBIAN/conffiles"), format!("{CONF}\n")).unwrap();
        fs::write(
            tree.join("etc/chr-node/chr-node.toml"),
            "# Ours.\n[node]\n# name = \"\"\n",
        )
        .unwrap();
        fs::write(tree.join("usr/bin/chr-node"), "program").unwrap();
        let file = self.text(name);
        tool(&[
            "dpkg-deb",
            "--root-owner-group",
            "-b",
            tree.to_str().unwrap(),
            &file,
        ]);
        file
    }

    /// The root folder of a made-up system.
    fn system(&self) -> PathBuf {
        let root = self.at("system");
        fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
        fs::create_dir_all(root.join("etc/ssh")).unwrap();
        fs::write(root.join("var/lib/dpkg/status"), STATUS).unwrap();
        fs::write(root.join("etc/ssh/sshd_config"), "PermitRootLogin no\n").unwrap();
        root
    }

    /// A FAT and an ext4 partition with `root` in it.
    fn image(&self, name: &str, root: &Path) -> String {
        let file = self.text(name);
        let image = fs::File::create(&file).unwrap();
        image.set_len((ROOT.0 + ROOT.1 + 2048) * 512).unwrap();
        let table = self.at("table");
        let (boot, size) = BOOT;
        let (start, length) = ROOT;
        fs::write(
            &table,
            format!("label: dos\nstart={boot}, size={size}, type=c\nstart={start}, size={length}, type=83\n"),
        )
        .unwrap();
        let table = fs::File::open(table).unwrap();
        let mut sfdisk = Command::new("sfdisk");
        sfdisk.args(["-q", &file]).env("PATH", path()).stdin(table);
        assert!(sfdisk.status().unwrap().success());
        let (offset, blocks) = (boot.to_string(), (size / 2).to_string());
        tool(&["mkfs.vfat", "--offset", &offset, &file, &blocks]);
        let (offset, blocks) = (
            format!("offset={}", start * 512),
            format!("{}k", length / 2),
        );
        let root = root.to_str().unwrap();
        tool(&[
            "mke2fs", "-q", "-t", "ext4", "-d", root, "-E", &offset, &file, &blocks,
        ]);
        file
    }

    fn usual(&self, name: &str) -> String {
        let system = self.system();
        self.image(name, &system)
    }
}

fn flash(words: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/flash-pi");
    let mut command = Command::new(script);
    command.args(words).env("PATH", path()).output().unwrap()
}

#[track_caller]
fn flashed(words: &[&str]) {
    let ran = flash(words);
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// What debugfs says about the root partition of an image.
fn inside(image: &str, request: &str) -> String {
    let place = format!("{image}?offset={}", ROOT.0 * 512);
    tool(&["debugfs", "-R", request, &place])
}

#[track_caller]
fn assert_file(image: &str, path: &str, mode: &str, contents: &[u8]) {
    let stat = inside(image, &format!("stat {path}"));
    assert!(stat.contains("Type: regular"), "{path}: {stat}");
    assert!(stat.contains(&format!("Mode:  {mode}")), "{path}: {stat}");
    let owner: Vec<&str> = stat
        .lines()
        .find(|l| l.contains("User:"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        (owner[0], owner[1], owner[2], owner[3]),
        ("User:", "0", "Group:", "0")
    );
    let dump = tempfile::NamedTempFile::new().unwrap();
    inside(image, &format!("dump {path} {}", dump.path().display()));
    assert!(
        fs::read(dump.path()).unwrap() == contents,
        "{path} has other contents"
    );
}

fn boot_partition(image: &str) -> Vec<u8> {
    let all = fs::read(image).unwrap();
    all[..usize::try_from(ROOT.0 * 512).unwrap()].to_vec()
}

#[test]
fn package_settings_and_first_boot_land_in_the_image_with_root_as_owner() {
    if !tools() {
        return;
    }
    let bench = Bench::new();
    let image = bench.usual("a.img");
    let before = fs::read(&image).unwrap();
    let deb = bench.package("chr-node.deb", |control| control);
    let out = bench.text("b.img");
    flashed(&[
        &image,
        "--deb",
        &deb,
        "--out",
        &out,
        "--name",
        r#"the "attic" \ 1"#,
        "--seeds",
        "a.example:51055, b.example:51055",
        "--set",
        "network.rpc_port=8000",
        "--set",
        "storage.flush_interval=2h",
    ]);
    assert!(
        fs::read(&image).unwrap() == before,
        "--out changed the image itself"
    );

    let settings = r#"# Ours.
[node]
name = "the \"attic\" \\ 1"
# name = ""

[network]
rpc_port = 8000
seeds = ["a.example:51055", "b.example:51055"]

[storage]
flush_interval = "2h"
"#;
    assert_file(&out, CONF, "0644", settings.as_bytes());
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("platform/raspberry-pi");
    let unit = fs::read(ours.join("chr-node-first-boot.service")).unwrap();
    assert_file(&out, UNIT, "0644", &unit);
    let script = fs::read(ours.join("first-boot")).unwrap();
    assert_file(&out, &format!("{FOLDER}/first-boot"), "0755", &script);
    let package = fs::read(&deb).unwrap();
    assert_file(&out, &format!("{FOLDER}/chr-node.deb"), "0644", &package);
    let link = inside(&out, &format!("stat {WANTED}"));
    assert!(link.contains("Type: symlink"), "{link}");
    assert!(
        link.contains("\"../chr-node-first-boot.service\""),
        "{link}"
    );
    let folder = inside(&out, &format!("stat {FOLDER}"));
    assert!(folder.contains("Mode:  0755"), "{folder}");

    // What was there stays.
    assert_file(
        &out,
        "/etc/ssh/sshd_config",
        "0644",
        b"PermitRootLogin no\n",
    );
    assert!(boot_partition(&out) == boot_partition(&image));
    tool(&["e2fsck", "-fn", &format!("{out}?offset={}", ROOT.0 * 512)]);
    assert_no_leftovers(&bench);
}

#[test]
fn a_second_run_replaces_what_the_first_one_put_there() {
    if !tools() {
        return;
    }
    let bench = Bench::new();
    let image = bench.usual("a.img");
    let deb = bench.package("old.deb", |control| control);
    flashed(&[
        &image,
        "--deb",
        &deb,
        "--name",
        "one",
        "--set",
        "network.rpc_port=8000",
    ]);
    let deb = bench.package("new.deb", |control| control.replace("9.8.7", "9.9.0"));
    flashed(&[&image, "--deb", &deb, "--name", "two"]);
    // The settings of the first run are those that the second one changes.
    let settings =
        b"# Ours.\n[node]\nname = \"two\"\n# name = \"\"\n\n[network]\nrpc_port = 8000\n";
    assert_file(&image, CONF, "0644", settings);
    let package = fs::read(&deb).unwrap();
    assert_file(&image, &format!("{FOLDER}/chr-node.deb"), "0644", &package);
    tool(&["e2fsck", "-fn", &format!("{image}?offset={}", ROOT.0 * 512)]);
}

#[test]
fn a_packed_image_is_unpacked_and_stays_packed_itself() {
    if !tools() {
        return;
    }
    let bench = Bench::new();
    let image = bench.usual("a.img");
    tool(&["xz", "-1", &image]);
    let packed = format!("{image}.xz");
    let before = fs::read(&packed).unwrap();
    let deb = bench.package("chr-node.deb", |control| control);
    flashed(&[&packed, "--deb", &deb, "--name", "one"]);
    assert!(fs::read(&packed).unwrap() == before);
    let package = fs::read(&deb).unwrap();
    assert_file(&image, &format!("{FOLDER}/chr-node.deb"), "0644", &package);
    // The result of before is not lost by running it again without a word.
    let ran = flash(&[&packed, "--deb", &deb]);
    assert_refused(&ran, 1, &["is there already", "--out"]);
}

fn assert_no_leftovers(bench: &Bench) {
    let left: Vec<_> = fs::read_dir(bench.home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("flash-pi"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[track_caller]
fn assert_refused(ran: &Output, code: i32, words: &[&str]) {
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(code), "{err}");
    let last = err.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "no {word:?} in: {err}");
    }
}

/// Image, package, more words, exit code, words of the refusal.
type Case<'a> = (&'a str, &'a str, &'a [&'a str], i32, &'a [&'a str]);

#[test]
fn what_cannot_be_done_is_said_and_the_image_stays_as_it_was() {
    if !tools() {
        return;
    }
    let bench = Bench::new();
    let good = bench.usual("good.img");
    let deb = bench.package("chr-node.deb", |control| control);
    let armhf = bench.package("armhf.deb", |c| c.replace("arm64", "armhf"));
    let other = bench.package("other.deb", |c| {
        c.replace("Package: chr-node", "Package: nodejs")
    });
    let needy = bench.package("needy.deb", |c| {
        c.replace("libnothing | adduser (>= 3)", "adduser, gone")
    });
    let large = bench.package("large.deb", |c| c.replace("Size: 100", "Size: 100000"));
    let missing = bench.text("missing.deb");

    let plain = bench.text("plain.img");
    tool(&["mke2fs", "-q", "-t", "ext4", &plain, "8192k"]);
    let fat = bench.usual("fat.img");
    // The ext4 partition is gone: its first blocks are zero.
    let mut bytes = fs::read(&fat).unwrap();
    let start = usize::try_from(ROOT.0 * 512).unwrap();
    bytes[start..start + 4096].fill(0);
    fs::write(&fat, bytes).unwrap();
    let root = bench.at("empty");
    fs::create_dir_all(&root).unwrap();
    let no_system = bench.image("no_system.img", &root);
    let full = bench.system();
    fs::write(full.join("film"), vec![7; 13 << 20]).unwrap();
    let full = bench.image("full.img", &full);
    let in_use = bench.at("in_use.img");
    fs::copy(&good, &in_use).unwrap();
    let in_use = in_use.to_str().unwrap();
    tool(&[
        "debugfs",
        "-w",
        "-R",
        "ssv feature_incompat 0x2c6",
        &format!("{in_use}?offset={}", ROOT.0 * 512),
    ]);

    let damaged = bench.at("damaged.img");
    fs::copy(&good, &damaged).unwrap();
    let damaged = damaged.to_str().unwrap();
    let place = format!("{damaged}?offset={}", ROOT.0 * 512);
    tool(&["debugfs", "-w", "-R", "clri /etc/ssh", &place]);

    let bad_name = ["--set", "node.nmae=x"];
    let bad_value = ["--set", "network.rpc_port=many"];
    let no_setting = ["--set", "name"];
    let cases: &[Case] = &[
        (&plain, &deb, &[], 1, &["no partition table", &plain]),
        (&fat, &deb, &[], 1, &["no ext4 partition", &fat]),
        (&no_system, &deb, &[], 1, &["Debian", &no_system]),
        (&full, &deb, &[], 1, &["room", "needs", &full]),
        (in_use, &deb, &[], 1, &["in use", in_use]),
        (damaged, &deb, &[], 1, &["damaged", damaged]),
        (&good, &missing, &[], 1, &["there is no package", &missing]),
        (&good, &good, &[], 1, &["no Debian package", &good]),
        (
            &good,
            &armhf,
            &[],
            1,
            &["armhf", "arm64", "scripts/package deb --arch arm64"],
        ),
        (&good, &other, &[], 1, &["nodejs", "not chr-node"]),
        (&good, &needy, &[], 1, &["needs gone"]),
        (&good, &large, &[], 1, &["room", "needs"]),
        (
            &good,
            &deb,
            &bad_name,
            1,
            &["settings are not valid", "nmae"],
        ),
        (
            &good,
            &deb,
            &bad_value,
            1,
            &["settings are not valid", "rpc_port"],
        ),
        (&good, &deb, &no_setting, 2, &["SECTION.KEY=VALUE"]),
        (&good, &deb, &["--set"], 2, &["--set needs a value"]),
        (&good, &deb, &["--fast"], 2, &["--fast"]),
        (&good, &deb, &["--out", "/nowhere/b.img"], 1, &["/nowhere"]),
    ];
    for (image, deb, more, code, words) in cases {
        let before = fs::read(image).unwrap();
        let mut all = vec![*image, "--deb", deb];
        all.extend(*more);
        let ran = flash(&all);
        assert_refused(&ran, *code, words);
        assert!(
            fs::read(image).unwrap() == before,
            "{image} was changed: {words:?}"
        );
    }
    assert_refused(&flash(&[]), 2, &["which image"]);
    let absent = bench.text("absent.img");
    assert_refused(
        &flash(&[&absent, "--deb", &deb]),
        1,
        &["there is no file", &absent],
    );
    assert_no_leftovers(&bench);
}

#[test]
fn a_device_is_never_written() {
    if !tools() {
        return;
    }
    let bench = Bench::new();
    let deb = bench.package("chr-node.deb", |control| control);
    let devices = fs::read_dir("/dev").unwrap().flatten();
    let mut devices: Vec<PathBuf> = devices
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device()))
        .map(|entry| entry.path())
        .collect();
    // One that nobody keeps data on, if there is a choice.
    devices.sort_by_key(|path| !path.to_string_lossy().contains("loop"));
    let device = devices.first();
    let Some(device) = device else {
        eprintln!("skipped: there is no block device in /dev");
        return;
    };
    let device = device.to_str().unwrap();
    assert_refused(
        &flash(&[device, "--deb", &deb]),
        1,
        &["is a device", "image file"],
    );
    let image = bench.usual("a.img");
    let ran = flash(&[&image, "--deb", &deb, "--out", device]);
    assert_refused(&ran, 1, &["is a device", "name a file"]);
}
