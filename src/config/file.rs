//! A settings file: TOML, of which sections, keys and plain values are taken.
//!
//! The parser gives events with places in the text; they become [`Entry`]s, and
//! what an entry's text means is for the key's row to say. A file is refused as
//! a whole at its first mistake, each with its line.

use super::value::shown;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml_parser::decoder::{IntegerRadix, ScalarKind};
use toml_parser::parser::{parse_document, Event, EventKind, RecursionGuard, ValidateWhitespace};
use toml_parser::{Expected, ParseError, Source as Text};

/// Largest file that is read: a full `security.fleet_allowlist` has 90 KB.
pub const MAX_FILE: u64 = 256 << 10;

/// Arrays in arrays are not wanted at all; this keeps the parser from following them.
const MAX_DEPTH: u32 = 8;

/// What TOML says that a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text in quotes.
    Text,
    /// A number, whole or not.
    Number,
    /// `true` or `false`.
    Switch,
    /// A date or a time.
    Date,
    /// An array.
    List,
}

impl Kind {
    /// With its article.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Number => "a number",
            Kind::Switch => "a switch",
            Kind::Date => "a date",
            Kind::List => "a list",
        }
    }
}

/// One `key = value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`; without a dot when it stands before the first section.
    pub key: String,
    /// Line of the key, from 1.
    pub line: usize,
    /// What kind of value it is.
    pub kind: Kind,
    /// The value as text; the items of a list with commas between them.
    pub text: String,
}

/// A section's heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The headings, in their order.
    pub sections: Vec<Section>,
    /// The values, in their order.
    pub entries: Vec<Entry>,
}

/// What is wrong with a file, and in which line if it is in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: Option<usize>,
    /// In words.
    pub problem: String,
}

impl Fault {
    fn whole(problem: impl Into<String>) -> Fault {
        Fault {
            line: None,
            problem: problem.into(),
        }
    }

    fn at(line: usize, problem: impl Into<String>) -> Fault {
        Fault {
            line: Some(line),
            problem: problem.into(),
        }
    }
}

/// The text of a file.
///
/// # Errors
/// It cannot be read, is not a regular file, is larger than [`MAX_FILE`], or is
/// not UTF-8.
pub fn read(path: &Path) -> Result<String, Fault> {
    let cannot =
        |e: std::io::Error| Fault::whole(format!("cannot be read: {e}; check what --config names"));
    let kind = std::fs::metadata(path).map_err(cannot)?;
    if kind.is_dir() {
        return Err(Fault::whole("is a folder; name the file in it"));
    }
    if !kind.is_file() {
        // It is read again when the settings are loaded anew.
        return Err(Fault::whole("is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        let most = MAX_FILE >> 10;
        return Err(Fault::whole(format!(
            "has more than {most} KB; that is no settings file"
        )));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = e.as_bytes().get(..e.utf8_error().valid_up_to());
        let line = before.map_or(0, |b| b.iter().filter(|b| **b == b'\n').count()) + 1;
        Fault::at(line, "is not UTF-8; save the file in that encoding")
    })
}

/// What the text of a file says.
///
/// # Errors
/// It is not TOML, has a key or section twice, or a table where a value belongs.
pub fn parse(text: &str) -> Result<Content, Fault> {
    let source = Text::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    let mut slips = Vec::new();
    {
        let mut checked = ValidateWhitespace::new(&mut events, source);
        let mut guarded = RecursionGuard::new(&mut checked, MAX_DEPTH);
        parse_document(&tokens, &mut guarded, &mut slips);
    }
    let mut walk = Walk::new(source, text);
    let walked = events.iter().try_for_each(|event| walk.take(event));
    slips.append(&mut walk.slips);
    // The parser goes on behind a mistake, so the first is the one to mend.
    let first = slips.iter().min_by_key(|slip| place(slip));
    if let Some(slip) = first {
        let before = text.as_bytes().get(..place(slip)).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let written = text.lines().nth(line - 1).unwrap_or_default().trim();
        return Err(Fault::at(
            line,
            format!("\"{}\": {}", shown(written), words(slip)),
        ));
    }
    walked.map(|()| walk.content)
}

fn place(slip: &ParseError) -> usize {
    let span = slip.unexpected().or_else(|| slip.context());
    span.map_or(0, |span| span.start())
}

fn words(slip: &ParseError) -> String {
    // Names of the grammar's parts and long lists of signs help nobody.
    const FEW: usize = 2;
    let signs: Vec<&str> = slip
        .expected()
        .unwrap_or_default()
        .iter()
        .filter_map(|expected| match expected {
            Expected::Literal("\n") => Some("a new line"),
            Expected::Literal(sign) => Some(*sign),
            _ => None,
        })
        .collect();
    let words = shown(slip.description());
    if signs.is_empty() || signs.len() > FEW {
        words
    } else {
        format!("{words}; wanted is {}", shown(&signs.join(" or ")))
    }
}

/// Where the events have led to.
struct Walk<'t> {
    source: Text<'t>,
    text: &'t str,
    slips: Vec<ParseError>,
    content: Content,
    /// Lines of sections and keys that were seen.
    seen: BTreeMap<String, usize>,
    /// Bytes and lines before the last event.
    counted: (usize, usize),
    section: String,
    /// The dotted name that is being read, and its line.
    name: String,
    line: usize,
    /// The array that is being read.
    list: Option<Vec<String>>,
}

