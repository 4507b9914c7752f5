//! Who may open a port, and whom a node serves: those who may get through, the
//! others read why not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::programs::*;
use common::servers::*;
use common::tools::*;
use common::*;
use std::fs;

const FLEET: &str = "0x00000000000000000000000000000000000000fe";

#[test]
fn a_private_port_opens_for_the_listed_and_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let home = home.path();
    let (_, friend) = identity(home, "friend.key");
    let spec = format!("{}=8080:private", echo_server());
    let at = node.address();
    let publisher = Device::start(
        home,
        "p",
        &["publish", &spec, "--node", &at, "--allow", &friend],
    );
    let ready = publisher.expect("ready");
    assert_eq!(ready["ports"][0]["mode"], "private");
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let reason = refused_at(home, &node, &target, &[]);
    assert!(reason.contains("does not allow"), "{reason}");
    let (_friend, listen) = Device::forward(home, "friend", &at, "127.0.0.1:0", &target, &[]);
    assert_echo(listen, b"hello friend");
}

/// `listed` devices besides the one that is a member.
fn protected(listed: usize) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let home = home.path();
    let (_, member) = identity(home, "member.key");
    let mut list = String::from("# the fleet\n");
    for n in 0..listed {
        list.push_str(&format!("0x{:040x}\n", n + 1));
    }
    list.push_str(&member);
    let file = home.join("fleet.txt");
    fs::write(&file, list).unwrap();
    let spec = format!("{}=8080:protected", echo_server());
    let at = node.address();
    let publisher = Device::start(
        home,
        "p",
        &[
            "publish",
            &spec,
            "--node",
            &at,
            "--fleet-devices",
            file.to_str().unwrap(),
        ],
    );
    let ready = publisher.expect("ready");
    assert_eq!(ready["ports"][0]["mode"], "protected");
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let reason = refused_at(home, &node, &target, &[]);
    assert!(reason.contains("does not allow"), "{reason}");
    let (_member, listen) = Device::forward(home, "member", &at, "127.0.0.1:0", &target, &[]);
    assert_echo(listen, b"hello member");
}

#[test]
fn a_protected_port_opens_for_the_fleet_and_nobody_else() {
    protected(3);
}

#[test]
fn a_fleet_too_long_for_the_node_is_judged_by_the_publishing_device() {
    protected(2_000);
}

#[test]
fn plain_and_end_to_end_do_not_meet_and_both_are_told_which_option() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let home = home.path();
    let at = node.address();
    let spec = format!("{}=8080:public", echo_server());
    let publisher = Device::start(home, "p", &["publish", &spec, "--node", &at]);
    let ready = publisher.expect("ready");
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let reason = refused_at(home, &node, &target, &["--plain"]);
    assert!(reason.contains("leave out --plain here"), "{reason}");
    drop(publisher);
    let publisher = Device::start(home, "p", &["publish", &spec, "--node", &at, "--plain"]);
    let ready = publisher.expect("ready");
    assert_eq!(ready["ports"][0]["name"], "tcp:8080");
    let reason = refused_at(home, &node, &target, &[]);
    assert!(reason.contains("use --plain here too"), "{reason}");
}

#[test]
fn a_fleet_that_the_node_does_not_serve_is_an_error_that_names_the_option() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("CHR_SECURITY__FLEET_ALLOWLIST", FLEET)]);
    let at = node.address();
    let options = ["--node", at.as_str()];
    let ran = run(&mut publish(home.path(), "p", "80:public", &options), SOON);
    ran.assert_one_line(1, &["is not served by this node", "--fleet"]);
    let device = Device::start(
        home.path(),
        "p",
        &["publish", "80:public", "--node", &at, "--fleet", FLEET],
    );
    device.expect("ready");
}

#[test]
fn a_stranger_who_claims_a_fleet_is_not_served() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (_, member) = identity(home, "member.key");
    let rule = format!("{FLEET}/{member}");
    let node = Node::start_with(home, &[("CHR_SECURITY__FLEET_ALLOWLIST", &rule)]);
    let at = node.address();
    let options = ["--node", at.as_str(), "--fleet", FLEET];
    let ran = run(&mut publish(home, "stranger", "80:public", &options), SOON);
    ran.assert_one_line(1, &["does not belong to fleet", FLEET]);
    let args = [&["publish", "80:public"][..], &options].concat();
    Device::start(home, "member", &args).expect("ready");
}
