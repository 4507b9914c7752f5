//! Who sees what.

use crate::common::{Node, SOON};
use crate::scene::{bearer, call, get, result, Scene, ELSEWHERE};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Every text of 42 characters that is an address, and every IPv4 address.
fn addresses(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let id = |word: &str| {
        let digits = word.strip_prefix("0x");
        digits.is_some_and(|d| d.len() == 40 && d.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let ip = |word: &str| word.parse::<std::net::Ipv4Addr>().is_ok();
    let words = words.map(|word| word.trim_matches('.'));
    words
        .filter(|word| id(word) || ip(word))
        .map(str::to_owned)
        .collect()
}

/// What a stranger hears of the node's events, up to the first `status`: that has sessions and
/// nodes in it.
fn listened(node: &Node) -> String {
    let mut stream = TcpStream::connect(node.rpc()).unwrap();
    let head = format!("GET /events HTTP/1.1\r\nHost: localhost\r\n{ELSEWHERE}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut heard = Vec::new();
    let mut chunk = [0; 65_536];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&heard);
        if let Some((_, status)) = text.split_once("event: status") {
            if status.contains("\n\n") {
                assert!(status.contains('\u{2026}'), "{status}");
                return text.into_owned();
            }
        }
    }
}

#[test]
fn no_address_of_a_device_or_a_node_is_told_to_strangers() {
    let scene = Scene::new();
    let node = &scene.node;
    let document = result(node, "rpc_discover");
    // From this machine they are there: the search finds what it looks for.
    let full = result(node, "session_list").to_string() + &result(node, "peer_list").to_string();
    for secret in &scene.secrets[..3] {
        assert!(addresses(&full).contains(secret), "{secret} in {full}");
    }
    assert!(addresses(&full).iter().any(|word| word.starts_with("127.")));
    let mut seen = Vec::new();
    for method in document["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        let params = if name == "stats_history" {
            json!(["hour"])
        } else {
            json!([])
        };
        seen.push((
            name.to_owned(),
            call(node, &[ELSEWHERE], name, &params).to_string(),
        ));
    }
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "session_list"},
        {"jsonrpc": "2.0", "id": 2, "method": "peer_list"},
        {"jsonrpc": "2.0", "id": 3, "method": "session_list"},
    ]);
    let reply = crate::scene::post(node, "/", &[ELSEWHERE], &batch);
    seen.push(("a batch".to_owned(), reply.body));
    for path in ["/", "/health", "/ready", "/metrics", "/config"] {
        let reply = get(node, path, &[ELSEWHERE]);
        seen.push((path.to_owned(), reply.body));
    }
    seen.push(("/events".to_owned(), listened(node)));
    let own = [node.id(), "127.77.0.1"];
    for (what, text) in seen {
        // What the page tells people to type is an example.
        let text = text.replace("forward 127.0.0.1:8080", "");
        for found in addresses(&text) {
            assert!(
                own.contains(&found.as_str()),
                "{what} tells {found}: {text}"
            );
        }
        for secret in &scene.secrets {
            assert!(!text.contains(&secret[2..]), "{what} tells {secret}");
        }
    }
    // Shortened, not left out.
    let sessions = call(node, &[ELSEWHERE], "session_list", &json!([]));
    let sessions = sessions["result"].as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let device = session["device"].as_str().unwrap();
        assert!(
            device.starts_with("0x") && device.contains('\u{2026}'),
            "{device}"
        );
        assert_eq!(session["address"], "127.0.0.x");
    }
    // An id that a client has chosen comes back as it was.
    let id = &scene.secrets[0];
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "chr_node_info"});
    let reply = crate::scene::post(node, "/", &[ELSEWHERE], &body);
    assert_eq!(reply.json()["id"], id.as_str());
}

#[test]
fn a_proxy_does_not_make_strangers_neighbours() {
    let scene = Scene::new();
    let full = result(&scene.node, "session_list");
    for header in [
        "Forwarded: for=192.0.2.7",
        "Via: 1.1 proxy",
        "X-Real-IP: 192.0.2.7",
        ELSEWHERE,
    ] {
        let told = call(&scene.node, &[header], "session_list", &json!([]));
        assert_ne!(told["result"], full, "{header}");
        // A token that came over a network in the clear is not even looked at.
        let reply = get(&scene.node, "/config", &[header, &bearer(&scene.node)]);
        assert_eq!(reply.status, 403, "{header}");
        assert!(reply.message().contains("in the clear"), "{}", reply.body);
    }
    let _ = scene.other.id();
}
