//! The help texts as data: commands with their options, words and examples.
//!
//! A text has, in this order: what the command is for; `Usage:`; perhaps notes; a
//! heading that begins with `Options` and a line for each; then paragraphs, of
//! which those that begin with `Example` are command lines.

use chr_node::cli::help::{text, Topic};
use chr_node::config::{Settings, KEYS};

/// All there is to say.
pub struct Manual {
    /// What the program is for.
    pub about: String,
    /// Remarks on all commands.
    pub remarks: Vec<String>,
    /// The example with several machines.
    pub examples: Vec<String>,
    /// In the order of the help.
    pub commands: Vec<Command>,
}

/// One subcommand.
#[derive(Debug, Default)]
pub struct Command {
    /// Its name.
    pub name: String,
    /// One line.
    pub summary: String,
    /// What it is for: paragraphs.
    pub about: Vec<String>,
    /// How it is called.
    pub usage: Vec<String>,
    /// What stands between usage and options, in its lines.
    pub notes: Vec<String>,
    /// Its options.
    pub options: Vec<Opt>,
    /// What may stand behind its name, such as `check`.
    pub words: Vec<String>,
    /// Paragraphs after the options.
    pub more: Vec<String>,
    /// Command lines.
    pub examples: Vec<String>,
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// `-h` and `--help`.
    pub flags: Vec<String>,
    /// What its value is called.
    pub value: Option<String>,
    /// What it does.
    pub doc: String,
}

/// What the value of an option can be completed with.
pub enum Values {
    /// It has none.
    Nothing,
    /// Files.
    File,
    /// Folders.
    Folder,
    /// Settings, as KEY=VALUE.
    Setting,
    /// Some words.
    Words(Vec<String>),
    /// Whatever it is, it cannot be guessed.
    Free,
}

impl Opt {
    /// What can be offered behind it.
    pub fn values(&self) -> Values {
        match self.value.as_deref() {
            None => Values::Nothing,
            Some("FILE") => Values::File,
            Some("DIR") => Values::Folder,
            Some("KEY=VALUE") => Values::Setting,
            Some(_) if self.flags.iter().any(|f| f == "--profile") => {
                Values::Words(choices("node.profile"))
            }
            Some(_) => Values::Free,
        }
    }
}

/// The words that a setting takes, where its row begins with a list of them.
pub fn choices(name: &str) -> Vec<String> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        return Vec::new();
    };
    let list = key.allowed.replace(" or ", ", ");
    list.split(", ")
        .map(|piece| piece.trim().trim_start_matches("or "))
        .take_while(|piece| !piece.is_empty() && !piece.contains(' '))
        .filter(|piece| piece.starts_with(|c: char| c.is_ascii_alphanumeric()))
        // The row itself says whether it is a value: `both` is none.
        .filter(|piece| (key.set)(&mut Settings::default(), piece).is_ok())
        .map(ToOwned::to_owned)
        .collect()
}

impl Manual {
    /// Reads all texts.
    ///
    /// # Errors
    /// One has not the form that the module's text tells.
    pub fn read() -> Result<Manual, String> {
        let overview = text(Topic::Overview);
        let parts: Vec<&str> = overview.trim_end().split("\n\n").collect();
        let [about, _usage, commands, rest @ ..] = parts.as_slice() else {
            return Err("the overview has not its parts".to_owned());
        };
        let mut manual = Manual {
            about: joined(about.trim_start_matches("chr-node:")),
            remarks: Vec::new(),
            examples: Vec::new(),
            commands: Vec::new(),
        };
        for paragraph in rest {
            if paragraph.starts_with("Example") {
                manual.examples = paragraph.lines().skip(1).map(trimmed).collect();
            } else if !paragraph.starts_with("Exit codes:") {
                manual.remarks.push(joined(paragraph));
            }
        }
        for line in commands.lines().skip(1) {
            let (name, summary) = line
                .trim()
                .split_once(' ')
                .ok_or_else(|| format!("no command: {line}"))?;
            manual.commands.push(match Topic::find(name) {
                Some(topic) => command(name, summary.trim(), &text(topic))?,
                None => Command {
                    name: name.to_owned(),
                    summary: summary.trim().to_owned(),
                    usage: vec![format!("chr-node {name} [COMMAND]")],
                    ..Command::default()
                },
            });
        }
        let names = manual.commands.iter().map(|c| c.name.clone());
        let names = names.filter(|name| name != "help").collect();
        match manual.commands.iter_mut().find(|c| c.name == "help") {
            Some(help) => help.words = names,
            None => return Err("the overview does not name help".to_owned()),
        }
        manual.name_what_others_explain();
        Ok(manual)
    }

