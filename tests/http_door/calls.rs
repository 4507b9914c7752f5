//! The rows of the table whose HTTP is right and whose JSON-RPC is not.

use crate::harness::{call, post};
use crate::malformed::{Case, INVALID};

const PARSE: i64 = -32700;

pub fn calls() -> Vec<Case> {
    let case = |name, body: &[u8], code| (name, post(body), 200, code);
    let member = |name, body: &str, code| {
        (
            name,
            post(format!("{{\"jsonrpc\":\"2.0\",{body}}}").as_bytes()),
            200,
            code,
        )
    };
    let deep = "[".repeat(400_000);
    let closed = format!("{deep}{}", "]".repeat(400_000));
    let many = format!("[{}]", vec![call(1); 101].join(","));
    vec![
        case("no body", b"", PARSE),
        case("no JSON", b"nonsense", PARSE),
        case("cut JSON", &call(1).as_bytes()[..20], PARSE),
        case(
            "two values",
            format!("{}{}", call(1), call(2)).as_bytes(),
            PARSE,
        ),
        case(
            "bad UTF-8 in a text",
            b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\xfe\",\"id\":1}",
            PARSE,
        ),
        case(
            "bad UTF-8 in a skipped text",
            b"{\"jsonrpc\":\"2.0\",\"x\":\"\xc0\x80\",\"method\":\"a\",\"id\":1}",
            PARSE,
        ),
        case("NUL bytes", &[0; 64], PARSE),
        case(
            "NUL after a call",
            format!("{}\0", call(1)).as_bytes(),
            PARSE,
        ),
        case(
            "byte order mark",
            format!("\u{feff}{}", call(1)).as_bytes(),
            PARSE,
        ),
        case("endless depth", deep.as_bytes(), PARSE),
        case(
            "depth in parameters",
            format!("{{\"params\":{closed}}}").as_bytes(),
            INVALID,
        ),
        case("empty batch", b"[]", INVALID),
        case("batch of 101", many.as_bytes(), INVALID),
        case("number", b"42", INVALID),
        case("text", b"\"chr_node_info\"", INVALID),
        case("null", b"null", INVALID),
        case("no members", b"{}", INVALID),
        case(
            "no version",
            br#"{"method":"chr_node_info","id":1}"#,
            INVALID,
        ),
        case(
            "version 1.0",
            br#"{"jsonrpc":"1.0","method":"chr_node_info","id":1}"#,
            INVALID,
        ),
        member("no method", r#""id":1"#, INVALID),
        member("number as method", r#""method":7,"id":1"#, INVALID),
        member(
            "list as id",
            r#""method":"chr_node_info","id":[1]"#,
            INVALID,
        ),
        member(
            "object as id",
            r#""method":"chr_node_info","id":{"a":1}"#,
            INVALID,
        ),
        member(
            "boolean as id",
            r#""method":"chr_node_info","id":false"#,
            INVALID,
        ),
        member(
            "number beyond range as id",
            r#""method":"chr_node_info","id":1e999"#,
            PARSE,
        ),
        member(
            "text as params",
            r#""method":"chr_node_info","params":"x","id":1"#,
            INVALID,
        ),
        member(
            "two methods",
            r#""method":"a","method":"chr_node_info","id":1"#,
            INVALID,
        ),
        member("unknown method", r#""method":"eth_sign","id":1"#, -32601),
        member(
            "method of another program",
            r#""method":"dio_getObject","id":1"#,
            -32601,
        ),
        member(
            "params where none are",
            r#""method":"chr_node_info","params":[1],"id":1"#,
            -32602,
        ),
    ]
}
