//! The operator's token.

use crate::common::tools::{find_or_skip, until};
use crate::common::{chr_node, Node, SOON};
use crate::scene::{bearer, call, get, post, request, result, ELSEWHERE};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn name() -> serde_json::Value {
    json!({"node.name": "changed"})
}

#[test]
fn writing_needs_the_token_on_this_machine_too() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let path = node.data.join("operator.token");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let token = bearer(&node);
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    for (headers, status, word) in [
        (vec![], 401, "needs the operator's token"),
        (vec![wrong.as_str()], 401, "not the operator's token"),
        (vec!["Authorization: Basic Zm9v"], 401, "not as it must be"),
        (vec!["Authorization: Bearer 123"], 401, "not as it must be"),
        (vec![ELSEWHERE], 403, "only over HTTPS"),
        (vec![ELSEWHERE, token.as_str()], 403, "in the clear"),
    ] {
        let reply = post(&node, "/config", &headers, &name());
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.body);
        assert!(
            reply.message().contains(word),
            "{headers:?}: {}",
            reply.body
        );
        assert_eq!(reply.header("WWW-Authenticate").is_some(), status == 401);
    }
    let answer = call(&node, &[], "config_set", &json!([name()]));
    assert_eq!(answer["error"]["code"], -32001);
    // A notification needs it as well, and says nothing.
    let quiet = json!({"jsonrpc": "2.0", "method": "config_set", "params": [name()]});
    assert_eq!(post(&node, "/rpc", &[], &quiet).status, 204);
    assert!(result(&node, "chr_node_info")["name"].is_null());
    assert_eq!(post(&node, "/rpc", &[&token], &quiet).status, 204);
    assert_eq!(result(&node, "chr_node_info")["name"], "changed");
    // A web page of a stranger cannot send this type without asking first.
    let text = format!(
        "POST /config HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nConnection: close\r\n{token}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    assert!(node.http(&text).starts_with("HTTP/1.1 415"));
}

#[test]
fn a_token_is_kept_over_restarts_and_a_new_one_counts_from_sighup_on() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path());
    let first = bearer(&node);
    node.program.signal("-TERM");
    node.program.wait(SOON);
    let node = Node::start(home.path());
    assert_eq!(bearer(&node), first);
    std::fs::write(node.data.join("operator.token"), "ab".repeat(32)).unwrap();
    assert_eq!(post(&node, "/config", &[&first], &name()).status, 200);
    node.program.signal("-HUP");
    until(SOON, "the new token counts", || {
        (post(&node, "/config", &[&bearer(&node)], &name()).status == 200).then_some(())
    });
    assert_eq!(post(&node, "/config", &[&first], &name()).status, 401);
}

#[test]
fn a_damaged_token_is_told_and_reading_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("operator.token");
    std::fs::write(&path, "damaged").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = Node::start(home.path());
    let log = node.program.stderr();
    assert!(log.contains("operator.token is damaged"), "{log}");
    let health = get(&node, "/health", &[]);
    assert_eq!(health.status, 200);
    assert!(
        health.body.contains("operator.token is damaged"),
        "{}",
        health.body
    );
    assert_eq!(health.json()["status"], "degraded");
    let shown = format!("Authorization: Bearer {}", "0".repeat(64));
    let refused = post(&node, "/config", &[&shown], &name());
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains("is damaged"), "{}", refused.body);
    assert!(result(&node, "chr_node_info")["node_id"].is_string());
    // Mended while it runs.
    std::fs::remove_file(&path).unwrap();
    node.program.signal("-HUP");
    until(SOON, "health is well again", || {
        let health = get(&node, "/health", &[]).body;
        (!health.contains("operator.token")).then_some(())
    });
    assert_eq!(
        post(&node, "/config", &[&bearer(&node)], &name()).status,
        200
    );
}

#[test]
fn who_tries_tokens_has_to_wait() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let wrong = |n: u32| format!("Authorization: Bearer {n:064x}");
    let mut refused = 0;
    for n in 0..20 {
        let reply = get(&node, "/ready", &[&wrong(n)]);
        if reply.status == 429 {
            refused += 1;
            let pause: u32 = reply.header("Retry-After").unwrap().parse().unwrap();
            assert!((1..=60).contains(&pause));
            assert!(reply.message().contains("too many wrong tokens"));
        } else {
            assert_eq!(reply.status, 401);
        }
    }
    assert!(refused >= 8, "{refused}");
    // Reading without a token goes on, and the log says it once.
    assert_eq!(get(&node, "/ready", &[]).status, 200);
    let log = node.program.stderr();
    assert_eq!(
        log.matches("a wrong token from 127.0.0.1").count(),
        1,
        "{log}"
    );
    // Also for who has found it meanwhile.
    assert_eq!(get(&node, "/ready", &[&bearer(&node)]).status, 429);
}

#[test]
fn a_node_that_keeps_nothing_has_no_token() {
    let home = tempfile::tempdir().unwrap();
    let mut command = chr_node();
    command.args(["run", "--ephemeral", "--set", "log.level=info"]);
    command
        .env("DATA_DIR", home.path())
        .env("EDGE2_PORT", "0")
        .env("PEER2_PORT", "0")
        .env("RPCS_PORT", "off")
        .env("CHR_NETWORK__BIND", "127.0.0.1");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = port.local_addr().unwrap();
    drop(port);
    command.env("RPC_PORT", place.port().to_string());
    let program = crate::common::Program::start(&mut command);
    until(SOON, "it serves", || {
        std::net::TcpStream::connect(place).ok()
    });
    let node = Node {
        program,
        data: home.path().to_owned(),
        run: json!({"rpc": place.to_string()}),
    };
    let shown = format!("Authorization: Bearer {}", "0".repeat(64));
    let refused = request(&node, "POST /config", &[&shown], "{}");
    assert_eq!(refused.status, 403);
    assert!(
        refused.message().contains("keeps nothing"),
        "{}",
        refused.body
    );
    assert!(!home.path().join("operator.token").exists());
    let health = get(&node, "/health", &[]);
    assert!(!health.body.contains("token"), "{}", health.body);
}

#[test]
fn from_elsewhere_the_token_counts_over_https() {
    let Some(curl) = find_or_skip("curl") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("RPCS_PORT", "0")]);
    let place = node.run["rpcs"].as_str().unwrap();
    let ask = |path: &str, headers: &[&str], body: Option<&str>| {
        let mut command = Command::new(&curl);
        command.args(["-sk", "-m", "20", "-w", "\n%{http_code}"]);
        for header in headers {
            command.args(["-H", header]);
        }
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "-d", body]);
        }
        let output = command.arg(format!("https://{place}{path}")).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let token = bearer(&node);
    let change = name().to_string();
    let stranger = ask("/config", &[ELSEWHERE], Some(&change));
    assert!(stranger.ends_with("\n401"), "{stranger}");
    let reading = ask("/config", &[ELSEWHERE], None);
    assert!(reading.ends_with("\n401"), "{reading}");
    let reading = ask("/config", &[ELSEWHERE, &token], None);
    assert!(reading.ends_with("\n200") && reading.contains("storage.data_dir"));
    let operator = ask("/config", &[ELSEWHERE, &token], Some(&change));
    assert!(operator.ends_with("\n200"), "{operator}");
    assert_eq!(result(&node, "chr_node_info")["name"], "changed");
    let info = r#"{"jsonrpc":"2.0","id":1,"method":"config_show"}"#;
    let shown = ask("/rpc", &[ELSEWHERE, &token], Some(info));
    assert!(shown.contains("storage.data_dir"), "{shown}");
}
