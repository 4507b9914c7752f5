#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
use super::*;
use crate::rpc::view::fake::Fake;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

/// Where programs of this machine ask from.
const HERE: Asker = Asker {
    loopback: true,
    https: false,
    authorised: false,
};

fn page(asker: &Asker) -> String {
    let answer = render(&Fake, asker);
    assert_eq!(answer.kind, Kind::Html);
    String::from_utf8(answer.body).unwrap()
}

/// A status in which every text is `text`, and every list has an item.
fn filled_with(text: &str) -> Value {
    let peer = json!({ "node_id": text, "address": text, "connected": true, "direction": text, "last_seen": text });
    let session = json!({ "device": text, "address": text, "since": text, "agent": text });
    let reason = json!({ "layer": text, "state": text, "reason": text, "remedy": text });
    json!({
        "time": 5,
        "info": {
            "node_id": text, "name": text, "version": text, "profile": text, "public_address": text,
            "edge_ports": [text, text], "uptime_seconds": text,
        },
        "health": { "status": text, "layers": [reason, reason], "reasons": [reason] },
        "network": { "devices": text, "history": { "bandwidth_in": [text, text] }, "errors": { text: text } },
        "device": { "os": text, "arch": text, "load": text, "memory_resident": text, "cpu_percent": text },
        "store": { "path": text, "last_error": text, "failures": text },
        "rewards": { "address": text, "rates": text, "chr_tokens_earned": text, "pending": text },
        "tickets": { "latest": [{ "device": text, "fleet": text }] },
        "fleet": { "nodes": [{ "name": text, "error": text }] },
        "chain": { "url": text, "error": text },
        "sessions": [session, session],
        "peers": [peer],
        "events": [{ "topic": text, "time": text, "data": { "state": text, "reason": text, "device": text } }],
    })
}

/// All that could begin or end an element or an attribute.
fn structure(page: &str) -> String {
    page.chars().filter(|c| "<>\"'`=".contains(*c)).collect()
}

proptest! {
    #[test]
    fn no_text_of_a_stranger_becomes_a_part_of_the_page(text in "[<>\"'&=`/a-z \u{0}-\u{1f}\u{80}-\u{a0}]{1,40}|.{1,40}|[^a]*</script><img src=x onerror=alert(1)>") {
        prop_assume!(!text.is_empty());
        let settings = |text: &str| json!([{ "key": text, "value": text, "source": text }]);
        let harmless = assemble(filled_with("x"), settings("x"), false);
        // Letters that open nothing by themselves may stay.
        let same = text.replace(['=', '`'], "x");
        let hostile = assemble(filled_with(&same), settings(&same), false);
        prop_assert_eq!(structure(&hostile), structure(&harmless));
        prop_assert!(!hostile.contains(|c: char| c.is_control() && c != '\n'));
        // They are shown, not swallowed: the name stands in its heading.
        let mut escaped = String::new();
        template::escape(&same, &mut escaped);
        let heading = format!("data-t=\"page.name\">{escaped}</h1>");
        prop_assert!(hostile.contains(&heading), "{}", heading);
    }

    #[test]
    fn what_a_stranger_writes_is_told_as_it_was_written(text in "\\PC{0,60}") {
        let mut page = String::new();
        template::escape(&text, &mut page);
        let read = page
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        prop_assert_eq!(read, text);
    }
}

#[test]
fn values_are_written_as_the_script_writes_them() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../forms.json")).unwrap();
    assert!(cases.len() > 60);
    for case in cases.iter().skip(1) {
        let text = format::text(&case[0], case[1].as_str().unwrap(), 1_700_000_000.0);
        assert_eq!(Some(text.as_str()), case[2].as_str(), "{case}");
    }
}

#[test]
fn the_page_stays_small_and_asks_nobody_else() {
    let parts = PAGE.len() + STYLE.len() + SCRIPT.len();
    assert!(parts < 40_000, "{parts} bytes in the program");
    // A busy node of an operator, with as many settings as there are.
    let read = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).unwrap();
    let mut status = read(serde_json::to_vec(&Fake.status()).unwrap());
    for list in ["sessions", "peers", "events"] {
        status[list].as_array_mut().unwrap().truncate(10);
    }
    let settings = json!([{ "key": "a.key_of_a_setting", "value": "\"a value of it\"", "source": "built-in default" }]);
    let settings = Value::Array(vec![settings[0].clone(); 80]);
    let small = assemble(status, settings, true).len();
    assert!(small < 60_000, "{small} bytes");
    // All lists are full: once, at the first look.
    let page = page(&HERE);
    assert!(page.len() < 100_000, "{} bytes", page.len());
    for outside in [
        "://",
        "src=",
        "@import",
        "url(",
        "href=\"//",
        "<link rel=\"style",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Links and calls are relative: they work behind a proxy's prefix, too.
    for rooted in ["href=\"/", "'/rpc", "'/events", "action="] {
        assert!(!page.contains(rooted), "{rooted}");
    }
    // No style and no handler in an attribute: the policy forbids both.
    assert!(!PAGE.contains(" style=") && !PAGE.contains("\" on"));
}

