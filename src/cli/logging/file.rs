//! The log in a file, for devices without a journal (`log.file`).
//!
//! ```text
//!   who logs --line--> pending (64 KiB) --batch--> thread "log-file" --> FILE, FILE.1
//! ```
//!
//! Nobody waits for the disk: a line goes to a list in memory, and a thread of its
//! own writes what has come within [`DELAY`] in one go, so that flash is written in
//! batches; errors go at once, because the program may be about to end. While
//! nothing is logged the thread sleeps.
//!
//! **Bounded.** When FILE has half of `log.file_size` it becomes FILE.1, and the
//! FILE.1 before is gone. **Never fatal.** What cannot be written (a full disk, a
//! folder that is read-only or away) is counted; standard error hears of the first
//! failure and of its end. Each batch looks whether FILE is still the one that is
//! open, so one that was moved away or deleted is made anew; SIGHUP opens it again.

use log::Level;
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a line may wait for others.
const DELAY: Duration = Duration::from_secs(5);
/// Bytes that wait at most: six times what a burst of the log has. More come only
/// at `debug`, or while the disk does not answer.
const PENDING_MAX: usize = 64 << 10;
/// How long the end of the program waits for a disk that does not answer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Addresses of people are in it.
const PRIVATE: u32 = 0o600;
/// It opens, writes, renames, and says a line when it cannot.
const STACK: usize = 128 << 10;

/// A log file that is written by a thread of its own.
#[derive(Clone)]
pub(super) struct LogFile {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// Bytes that both files may have together.
    most: u64,
    waiting: Mutex<Waiting>,
    /// Something to write, to open or to end.
    work: Condvar,
    /// The thread has ended.
    over: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: String,
    lost: u64,
    urgent: bool,
    reopen: bool,
    ending: bool,
    ended: bool,
}

impl LogFile {
    /// Begins to write to `path`; the file itself is opened with the first line.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(path: &Path, most: u64) -> io::Result<LogFile> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            most,
            waiting: Mutex::default(),
            work: Condvar::new(),
            over: Condvar::new(),
        });
        let ours = shared.clone();
        std::thread::Builder::new()
            .name("log-file".to_owned())
            .stack_size(STACK)
            .spawn(move || ours.write_until_the_end())?;
        Ok(LogFile { shared })
    }

    /// Whether it is the file that is wanted.
    pub fn is(&self, path: &Path, most: u64) -> bool {
        self.shared.path == path && self.shared.most == most
    }

    /// Takes a line, without its end.
    pub fn add(&self, level: Level, line: &str) {
        let mut waiting = self.shared.lock();
        if waiting.lines.len() + line.len() >= PENDING_MAX {
            waiting.lost += 1;
            return;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.push_str(line);
        waiting.lines.push('\n');
        // The thread is awake already for lines that came before.
        if level == Level::Error {
            waiting.urgent = true;
        }
        if first || waiting.urgent {
            self.shared.work.notify_one();
        }
    }

    /// Opens the file again: whoever has moved it away says so by SIGHUP.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.work.notify_one();
    }

    /// Writes what waits, and waits for that; not for ever.
    pub fn finish(&self) {
        let mut waiting = self.shared.lock();
        waiting.ending = true;
        self.shared.work.notify_one();
        let _ = self
            .shared
            .over
            .wait_timeout_while(waiting, LAST_WORDS, |waiting| !waiting.ended);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_until_the_end(&self) {
        let mut disk = Disk::new(&self.path, self.most);
        loop {
            let (batch, lost, reopen, ending) = self.next();
            if reopen {
                disk.close();
            }
            if !batch.is_empty() || reopen {
                disk.append(&batch, lost);
            }
            if ending {
                break;
            }
        }
        self.lock().ended = true;
        self.over.notify_all();
    }

    /// Waits for something to do; what came, how much was lost, and what was asked for.
    fn next(&self) -> (String, u64, bool, bool) {
        let idle = |w: &mut Waiting| w.lines.is_empty() && !w.reopen && !w.ending;
        let waiting = self.work.wait_while(self.lock(), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + DELAY;
        let alone = |w: &mut Waiting| {
            let room = w.lines.len() < PENDING_MAX / 2;
            room && !w.urgent && !w.reopen && !w.ending && Instant::now() < end
        };
        let waited = self.work.wait_timeout_while(waiting, DELAY, alone);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        let lost = std::mem::take(&mut waiting.lost);
        let reopen = std::mem::take(&mut waiting.reopen);
        (
            std::mem::take(&mut waiting.lines),
            lost,
            reopen,
            waiting.ending,
        )
    }
}

/// The two files.
struct Disk<'a> {
    path: &'a Path,
    older: PathBuf,
    /// Bytes that one of them may have.
    half: u64,
    open: Option<File>,
    /// Lines that are not in the file, since the last that is.
    lost: u64,
    failing: bool,
}

