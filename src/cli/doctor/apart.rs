//! A process of its own for the checks. One that asks a dead disk may be held by the
//! kernel for as long as that likes, even when it is killed; then it stays behind, and
//! whoever has called the doctor gets the answer and goes on.

use super::Told;
use crate::cli::{print, Failure};
use crate::platform::checks::within;
#[cfg(target_os = "linux")]
use std::ffi::CString;
use std::io::{PipeReader, Read};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// The name by which the process knows itself, also in lists of processes.
const NAME: &str = "chr-node: doctor";
/// How long it may take: the deadlines of all that it does, and some for a slow start.
const MOST: Duration = Duration::from_secs(12);
/// What stands between the text and the outcome; no text has it.
const MARK: char = '\0';
/// The longest answer: far above two dozen lines.
const ANSWER_MAX: usize = 1 << 20;

/// Whether this is that process.
pub(super) fn is_asked() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
}

/// Says what was found, and what came of it: to the process that waits.
pub(super) fn answer(told: Told) -> Result<(), Failure> {
    let (text, outcome) = match told {
        Ok((text, failed)) => (text, failed.to_string()),
        Err(failure) => {
            let kind = if failure.exit_code() == 2 { 'u' } else { 'f' };
            // Escaped: it is one line.
            (String::new(), format!("{kind}{failure}"))
        }
    };
    print(&format!("{text}{MARK}{outcome}\n"))
}

/// Has the checks made by such a process, with the words of this one. None where none
/// can be started, or it ended without an answer.
pub(super) fn ask() -> Option<Told> {
    let output = start()?;
    let Some(answer) = within(MOST, move || read(output)) else {
        return Some(Err(Failure::Failed(format!(
            "doctor: no answer within {} s: a disk or the whole device hangs; see `dmesg`",
            MOST.as_secs()
        ))));
    };
    // Not waited for: it may not be able to end.
    told(&answer)
}

/// Starts it; what it says comes out of the pipe.
#[cfg(target_os = "linux")]
fn start() -> Option<PipeReader> {
    use nix::spawn::{posix_spawn, PosixSpawnAttr, PosixSpawnFileActions};
    use std::fs::File;
    let program = std::env::current_exe().ok()?;
    let mut words = vec![CString::new(NAME).ok()?];
    for word in std::env::args_os().skip(1) {
        words.push(CString::new(word.into_vec()).ok()?);
    }
    let mut variables = Vec::new();
    for (mut name, value) in std::env::vars_os() {
        name.push("=");
        name.push(value);
        variables.push(CString::new(name.into_vec()).ok()?);
    }
    let (output, input) = std::io::pipe().ok()?;
    let mut files = PosixSpawnFileActions::init().ok()?;
    files.add_dup2(input.as_raw_fd(), 1).ok()?;
    // One that stays behind must not keep a caller's pipe open.
    let nothing = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .ok()?;
    for file in [0, 2] {
        files.add_dup2(nothing.as_raw_fd(), file).ok()?;
    }
    let attributes = PosixSpawnAttr::init().ok()?;
    posix_spawn(&program, &files, &attributes, &words, &variables).ok()?;
    Some(output)
}

/// Elsewhere the checks are made by this process.
#[cfg(not(target_os = "linux"))]
fn start() -> Option<PipeReader> {
    None
}

/// All that comes until the line behind the mark is whole, or the end.
fn read(mut output: PipeReader) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let is_whole = |bytes: &[u8]| bytes.ends_with(b"\n") && bytes.contains(&(MARK as u8));
    while bytes.len() < ANSWER_MAX && !is_whole(&bytes) {
        match output.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => bytes.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn told(answer: &str) -> Option<Told> {
    let (text, outcome) = answer.split_once(MARK)?;
    let outcome = outcome.strip_suffix('\n')?;
    if let Some(failure) = outcome.strip_prefix('u') {
        return Some(Err(Failure::Usage(failure.to_owned())));
    }
    if let Some(failure) = outcome.strip_prefix('f') {
        return Some(Err(Failure::Failed(failure.to_owned())));
    }
    let failed = outcome.parse().ok()?;
    Some(Ok((text.to_owned(), failed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        let whole = Some(Ok(("ok  clock\n".to_owned(), 3)));
        assert_eq!(told("ok  clock\n\x003\n"), whole);
        for cut in ["", "ok  clock\n", "ok  clock\n\x00", "ok  clock\n\x003"] {
            assert_eq!(told(cut), None, "{cut:?}");
        }
        let usage = Some(Err(Failure::Usage("no".to_owned())));
        assert_eq!(told("\x00uno\n"), usage);
        assert_eq!(
            told("\x00fno\n"),
            Some(Err(Failure::Failed("no".to_owned())))
        );
    }
}
