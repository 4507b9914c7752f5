//! The table of settings: one row a key. The rows stand in `table.rs` and `terms.rs`.

/// Sets a field to what an expression gives.
macro_rules! set {
    ($section:ident . $field:ident, $text:ident => $value:expr) => {
        |settings, $text| {
            settings.$section.$field = $value?;
            Ok(())
        }
    };
}

mod table;
mod terms;

use super::file::Kind;
use super::Settings;

/// Every setting that there is.
pub static KEYS: &[Key] = &ROWS;

const COUNT: usize = table::PLACES.len() + terms::TERMS.len();
static ROWS: [Key; COUNT] = joined();

/// One table of both.
#[allow(clippy::indexing_slicing)] // by the compiler, which would refuse it
const fn joined() -> [Key; COUNT] {
    let mut rows = [table::PLACES[0]; COUNT];
    let mut at = 0;
    while at < COUNT {
        rows[at] = match at.checked_sub(table::PLACES.len()) {
            None => table::PLACES[at],
            Some(at) => terms::TERMS[at],
        };
        at += 1;
    }
    rows
}

/// What a settings file may write behind the `=`. Everything may be a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A text alone.
    Text,
    /// A number, or a text when it has a unit or is a word.
    Number,
    /// `true` or `false`.
    Switch,
    /// A list, or its only item.
    List,
}

impl Takes {
    /// Whether a value of this kind can be meant.
    #[must_use]
    pub fn takes(self, kind: Kind) -> bool {
        kind == Kind::Text
            || match self {
                Takes::Text => false,
                Takes::Number => kind == Kind::Number,
                Takes::Switch => kind == Kind::Switch,
                Takes::List => kind == Kind::Number || kind == Kind::List,
            }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`.
    pub name: &'static str,
    /// What it takes in a settings file.
    pub takes: Takes,
    /// Whether a node that runs takes a new value over when it is told to load
    /// its settings anew; the others need a restart.
    pub live: bool,
    /// The environment variable that users of this system know it by.
    pub env: Option<&'static str>,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// What a value may be.
    pub allowed: &'static str,
    /// Reads a value; the error is a phrase that says what is wrong.
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
    /// The value as `set` reads it.
    pub get: fn(&Settings) -> String,
}

impl Key {
    /// The value that it has when nobody sets it.
    #[must_use]
    pub fn default(&self) -> String {
        (self.get)(&Settings::default())
    }

    /// Whether it has the value that asks for nothing: the default of a build
    /// without the part that it is for.
    pub(super) fn is_off(&self, settings: &Settings) -> bool {
        (self.get)(settings) == self.default()
    }

    /// The environment variable that every key has: `CHR_SECTION__KEY`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CHR_{}", self.name.replace('.', "__").to_ascii_uppercase())
    }

    /// The row of `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }
}

#[cfg(test)]
mod tests;
