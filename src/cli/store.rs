//! `chr-node store`: what is in the store's file, and whether it is sound.

use super::args::StoreArgs;
use super::{print, Failure};
use crate::config::value::show_size;
use crate::config::{Key, Request};
use crate::store::check::{check, Checked};
use crate::store::StoreError;
use serde_json::{json, Value};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Where the store is.
///
/// # Errors
/// [`Failure::Usage`] for a bad `DATA_DIR`.
fn find(
    args: &StoreArgs,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, Failure> {
    // Only where it is matters here: another setting's mistake must not keep an
    // operator from looking at it.
    let ours = Key::find("storage.data_dir");
    let environment = environment.into_iter().filter(|(name, _)| {
        ours.is_some_and(|key| {
            *name == *key.variable() || key.env.is_some_and(|short| *name == *short)
        })
    });
    let loaded = Request::new(args.data_dir.as_slice(), None, environment).load()?;
    Ok(loaded.settings.storage.data_dir.join("store"))
}

/// Checks the store without writing to it.
///
/// # Errors
/// It is damaged, missing, in use, or cannot be read.
pub fn execute(args: &StoreArgs) -> Result<(), Failure> {
    let dir = find(args, std::env::vars_os())?;
    let checked = check(&dir).map_err(|error| Failure::Failed(in_words(&error)))?;
    if args.json {
        print(&format!("{}\n", as_json(&checked)))?;
    } else {
        print(&as_text(&checked))?;
    }
    match checked.trouble() {
        None => Ok(()),
        Some(trouble) => Err(Failure::Failed(format!(
            "{}: {trouble}",
            checked.file.display()
        ))),
    }
}

fn in_words(error: &StoreError) -> String {
    match error {
        StoreError::InUse { path } => format!(
            "the store in {} is in use: stop the node first, its file changes while it runs; meanwhile its health tells of damaged rows",
            path.display()
        ),
        other => other.to_string(),
    }
}

fn as_json(checked: &Checked) -> Value {
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

fn as_text(checked: &Checked) -> String {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_bad_setting_elsewhere_does_not_hide_the_store() {
        let args = StoreArgs {
            data_dir: None,
            json: false,
        };
        let environment = [("RPC_PORT", "x"), ("DATA_DIR", "/d")];
        let environment = environment.map(|(k, v)| (k.into(), v.into()));
        assert_eq!(find(&args, environment).unwrap(), PathBuf::from("/d/store"));
    }
}
