//! Changing settings in a running node.

use crate::common::tools::until;
use crate::common::{Node, SOON};
use crate::scene::{bearer, call, get, post, request, result, ELSEWHERE};
use serde_json::{json, Value};

fn setting(node: &Node, key: &str) -> Value {
    let all = result(node, "config_show");
    let mut all = all.as_array().unwrap().iter();
    all.find(|row| row["key"] == key).unwrap().clone()
}

fn node(settings: &[(&str, &str)]) -> (tempfile::TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), settings);
    (home, node)
}

#[test]
fn a_change_acts_at_once_is_told_and_ends_with_sighup() {
    let (_home, node) = node(&[]);
    let token = bearer(&node);
    let change = json!({
        "node.name": "porch",
        "performance.max_ports_per_session": 7,
        "security.require_tickets": false,
        "network.rpc_hosts": ["node.example"],
        "log.level": "debug",
    });
    let reply = post(&node, "/config", &[&token], &change);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["changed"].as_array().unwrap().len(), 5, "{answer}");
    assert!(answer["holds"].as_str().unwrap().contains("SIGHUP"));
    let name = &answer["changed"][0];
    assert_eq!(
        (&name["key"], &name["old"], &name["new"]),
        (&json!("node.name"), &json!(""), &json!("porch"))
    );
    assert_eq!(result(&node, "chr_node_info")["name"], "porch");
    let row = setting(&node, "performance.max_ports_per_session");
    assert_eq!(
        (&row["value"], &row["source"], &row["live"]),
        (&json!("7"), &json!("POST /config"), &json!(true))
    );
    let text = node.http("GET /ready HTTP/1.1\r\nHost: node.example\r\nConnection: close\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let log = node.program.stderr();
    assert!(
        log.contains("node.name: \"\" is now \"porch\" (POST /config)"),
        "{log}"
    );
    // The log has its new level.
    let mut device = crate::common::raw::Raw::connect(&node, &crate::common::raw::key());
    device.hello();
    until(SOON, "the log speaks of sessions", || {
        node.program.stderr().contains("says hello").then_some(())
    });
    // The same value is no change.
    let again = post(&node, "/config", &[&token], &json!({"node.name": "porch"}));
    assert_eq!(again.json()["changed"], json!([]));
    node.program.signal("-HUP");
    until(SOON, "the settings are as they were", || {
        (result(&node, "chr_node_info")["name"].is_null()).then_some(())
    });
    assert_eq!(setting(&node, "log.level")["source"], "built-in default");
}

#[test]
fn a_change_is_whole_or_not_at_all_and_says_what_is_wrong() {
    let (_home, node) = node(&[("NAME", "by-environment")]);
    let token = bearer(&node);
    for (change, word) in [
        (
            json!({"log.level": "debug", "log.levle": "x"}),
            "did you mean log.level?",
        ),
        (
            json!({"log.level": "debug", "log.format": "xml"}),
            "log.format = \"xml\" (POST /config): ",
        ),
        (
            json!({"log.level": "debug", "node.name": "x"}),
            "is set by environment variable NAME, which goes before",
        ),
        (
            json!({"log.level": "debug", "runtime.threads": 2}),
            "runtime.threads (POST /config) cannot change while the node runs",
        ),
        (
            json!({"log.level": "debug", "node.memory_limit": "64M"}),
            "restart the node",
        ),
        (json!({"log.level": null}), "log.level: a setting is a text"),
        (
            json!({"log.level": {"a": 1}}),
            "log.level: a setting is a text",
        ),
        (
            json!({"security.fleet_allowlist": [["0x0"]]}),
            "a setting is a text",
        ),
        (json!(["log.level"]), "must be an object"),
        (json!("x"), "must be an object"),
    ] {
        let reply = post(&node, "/config", &[&token], &change);
        assert_eq!(reply.status, 400, "{change}: {}", reply.body);
        assert!(reply.message().contains(word), "{change}: {}", reply.body);
        assert_eq!(
            setting(&node, "log.level")["source"],
            "built-in default",
            "{change}"
        );
    }
    let broken = request(&node, "POST /config", &[&token], "{\"log.level\":");
    assert_eq!(
        (broken.status, broken.message().contains("not JSON")),
        (400, true)
    );
    // By the method, the same.
    let wrong = call(
        &node,
        &[&token],
        "config_set",
        &json!([{"runtime.threads": 2}]),
    );
    let text = wrong["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("runtime.threads (config_set) cannot change"),
        "{text}"
    );
}

#[test]
fn reading_the_settings_is_for_this_machine_and_for_the_operator() {
    let (_home, node) = node(&[]);
    let all = get(&node, "/config", &[]).json();
    let all = all.as_array().unwrap();
    assert!(all.len() > 30);
    assert_eq!(all, result(&node, "config_show").as_array().unwrap());
    let data = all
        .iter()
        .find(|row| row["key"] == "storage.data_dir")
        .unwrap();
    assert_eq!(data["source"], "environment variable DATA_DIR");
    let refused = get(&node, "/config", &[ELSEWHERE]);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer"));
    assert_eq!(
        call(&node, &[ELSEWHERE], "config_show", &json!([]))["error"]["code"],
        -32001
    );
}
