//! Other programs that tests talk to, and waiting without luck.

use super::Program;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where a program is; says that the test is skipped when it is missing.
pub fn find_or_skip(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // sshd lives where a plain user's PATH does not look.
    let extra = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(extra)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: {program} missing");
    }
    found
}

/// Debian's library that changes what the wall clock says, put into the program
/// itself: `faketime`, the command, starts it as a child that outlives a kill.
pub struct Faketime(PathBuf);

impl Faketime {
    /// Where it is; says that the test is skipped when it is missing.
    pub fn find_or_skip() -> Option<Faketime> {
        let folders = std::fs::read_dir("/usr/lib").ok()?;
        let found = folders
            .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
            .find(|file| file.is_file());
        if found.is_none() {
            println!("skipped: faketime missing");
        }
        found.map(Faketime)
    }

    /// Lets the command see another date, as `FAKETIME` takes it; time since boot
    /// stays what it is.
    pub fn apply(&self, command: &mut Command, when: &str) {
        command
            .env("LD_PRELOAD", &self.0)
            .env("FAKETIME", when)
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// Asks again until there is an answer.
pub fn until<T>(most: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + most;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {most:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program that ended by itself.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Ran {
        Ran {
            code: output.status.code().expect("ended by a signal"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Failed with one line on standard error that has all of `words` in it.
    #[track_caller]
    pub fn assert_one_line(&self, code: i32, words: &[&str]) -> &Ran {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.starts_with("chr-node: "), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        self
    }
}

impl Ran {
    /// Failed with such an error as its last line; the log may come before.
    #[track_caller]
    pub fn assert_one_line_among(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.err);
        let last = self.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("chr-node: "), "{}", self.err);
        for word in words {
            assert!(last.contains(word), "no {word:?} in: {}", self.err);
        }
    }
}

/// Runs a program to its end; kills it and fails when that takes too long.
pub fn run(command: &mut Command, most: Duration) -> Ran {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pid = child.id().to_string();
    let (done, over) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output().unwrap();
        let _ = done.send(());
        output
    });
    let late = over.recv_timeout(most).is_err();
    if late {
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
    }
    let output = waiting.join().unwrap();
    assert!(
        !late,
        "still running after {most:?}; it said {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ran::of(&output)
}

/// What a stopped program said on standard error, without what every new
/// identity says first.
pub fn complaints(program: &Program) -> Vec<String> {
    program
        .stderr()
        .lines()
        .filter(|line| !line.starts_with("new identity "))
        .map(ToOwned::to_owned)
        .collect()
}

/// Names of all files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
