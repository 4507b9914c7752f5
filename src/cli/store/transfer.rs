//! `chr-node store export`, `import` and `compact`.

use super::{in_words, rows};
use crate::cli::{print, Failure};
use crate::config::value::show_size;
use crate::sorted::object;
use crate::store::transfer::{dump, import as write_rows, in_use, Dumped, RawRow};
use crate::store::{compact as shrink, StoreError, StoreOptions, SCHEMA_VERSION};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the first line says.
const FORMAT: &str = "chr-node store";

/// Longest line: the largest row as hexadecimal digits takes 33 KB.
const LINE_MAX: u64 = 128 << 10;

/// Bad lines that are named; the others are counted.
const NAMED: usize = 10;

/// How often rows are read anew that a running node has overtaken. It commits
/// ten times a minute when it is busy; a walk takes some milliseconds.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Text that a running node's rows may take while nobody knows whether they are of
/// one moment.
const HELD_MAX: usize = 256 << 20;

/// Writes all rows as lines, to `output` or to standard output.
///
/// # Errors
/// The store cannot be read, or the lines cannot be written. A damaged file's rows
/// are written as far as they can be read, and the error says so.
pub fn export(dir: &Path, output: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: StoreError| Failure::Failed(error.to_string());
    let mut attempt = 0;
    let seen = loop {
        let seen = match output {
            Some(file) => to_file(dir, file)?,
            None if in_use(dir).map_err(failed)? => {
                let mut held = Held::default();
                let seen = lines(dir, &mut held).map_err(failed)?;
                if !seen.overtaken {
                    let mut out = io::stdout().lock();
                    gone_is_fine(out.write_all(&held.0).and_then(|()| out.flush()))?;
                }
                seen
            }
            None => {
                let mut out = BufWriter::new(io::stdout().lock());
                match lines(dir, &mut out).map_err(failed) {
                    Err(failure) => {
                        // A reader that went away is no error.
                        return match out.flush() {
                            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
                            _ => Err(failure),
                        };
                    }
                    Ok(seen) => gone_is_fine(out.flush()).map(|()| seen)?,
                }
            }
        };
        attempt += 1;
        if !seen.overtaken {
            break seen;
        }
        if attempt >= ATTEMPTS {
            return Err(Failure::Failed(format!(
                "the store in {} is written to faster than it can be read: try again when the node is less busy, or stop it",
                dir.display()
            )));
        }
        std::thread::sleep(PAUSE);
    };
    tell(dir, output, &seen)
}

fn tell(dir: &Path, output: Option<&Path>, seen: &Dumped) -> Result<(), Failure> {
    if seen.damaged > 0 || seen.flaws > 0 {
        return Err(Failure::Failed(format!(
            "{}: {} rows were exported, {} could not be read and the file has {} flaws: `chr-node store check` says more",
            dir.display(),
            seen.rows,
            seen.damaged,
            seen.flaws
        )));
    }
    match output {
        Some(file) => {
            let running = if seen.in_use {
                ", of a running node"
            } else {
                ""
            };
            print(&format!(
                "{}: {} rows{running}\n",
                file.display(),
                seen.rows
            ))
        }
        None => Ok(()),
    }
}

