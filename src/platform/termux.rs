//! Termux:API, where it is installed: what Android tells programs of the battery, whose
//! files they may not read.
//!
//! `termux-battery-status` is a program that asks another app over a socket. It may hang,
//! and on a system that ends whatever forks it is to be called rarely: never twice at
//! once, with a deadline, and nothing of it is left behind.

use crate::time::Moment;
use std::ffi::{CString, OsString};
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// How often it is asked: a phone loses a percent in some minutes.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// The same of one that gave no answer: it costs processes, and often the app of it
/// is not there at all.
const ASK_SILENT: Duration = Duration::from_secs(900);
/// How long it may take: a second, when the phone was asleep some.
const MOST: Duration = Duration::from_secs(10);
/// When it is looked first whether it has ended; each time later twice that, up to
/// [`LOOK_LAST`]: one that hangs wakes the device some fifteen times.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// See [`LOOK_FIRST`].
const LOOK_LAST: Duration = Duration::from_secs(1);
/// The longest answer that is read: what a pipe holds, and ten times what it says.
const ANSWER_MAX: u64 = 4096;

/// The battery: how full in percent, and whether it is fed.
type Battery = (u8, bool);

/// When it was asked, and what it said.
static LATEST: Mutex<Option<(Moment, Option<Battery>)>> = Mutex::new(None);

/// What the tool says of the battery; what it said before, while that is fresh or
/// somebody else is asking. Takes up to ten seconds.
pub fn battery(now: Moment) -> Option<Battery> {
    // Whoever holds it is asking, or has panicked: then it is asked no more.
    let mut latest = LATEST.try_lock().ok()?;
    match *latest {
        Some((at, said)) if now.since(at) < said.map_or(ASK_SILENT, |_| ASK_EVERY) => said,
        _ => {
            let said = tool().and_then(|tool| read(&ask(&tool, MOST)?));
            *latest = Some((now, said));
            said
        }
    }
}

/// Where it is, in a Termux that has it.
pub fn tool() -> Option<PathBuf> {
    std::env::var_os("TERMUX_VERSION")?;
    let file = PathBuf::from(std::env::var_os("PREFIX")?).join("bin/termux-battery-status");
    file.is_file().then_some(file)
}

/// `{"percentage": 12, "plugged": "UNPLUGGED", "status": "DISCHARGING", …}`
fn read(answer: &str) -> Option<Battery> {
    let said: serde_json::Value = serde_json::from_str(answer).ok()?;
    let percent = said.get("percentage")?.as_u64().filter(|n| *n <= 100)?;
    let is = |name: &str, word: &str| said.get(name).and_then(|v| v.as_str()) == Some(word);
    let fed = !is("plugged", "UNPLUGGED") && !is("status", "DISCHARGING");
    Some((u8::try_from(percent).ok()?, fed))
}

/// What a program says that ends well within `most`. It and what it started are gone
/// afterwards.
#[cfg(target_os = "linux")]
fn ask(program: &Path, most: Duration) -> Option<String> {
    use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
    use rustix::process::{kill_process_group, Pid, Signal};
    use std::time::Instant;
    let (child, mut output) = start(program)?;
    let (end, mut pause) = (Instant::now() + most, LOOK_FIRST);
    let status = loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < end => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LOOK_LAST);
            }
            Ok(WaitStatus::StillAlive) | Err(_) => break None,
            Ok(status) => break Some(status),
        }
    };
    // Also what it left running: all of it is one group.
    if let Some(group) = Pid::from_raw(child.as_raw()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_none() {
        let _ = waitpid(child, None);
    }
    matches!(status, Some(WaitStatus::Exited(_, 0))).then_some(())?;
    // Whatever still has the other end does not hold us up.
    rustix::io::ioctl_fionbio(output.as_fd(), true).ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while (answer.len() as u64) < ANSWER_MAX {
        match output.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(piece.get(..length)?),
        }
    }
    String::from_utf8(answer).ok()
}

/// Elsewhere there is no Termux, or none that this can start.
#[cfg(not(target_os = "linux"))]
fn ask(_: &Path, _: Duration) -> Option<String> {
    None
}

