//! `chr-node store check`: what is in the store's file, and whether it is sound.

use crate::config::value::show_size;
use crate::store::check::Checked;
use crate::store::SCHEMA_VERSION;
use serde_json::{json, Value};
use std::fmt::Write as _;

/// The whole as an object.
pub fn as_json(checked: &Checked) -> Value {
    let survey = &checked.survey;
    let tables: Vec<Value> = checked
        .tables
        .iter()
        .map(|table| {
            json!({
                "name": table.name,
                "rows": table.rows,
                "bytes": table.bytes,
                "damaged": table.damaged,
            })
        })
        .collect();
    let flaws: Vec<Value> = survey
        .flaws
        .iter()
        .map(|flaw| json!({"page": flaw.page, "text": flaw.text}))
        .collect();
    json!({
        "file": checked.file.to_string_lossy(),
        "sound": checked.trouble().is_none(),
        "written_by": checked.written_by(),
        "schema": checked.schema,
        "bytes": survey.file_len,
        "page_size": survey.page_size,
        "free_pages": survey.free_pages,
        "tables": tables,
        "flaws": flaws,
        "flaw_count": survey.flaw_count,
    })
}

/// The whole for people.
pub fn as_text(checked: &Checked) -> String {
    let survey = &checked.survey;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}: {}, pages of {} bytes, {} of them free",
        checked.file.display(),
        show_size(survey.file_len),
        survey.page_size,
        survey.free_pages
    );
    let _ = match checked.schema {
        Some(schema) if schema < SCHEMA_VERSION => writeln!(
            text,
            "schema {schema}: the node's next start brings it up to {SCHEMA_VERSION}"
        ),
        Some(schema) => writeln!(text, "schema {schema}"),
        None => writeln!(text, "no readable schema"),
    };
    if let Some(by) = checked.written_by() {
        let _ = writeln!(text, "written by {by}");
    }
    if !checked.tables.is_empty() {
        let _ = writeln!(
            text,
            "{:<14} {:>10} {:>12} {:>8}",
            "table", "rows", "bytes", "damaged"
        );
    }
    for table in &checked.tables {
        let _ = writeln!(
            text,
            "{:<14} {:>10} {:>12} {:>8}",
            table.name, table.rows, table.bytes, table.damaged
        );
    }
    for flaw in &survey.flaws {
        let _ = writeln!(text, "flaw: {flaw}");
    }
    let more = survey.flaw_count.saturating_sub(survey.flaws.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    if checked.trouble().is_none() {
        text.push_str("sound\n");
    }
    text
}
