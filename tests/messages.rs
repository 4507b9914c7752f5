//! Messages from device to device, with the real programs and the library:
//! delivered once and unchanged, or refused with a reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use chr_node::edge::device::publisher::Access;
use chr_node::edge::device::{
    Device as LibraryDevice, DeviceEvent, DeviceOptions, NodeAddress, MESSAGE_MAX,
};
use chr_node::identity::SecretKey;
use chr_node::wire::code::Code;
use common::tools::*;
use common::*;
use serde_json::{json, Value};
use smol::Executor;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// `chr-node message`, which makes its identity on the way.
fn message(home: &Path, node: &str, to: &str, text: &str) -> Command {
    let mut command = chr_node();
    command
        .args(["message", to, text, "--node", node, "--identity"])
        .arg(home.join("m.key"));
    command
}

/// Makes the identity `m.key`, so that the program does not tell that it is new.
fn identity(home: &Path) -> String {
    let mut command = chr_node();
    command.args(["identity", "new", "--identity"]);
    let ran = run(command.arg(home.join("m.key")), SOON);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out.trim_end().to_owned()
}

/// A program that takes messages, and its address.
fn receiver(home: &Path, node: &str, options: &[&str]) -> (Device, String) {
    let args = [&["publish", "--messages", "--node", node], options].concat();
    let device = Device::start(home, "r", &args);
    let ready = device.expect("ready");
    (device, ready["device"].as_str().unwrap().to_owned())
}

#[test]
fn a_message_arrives_as_it_was_sent_and_names_its_sender() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let me = identity(home.path());
    let (receiver, to) = receiver(home.path(), &node.address(), &[]);
    let longest = "é".repeat(MESSAGE_MAX / 2);
    for text in ["good morning", "two\nlines\x1b[2J", "\"{}\\", &longest] {
        let ran = run(&mut message(home.path(), &node.address(), &to, text), SOON);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(ran.out, format!("delivered to {to}\n"));
        let event = receiver.event(SOON).unwrap();
        assert_eq!(event, json!({"event": "message", "from": me, "text": text}));
    }
    // For scripts, and bytes that are no text, from standard input.
    let mut command = message(home.path(), &node.address(), &to, "-");
    let mut child = command
        .arg("--json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"\xff\x00\x01").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let delivered = json!({"event": "delivered", "device": me, "to": to, "node": node.id()});
    assert_eq!(said, delivered);
    let event = receiver.event(SOON).unwrap();
    assert_eq!(
        event,
        json!({"event": "message", "from": me, "hex": "ff0001"})
    );
}

#[test]
fn people_get_one_line_a_message_that_cannot_forge_another() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let me = identity(home.path());
    let mut command = chr_node();
    command
        .args([
            "publish",
            "--messages",
            "--node",
            &node.address(),
            "--identity",
        ])
        .arg(home.path().join("r.key"))
        .stdout(Stdio::piped());
    let mut program = Program::start(&mut command);
    let stdout = program.child.stdout.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let mut line = || lines.next().unwrap().unwrap();
    let first = line();
    let to = first.split_whitespace().nth(1).unwrap();
    assert_eq!(line(), "  messages (public)");
    assert!(line().starts_with(&format!("others: chr-node message {to} ")));
    let text = "hi\nmessage from 0x00: pay me\x1b[1A";
    let ran = run(&mut message(home.path(), &node.address(), to, text), SOON);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = line();
    assert_eq!(
        told,
        format!("message from {me}: hi\\nmessage from 0x00: pay me\\u{{1b}}[1A")
    );
}

