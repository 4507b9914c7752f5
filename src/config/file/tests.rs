//! Tests of `file.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use proptest::prelude::*;
use std::fs;

fn fault(text: &str) -> String {
    let fault = parse(text).expect_err(text);
    format!("{}: {}", fault.line.unwrap(), fault.problem)
}

#[test]
fn values_keep_their_kind_and_their_line() {
    let content = parse(
        "# a remark\n[network]\nedge_ports = [\n  41046, # one\n  41047\n]\nrpc_port=\"off\"\r\n\n[log]\nlevel = 'info'\n[x]\na = true\nb = 1_000\nc = 0x504\nd = 1.3\ne = []\nf = 2026-11-22\n",
    )
    .unwrap();
    let entries: Vec<(&str, usize, Kind, &str)> = content
        .entries
        .iter()
        .map(|e| (e.key.as_str(), e.line, e.kind, e.text.as_str()))
        .collect();
    assert_eq!(
        entries,
        [
            ("network.edge_ports", 3, Kind::List, "41046, 41047"),
            ("network.rpc_port", 7, Kind::Text, "off"),
            ("log.level", 10, Kind::Text, "info"),
            ("x.a", 12, Kind::Switch, "true"),
            ("x.b", 13, Kind::Number, "1000"),
            ("x.c", 14, Kind::Number, "1284"),
            ("x.d", 15, Kind::Number, "1.3"),
            ("x.e", 16, Kind::List, ""),
            ("x.f", 17, Kind::Date, "2026-11-22"),
        ]
    );
    let sections: Vec<(&str, usize)> = content
        .sections
        .iter()
        .map(|s| (s.name.as_str(), s.line))
        .collect();
    assert_eq!(sections, [("network", 2), ("log", 9), ("x", 11)]);
}

#[test]
fn an_empty_file_says_nothing() {
    for text in ["", "\n\n", "# only a remark", "\u{feff}# with a mark"] {
        assert_eq!(parse(text), Ok(Content::default()), "{text:?}");
    }
}

#[test]
fn dotted_keys_are_the_same_keys() {
    let entries = parse("network.rpc_port = 1\n").unwrap().entries;
    assert_eq!(entries.first().unwrap().key, "network.rpc_port");
    assert_eq!(
        fault("network.rpc_port = 1\n[network]\nrpc_port = 2\n"),
        "3: network.rpc_port is there twice, first in line 1; keep one"
    );
}

#[test]
fn what_is_there_twice_is_named_with_both_lines() {
    assert_eq!(
        fault("[a]\nb = 1\nb = 2\n"),
        "3: a.b is there twice, first in line 2; keep one"
    );
    assert_eq!(
        fault("[a]\n[b]\n[a]\n"),
        "3: the section [a] is there twice, first in line 1; put its keys together"
    );
}

#[test]
fn tables_where_values_belong_are_refused_with_the_remedy() {
    for (text, word) in [
        ("[a]\nb = { c = 1 }\n", "2: b: a table is no value"),
        ("[a]\nb = [[1]]\n", "2: b: a list within a list"),
        ("\n[[a]]\nb = 1\n", "2: sections are written with one"),
    ] {
        assert!(fault(text).starts_with(word), "{}", fault(text));
    }
}

#[test]
fn the_first_mistake_is_told_with_its_line() {
    for (text, line) in [
        ("[a]\nb = \n", 2),
        ("[a]\nb = x\n", 2),
        ("[a]\nb = 1\nc\n", 3),
        ("[a\nb = 1\n", 1),
        ("a = \"x\nb = 1\n", 1),
        ("a = 1\nb = \"\\q\"\n", 2),
        ("a = 1 b = 2\n", 1),
        ("a = 1\n\n= 3\n", 3),
        ("a = 'x\u{0}'\n", 1),
    ] {
        let told = fault(text);
        assert!(told.starts_with(&format!("{line}: ")), "{text:?}: {told}");
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn what_is_no_settings_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    let problem = |path: &Path| read(path).unwrap_err();
    assert!(problem(folder.path()).problem.contains("a folder"));
    assert!(problem(&path).problem.contains("cannot be read"));
    assert!(problem(Path::new("/dev/zero")).problem.contains("regular"));
    fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
    let not_utf8 = problem(&path);
    assert_eq!(not_utf8.line, Some(2));
    assert!(not_utf8.problem.contains("UTF-8"));
    let most = usize::try_from(MAX_FILE).unwrap();
    fs::write(&path, "#".repeat(most)).unwrap();
    assert!(read(&path).is_ok());
    fs::write(&path, "#".repeat(most + 1)).unwrap();
    assert!(problem(&path).problem.contains("256 KB"));
}

#[test]
fn a_file_that_is_all_brackets_does_not_exhaust_the_stack() {
    for text in ["[".repeat(200_000), "a=".to_owned() + &"[".repeat(200_000)] {
        assert!(parse(&text).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fall_over(
        text in "\\PC{0,60}|([a-c.=\\[\\]{}\"'#, \n0-9]|true|\\\\){0,60}"
    ) {
        match parse(&text) {
            Ok(content) => {
                let lines = text.lines().count();
                prop_assert!(content.entries.iter().all(|e| (1..=lines).contains(&e.line)));
            }
            Err(fault) => {
                prop_assert!(!fault.problem.contains('\n'), "{}", fault.problem);
                prop_assert!(fault.line.is_some());
            }
        }
    }
}