impl<'t> Walk<'t> {
    fn new(source: Text<'t>, text: &'t str) -> Self {
        Walk {
            source,
            text,
            slips: Vec::new(),
            content: Content::default(),
            seen: BTreeMap::new(),
            counted: (0, 1),
            section: String::new(),
            name: String::new(),
            line: 1,
            list: None,
        }
    }

    /// Events come in the order of the text, so lines are counted once.
    fn line_of(&mut self, event: &Event) -> usize {
        let (bytes, lines) = self.counted;
        let here = event.span().start();
        let between = self.text.as_bytes().get(bytes..here).unwrap_or_default();
        let lines = lines + between.iter().filter(|b| **b == b'\n').count();
        self.counted = (here.max(bytes), lines);
        lines
    }

    fn take(&mut self, event: &Event) -> Result<(), Fault> {
        match event.kind() {
            EventKind::StdTableOpen => {
                self.name.clear();
                Ok(())
            }
            EventKind::StdTableClose => self.heading(),
            EventKind::SimpleKey => {
                let line = self.line_of(event);
                let mut part = Cow::Borrowed("");
                if let Some(raw) = self.source.get(event) {
                    raw.decode_key(&mut part, &mut self.slips);
                }
                if self.name.is_empty() {
                    self.line = line;
                } else {
                    self.name.push('.');
                }
                self.name.push_str(&part);
                Ok(())
            }
            EventKind::Scalar => {
                let (kind, text) = self.scalar(event);
                match &mut self.list {
                    Some(items) => {
                        items.push(text);
                        Ok(())
                    }
                    None => self.value(kind, text),
                }
            }
            EventKind::ArrayOpen if self.list.is_none() => {
                self.list = Some(Vec::new());
                Ok(())
            }
            EventKind::ArrayClose => {
                let items = self.list.take().unwrap_or_default();
                self.value(Kind::List, items.join(", "))
            }
            EventKind::ArrayOpen => Err(self.fault("a list within a list has no meaning here")),
            EventKind::InlineTableOpen => Err(self.fault(
                "a table is no value here; write the section as [NAME] and each key on a line of its own",
            )),
            EventKind::ArrayTableOpen => {
                self.line = self.line_of(event);
                Err(Fault::at(self.line, "sections are written with one bracket: [NAME]"))
            }
            _ => Ok(()),
        }
    }

    fn fault(&self, problem: &str) -> Fault {
        Fault::at(self.line, format!("{}: {problem}", shown(&self.name)))
    }

    fn heading(&mut self) -> Result<(), Fault> {
        let name = std::mem::take(&mut self.name);
        if let Some(first) = self.seen.insert(format!("[{name}]"), self.line) {
            return Err(Fault::at(
                self.line,
                format!(
                    "the section [{}] is there twice, first in line {first}; put its keys together",
                    shown(&name)
                ),
            ));
        }
        self.content.sections.push(Section {
            name: name.clone(),
            line: self.line,
        });
        self.section = name;
        Ok(())
    }

    fn scalar(&mut self, event: &Event) -> (Kind, String) {
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.source.get(event) else {
            return (Kind::Text, String::new());
        };
        match raw.decode_scalar(&mut text, &mut self.slips) {
            ScalarKind::String => (Kind::Text, text.into_owned()),
            ScalarKind::Boolean(on) => (Kind::Switch, on.to_string()),
            ScalarKind::DateTime => (Kind::Date, text.into_owned()),
            ScalarKind::Float => (Kind::Number, text.into_owned()),
            ScalarKind::Integer(radix) => (Kind::Number, decimal(&text, radix)),
        }
    }

    fn value(&mut self, kind: Kind, text: String) -> Result<(), Fault> {
        let name = std::mem::take(&mut self.name);
        let key = match self.section.as_str() {
            "" => name,
            section => format!("{section}.{name}"),
        };
        if let Some(first) = self.seen.insert(key.clone(), self.line) {
            return Err(Fault::at(
                self.line,
                format!(
                    "{} is there twice, first in line {first}; keep one",
                    shown(&key)
                ),
            ));
        }
        self.content.entries.push(Entry {
            key,
            line: self.line,
            kind,
            text,
        });
        Ok(())
    }
}

/// A whole number in the digits that rows read; one that does not fit is left
/// as it is, for the row to refuse.
fn decimal(text: &str, radix: IntegerRadix) -> String {
    let radix = match radix {
        IntegerRadix::Dec => return text.to_owned(),
        IntegerRadix::Hex => 16,
        IntegerRadix::Oct => 8,
        IntegerRadix::Bin => 2,
    };
    u64::from_str_radix(text, radix).map_or_else(|_| text.to_owned(), |n| n.to_string())
}

#[cfg(test)]
mod tests;
