//! Replies to a POST are signed by the node.

use crate::common::Node;
use crate::scene::{get, post, request, Reply};
use chr_node::identity::{hex, Signature};
use chr_node::rpc::reply_digest;
use serde_json::json;

/// Who has signed a reply.
fn signer(reply: &Reply) -> String {
    let signature = reply.header("x-diode-signature").expect("a signature");
    let bytes = hex::decode_array(signature.strip_prefix("0x").unwrap()).unwrap();
    let signature = Signature(bytes);
    let signer = signature.recover(&reply_digest(reply.body.as_bytes()));
    signer.unwrap().to_string()
}

#[test]
fn every_reply_to_a_post_is_signed_and_others_are_not() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let call = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "chr_node_info"});
    let quiet = json!({"jsonrpc": "2.0", "method": "chr_node_info"});
    let long = "x".repeat((1 << 20) + 1);
    for (what, reply) in [
        ("a call", post(&node, "/rpc", &[], &call(1))),
        ("another", post(&node, "/", &[], &call(2))),
        ("the first again", post(&node, "/rpc", &[], &call(1))),
        (
            "a batch",
            post(&node, "/rpc", &[], &json!([call(1), call(2)])),
        ),
        ("a notification", post(&node, "/rpc", &[], &quiet)),
        ("no JSON", request(&node, "POST /rpc", &[], "{")),
        (
            "no method",
            post(
                &node,
                "/rpc",
                &[],
                &json!({"jsonrpc": "2.0", "id": 1, "method": "x"}),
            ),
        ),
        ("no token", post(&node, "/config", &[], &json!({}))),
        (
            "a wrong token",
            post(&node, "/config", &["Authorization: Basic x"], &json!({})),
        ),
        ("a wrong path", post(&node, "/nowhere", &[], &call(1))),
        (
            "a foreign host",
            request(&node, "POST /rpc", &["Expect: nonsense"], "{}"),
        ),
        ("too long", request(&node, "POST /rpc", &[], &long)),
    ] {
        assert_eq!(reply.header("x-diode-sender"), Some(node.id()), "{what}");
        assert_eq!(signer(&reply), node.id(), "{what}");
    }
    for path in ["/health", "/ready", "/config"] {
        let reply = get(&node, path, &[]);
        assert_eq!(reply.header("x-diode-signature"), None, "{path}");
    }
}