/// Starts it in a group of its own; what it says comes out of the pipe.
#[cfg(target_os = "linux")]
fn start(program: &Path) -> Option<(nix::unistd::Pid, PipeReader)> {
    use nix::spawn::{posix_spawn, PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags};
    use std::fs::File;
    let words = [CString::new(program.as_os_str().to_owned().into_vec()).ok()?];
    let mut variables = Vec::new();
    for (mut name, value) in std::env::vars_os() {
        name.push(OsString::from("="));
        name.push(value);
        variables.push(CString::new(name.into_vec()).ok()?);
    }
    let (output, input) = std::io::pipe().ok()?;
    let nothing = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .ok()?;
    let mut files = PosixSpawnFileActions::init().ok()?;
    files.add_dup2(input.as_raw_fd(), 1).ok()?;
    for file in [0, 2] {
        files.add_dup2(nothing.as_raw_fd(), file).ok()?;
    }
    let mut attributes = PosixSpawnAttr::init().ok()?;
    attributes.set_pgroup(nix::unistd::Pid::from_raw(0)).ok()?;
    attributes
        .set_flags(PosixSpawnFlags::POSIX_SPAWN_SETPGROUP)
        .ok()?;
    let child = posix_spawn(program, &files, &attributes, &words, &variables).ok()?;
    Some((child, output))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    fn stub(script: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("termux-battery-status");
        fs::write(
            &file,
            format!(
                "#!/bin/sh\necho $$ > {}/pid\n{script}\n",
                folder.path().display()
            ),
        )
        .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, file)
    }

    /// Processes of the group that the stub led.
    fn left_behind(folder: &Path) -> usize {
        let pid = fs::read_to_string(folder.join("pid")).unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
            .filter(|stat| {
                let rest = stat.rsplit(") ").next().unwrap_or_default();
                let mut words = rest.split(' ');
                words.next() != Some("Z") && words.nth(1) == Some(pid.trim())
            })
            .count()
    }

    #[test]
    fn a_phone_that_answers_is_understood() {
        let (folder, file) = stub(
            r#"echo '{"health":"GOOD","percentage": 12,"plugged":"UNPLUGGED","status":"DISCHARGING"}'"#,
        );
        let answer = ask(&file, Duration::from_secs(10)).unwrap();
        assert_eq!(read(&answer), Some((12, false)));
        assert_eq!(left_behind(folder.path()), 0);
        let fed = r#"{"percentage": 100, "plugged": "PLUGGED_AC", "status": "FULL"}"#;
        assert_eq!(read(fed), Some((100, true)));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"percentage": 101}"#,
            r#"{"percentage": "5"}"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tool_that_hangs_babbles_crashes_or_forks_leaves_nothing_behind() {
        let short = Duration::from_millis(300);
        for script in [
            "sleep 1000",
            "exec yes",
            "head -c 10000000 /dev/zero",
            "kill -SEGV $$",
            "exit 3",
            "sleep 1000 & sleep 1000 & wait",
        ] {
            let (folder, file) = stub(script);
            let began = Instant::now();
            assert_eq!(ask(&file, short), None, "{script}");
            assert!(began.elapsed() < Duration::from_secs(20), "{script}");
            let end = Instant::now() + Duration::from_secs(10);
            while left_behind(folder.path()) > 0 {
                assert!(Instant::now() < end, "{script} left something running");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // One that leaves a child with the pipe and ends: what it said is read.
        let (folder, file) = stub("sleep 1000 & echo '{}'");
        assert_eq!(ask(&file, Duration::from_secs(10)).as_deref(), Some("{}\n"));
        let end = Instant::now() + Duration::from_secs(10);
        while left_behind(folder.path()) > 0 {
            assert!(Instant::now() < end, "a child was left running");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(ask(Path::new("/nowhere"), short), None);
    }

    proptest! {
        #[test]
        fn whatever_it_says_is_read_without_harm(text in ".{0,200}") {
            let _ = read(&text);
        }
    }
}