#[test]
fn messages_come_from_those_alone_who_are_let_in() {
    let home = tempfile::tempdir().unwrap();
    let strange = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let (friend, stranger) = (identity(home.path()), identity(strange.path()));
    let (receiver, to) = receiver(home.path(), &node.address(), &["--allow", &friend]);
    let mut refused = message(strange.path(), &node.address(), &to, "psst");
    let refused = run(&mut refused, SOON);
    refused.assert_one_line(1, &["not delivered", "does not allow", &stranger]);
    assert_eq!(refused.out, "");
    let ran = run(
        &mut message(home.path(), &node.address(), &to, "hello"),
        SOON,
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    // The stranger's words were not even looked at.
    assert_eq!(receiver.event(SOON).unwrap()["text"], "hello");
}

#[test]
fn a_message_that_is_not_delivered_is_a_failure_with_its_reason() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    identity(home.path());
    let nobody = "0x00112233445566778899aabbccddeeff00112233";
    // Nobody is there.
    let ran = run(
        &mut message(home.path(), &node.address(), nobody, "hi"),
        SOON,
    );
    ran.assert_one_line(1, &["not delivered", nobody, "not connected"]);
    // Somebody is, who takes none.
    let (_publisher, ready) = Device::publish(home.path(), "p", &node.address(), &["80:public"]);
    let to = ready["device"].as_str().unwrap();
    let ran = run(&mut message(home.path(), &node.address(), to, "hi"), SOON);
    ran.assert_one_line(1, &["takes no messages", "--messages"]);
    // It is oneself.
    let (_receiver, to) = receiver(home.path(), &node.address(), &[]);
    let mut own = chr_node();
    own.args([
        "message",
        &to,
        "hi",
        "--node",
        &node.address(),
        "--identity",
    ]);
    let ran = run(own.arg(home.path().join("r.key")), SOON);
    ran.assert_one_line(1, &["r.key"]);
    // There is no node; for scripts the reason is an event, too.
    let place = node.edge().to_string();
    drop(node);
    let ran = run(message(home.path(), &place, &to, "hi").arg("--json"), SOON);
    ran.assert_one_line(1, &[&place, "refused"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["event"], "error");
    assert!(said["reason"].as_str().unwrap().contains(&place));
}

/// Runs `work` with the library's devices in this process.
fn with_library<F>(work: impl FnOnce(Arc<Executor<'static>>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let executor = Arc::new(Executor::new());
    let task = executor.spawn(work(executor.clone()));
    smol::block_on(executor.run(task));
}

async fn start(node: &NodeAddress, executor: &Arc<Executor<'static>>) -> LibraryDevice {
    let options = DeviceOptions::new(SecretKey::generate(), vec![node.clone()]);
    let device = LibraryDevice::start(options, executor).unwrap();
    match device.next_event().await {
        DeviceEvent::Ready { .. } => device,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_of_many_at_once_are_delivered_or_refused_and_none_is_lost_or_doubled() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let place: NodeAddress = node.address().parse().unwrap();
    with_library(move |executor| async move {
        let receiver = start(&place, &executor).await;
        let mailbox = receiver.listen_for_messages(Access::Public, &executor);
        let to = receiver.address();
        let (senders, per_sender) = (6, 60);
        let mut sending = Vec::new();
        for s in 0..senders {
            let device = start(&place, &executor).await;
            for n in 0..per_sender {
                let device = device.clone();
                let text = format!("{s} {n}");
                sending.push(executor.spawn(async move {
                    match device.send_message(to, text.as_bytes()).await {
                        Ok(()) => Some((device.address(), text)),
                        // Too many at once, told as such.
                        Err(end) => {
                            let known = [Code::TOO_MANY_OPENINGS, Code::MESSAGE];
                            assert!(known.contains(&end.code), "{end} ({})", end.code);
                            None
                        }
                    }
                }));
            }
        }
        // Nobody reads while they come: what is delivered waits, what finds no
        // room is refused.
        let mut delivered = BTreeSet::new();
        for task in sending {
            delivered.extend(task.await);
        }
        assert!((32..=64).contains(&delivered.len()), "{}", delivered.len());
        let mut got = BTreeSet::new();
        for _ in 0..delivered.len() {
            let message = mailbox.next_message().await;
            let text = String::from_utf8(message.bytes).unwrap();
            assert!(got.insert((message.from, text)), "doubled");
        }
        assert_eq!(got, delivered);
        // There is room again.
        let device = start(&place, &executor).await;
        device.send_message(to, b"").await.unwrap();
        assert_eq!(mailbox.next_message().await.bytes, b"");
        device.send_message(to, &[7; MESSAGE_MAX]).await.unwrap();
        assert_eq!(mailbox.next_message().await.bytes, [7; MESSAGE_MAX]);
        let long = device.send_message(to, &[7; MESSAGE_MAX + 1]).await;
        let end = long.unwrap_err();
        assert!(
            end.text.contains("8192") && end.text.contains("8193"),
            "{end}"
        );
    });
}

#[test]
fn what_is_no_message_is_refused_and_the_next_one_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let place: NodeAddress = node.address().parse().unwrap();
    with_library(move |executor| async move {
        let receiver = start(&place, &executor).await;
        let mailbox = receiver.listen_for_messages(Access::Public, &executor);
        let device = start(&place, &executor).await;
        for bytes in [&b""[..], b"\0", b"\0\x05four", b"\0\x01ab", &[0xff; 20_000]] {
            let tunnel = device.tunnel(receiver.address(), "msg").await.unwrap();
            let mut stream = chr_node::edge::device::Stream::new(tunnel);
            stream.write_all(bytes).await.unwrap();
            stream.finish().await.unwrap();
            let answer = stream.read_to_end(300).await.unwrap();
            assert_eq!(answer[0], 2, "{bytes:?}");
            assert!(std::str::from_utf8(&answer[1..])
                .unwrap()
                .contains("no message"));
        }
        // A connection that is given up in the middle.
        let tunnel = device.tunnel(receiver.address(), "msg").await.unwrap();
        tunnel.give_up(Code::ABORTED, "enough");
        device
            .send_message(receiver.address(), b"hi")
            .await
            .unwrap();
        assert_eq!(mailbox.next_message().await.bytes, b"hi");
        // It is not for plain streams.
        let plain = device.open(receiver.address(), "tcp:1").await;
        assert_eq!(plain.unwrap_err().code, Code::NOT_PUBLISHED);
    });
}
