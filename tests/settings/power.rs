//! What follows from the battery and the heat of the device, both made up.

use super::shown;
use crate::common::network::call;
use crate::common::power::{Device, LATE};
use crate::common::tools::until;
use crate::common::*;

fn on_a_battery(percent: u8, settings: &[(&str, &str)]) -> Option<(tempfile::TempDir, Node)> {
    let home = tempfile::tempdir().unwrap();
    let device = Device::new(home.path());
    device.battery(percent, "Discharging");
    device.degrees(50);
    let node = device.node(&home.path().join("data"), settings)?;
    Some((home, node))
}

/// What the node says of the device once it has read its sensors.
fn device(node: &Node) -> serde_json::Value {
    until(LATE, "the sensors are read", || {
        let device = call(node, "node_status")["device"].clone();
        (!device["battery"].is_null()).then_some(device)
    })
}

pub fn saver() {
    let Some((_home, node)) = on_a_battery(100, &[("CHR_POWER__SAVER", "on")]) else {
        return;
    };
    until(LATE, "it saves power", || {
        (device(&node)["power_saver"] == true).then_some(())
    });
}

pub fn saver_below() {
    let Some((_home, node)) = on_a_battery(40, &[("CHR_POWER__SAVER_BELOW", "45")]) else {
        return;
    };
    until(LATE, "it saves power", || {
        (device(&node)["power_saver"] == true).then_some(())
    });
}

pub fn refuse_below() {
    let Some((_home, node)) = on_a_battery(40, &[("CHR_POWER__REFUSE_BELOW", "45")]) else {
        return;
    };
    until(LATE, "it opens no more ports", || {
        let device = device(&node);
        assert_eq!(device["power_saver"], false);
        let why = device["ports_refused"].as_str()?;
        why.contains("40 % left; below 45 %").then_some(())
    });
}

pub fn refuse_above() {
    assert!(shown(&[])
        .iter()
        .any(|row| row["key"] == "power.refuse_above"));
    let Some((_home, node)) = on_a_battery(100, &[("CHR_POWER__REFUSE_ABOVE", "45")]) else {
        return;
    };
    until(LATE, "it opens no more ports", || {
        let device = device(&node);
        let why = device["ports_refused"].as_str()?;
        why.contains("50 degrees Celsius; above 45").then_some(())
    });
}
