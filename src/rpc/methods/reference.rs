//! The chapter of docs/rpc.md that is made of the table.

#![allow(clippy::unwrap_used)]

use super::{all, Method, Run};
use std::fmt::Write;
use std::path::Path;

/// Where the chapter stands.
const BEGIN: &str = "<!-- methods: made from the table; BLESS=1 cargo test --lib reference -->\n";
const END: &str = "<!-- end of methods -->\n";

/// A type as it stands in the table, its lines moved to where its brackets put them.
fn dedent(text: &str) -> String {
    let mut depth = 0_usize;
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let code = line.split("--").next().unwrap_or_default();
        let count = |marks: [char; 2]| code.matches(marks).count();
        let (opened, closed) = (count(['{', '[']), count(['}', ']']));
        // Brackets that open or close together count once: `[{` is one step.
        let closes = line.starts_with(['}', ']']);
        if closes {
            depth = depth.saturating_sub(1);
        }
        let _ = writeln!(out, "{}{line}", "  ".repeat(depth));
        if opened > closed {
            depth += 1;
        } else if opened < closed && !closes {
            depth = depth.saturating_sub(1);
        }
    }
    out
}

fn tell(method: &Method) -> String {
    let mut text = format!("### `{}`\n\n{}", method.name, method.summary);
    match (method.writes, method.run) {
        (true, _) => text.push_str(" Needs the operator's token."),
        (false, Run::Later) => text.push_str(" Asynchronous."),
        _ => {}
    }
    text.push_str("\n\n```text\n");
    if !method.params.is_empty() {
        let _ = write!(text, "params:\n{}", dedent(method.params));
        text.push_str("result:\n");
    }
    let _ = write!(text, "{}```\n\n", dedent(method.result));
    text
}

#[test]
fn the_reference_has_every_method_as_it_is_in_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rpc.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (chapter, after) = rest.split_once(END).unwrap();
    let wanted: String = all().map(tell).collect();
    let wanted = format!("\n{wanted}");
    if chapter == wanted {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    let mut lines = chapter.lines().zip(wanted.lines());
    let differs = lines.find(|(a, b)| a != b);
    assert_eq!(
        chapter, wanted,
        "first at {differs:?}; BLESS=1 cargo test --lib reference writes it anew"
    );
}
