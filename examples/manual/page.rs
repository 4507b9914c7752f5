//! The manual page, in the macros of man(7).

use super::help::{Command, Manual, Opt};
use chr_node::config::KEYS;
use std::fmt::Write as _;

const FILES: &[(&str, &str)] = &[
    ("/etc/chr-node/chr-node.toml", "Settings of the service, where a package has made one. `chr-node run --config FILE` reads them; without --config no file is read."),
    ("/var/lib/chr-node", "The data folder of the service (storage.data_dir); otherwise ./data. What it has:"),
    ("node.key, node.key.bak", "The identity: the node's key with its address, and a copy. Whoever has it is this node. Keep a copy elsewhere; nothing can make it anew. A key file is never replaced by the program."),
    ("store/", "Tickets, statistics, other nodes and what is kept for others. `chr-node store export` makes a backup."),
    ("run.json", "While the node runs: its process, its address and where it listens."),
    ("operator.token", "What calls must say that change the node."),
    ("https.pem", "The certificate that the node has made for HTTPS, where no other is set."),
    ("~/.local/share/chr-node/", "Keys of devices (publish.key, forward.key, message.key), and the addresses of the nodes that they have met; XDG_DATA_HOME is honoured."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("XDG_DATA_HOME, HOME", "Where a device keeps its key."),
    ("NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG", "How `chr-node status` draws."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID", "Set by systemd: the node says when it is ready, loads its settings anew and stops, and that its loops turn."),
    ("RUNTIME_DIRECTORY", "Set by systemd: folder of a socket of the node's own."),
    ("JOURNAL_STREAM", "Set by systemd: the log goes to the journal, with levels."),
];

const SIGNALS: &[(&str, &str)] = &[
    ("SIGTERM, SIGINT", "The program writes what it holds in memory, closes its connections and ends."),
    ("SIGHUP", "A node reads its settings file again. Settings marked with * take their new values at once; of the others the log says that they need a restart. With a mistake in the file nothing changes. A device's command ends at once."),
];

const EXIT: &[(&str, &str)] = &[
    ("0", "Success."),
    ("1", "Failure, with one line on standard error. Also: `chr-node health` finds the node failing, `chr-node store check` the store damaged, `chr-node message` was not delivered."),
    ("2", "Wrong usage, or a setting that cannot be."),
];

/// Text without meaning for roff.
fn plain(text: &str) -> String {
    let text = text
        .replace('…', "...")
        .replace('\\', "\\e")
        .replace('-', "\\-");
    // A dot or an apostrophe at the beginning of a line would be a request.
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

/// Prose: what stands in backquotes is bold, hyphens in words stay hyphens.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            let _ = write!(out, "\\fB{}\\fR", plain(part).trim_start_matches("\\&"));
        } else {
            out.push_str(&words(part));
        }
    }
    if out.starts_with(['.', '\'']) {
        out.insert_str(0, "\\&");
    }
    out
}

/// Options and names keep their signs when they are copied; words may be broken.
fn words(text: &str) -> String {
    let text = text.replace('…', "...");
    let parts: Vec<String> = text
        .split(' ')
        .map(|word| {
            let literal = word.contains("--") || word.contains("chr-node") || word.starts_with('-');
            let word = word.replace('\\', "\\e");
            if literal {
                word.replace('-', "\\-")
            } else {
                word
            }
        })
        .collect();
    parts.join(" ")
}

fn lines(out: &mut String, lines: &[String]) {
    out.push_str(".nf\n");
    for line in lines {
        let _ = writeln!(out, "{}", plain(line));
    }
    out.push_str(".fi\n");
}

fn table(out: &mut String, rows: &[(&str, &str)]) {
    for (name, text) in rows {
        let _ = writeln!(out, ".TP\n.B {}\n{}", plain(name), prose(text));
    }
}

fn option(out: &mut String, option: &Opt) {
    let flags: Vec<String> = option.flags.iter().map(|f| plain(f)).collect();
    let head = flags.join("\\fR, \\fB");
    let value = match &option.value {
        Some(value) => format!(" \\fI{}\\fR", plain(value)),
        None => String::new(),
    };
    let doc = match option.doc.as_str() {
        "this text" => "print the help on this command",
        "name and version" => "print name and version",
        doc => doc,
    };
    let _ = writeln!(out, ".TP\n\\fB{head}\\fR{value}\n{}", prose(doc));
}

/// Lines between usage and options: terms with explanations, and prose.
fn notes(out: &mut String, command: &Command) {
    let mut text = String::new();
    let mut item = None;
    for line in &command.notes {
        let inner = line.trim_start();
        let indent = line.len() - inner.len();
        let term = inner
            .split_once("  ")
            .or_else(|| {
                inner
                    .split_once(' ')
                    .filter(|(w, _)| command.words.iter().any(|x| x == w))
            })
            .filter(|_| item.is_none_or(|at| indent <= at));
        if let Some((term, doc)) = term {
            flush(out, &mut text);
            let _ = writeln!(out, ".TP\n.B {}", plain(term));
            text.push_str(doc.trim());
            item = Some(indent);
        } else if inner.is_empty() {
            flush(out, &mut text);
            item = None;
        } else if item.is_some_and(|at| indent > at) {
            text.push(' ');
            text.push_str(inner);
        } else {
            // A line of its own, such as what SPEC is, or prose.
            let own = inner.contains(" = ");
            if item.take().is_some() || own {
                flush(out, &mut text);
            }
            if text.is_empty() {
                out.push_str(".PP\n");
            } else {
                text.push(' ');
            }
            text.push_str(inner);
            if own {
                flush(out, &mut text);
            }
        }
    }
    flush(out, &mut text);
}

