//! A page made fit for a screen: as many rows of each list as there is room for,
//! no line wider than the screen, colours, and the characters that it can show.

use super::page::{Line, Style};
use super::spark::ascii;
use std::fmt::Write as _;

/// Rows of each list, from what a large screen shows down to none.
const ROWS: [usize; 9] = [50, 25, 15, 10, 7, 5, 3, 2, 1];

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    utf8: bool,
    colours: bool,
}

impl Words {
    /// What the environment says of the terminal (POSIX locale variables, the first
    /// that is set; <https://no-color.org>).
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Words {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        Words {
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
            colours: set("NO_COLOR").is_none() && !dumb,
        }
    }

    /// A text in characters that can be shown.
    pub fn plain(self, text: &str) -> String {
        if self.utf8 {
            return text.to_owned();
        }
        let known = |c: char| match c {
            '…' => '~',
            '°' => ' ',
            c if c.is_ascii() => c,
            c => ascii(c).unwrap_or('?'),
        };
        text.chars().map(known).collect()
    }

    /// What is to be sent to a terminal of `size` (columns, lines): the page that
    /// `draw` makes with so many rows a list, and a last line with `trouble`.
    pub fn frame(
        self,
        draw: &dyn Fn(usize) -> Vec<Line>,
        trouble: Option<&str>,
        (columns, lines): (usize, usize),
    ) -> String {
        let room = lines.saturating_sub(1);
        let mut page = Vec::new();
        for most in ROWS {
            page = draw(most);
            if page.len() <= room {
                break;
            }
        }
        let cut = page.len() > room;
        page.truncate(room);
        if let Some(last) = page.last_mut().filter(|_| cut) {
            *last = Line::new(Style::Faint, "… (the screen ends here)");
        }
        let ending = match trouble {
            Some(trouble) => Line::new(Style::Bad, trouble),
            None => Line::new(Style::Faint, "q or Ctrl-C ends"),
        };
        // Home; each line wipes what is behind it, the last one what is below.
        let mut frame = String::from("\x1b[H");
        for line in &page {
            self.add(&mut frame, line, columns);
            frame.push_str("\x1b[K\r\n");
        }
        frame.push_str("\x1b[J");
        // In the last line of the screen, wherever the page ends.
        let _ = write!(frame, "\x1b[{};1H", lines.max(1));
        self.add(&mut frame, &ending, columns);
        frame.push_str("\x1b[K");
        frame
    }

    fn add(self, frame: &mut String, line: &Line, columns: usize) {
        let mut text = self.plain(&line.text);
        if text.chars().count() > columns {
            text = text.chars().take(columns.saturating_sub(1)).collect();
            text.push(if self.utf8 { '…' } else { '~' });
        }
        let code = match line.style {
            Style::Plain => "",
            Style::Title => "1",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
            Style::Faint => "2",
        };
        if self.colours && !code.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(frame, "\x1b[{code}m{text}\x1b[0m");
        } else {
            frame.push_str(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> Words {
        Words::of_environment(|name| {
            let pair = pairs.iter().find(|(n, _)| *n == name);
            pair.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_terminal_is_not_sent_what_it_cannot_show() {
        let full = words(&[("LANG", "de_DE.UTF-8"), ("TERM", "xterm")]);
        assert_eq!(full.plain("▁█ … °"), "▁█ … °");
        // LC_ALL overrules.
        let ascii = words(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8"), ("TERM", "vt100")]);
        assert_eq!(ascii.plain("▁█ … é"), "_# ~ ?");
        assert!(full.colours && ascii.colours);
        assert!(!words(&[("TERM", "dumb")]).colours);
        assert!(!words(&[("TERM", "xterm"), ("NO_COLOR", "1")]).colours);
    }

    /// The lines of a frame without the sequences in it.
    fn shown(frame: &str) -> Vec<String> {
        let mut text = String::new();
        let mut rest = frame;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            text.push_str(before);
            let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
            if after.get(end..=end) == Some("H") && !text.is_empty() {
                text.push_str("\r\n");
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        text.push_str(rest);
        text.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_page_fits_screens_of_every_size() {
        let draw = |most: usize| {
            let mut page = vec![Line::new(Style::Title, "a title of some length")];
            for _ in 0..most.min(30) {
                page.push(Line::new(Style::Plain, "x".repeat(200)));
            }
            page
        };
        let full = words(&[("LANG", "C.UTF-8"), ("TERM", "xterm")]);
        for columns in [1, 2, 20, 80, 300] {
            for lines in [1, 2, 3, 10, 24, 60] {
                let frame = full.frame(&draw, None, (columns, lines));
                let shown = shown(&frame);
                assert!(shown.len() <= lines + 1, "{} in {lines}", shown.len());
                assert!(shown.iter().all(|line| line.chars().count() <= columns));
            }
        }
        let large = full.frame(&draw, Some("gone"), (80, 60));
        assert_eq!(shown(&large).len(), 33);
        assert!(
            large.ends_with("\x1b[60;1H\x1b[31mgone\x1b[0m\x1b[K"),
            "{large:?}"
        );
    }
}
