//! A device whose battery empties or that gets too hot: what its node does, and
//! what devices and people are told. The sensors are files mounted over the
//! machine's.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::network::call;
use common::power::{Device as Sensors, LATE};
use common::programs::refusal;
use common::servers::assert_echo;
use common::tools::until;
use common::*;
use serde_json::Value;

fn health(node: &Node) -> Value {
    let answer = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// Waits until the performance layer gives this reason, with a remedy.
fn named(node: &Node, reason: &str) {
    until(LATE, reason, || {
        let layer = health(node)["layers"][3].clone();
        let told = layer["reason"].as_str().unwrap_or_default();
        (told.contains(reason) && layer["remedy"].is_string()).then_some(())
    });
}

#[test]
fn a_battery_that_empties_ends_no_port_but_opens_no_more_until_it_is_fed() {
    let home = tempfile::tempdir().unwrap();
    let sensors = Sensors::new(home.path());
    sensors.battery(60, "Discharging");
    let data = home.path().join("data");
    let Some(node) = sensors.node(&data, &[("CHR_NETWORK__SERVE", "yes")]) else {
        return;
    };
    let (home, at) = (home.path(), node.address());
    let spec = format!("{}=8080:public", echo_server());
    let (publisher, ready) = Device::publish(home, "p", &at, &[&spec]);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(home, "f", &at, "127.0.0.1:0", &target, &[]);
    // This one stays open over all of it.
    let mut open = std::net::TcpStream::connect(listen).unwrap();
    let mut say = |word: &[u8]| {
        use std::io::{Read, Write};
        open.set_read_timeout(Some(SOON)).unwrap();
        open.write_all(word).unwrap();
        let mut back = vec![0; word.len()];
        open.read_exact(&mut back).unwrap();
        assert_eq!(back, word);
    };
    say(b"before");

    sensors.battery(8, "Discharging");
    named(&node, "opens no more ports");
    let device = call(&node, "node_status")["device"].clone();
    assert_eq!(device["power_saver"], true, "{device}");
    assert_eq!(device["battery"]["percent"], 8);
    // Both devices hear of it, before they ask for anything.
    for device in [&publisher, &forwarder] {
        let told = device.expect("closed");
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.contains("8 % left; below 10 %"), "{told}");
        assert_eq!(told["node"], node.id(), "{told}");
        assert_eq!(told["retry_ms"], 300_000, "{told}");
        assert!(told["instead"].is_null(), "{told}");
    }
    let reason = refusal(&forwarder, listen);
    assert!(reason.contains("8 % left; below 10 %"), "{reason}");
    say(b"meanwhile");

    sensors.battery(9, "Charging");
    until(LATE, "ports are opened again", || {
        let device = call(&node, "node_status")["device"].clone();
        (device["ports_refused"].is_null() && device["power_saver"] == false).then_some(())
    });
    for device in [&publisher, &forwarder] {
        assert_eq!(device.expect("opens")["node"], node.id());
    }
    say(b"after");
    assert_echo(listen, b"and a new one");
}

#[test]
fn a_device_that_is_too_hot_opens_no_more_ports_until_it_has_cooled_down() {
    let home = tempfile::tempdir().unwrap();
    let sensors = Sensors::new(home.path());
    sensors.degrees(84);
    let data = home.path().join("data");
    let Some(node) = sensors.node(&data, &[("CHR_POWER__REFUSE_ABOVE", "80")]) else {
        return;
    };
    let (home, at) = (home.path(), node.address());
    named(&node, "84 degrees Celsius; above 80");
    let spec = format!("{}=8080:public", echo_server());
    let args = ["publish", &spec, "--node", &at];
    let publisher = Device::start(home, "p", &args);
    // A device that comes meanwhile is told at once.
    let told = publisher.expect("closed");
    assert!(told["reason"].as_str().unwrap().contains("84 degrees"));
    let ready = publisher.expect("ready");
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let (forwarder, listen) = Device::forward(home, "f", &at, "127.0.0.1:0", &target, &[]);
    let reason = refusal(&forwarder, listen);
    assert!(reason.contains("84 degrees"), "{reason}");
    sensors.degrees(60);
    until(LATE, "ports are opened again", || {
        call(&node, "node_status")["device"]["ports_refused"]
            .is_null()
            .then_some(())
    });
    assert_echo(listen, b"cool");
}