/// Beside the file, and then in its place: what was there is whole, or the new one.
fn to_file(dir: &Path, file: &Path) -> Result<Dumped, Failure> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let named = |e: io::Error| Failure::Failed(format!("{}: {e}", part.display()));
    let written = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&part)
        .map_err(named)
        .and_then(|open| {
            let mut out = BufWriter::new(open);
            let seen = lines(dir, &mut out).map_err(|e| Failure::Failed(e.to_string()))?;
            let open = out.into_inner().map_err(|e| named(e.into_error()))?;
            open.sync_all().map_err(named)?;
            Ok(seen)
        });
    let written = written.and_then(|seen| {
        if !seen.overtaken {
            std::fs::rename(&part, file).map_err(named)?;
        }
        Ok(seen)
    });
    if written.as_ref().map_or(true, |seen| seen.overtaken) {
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn lines(dir: &Path, out: &mut dyn Write) -> Result<Dumped, StoreError> {
    let failed = |e: io::Error| StoreError::Io {
        path: "the output".into(),
        text: e.to_string(),
    };
    let head = object(&mut [("format", FORMAT.into()), ("schema", SCHEMA_VERSION.into())]);
    // With the first row: where there is no store, nothing is written that could be
    // taken for a backup.
    let mut head = Some(format!("{head}\n"));
    let seen = dump(dir, &mut |row| {
        // An older layout is brought up, as the node's next start would.
        let row = row.renewed().unwrap_or(row);
        let head = head.take().unwrap_or_default();
        writeln!(out, "{head}{}", rows::to_json(&row)).map_err(failed)
    })?;
    write!(out, "{}", head.unwrap_or_default()).map_err(failed)?;
    Ok(seen)
}

fn gone_is_fine(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// Text that waits.
#[derive(Default)]
struct Held(Vec<u8>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > HELD_MAX {
            return Err(io::Error::other(
                "it is too much to be held while the node runs: say --output FILE",
            ));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of a file as rows.
struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(file: &Path) -> io::Result<Lines> {
        Ok(Lines {
            reader: BufReader::new(File::open(file)?),
            number: 0,
        })
    }

    /// The next row; what is wrong with its line.
    fn next(&mut self) -> io::Result<Option<Result<RawRow, String>>> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            let mut bounded = self.reader.by_ref().take(LINE_MAX);
            if bounded.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.len() as u64 >= LINE_MAX && line.last() != Some(&b'\n') {
                while line.last() != Some(&b'\n') {
                    line.clear();
                    let mut bounded = self.reader.by_ref().take(LINE_MAX);
                    if bounded.read_until(b'\n', &mut line)? == 0 {
                        break;
                    }
                }
                return Ok(Some(Err("it is longer than any row".into())));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            return Ok(Some(match serde_json::from_slice::<Value>(&line) {
                Err(e) => Err(format!("it is no JSON: {e}")),
                Ok(value) if value.get("format").is_some() => match head(&value) {
                    Ok(()) => continue,
                    Err(why) => Err(why),
                },
                Ok(value) => rows::from_json(&value).and_then(|row| {
                    row.seal().map_err(|e| e.to_string())?;
                    Ok(row)
                }),
            }));
        }
    }
}

/// Whether the file's first line is one of ours.
fn head(value: &Value) -> Result<(), String> {
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err("it is no export of a store".into());
    }
    match value.get("schema").and_then(Value::as_u64) {
        Some(schema) if schema <= SCHEMA_VERSION.into() => Ok(()),
        Some(schema) => Err(format!(
            "it was exported by a newer version (schema {schema}, this program knows {SCHEMA_VERSION}): install that version"
        )),
        None => Err("it does not say its schema".into()),
    }
}

/// Reads rows from `file` into the store: all of them or, where one line is bad,
/// none.
///
/// # Errors
/// Bad lines, by their numbers; the store is in use or cannot be written.
pub fn import(dir: &Path, file: &Path, replace: bool, json: bool) -> Result<(), Failure> {
    let named = |e: io::Error| Failure::Failed(format!("{}: {e}", file.display()));
    check_lines(file)?;
    let mut open = || {
        let failed = |e: io::Error| StoreError::from_io(file, &e);
        let mut lines = Lines::open(file).map_err(failed)?;
        let path = file.to_path_buf();
        let next = move || match lines.next() {
            Ok(None) => Ok(None),
            Ok(Some(Ok(row))) => Ok(Some(row)),
            // It was checked, so it is another file by now.
            Ok(Some(Err(text))) => Err(StoreError::Damaged {
                path: path.clone(),
                text: format!("line {}: {text}", lines.number),
            }),
            Err(e) => Err(StoreError::from_io(&path, &e)),
        };
        Ok(Box::new(next) as crate::store::transfer::Rows)
    };
    // A mistake in the name must not leave an empty store behind.
    drop(File::open(file).map_err(named)?);
    let done = write_rows(dir, StoreOptions::default(), replace, &mut open)
        .map_err(|e| Failure::Failed(in_words(&e, "rows cannot be put into a store in use")))?;
    if json {
        let object = object(&mut [
            ("added", done.added.into()),
            ("replaced", done.replaced.into()),
            ("same", done.same.into()),
            ("left", done.left.into()),
        ]);
        return print(&format!("{object}\n"));
    }
    let mut text = format!(
        "{}: {} rows added, {} replaced, {} were there already\n",
        dir.display(),
        done.added,
        done.replaced,
        done.same
    );
    if done.left > 0 {
        text.push_str(&format!(
            "{} rows of the store say something else and were left; --replace takes those of the file\n",
            done.left
        ));
    }
    print(&text)
}

/// Reads the file to its end without writing anything.
fn check_lines(file: &Path) -> Result<(), Failure> {
    let named = |e: io::Error| Failure::Failed(format!("{}: {e}", file.display()));
    let mut lines = Lines::open(file).map_err(named)?;
    let (mut bad, mut count) = (Vec::new(), 0u64);
    while let Some(row) = lines.next().map_err(named)? {
        if let Err(why) = row {
            count += 1;
            if bad.len() < NAMED {
                bad.push(format!("line {}: {why}", lines.number));
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    let more = count.saturating_sub(bad.len() as u64);
    if more > 0 {
        bad.push(format!("and {more} more"));
    }
    Err(Failure::Failed(format!(
        "{}: nothing was imported: {}",
        file.display(),
        bad.join("; ")
    )))
}

/// Makes the file as short as its rows are.
///
/// # Errors
/// The store is missing, in use or damaged, or the disk has no room for a copy.
pub fn compact(dir: &Path, json: bool) -> Result<(), Failure> {
    let why = "a file in use cannot be replaced";
    let done = shrink::compact(dir, StoreOptions::default())
        .map_err(|e| Failure::Failed(in_words(&e, why)))?;
    if json {
        let object = object(&mut [("before", done.before.into()), ("after", done.after.into())]);
        return print(&format!("{object}\n"));
    }
    print(&format!(
        "{}: {} before, {} after\n",
        dir.join("data.mdb").display(),
        show_size(done.before),
        show_size(done.after)
    ))
}