fn flush(out: &mut String, text: &mut String) {
    if !text.is_empty() {
        let _ = writeln!(out, "{}", prose(text));
        text.clear();
    }
}

fn commands(out: &mut String, manual: &Manual) {
    for command in &manual.commands {
        let _ = writeln!(out, ".SS {}", plain(&command.name));
        lines(out, &command.usage);
        if command.about.is_empty() {
            let _ = writeln!(out, ".PP\nPrint {}.", words(&command.summary));
        }
        for paragraph in &command.about {
            let _ = writeln!(out, ".PP\n{}", prose(paragraph));
        }
        notes(out, command);
        if command.name == "run" {
            let _ = writeln!(out, ".PP\nIts options stand in OPTIONS.");
        } else {
            for o in &command.options {
                option(out, o);
            }
            for paragraph in &command.more {
                let _ = writeln!(out, ".PP\n{}", prose(paragraph));
            }
        }
    }
}

fn settings(out: &mut String) {
    let mut section = "";
    for key in KEYS {
        let (of, _) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            let _ = writeln!(out, ".SS [{of}]");
            section = of;
        }
        let default = match key.default().as_str() {
            "" => "none".to_owned(),
            value => value.to_owned(),
        };
        let variable = key
            .env
            .map(|name| format!(", also {name}"))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            ".TP\n\\fB{}\\fR{} [{}]\n{}\n.br\nTakes {}.\n.br\nVariable: {}{variable}.",
            plain(key.name),
            if key.live { " *" } else { "" },
            plain(&default),
            prose(key.doc),
            words(key.allowed),
            key.variable(),
        );
    }
}

/// The page, of a day.
pub fn page(manual: &Manual, date: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        ".\\\" Written by scripts/manual from what the program knows.\n.TH CHR\\-NODE 1 {date} \"chr\\-node {}\" \"User Commands\"",
        env!("CARGO_PKG_VERSION")
    );
    out.push_str(".nh\n.ad l\n");
    let about = manual.about.trim_end_matches('.');
    let _ = writeln!(out, ".SH NAME\nchr\\-node \\- {}", words(about));
    out.push_str(".SH SYNOPSIS\n.nf\n.B chr\\-node\n[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR]\n.fi\n");
    out.push_str(".SH DESCRIPTION\n");
    out.push_str(
        "Devices behind NAT hold one outgoing TLS connection to a node. One device publishes a local
port there, another one forwards a local port of its own to it, and the node carries the
bytes between them. They are encrypted from device to device; the node cannot read them,
and is paid for relaying by signed tickets.
.PP
Without a command, or with an option first, the program is a node:
.B chr\\-node run.\n",
    );
    for remark in &manual.remarks {
        let _ = writeln!(out, ".PP\n{}", prose(remark));
    }
    out.push_str(".SH COMMANDS\n");
    for command in &manual.commands {
        let _ = writeln!(
            out,
            ".TP\n.B {}\n{}",
            plain(&command.name),
            prose(&command.summary)
        );
    }
    commands(&mut out, manual);
    out.push_str(".SH OPTIONS\nOf\n.B chr\\-node run\nand of the program without a command:\n");
    if let Some(run) = manual.find("run") {
        for o in &run.options {
            option(&mut out, o);
        }
    }
    out.push_str(".SH FILES\n");
    table(&mut out, FILES);
    out.push_str(".SH ENVIRONMENT\nEach setting has a variable, which SETTINGS names; an empty one counts as unset.\n");
    table(&mut out, ENVIRONMENT);
    out.push_str(".SH SETTINGS\n");
    if let Some(run) = manual.find("run") {
        for paragraph in &run.more {
            let _ = writeln!(out, ".PP\n{}", prose(paragraph));
        }
    }
    settings(&mut out);
    out.push_str(".SH SIGNALS\n");
    table(&mut out, SIGNALS);
    out.push_str(".SH EXIT STATUS\n");
    table(&mut out, EXIT);
    out.push_str(".SH EXAMPLES\nOn three machines:\n.PP\n");
    lines(&mut out, &manual.examples);
    for command in manual.commands.iter().filter(|c| !c.examples.is_empty()) {
        let _ = writeln!(out, ".PP\n{}:\n.PP", capital(&prose(&command.summary)));
        out.push_str(".RS 4\n");
        lines(&mut out, &command.examples);
        out.push_str(".RE\n");
    }
    out.push_str(".SH SEE ALSO\n.BR systemctl (1),\n.BR journalctl (1)\n");
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
