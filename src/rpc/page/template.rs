//! Fills the page with values: a template language of four attributes.
//!
//! The page is written once, as HTML, and filled by two hands: here for the
//! first look and for readers without a script, in `script.js` for every look
//! after that. Both read the same attributes, so a figure is named in one place:
//!
//! | attribute | what it does |
//! | --- | --- |
//! | `data-t="PATH:FORMAT"` | the element's text; the last attribute of its tag |
//! | `data-at-NAME="PATH:FORMAT"` | the attribute `NAME` |
//! | `data-if="PATH"`, `data-if="!PATH"` | `hidden` unless there is (not) something |
//! | `data-each="PATH"` | the row in its `<template>`, once for each item |
//!
//! A path leads through objects by names with dots between them; inside of a row
//! it begins at the item. The items of an object are `{key, value}`.
//!
//! Names, agents and reasons come from strangers, so every value is escaped here,
//! whatever it is: nothing else in this room writes a value into the page.

use super::format;
use serde_json::Value;

/// A path of no value.
static NULL: Value = Value::Null;

/// What stands at a path.
pub(super) fn at<'a>(scope: &'a Value, path: &str) -> &'a Value {
    if path == "." {
        return scope;
    }
    let mut value = scope;
    for name in path.split('.') {
        let next = match name.parse::<usize>() {
            Ok(place) => value.get(place),
            Err(_) => value.get(name),
        };
        value = next.unwrap_or(&NULL);
    }
    value
}

/// Whether there is something: not null, false, zero or empty.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Writes text where neither an element nor an attribute can begin or end. Control characters
/// have no place in a page and become what stands for the unreadable.
pub(super) fn escape(text: &str, page: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            '\n' | '\t' => page.push(' '),
            c if c.is_control() => page.push('\u{fffd}'),
            c => page.push(c),
        }
    }
}

/// The text of `PATH:FORMAT`.
fn text(scope: &Value, what: &str, now: f64) -> String {
    let (path, form) = what.split_once(':').unwrap_or((what, ""));
    format::text(at(scope, path), form, now)
}

/// Appends a template with the values of `scope`; `now` is the time of the values in seconds since 1970.
pub(super) fn fill(template: &str, scope: &Value, now: f64, page: &mut String) {
    put(template, scope, now, true, page);
}

/// Rows come without their attributes (`kept`): the script makes its own from the template.
fn put(template: &str, scope: &Value, now: f64, kept: bool, page: &mut String) {
    let mut rest = template;
    while let Some((before, tag)) = rest.split_once(" data-") {
        page.push_str(before);
        rest = tag;
        let Some((kind, tail)) = tag.split_once("=\"") else {
            continue;
        };
        let Some((what, tail)) = tail.split_once('"') else {
            continue;
        };
        rest = tail;
        // `data-l` is the label of a cell on a narrow screen.
        if kept || kind == "l" {
            for part in [" data-", kind, "=\"", what, "\""] {
                page.push_str(part);
            }
        }
        if let Some(name) = kind.strip_prefix("at-") {
            page.push(' ');
            page.push_str(name);
            page.push_str("=\"");
            let text = text(scope, what, now);
            if text != format::UNKNOWN {
                escape(&text, page);
            }
            page.push('"');
            continue;
        }
        match kind {
            "t" => {
                page.push('>');
                escape(&text(scope, what, now), page);
                rest = tail.strip_prefix('>').unwrap_or(tail);
            }
            "if" => {
                let (wanted, path) = match what.strip_prefix('!') {
                    Some(path) => (false, path),
                    None => (true, what),
                };
                if is_something(at(scope, path)) != wanted {
                    page.push_str(" hidden");
                }
            }
            "each" => {
                let end = "</template>";
                let Some((head, tail)) = tail.split_once(end) else {
                    continue;
                };
                page.push_str(head);
                page.push_str(end);
                let row = head.split_once("<template>").map_or("", |(_, row)| row);
                rows(row, at(scope, what), now, page);
                rest = tail;
            }
            _ => {}
        }
    }
    page.push_str(rest);
}

fn rows(row: &str, list: &Value, now: f64, page: &mut String) {
    match list {
        Value::Array(items) => {
            for item in items {
                put(row, item, now, false, page);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let item = serde_json::json!({ "key": key, "value": value });
                put(row, &item, now, false, page);
            }
        }
        _ => {}
    }
}
