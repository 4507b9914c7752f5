//! Container and snap: the image that `scripts/packages/oci` makes, the compose file
//! and snapcraft.yaml, as far as that can be seen without an engine and snapd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::tools::*;
use common::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A YAML file as JSON; None where nothing reads YAML, which is printed.
fn yaml(file: &str) -> Option<Value> {
    let text = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let mut command = Command::new("/usr/bin/python3");
    let done = command.args(["-c", text]).arg(root().join(file)).output();
    match done {
        Ok(done) if done.status.success() => Some(serde_json::from_slice(&done.stdout).unwrap()),
        Ok(done) if String::from_utf8_lossy(&done.stderr).contains("No module") => {
            println!("skipped: python3-yaml missing");
            None
        }
        Ok(done) => panic!("{file}: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => {
            println!("skipped: python3 missing: {error}");
            None
        }
    }
}

/// The head of a static program, for the machine of this number.
fn program(folder: &Path, class: u8, machine: u8) -> PathBuf {
    let mut bytes = vec![0; 64];
    bytes[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', class]);
    bytes[18] = machine;
    let file = folder.join(format!("program-{machine}"));
    fs::write(&file, bytes).unwrap();
    file
}

fn make(out: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new("bash");
    command.arg(root().join("scripts/packages/oci")).args(words);
    command
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .arg("--out")
        .arg(out);
    run(&mut command, SOON * 2)
}

/// A file of the tar, or all names for "".
fn in_tar(tar: &Path, name: &str) -> Vec<u8> {
    let mut command = Command::new("tar");
    match name {
        "" => command.args(["--numeric-owner", "-tvf"]).arg(tar),
        name => command.arg("-xOf").arg(tar).arg(name),
    };
    command.output().unwrap().stdout
}

fn json_in(tar: &Path, name: &str) -> Value {
    serde_json::from_slice(&in_tar(tar, name)).unwrap()
}

#[test]
fn an_image_has_the_program_alone_and_runs_it_without_any_right() {
    if find_or_skip("python3").is_none() || find_or_skip("tar").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for (arch, class, machine) in [("amd64", 2, 62), ("arm64", 2, 183), ("arm", 1, 40)] {
        let file = program(home.path(), class, machine);
        let file = file.to_str().unwrap();
        let ran = make(home.path(), &["--arch", arch, "--binary", file]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let image = PathBuf::from(ran.out.trim());
        let manifest = json_in(&image, "manifest.json");
        let config = json_in(&image, manifest[0]["Config"].as_str().unwrap());
        assert_eq!(
            (&config["architecture"], &config["os"]),
            (&arch.into(), &"linux".into())
        );
        let config = &config["config"];
        assert_eq!(config["User"], "41046:41046");
        assert_eq!(config["Entrypoint"], serde_json::json!(["/chr-node"]));
        assert_eq!(config["StopSignal"], "SIGTERM");
        assert_eq!(
            config["Healthcheck"]["Test"],
            serde_json::json!(["CMD", "/chr-node", "health"])
        );
        assert!(config["Volumes"]["/data"].is_object());
        assert_eq!(config["ExposedPorts"].as_object().unwrap().len(), 6);
        // What the image says is understood by the program.
        let mut words: Vec<OsString> = vec!["health".into()];
        assert!(chr_node::cli::parse(words.drain(..)).is_ok());
        let layer = home.path().join("layer.tar");
        fs::write(
            &layer,
            in_tar(&image, manifest[0]["Layers"][0].as_str().unwrap()),
        )
        .unwrap();
        let listed = String::from_utf8(in_tar(&layer, "")).unwrap();
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines.len(), 2, "{listed}");
        assert!(lines[0].starts_with("drwxr-xr-x 41046/41046") && lines[0].contains("data"));
        assert!(lines[1].starts_with("-rwxr-xr-x 0/0") && lines[1].ends_with("chr-node"));
        // Twice the same.
        let before = fs::read(&image).unwrap();
        make(home.path(), &["--arch", arch, "--binary", file]);
        assert_eq!(fs::read(&image).unwrap(), before);
    }
    let file = program(home.path(), 2, 62);
    let ran = make(
        home.path(),
        &[
            "--arch",
            "amd64",
            "--format",
            "oci",
            "--binary",
            file.to_str().unwrap(),
        ],
    );
    let image = PathBuf::from(ran.out.trim());
    assert_eq!(json_in(&image, "oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = json_in(&image, "index.json");
    let digest = index["manifests"][0]["digest"]
        .as_str()
        .unwrap()
        .replace(':', "/");
    let manifest = in_tar(&image, &format!("blobs/{digest}"));
    assert_eq!(index["manifests"][0]["size"], manifest.len());
}

#[test]
fn a_program_that_could_not_start_in_an_empty_image_makes_none() {
    if find_or_skip("python3").is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let file = program(home.path(), 2, 62);
    let other = make(
        home.path(),
        &["--arch", "arm64", "--binary", file.to_str().unwrap()],
    );
    assert!(
        other.code == 1 && other.err.contains("no program for arm64"),
        "{}",
        other.err
    );
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend(b"/lib64/ld-linux-x86-64.so.2\0");
    fs::write(&file, bytes).unwrap();
    let dynamic = make(
        home.path(),
        &["--arch", "amd64", "--binary", file.to_str().unwrap()],
    );
    assert!(
        dynamic.code == 1 && dynamic.err.contains("not static"),
        "{}",
        dynamic.err
    );
    let left = fs::read_dir(home.path())
        .unwrap()
        .map(|e| e.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["program-62"]);
    assert_eq!(make(home.path(), &["--arch", "mips"]).code, 2);
}

/// The static program for this machine where one was built.
fn static_program() -> Option<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let found = ["release", "small", "debug"]
        .map(|profile| folder.join(&target).join(profile).join("chr-node"))
        .into_iter()
        .find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: no static program: scripts/cross-build {target}");
    }
    found
}

#[test]
fn the_image_serves_as_a_user_without_a_name_on_a_root_that_cannot_be_written() {
    let Some(file) = static_program() else {
        return;
    };
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: chroot needs root");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let ran = make(home.path(), &["--binary", file.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let image = PathBuf::from(ran.out.trim());
    let manifest = json_in(&image, "manifest.json");
    let layer = home.path().join("layer.tar");
    fs::write(
        &layer,
        in_tar(&image, manifest[0]["Layers"][0].as_str().unwrap()),
    )
    .unwrap();
    let place = home.path().join("root");
    fs::create_dir_all(place.join("dev")).unwrap();
    let unpacked = Command::new("tar")
        .arg("-xpf")
        .arg(&layer)
        .arg("-C")
        .arg(&place)
        .status();
    assert!(unpacked.unwrap().success());
    let shown = place.display();
    let script = format!(
        "mount --bind {shown} {shown}\nmount --bind /dev {shown}/dev\nmount --bind {shown}/data {shown}/data\n\
         mount -o remount,bind,ro {shown}\n\
         exec setpriv --no-new-privs chroot --userspec=41046:41046 {shown} /chr-node \"$@\""
    );
    let inside = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-ec", &script, "image"])
            .args(words)
            .env_clear();
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DATA_DIR", "/data");
        command
    };
    let data = place.join("data");
    let mut command = inside(&["run"]);
    for (name, value) in [
        ("EDGE2_PORT", "0"),
        ("PEER2_PORT", "0"),
        ("RPC_PORT", "0"),
        ("RPCS_PORT", "off"),
        ("CHR_NETWORK__BIND", "127.0.0.1"),
    ] {
        command.env(name, value);
    }
    let trial = run(&mut inside(&["--version"]), SOON);
    if trial.code != 0 {
        println!(
            "skipped: no root of its own can be entered here: {}",
            trial.err
        );
        return;
    }
    let mut node = Program::start(&mut command);
    until(SOON, "it runs", || {
        data.join("run.json").exists().then_some(())
    });
    let health = run(&mut inside(&["health"]), SOON);
    assert_eq!(health.code, 0, "{}{}", health.out, health.err);
    node.signal("-TERM");
    assert!(
        node.wait(Duration::from_secs(30)).success(),
        "{}",
        node.stderr()
    );
}

