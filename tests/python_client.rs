//! A device in another language, written from docs/protocol.md with OpenSSL's
//! TLS, against our programs in both directions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::identity::sha256;
use common::{echo_server, noise, Device, Node, SOON};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const MIB: usize = 1 << 20;

/// Why the tests cannot run here; printed once a test.
fn missing() -> bool {
    let version = "import sys, ssl; sys.exit(sys.version_info < (3, 11))";
    for (program, arguments) in [
        ("python3", ["-c", version]),
        ("openssl", ["ecparam", "-list_curves"]),
    ] {
        let why = match Command::new(program).args(arguments).output() {
            Err(error) => format!("{program} cannot be run: {error}"),
            Ok(output) if !output.status.success() => format!("{program} is too old"),
            Ok(output)
                if program == "openssl"
                    && !String::from_utf8_lossy(&output.stdout).contains("secp256k1") =>
            {
                "openssl does not know secp256k1".to_owned()
            }
            Ok(_) => continue,
        };
        println!("skipped: {why}");
        return true;
    }
    false
}

/// The Python client; killed when dropped.
struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn python(home: &Path, name: &str, command: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/chr_client.py");
    let mut c = Command::new("python3");
    // No compiled files in the source folder.
    c.arg("-B")
        .arg(script)
        .arg(command)
        .arg("--key")
        .arg(home.join(name));
    c
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{problem}");
    text.trim_end().to_owned()
}

impl Python {
    fn start(command: &mut Command) -> Python {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Python(child.unwrap())
    }

    fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    /// Publishes port 8080 to an echo server; the device's address.
    fn publish(home: &Path, node: &Node, more: &[&str]) -> (Python, String) {
        let spec = format!("8080=127.0.0.1:{}", echo_server());
        let mut command = python(home, "publisher.pem", "publish");
        command
            .args(["--node", &node.address()])
            .args(more)
            .arg(spec);
        let mut client = Python::start(&mut command);
        let mut line = String::new();
        client.stdout().read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("ready ")
            .expect("it publishes")
            .trim_end();
        (client, address.to_owned())
    }
}

/// Sends all, ends that direction, and only then expects the end of the answer.
fn echoes(place: std::net::SocketAddr, len: usize) {
    let sent = noise(7, len);
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let bytes = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert_eq!(got.len(), sent.len());
    assert_eq!(sha256(&[&got]), sha256(&[&sent]));
}

#[test]
fn our_program_opens_a_port_that_python_publishes() {
    if missing() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    for alpn in [&[][..], &["--no-alpn"]] {
        let (_python, address) = Python::publish(home.path(), &node, alpn);
        let target = format!("{address}:8080");
        let (_forward, place) = Device::forward(
            home.path(),
            "forward",
            &node.address(),
            "127.0.0.1:0",
            &target,
            &[],
        );
        echoes(place, MIB);
        // Several at once, and one that carries nothing.
        let several: Vec<_> = [0, 1, 70_000, 300_000]
            .map(|len| std::thread::spawn(move || echoes(place, len)))
            .into();
        for one in several {
            one.join().unwrap();
        }
    }
}

fn open_echoes(home: &Path, node: &Node, target: &str, more: &[&str]) {
    let mut command = python(home, "opener.pem", "open");
    command
        .args(["--node", &node.address()])
        .args(more)
        .arg(target);
    let mut client = Python::start(&mut command);
    let sent = noise(9, MIB);
    let (bytes, mut input) = (sent.clone(), client.0.stdin.take().unwrap());
    // Dropped at its end: end of input, which has to reach the server.
    let writing = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let mut got = Vec::new();
    client.stdout().read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(client.0.wait().unwrap().success());
    assert_eq!(got.len(), sent.len());
    assert_eq!(sha256(&[&got]), sha256(&[&sent]));
}

#[test]
fn python_opens_a_port_that_our_program_publishes() {
    if missing() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    let spec = format!("{}=8080:public", echo_server());
    let (_publish, ready) = Device::publish(home.path(), "publish", &node.address(), &[&spec]);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    for alpn in [&[][..], &["--no-alpn"]] {
        open_echoes(home.path(), &node, &target, alpn);
    }
}

#[test]
fn two_devices_in_python_meet_with_and_without_end_to_end_encryption() {
    if missing() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    for plain in [&[][..], &["--plain"]] {
        let (_python, address) = Python::publish(home.path(), &node, plain);
        open_echoes(home.path(), &node, &format!("{address}:8080"), plain);
    }
}

#[test]
fn a_private_port_of_python_s_opens_for_a_friend_and_not_for_a_stranger() {
    if missing() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    let friend = run(&mut python(home.path(), "opener.pem", "address"));
    let (_python, address) = Python::publish(home.path(), &node, &["--allow", &friend]);
    let target = format!("{address}:8080");
    open_echoes(home.path(), &node, &target, &[]);
    let mut stranger = python(home.path(), "stranger.pem", "open");
    let output = stranger
        .args(["--node", &node.address(), &target])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("(34)"), "{said}");
}

#[test]
fn a_device_that_forgot_what_it_signed_learns_it_from_the_node() {
    if missing() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    let before = ["--step", "1073741824"];
    drop(Python::publish(home.path(), &node, &before));
    let (_python, address) = Python::publish(home.path(), &node, &[]);
    let target = format!("{address}:8080");
    open_echoes(home.path(), &node, &target, &before);
    open_echoes(home.path(), &node, &target, &[]);
}

#[test]
fn the_python_client_s_codecs_agree_with_the_vectors() {
    if missing() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command
        .arg("-B")
        .arg(root.join("tests/python/chr_client.py"));
    let said = run(command.arg("vectors").arg(root.join("docs/vectors.json")));
    assert!(said.ends_with("vectors hold"), "{said}");
}
