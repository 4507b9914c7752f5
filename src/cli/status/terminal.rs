//! The terminal: taken, drawn on, given back as it was, whatever happens between.

use rustix::termios::{
    tcgetattr, tcgetwinsize, tcsetattr, OptionalActions, SpecialCodeIndex, Termios,
};
use std::io::{self, IsTerminal, Read, Write};
use std::thread;
use std::time::Duration;

/// The screen of its own that most terminals have, without a cursor, and lines
/// that are not wrapped.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// Back to what was there.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// How long a look for a key waits, in tenths of a second.
const PATIENCE: u8 = 2;
/// Where the terminal does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Ctrl-C, Ctrl-D, q.
    Quit,
}

/// Given back when it is dropped.
pub struct Terminal {
    /// How the keyboard was set; `None`: standard input is no terminal, and only
    /// signals are heard.
    before: Option<Termios>,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be set.
    pub fn take() -> io::Result<Terminal> {
        let mut before = None;
        if io::stdin().is_terminal() {
            let found = tcgetattr(io::stdin())?;
            let mut raw = found.clone();
            raw.make_raw();
            // A read returns with what is there, or with nothing in time.
            raw.special_codes[SpecialCodeIndex::VMIN] = 0;
            raw.special_codes[SpecialCodeIndex::VTIME] = PATIENCE;
            tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
            before = Some(found);
        }
        // From here on the drop undoes it.
        let terminal = Terminal { before };
        put(ENTER)?;
        Ok(terminal)
    }

    /// Columns and lines.
    pub fn size(&self) -> (usize, usize) {
        let told = tcgetwinsize(io::stdout());
        let told = told.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        told.ok().filter(|(c, l)| *c > 0 && *l > 0).unwrap_or(USUAL)
    }

    /// Draws a whole screen, in one write so that it does not flicker.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, frame: &str) -> io::Result<()> {
        put(frame)
    }

    /// Waits a fifth of a second for a key.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn key(&mut self) -> io::Result<Option<Key>> {
        if self.before.is_none() {
            thread::sleep(Duration::from_millis(100 * u64::from(PATIENCE)));
            return Ok(None);
        }
        let mut bytes = [0; 64];
        let read = match io::stdin().read(&mut bytes) {
            Ok(read) => bytes.get(..read).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => &[],
            Err(e) => return Err(e),
        };
        let quits = |byte: &u8| matches!(byte, b'q' | b'Q' | 3 | 4);
        Ok(read.iter().any(quits).then_some(Key::Quit))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What more could be done?
        let _ = put(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