/// The names in `${…}` and what the program calls them.
fn words(command: &str) -> Vec<OsString> {
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("bin/chr-node"), "{command}");
    words
        .map(|w| {
            w.replace("$SNAP_COMMON", "/var/snap/chr-node/common")
                .into()
        })
        .collect()
}

#[test]
fn every_command_of_the_snap_is_one_that_the_program_understands() {
    let Some(snap) = yaml("snap/snapcraft.yaml") else {
        return;
    };
    let apps = snap["apps"].as_object().unwrap();
    let names: BTreeSet<&str> = apps.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["chr-node", "info", "service"]));
    for (name, app) in apps {
        let command = app["command"].as_str().unwrap();
        let parsed = chr_node::cli::parse(words(command));
        assert!(parsed.is_ok(), "{name}: {command}: {parsed:?}");
        // What snapcraft takes in a command.
        let fine = |c: char| c.is_ascii_alphanumeric() || " ._#:$-/".contains(c);
        assert!(command.chars().all(fine), "{command}");
    }
    assert_eq!(apps["service"]["daemon"], "simple");
    let platforms: BTreeSet<&String> = snap["platforms"].as_object().unwrap().keys().collect();
    assert_eq!(platforms.len(), 3, "{platforms:?}");
    assert_eq!(snap["confinement"], "strict");

    // The hook's settings are taken, and a second run leaves them as they are.
    let home = tempfile::tempdir().unwrap();
    let hook = || {
        let mut command = Command::new("sh");
        command
            .arg(root().join("snap/hooks/install"))
            .env("SNAP_COMMON", home.path());
        assert_eq!(run(&mut command, SOON).code, 0);
    };
    hook();
    let settings = home.path().join("chr-node.toml");
    let mut check = chr_node();
    check.args(["config", "check", "--config"]).arg(&settings);
    assert_eq!(run(&mut check, SOON).code, 0);
    fs::write(&settings, "# mine\n").unwrap();
    hook();
    assert_eq!(fs::read_to_string(&settings).unwrap(), "# mine\n");
}