#[test]
fn every_element_that_the_script_looks_for_is_in_the_page() {
    let ids: BTreeSet<&str> = PAGE
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut wanted: BTreeSet<String> = SCRIPT
        .split("one('")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .map(ToOwned::to_owned)
        .collect();
    // The chart's paths: `one('c-' + name)`.
    assert!(wanted.remove("c-"));
    wanted.extend(["c-i", "c-il", "c-o", "c-ol"].map(ToOwned::to_owned));
    assert!(wanted.len() > 12, "{wanted:?}");
    for id in &wanted {
        assert!(ids.contains(id.as_str()), "no id {id}");
    }
    let twice = PAGE.matches(" id=\"").count();
    assert_eq!(twice, ids.len(), "an id stands twice");
    // What names them for readers of the screen is there, too.
    for named in PAGE.split("labelledby=\"").skip(1) {
        for id in named.split('"').next().unwrap().split(' ') {
            assert!(ids.contains(id), "no id {id}");
        }
    }
}

#[test]
fn the_page_keeps_to_its_template_s_rules() {
    for part in PAGE.split(" data-t=\"").skip(1) {
        let (_, after) = part.split_once('"').unwrap();
        assert!(after.starts_with('>'), "data-t is not the last: {part:.60}");
        let text = after[1..].split('<').next().unwrap();
        assert_eq!(text.trim(), "", "text where a value goes: {part:.60}");
    }
    let page = page(&HERE);
    assert_eq!(page.matches("<style>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(page.ends_with("</html>\n"));
    // The node's own address stands where it is copied from.
    assert!(
        page.contains("data-t=\"info.node_id\">0x00</code>"),
        "{page}"
    );
}

#[test]
fn a_stranger_is_told_that_he_only_reads() {
    let sentence = "<p id=\"readonly\" data-if=\"page.readonly\">You read this";
    assert!(page(&Asker::default()).contains(sentence));
    assert!(page(&HERE).contains("<p id=\"readonly\" data-if=\"page.readonly\" hidden>"));
}

#[test]
fn the_policy_names_the_style_and_the_script_of_the_page() {
    let page = page(&HERE);
    let policy = policy();
    for (open, close, part) in [
        ("<style>", "</style>", STYLE),
        ("<script>", "</script>", SCRIPT),
    ] {
        let (_, rest) = page.split_once(open).unwrap();
        let (text, _) = rest.split_once(close).unwrap();
        assert_eq!(text, part, "what is sent is not what was hashed");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'));
    assert_eq!(policy.matches("'sha256-").count(), 2);
    assert!(policy
        .split("\r\n")
        .filter(|line| !line.is_empty())
        .all(|line| line.contains(": ")));
    assert!(policy.ends_with("\r\n"));
}

#[test]
fn a_list_shows_each_item_once_and_keeps_its_row_for_the_script() {
    let mut page = String::new();
    let template = "<ul data-each=\"a\"><template><li data-at-class=\"s:s\" data-t=\"n\"></li></template></ul><p data-if=\"!a\">none</p>";
    let two = json!({ "a": [{ "n": 1, "s": "ok" }, { "n": "<", "s": "?" }] });
    fill(template, &two, 0.0, &mut page);
    let row = "<li data-at-class=\"s:s\" data-t=\"n\"></li>";
    assert_eq!(page, format!("<ul data-each=\"a\"><template>{row}</template><li class=\"ok\">1</li><li class=\"unknown\">&lt;</li></ul><p data-if=\"!a\" hidden>none</p>"));
    page.clear();
    fill(template, &json!({ "a": null }), 0.0, &mut page);
    assert_eq!(
        page,
        format!("<ul data-each=\"a\"><template>{row}</template></ul><p data-if=\"!a\">none</p>")
    );
}

#[test]
fn base64_is_the_standard_s() {
    // RFC 4648, section 10.
    for (text, want) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(policy::base64(text.as_bytes()), want);
    }
}
