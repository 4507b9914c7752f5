//! How findings are printed, and which checks come of settings.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::config::{Assignment, Request};
use std::path::Path;

fn findings() -> Vec<Finding> {
    let mut report = checks::Report::new("folder");
    report.warn(&"odd\nname \x1b[2J", "move it");
    let mut found = report.done();
    let mut report = checks::Report::new("clock");
    report.fact(&"12:00");
    found.extend(report.done());
    found
}

#[test]
fn a_finding_is_one_line_whatever_a_file_is_called() {
    let text = lines(&findings(), Instant::now());
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 3, "{text}");
    assert!(
        all[0].starts_with("warning  folder      odd\u{fffd}name"),
        "{text}"
    );
    assert!(
        all[0].ends_with(" -> move it") && !text.contains('\x1b'),
        "{text}"
    );
    assert_eq!(all[1], "ok       clock       12:00");
    assert!(
        all[2].starts_with("1 ok, 1 warning, 0 failures, in "),
        "{text}"
    );
}

#[test]
fn a_script_gets_an_object_a_line_and_a_last_one_that_counts() {
    let text = lines_of_json(&findings(), Instant::now());
    let all: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 3);
    assert_eq!(
        (all[0]["name"].as_str(), all[0]["state"].as_str()),
        (Some("folder"), Some("warning"))
    );
    assert_eq!(
        (all[0]["remedy"].as_str(), all[1]["remedy"].is_null()),
        (Some("move it"), true)
    );
    assert_eq!(
        (all[2]["summary"].as_bool(), all[2]["warnings"].as_u64()),
        (Some(true), Some(1))
    );
}

#[test]
fn a_mistake_in_the_environment_is_a_finding_and_one_on_the_command_line_is_usage() {
    let bad = || [("RPC_PORT".into(), "x".into())];
    let planned = plan::read(&crate::cli::args::SettingsArgs::default(), bad())
        .ok()
        .unwrap();
    assert_eq!(planned.findings[0].state, State::Failure);
    assert!(
        planned.findings[0].found.contains("RPC_PORT"),
        "{:?}",
        planned.findings
    );
    let wrong = crate::cli::args::SettingsArgs {
        assignments: vec![Assignment {
            key: "network.rpc_port".into(),
            value: "x".into(),
            option: "--set",
        }],
        file: None,
    };
    let failure = plan::read(&wrong, []).err().unwrap();
    assert_eq!(failure.exit_code(), 2);
}

#[test]
fn a_store_of_its_own_is_looked_at_where_it_is() {
    let folders = |line: &[(&str, &str)]| {
        let line: Vec<_> = line
            .iter()
            .map(|(key, value)| Assignment {
                key: (*key).into(),
                value: (*value).into(),
                option: "--set",
            })
            .collect();
        plan::folders(&Request::new(&line, None, []).load().unwrap().settings)
    };
    let one = folders(&[("storage.data_dir", "/a")]);
    assert!(one.len() == 1 && one[0].store && one[0].key);
    let two = folders(&[("storage.data_dir", "/a"), ("storage.store_dir", "/b")]);
    assert!(two.len() == 2 && !two[0].store && !two[1].key);
    assert_eq!(two[1].path, Path::new("/b"));
}

#[test]
fn the_system_s_own_words_are_not_taken_for_a_remedy() {
    let error = |kind: std::io::ErrorKind| KeyFileError::Io {
        doing: "open identity file",
        path: "/a: b/node.key".into(),
        source: kind.into(),
    };
    let (found, remedy) = of_key(&error(std::io::ErrorKind::PermissionDenied));
    assert!(
        found.ends_with("permission denied") && remedy.starts_with("run this as the owner"),
        "{found} {remedy}"
    );
    let (found, remedy) = of_key(&error(std::io::ErrorKind::BrokenPipe));
    assert!(
        found.ends_with("broken pipe") && remedy.contains("dmesg"),
        "{found} {remedy}"
    );
    let odd = StoreError::from_io(Path::new("/a"), &std::io::Error::from_raw_os_error(5));
    assert!(of_store(&odd).1.contains("dmesg"));
}