#[test]
fn the_compose_file_gives_the_node_nothing_that_it_does_not_need() {
    let Some(compose) = yaml("platform/container/compose.yaml") else {
        return;
    };
    let service = &compose["services"]["chr-node"];
    assert_eq!(service["read_only"], true);
    assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]));
    assert_eq!(
        service["security_opt"],
        serde_json::json!(["no-new-privileges:true"])
    );
    assert!(compose["volumes"].as_object().unwrap().contains_key("data"));
    // Its ports are those that the image names, HTTP on this machine alone.
    let dockerfile = fs::read_to_string(root().join("platform/container/Dockerfile")).unwrap();
    let line = dockerfile
        .lines()
        .find_map(|l| l.strip_prefix("EXPOSE "))
        .unwrap();
    let exposed: BTreeSet<&str> = line.split_whitespace().collect();
    let ports = service["ports"].as_array().unwrap().iter();
    let published: BTreeSet<&str> = ports
        .map(|p| p.as_str().unwrap())
        .inspect(|p| assert!(!p.contains(":8") || p.starts_with("127.0.0.1:"), "{p}"))
        .map(|p| p.rsplit_once(':').unwrap().1)
        .collect();
    assert_eq!(published, exposed);
    // Its environment is one that a node starts with.
    let mut check = chr_node();
    check.args(["config", "check"]);
    for (name, value) in service["environment"].as_object().unwrap() {
        check.env(name, value.as_str().unwrap());
    }
    let ran = run(&mut check, SOON);
    assert_eq!(ran.code, 0, "{}", ran.err);
}