#[test]
fn a_port_that_one_node_is_too_weak_for_goes_through_the_other() {
    let home = tempfile::tempdir().unwrap();
    let sensors = Sensors::new(home.path());
    sensors.battery(60, "Discharging");
    let Some(weak) = sensors.node(&home.path().join("weak"), &[]) else {
        return;
    };
    let strong = Node::start(&home.path().join("strong"));
    let (home, first, second) = (home.path(), weak.address(), strong.address());
    let spec = format!("{}=8080:public", echo_server());
    let (_publisher, ready) = Device::publish(home, "p", &first, &[&spec, "--node", &second]);
    let target = format!("{}:8080", ready["device"].as_str().unwrap());
    let more = ["--node", second.as_str()];
    let (forwarder, listen) = Device::forward(home, "f", &first, "127.0.0.1:0", &target, &more);
    assert_echo(listen, b"before");
    until(SOON, "both have a session with the other node", || {
        (call(&strong, "chr_node_info")["devices"] == 2).then_some(())
    });

    sensors.battery(8, "Discharging");
    named(&weak, "opens no more ports");
    let told = forwarder.expect("closed");
    assert_eq!(told["node"], weak.id());
    assert_eq!(told["instead"], strong.id());
    assert_echo(listen, b"and now");
    let metrics =
        weak.http("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let asked = "chr_ports_failed_total{reason=\"turned_away\"} 0";
    assert!(metrics.contains(asked), "the weak node was asked");
}

#[test]
fn a_phone_s_battery_is_known_by_its_tool_which_is_asked_rarely() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("usr/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let tool = bin.join("termux-battery-status");
    let asked = home.path().join("asked");
    let script = format!(
        "#!/bin/sh\necho once >> {}\necho '{{\"percentage\": 14, \"plugged\": \"UNPLUGGED\", \"status\": \"DISCHARGING\"}}'\n",
        asked.display()
    );
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    // No sensor of this machine is seen.
    let sensors = Sensors::new(home.path());
    let usr = home.path().join("usr");
    let settings = [
        ("TERMUX_VERSION", "0.118"),
        ("PREFIX", usr.to_str().unwrap()),
    ];
    let Some(node) = sensors.node(&home.path().join("data"), &settings) else {
        return;
    };
    // The profile of phones refuses below 15 percent.
    named(&node, "14 % left; below 15 %");
    let device = call(&node, "node_status")["device"].clone();
    assert_eq!(device["battery"]["percent"], 14, "{device}");
    for _ in 0..20 {
        call(&node, "node_status");
    }
    assert_eq!(std::fs::read_to_string(&asked).unwrap(), "once\n");
}

#[test]
fn a_device_s_program_saves_power_on_its_own_battery_and_takes_no_other_word_for_it() {
    use std::process::Stdio;
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(&home.path().join("node"));
    let sensors = Sensors::new(home.path());
    sensors.battery(12, "Discharging");
    let key = home.path().join("p.key");
    let words = [
        "publish",
        "80:public",
        "--node",
        &node.address(),
        "-v",
        "--identity",
        key.to_str().unwrap(),
    ];
    let Some(mut command) = sensors.program(&words) else {
        return;
    };
    let program = Program::start(command.stdout(Stdio::null()));
    until(SOON, "it says that it saves power", || {
        program
            .stderr()
            .contains("power is being saved")
            .then_some(())
    });
    let mut wrong = chr_node();
    wrong.args(words).env("CHR_POWER__SAVER", "perhaps");
    common::tools::run(&mut wrong, SOON)
        .assert_one_line(2, &["CHR_POWER__SAVER", "auto, on or off"]);
}
