//! The node's document about itself, and its answers held against it.

use crate::common::tools::find_or_skip;
use crate::common::Node;
use crate::scene::{call, get, result, Scene, ELSEWHERE};
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Methods that must be there: scripts rely on them.
const CONTRACT: [&str; 10] = [
    "chr_node_info",
    "peer_list",
    "network_stats",
    "reward_status",
    "fleet_status",
    "session_list",
    "ticket_list",
    "config_show",
    "config_set",
    "rpc_discover",
];

/// Parameters with which methods are asked that need some.
fn params(method: &str) -> Value {
    match method {
        "stats_history" => json!(["hour"]),
        _ => json!([]),
    }
}

/// Python with the validator, or the word that the test is skipped.
fn validator() -> Option<Command> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_rpc.py");
    let system = Path::new("/usr/bin/python3");
    let found = find_or_skip("python3")?;
    let has = |python: &Path| {
        let mut command = Command::new(python);
        let output = command.args(["-c", "import jsonschema"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let python = [found.as_path(), system].into_iter().find(|p| has(p));
    let Some(python) = python else {
        println!("skipped: python3-jsonschema missing");
        return None;
    };
    let mut command = Command::new(python);
    command.arg("-B").arg(script);
    Some(command)
}

/// Has Python compare answers with the schemas of the document.
fn validate(mut python: Command, document: &Value, answers: &[(String, Value)]) {
    let mut child = python
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = json!({ "document": document, "answers": answers }).to_string();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    assert!(
        said.contains(&format!("{} answers", answers.len())),
        "{said}"
    );
}

/// What every method answers, but for those that change something and those that need a
/// chain where there is none.
fn answers(node: &Node, headers: &[&str], document: &Value) -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    for method in document["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        let tags = method["tags"].to_string();
        if tags.contains("writes") {
            continue;
        }
        let answer = call(node, headers, name, &params(name));
        if answer["error"].is_null() {
            answers.push((name.to_owned(), answer["result"].clone()));
        } else {
            let code = &answer["error"]["code"];
            let needs_chain = tags.contains("asynchronous") && *code == -32000;
            let for_operator = !headers.is_empty() && *code == -32001;
            let needs_more = *code == -32602 && method["params"][0]["required"] == true;
            assert!(
                needs_chain || for_operator || needs_more,
                "{name}: {answer}"
            );
        }
    }
    answers
}

#[test]
fn every_answer_of_a_busy_node_is_as_its_document_says() {
    let Some(python) = validator() else { return };
    let scene = Scene::new();
    let document = result(&scene.node, "rpc_discover");
    let full = answers(&scene.node, &[], &document);
    let told: BTreeSet<&str> = full.iter().map(|(name, _)| name.as_str()).collect();
    for name in CONTRACT {
        assert!(told.contains(name) || name == "config_set", "{name}");
    }
    // Not only empty lists were compared.
    for (name, value) in &full {
        if ["session_list", "peer_list", "config_show"].contains(&name.as_str()) {
            assert!(!value.as_array().unwrap().is_empty(), "{name}: {value}");
        }
    }
    let shortened = answers(&scene.node, &[ELSEWHERE], &document);
    assert_eq!(
        shortened.len() + 1,
        full.len(),
        "config_show alone is the operator's"
    );
    validate(python, &document, &[full, shortened].concat());
}

#[test]
fn the_document_is_an_openrpc_document() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let document = result(&node, "rpc_discover");
    assert_eq!(result(&node, "rpc.discover"), document);
    let version = document["openrpc"].as_str().unwrap();
    assert!(version.starts_with("1.") && version.split('.').count() == 3);
    for name in ["title", "version"] {
        assert!(document["info"][name].is_string());
    }
    let allowed = ["openrpc", "info", "methods"];
    let members = document.as_object().unwrap().keys();
    assert!(members.clone().all(|name| allowed.contains(&name.as_str())));
    let mut names = BTreeSet::new();
    for method in document["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(!method["summary"].as_str().unwrap().is_empty());
        assert_eq!(method["paramStructure"], "either");
        let mut optional = false;
        for param in method["params"].as_array().unwrap() {
            assert!(
                param["name"].is_string() && !param["schema"].is_null(),
                "{name}"
            );
            let required = param["required"].as_bool().unwrap();
            assert!(
                !(optional && required),
                "{name}: a required one after an optional one"
            );
            optional |= !required;
        }
        assert!(method["result"]["name"].is_string() && !method["result"]["schema"].is_null());
        for tag in method["tags"].as_array().unwrap() {
            assert!(tag["name"].is_string());
        }
    }
    for name in CONTRACT {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn parameters_are_taken_by_place_and_by_name_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let token = crate::scene::bearer(&node);
    let set = |params: Value| call(&node, &[token.as_str()], "config_set", &params);
    let name = |name: &str| json!({ "node.name": name });
    assert!(set(json!([name("one")]))["error"].is_null());
    assert!(set(json!({ "settings": name("two") }))["error"].is_null());
    assert_eq!(result(&node, "chr_node_info")["name"], "two");
    for (params, word) in [
        (json!([]), "settings of config_set is missing"),
        (json!([null]), "settings of config_set is missing"),
        (json!({}), "settings of config_set is missing"),
        (json!([1]), "settings of config_set is not an object"),
        (
            json!([{ "log.level": null }]),
            "settings of config_set is not",
        ),
        (json!([{}, {}]), "at most 1 parameters: settings"),
        (
            json!({ "setting": {} }),
            "no parameter \"setting\"; it has settings",
        ),
    ] {
        let answer = set(params.clone());
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(text.contains(word), "{params}: {text}");
    }
    let wrong = set(json!([1]));
    assert_eq!(wrong["error"]["data"]["parameter"], "settings");
    assert!(wrong["error"]["data"]["allowed"].is_string());
    // Depth costs no stack, and values are bounded.
    let deep = format!("[{}{}]", "[".repeat(200_000), "]".repeat(200_000));
    let long = format!("[{{\"node.name\":\"{}\"}}]", "x".repeat(200_000));
    for (params, word) in [
        (&deep, "longer than"),
        (&long, "longer than"),
        (&"[".repeat(300), ""),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"config_set","params":{params},"id":1}}"#);
        let reply = crate::scene::request(&node, "POST /rpc", &[token.as_str()], &body);
        assert!(reply.message().contains(word), "{}", reply.body);
    }
    let deep = format!("[{}{}]", "[".repeat(500), "]".repeat(500));
    let body = format!(r#"{{"jsonrpc":"2.0","method":"config_set","params":{deep},"id":1}}"#);
    let reply = crate::scene::request(&node, "POST /rpc", &[token.as_str()], &body);
    assert!(
        reply.message().contains("recursion limit"),
        "{}",
        reply.body
    );
    assert_eq!(get(&node, "/ready", &[]).status, 200);
}
