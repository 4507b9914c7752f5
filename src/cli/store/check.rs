//! `chr-node store check`: what is in the store's file, and whether it is sound.

use crate::config::value::show_size;
use crate::sorted::object;
use crate::store::check::Checked;
use crate::store::SCHEMA_VERSION;
use serde_json::Value;
use std::fmt::Write as _;

/// The whole as an object.
pub fn as_json(checked: &Checked) -> Value {
    let survey = &checked.survey;
    let tables: Vec<Value> = checked
        .tables
        .iter()
        .map(|table| {
            object(&mut [
                ("name", table.name.as_str().into()),
                ("rows", table.rows.into()),
                ("bytes", table.bytes.into()),
                ("damaged", table.damaged.into()),
            ])
        })
        .collect();
    let flaws: Vec<Value> = survey
        .flaws
        .iter()
        .map(|flaw| {
            object(&mut [
                ("page", flaw.page.into()),
                ("text", flaw.text.as_str().into()),
            ])
        })
        .collect();
    object(&mut [
        ("file", checked.file.to_string_lossy().into()),
        ("sound", checked.trouble().is_none().into()),
        ("written_by", checked.written_by().into()),
        ("schema", checked.schema.into()),
        ("bytes", survey.file_len.into()),
        ("page_size", survey.page_size.into()),
        ("free_pages", survey.free_pages.into()),
        ("tables", tables.into()),
        ("flaws", flaws.into()),
        ("flaw_count", survey.flaw_count.into()),
    ])
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