impl<'a> Disk<'a> {
    fn new(path: &'a Path, most: u64) -> Disk<'a> {
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        Disk {
            path,
            older: older.into(),
            half: most / 2,
            open: None,
            lost: 0,
            failing: false,
        }
    }

    fn close(&mut self) {
        self.open = None;
    }

    /// Writes the lines, or counts them. The lock of the list is free meanwhile, so
    /// that this may log, too.
    fn append(&mut self, batch: &str, lost: u64) {
        self.lost += lost;
        let path = self.path.display();
        match self.write(batch) {
            Ok(()) => {
                let lost = std::mem::take(&mut self.lost);
                if std::mem::take(&mut self.failing) {
                    log::info!("log.file {path} is written again; {lost} lines are not in it");
                } else if lost > 0 {
                    log::warn!("{lost} lines were too many at once for log.file {path}");
                }
            }
            Err(error) => {
                self.close();
                self.lost += batch.lines().count() as u64;
                if !std::mem::replace(&mut self.failing, true) {
                    log::warn!(
                        "cannot write log.file {path}: {}; until then the log goes to standard error alone",
                        told(&error)
                    );
                }
            }
        }
    }

    fn write(&mut self, batch: &str) -> io::Result<()> {
        let same = |file: &File| {
            let (ours, named) = (file.metadata().ok()?, fs::metadata(self.path).ok()?);
            ((ours.dev(), ours.ino()) == (named.dev(), named.ino())).then_some(ours.len())
        };
        let mut size = self.open.as_ref().and_then(same);
        if size.is_none() {
            let (file, length) = open(self.path)?;
            self.open = Some(file);
            size = Some(length);
        }
        let mut size = size.unwrap_or_default();
        // A batch has at most half of what the smallest file may have.
        if size > 0 && size + batch.len() as u64 > self.half {
            fs::rename(self.path, &self.older)?;
            let (file, length) = open(self.path)?;
            self.open = Some(file);
            size = length;
        }
        let Some(file) = self.open.as_mut() else {
            return Ok(());
        };
        file.write_all(batch.as_bytes()).inspect_err(|_| {
            // No half a line for others to follow.
            let _ = file.set_len(size);
        })
    }
}

/// Opens the file for lines at its end, and tells its length. Whatever is no file (a
/// pipe that nobody reads) is refused instead of waited for.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(PRIVATE)
        .custom_flags(flags.bits())
        .open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() {
        Ok((file, meta.len()))
    } else {
        Err(io::Error::other("it is not a file"))
    }
}

/// The error with what helps.
fn told(error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space",
        ErrorKind::ReadOnlyFilesystem => "remount it read-write, or name another folder",
        ErrorKind::NotFound => "make its folder, or mount the drive",
        ErrorKind::PermissionDenied => "let this user write there",
        _ => "name another file",
    };
    format!("{error}: {remedy}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const MOST: u64 = 256 << 10;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn the_log_on_flash_never_grows_beyond_its_bound_and_keeps_the_newest() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let mut disk = Disk::new(&path, MOST);
        for batch in 0..100 {
            let line = format!("{batch:05} {}\n", "x".repeat(93));
            disk.append(&line.repeat(300), 0);
        }
        let (newer, older) = (text(&path), text(&home.path().join("log.1")));
        assert!(newer.len() as u64 <= MOST / 2, "{}", newer.len());
        assert!(older.len() as u64 <= MOST / 2, "{}", older.len());
        let whole = older + &newer;
        assert!(whole.len() as u64 > MOST / 3, "{}", whole.len());
        assert!(whole.ends_with(&format!("00099 {}\n", "x".repeat(93))));
        // Nothing is missing between the two.
        let numbers: Vec<u32> = whole.lines().map(|l| l[..5].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|w| w[1] - w[0] <= 1));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_log_that_was_moved_away_or_lost_its_folder_is_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("logs");
        let path = folder.join("log");
        let mut disk = Disk::new(&path, MOST);
        disk.append("a\n", 0);
        assert!(disk.failing && disk.lost == 1, "the folder is not there");
        fs::create_dir(&folder).unwrap();
        disk.append("b\n", 0);
        assert!(!disk.failing && disk.lost == 0);
        fs::rename(&path, folder.join("mine")).unwrap();
        disk.append("c\n", 0);
        assert_eq!(text(&folder.join("mine")), "b\n");
        assert_eq!(text(&path), "c\n");
        fs::remove_dir_all(&folder).unwrap();
        disk.append("d\ne\n", 3);
        assert_eq!(disk.lost, 5);
        fs::create_dir(&folder).unwrap();
        disk.append("f\n", 0);
        assert_eq!(text(&path), "f\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nothing_up() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let log = LogFile::start(&path, MOST).unwrap();
        let begun = Instant::now();
        for _ in 0..5_000 {
            log.add(Level::Error, "a line that is as long as others are, about");
        }
        log.finish();
        assert!(begun.elapsed() < LAST_WORDS, "{:?}", begun.elapsed());
    }

    #[test]
    fn lines_that_come_together_are_written_together_and_errors_at_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let log = LogFile::start(&path, MOST).unwrap();
        log.add(Level::Info, "first");
        log.add(Level::Warn, "second");
        log.add(Level::Error, "third");
        let begun = Instant::now();
        while text(&path) != "first\nsecond\nthird\n" {
            assert!(begun.elapsed() < DELAY, "{}", text(&path));
            std::thread::sleep(Duration::from_millis(2));
        }
        log.add(Level::Info, "last");
        log.finish();
        assert_eq!(text(&path), "first\nsecond\nthird\nlast\n");
    }
}