    /// The command of a name.
    pub fn find(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// Options that a text only mentions (`as are --profile NAME and …`) are those of
    /// `run`.
    fn name_what_others_explain(&mut self) {
        let known = match self.find("run") {
            Some(run) => run.options.clone(),
            None => Vec::new(),
        };
        for command in &mut self.commands {
            let said: Vec<String> = command.options.iter().map(|o| o.doc.clone()).collect();
            for option in &known {
                let named = |flag: &String| said.iter().any(|doc| has_word(doc, flag));
                if option.flags.iter().any(named) && !command.options.contains(option) {
                    let has = |o: &Opt| o.flags == option.flags;
                    if !command.options.iter().any(has) {
                        let before_help = command.options.len().saturating_sub(2);
                        command.options.insert(before_help, option.clone());
                    }
                }
            }
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split([' ', ',', '.']).any(|part| part == word)
}

fn trimmed(line: &str) -> String {
    line.trim().to_owned()
}

fn joined(paragraph: &str) -> String {
    let lines: Vec<String> = paragraph.lines().map(trimmed).collect();
    lines.join(" ").trim().to_owned()
}

fn command(name: &str, summary: &str, text: &str) -> Result<Command, String> {
    let mut command = Command {
        name: name.to_owned(),
        summary: summary.to_owned(),
        ..Command::default()
    };
    // The table of settings has a section of its own.
    let first_key = KEYS.first().map_or("", |key| key.name);
    let text = text.split(&format!("\n  {first_key}")).next().unwrap_or("");
    for paragraph in text.trim_end().split("\n\n") {
        if let Some(usage) = paragraph.strip_prefix("Usage:") {
            command.usage = usage.lines().map(trimmed).collect();
        } else if paragraph.starts_with("Options") {
            command.options = options(paragraph)?;
        } else if paragraph.starts_with("Example") {
            command.examples = paragraph.lines().skip(1).map(trimmed).collect();
        } else if !command.options.is_empty() {
            command.more.push(joined(paragraph));
        } else if command.usage.is_empty() {
            command.about.push(joined(paragraph));
        } else {
            command.notes.extend(paragraph.lines().map(str::to_owned));
            command.notes.push(String::new());
        }
    }
    if command.usage.is_empty() || command.options.is_empty() {
        return Err(format!("the help on {name} has no usage or no options"));
    }
    command.words = words(name, &command.usage);
    Ok(command)
}

/// `check|show` behind the name, or one in each line of usage.
fn words(name: &str, usage: &[String]) -> Vec<String> {
    let small = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '|');
    usage
        .iter()
        .filter_map(|line| line.split_whitespace().skip_while(|w| *w != name).nth(1))
        .filter(small)
        .flat_map(|word| word.split('|'))
        .map(ToOwned::to_owned)
        .collect()
}

fn options(paragraph: &str) -> Result<Vec<Opt>, String> {
    let mut options: Vec<Opt> = Vec::new();
    for line in paragraph.lines().skip(1) {
        let inner = line.trim_start();
        if line.len() - inner.len() > 2 {
            let last = options.last_mut();
            let last = last.ok_or_else(|| format!("belongs to no option: {line}"))?;
            last.doc.push(' ');
            last.doc.push_str(inner);
            continue;
        }
        let (head, doc) = inner
            .split_once("  ")
            .ok_or_else(|| format!("an option without explanation: {line}"))?;
        let mut flags = Vec::new();
        let mut value = None;
        for word in head.split([' ', ',']).filter(|word| !word.is_empty()) {
            if word.starts_with('-') {
                flags.push(word.to_owned());
            } else {
                value = Some(word.to_owned());
            }
        }
        options.push(Opt {
            flags,
            value,
            doc: doc.trim().to_owned(),
        });
    }
    Ok(options)
}
