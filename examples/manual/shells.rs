//! Completions: one script for each shell, which needs nothing but that shell.

use super::help::{choices, Command, Manual, Opt, Values};
use chr_node::config::KEYS;
use std::fmt::Write as _;

const HEAD: &str =
    "Completion for chr-node. Written by scripts/manual from what the program knows.";

/// `--long -s` of all options.
fn flags(options: &[Opt]) -> String {
    let all: Vec<&str> = options
        .iter()
        .flat_map(|option| option.flags.iter().map(String::as_str))
        .collect();
    all.join(" ")
}

/// Flags of options whose values are of a kind, for a `case` or a test.
fn flags_of(manual: &Manual, kind: impl Fn(&Values) -> bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for option in manual.commands.iter().flat_map(|c| &c.options) {
        if kind(&option.values()) {
            for flag in &option.flags {
                if !found.contains(flag) {
                    found.push(flag.clone());
                }
            }
        }
    }
    found
}

fn names(manual: &Manual) -> String {
    let all: Vec<&str> = manual.commands.iter().map(|c| c.name.as_str()).collect();
    all.join(" ")
}

/// For `complete -F`.
pub fn bash(manual: &Manual) -> String {
    let mut text = format!("# {HEAD}\n\n");
    text.push_str("_chr_node_values() {\n    case $1 in\n");
    for key in KEYS {
        let values = choices(key.name);
        if !values.is_empty() {
            let _ = writeln!(text, "    {}) echo '{}' ;;", key.name, values.join(" "));
        }
    }
    text.push_str("    esac\n}\n\n_chr_node() {\n");
    text.push_str(
        "    local cur=${COMP_WORDS[COMP_CWORD]} before='' key='' command='' word='' at
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        [[ $word != -* ]] || break
        command=$word
        break
    done
    # Bash makes words of their own of = signs: --set log.level = debug
    ((COMP_CWORD < 1)) || before=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $cur == = ]]; then
        cur=''
        key=$before
        ((COMP_CWORD < 2)) || before=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $before == = ]]; then
        key=${COMP_WORDS[COMP_CWORD - 2]}
        ((COMP_CWORD < 3)) || before=${COMP_WORDS[COMP_CWORD - 3]}
    fi
    if [[ $key == -* ]]; then
        before=$key
        key=''
    fi
    case $before in
",
    );
    let keys: Vec<String> = KEYS.iter().map(|key| format!("{}=", key.name)).collect();
    let kinds = [
        (
            flags_of(manual, |v| matches!(v, Values::File)),
            "compopt -o filenames 2>/dev/null\n        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")".to_owned(),
        ),
        (
            flags_of(manual, |v| matches!(v, Values::Folder)),
            "compopt -o filenames 2>/dev/null\n        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")".to_owned(),
        ),
        (
            flags_of(manual, |v| matches!(v, Values::Setting)),
            format!(
                "if [[ -n $key ]]; then\n            mapfile -t COMPREPLY < <(compgen -W \"$(_chr_node_values \"$key\")\" -- \"$cur\")\n        else\n            compopt -o nospace 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")\n        fi",
                keys.join(" ")
            ),
        ),
        (
            flags_of(manual, |v| matches!(v, Values::Words(_))),
            "mapfile -t COMPREPLY < <(compgen -W \"$(_chr_node_values node.profile)\" -- \"$cur\")".to_owned(),
        ),
        (flags_of(manual, |v| matches!(v, Values::Free)), ":".to_owned()),
    ];
    for (flags, action) in kinds {
        if !flags.is_empty() {
            let _ = writeln!(
                text,
                "    {})\n        {action}\n        return\n        ;;",
                flags.join(" | ")
            );
        }
    }
    text.push_str("    esac\n    case $command in\n");
    for command in &manual.commands {
        let _ = writeln!(
            text,
            "    {})\n        if [[ $cur == -* ]]; then\n            mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")",
            command.name,
            flags(&command.options)
        );
        if takes_file(command) {
            let _ = writeln!(
                text,
                "        elif [[ $before == import ]]; then\n            compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")"
            );
        }
        if !command.words.is_empty() {
            let _ = writeln!(
                text,
                "        elif ((COMP_CWORD == at + 1)); then\n            mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")",
                command.words.join(" ")
            );
        }
        text.push_str("        fi\n        ;;\n");
    }
    // Without a command it is `run`.
    let run = manual
        .find("run")
        .map_or_else(String::new, |c| flags(&c.options));
    let _ = writeln!(
        text,
        "    '')\n        if [[ $cur == -* || $COMP_CWORD -gt 1 ]]; then\n            mapfile -t COMPREPLY < <(compgen -W '{run}' -- \"$cur\")\n        else\n            mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")\n        fi\n        ;;\n    esac\n}}\n\ncomplete -F _chr_node chr-node",
        names(manual)
    );
    text
}

/// Whether a file is named behind one of the words.
fn takes_file(command: &Command) -> bool {
    command
        .usage
        .iter()
        .any(|line| line.contains(" import FILE"))
}

/// The first sentence, short enough for a line beside the option.
fn short(doc: &str) -> String {
    const WIDTH: usize = 60;
    let sentence = doc.split([';', ':']).next().unwrap_or(doc);
    let sentence = sentence.split(". ").next().unwrap_or(sentence);
    let sentence = sentence.trim().trim_end_matches('.');
    if sentence.chars().count() <= WIDTH {
        return sentence.to_owned();
    }
    let mut line = String::new();
    for word in sentence.split(' ') {
        if line.chars().count() + word.chars().count() + 1 > WIDTH {
            break;
        }
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    line + " …"
}

/// Text within single quotes and, for `_arguments`, within brackets.
fn zsh_text(text: &str) -> String {
    short(text)
        .replace('\\', "\\\\")
        .replace('\'', "'\\''")
        .replace('[', "\\[")
        .replace(']', "\\]")
        .replace(':', "\\:")
}

fn zsh_options(text: &mut String, options: &[Opt]) {
    for option in options {
        let action = match option.values() {
            Values::Nothing => String::new(),
            Values::File => ":file:_files".to_owned(),
            Values::Folder => ":folder:_files -/".to_owned(),
            Values::Setting => ":setting:_chr_node_settings".to_owned(),
            Values::Words(words) => format!(":name:({})", words.join(" ")),
            Values::Free => format!(
                ":{}: ",
                option
                    .value
                    .as_deref()
                    .unwrap_or("value")
                    .to_lowercase()
                    .replace([':', '[', ']', '@'], " ")
                    .trim()
            ),
        };
        for flag in &option.flags {
            let equals = if flag.starts_with("--") && !action.is_empty() {
                "="
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "        '*{flag}{equals}[{}]{action}' \\",
                zsh_text(&option.doc)
            );
        }
    }
}

/// For the folder of zsh's completions, as `_chr-node`.
pub fn zsh(manual: &Manual) -> String {
    let mut text = format!("#compdef chr-node\n# {HEAD}\n\n_chr_node_settings() {{\n");
    text.push_str("    if compset -P '*='; then\n        case ${IPREFIX%=} in\n");
    for key in KEYS {
        let values = choices(key.name);
        if !values.is_empty() {
            let _ = writeln!(
                text,
                "        *{}) compadd -- {} ;;",
                key.name,
                values.join(" ")
            );
        }
    }
    text.push_str("        esac\n    else\n        compadd -S = -q --");
    for key in KEYS {
        let _ = write!(text, " \\\n            {}", key.name);
    }
    text.push_str("\n    fi\n}\n\n_chr_node_run() {\n    _arguments -s \\\n");
    if let Some(run) = manual.find("run") {
        zsh_options(&mut text, &run.options);
    }
    text.push_str("        && return\n}\n");
    for command in manual.commands.iter().filter(|c| c.name != "run") {
        let _ = writeln!(
            text,
            "\n_chr_node_{}() {{\n    _arguments -s \\",
            command.name
        );
        zsh_options(&mut text, &command.options);
        if !command.words.is_empty() {
            let _ = writeln!(text, "        '1:what:({})' \\", command.words.join(" "));
        }
        if takes_file(command) {
            text.push_str("        '2:file:_files' \\\n");
        }
        text.push_str("        && return\n}\n");
    }
    text.push_str("\n_chr_node() {\n    local -a commands=(\n");
    for command in &manual.commands {
        let _ = writeln!(
            text,
            "        '{}:{}'",
            command.name,
            command.summary.replace('\'', "'\\''").replace(':', "\\:")
        );
    }
    text.push_str(
        "    )
    # An option first means `run`.
    if [[ ${words[2]} == -* ]]; then
        _chr_node_run
    elif ((CURRENT == 2)); then
        _describe command commands
    elif ((${+functions[_chr_node_${words[2]}]})); then
        local name=${words[2]}
        shift words
        ((CURRENT--))
        _chr_node_$name
    fi
}

_chr_node \"$@\"
",
    );
    text
}

fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

/// For fish's folder of completions.
pub fn fish(manual: &Manual) -> String {
    let mut text = format!("# {HEAD}\n\nfunction __chr_node_settings\n");
    for key in KEYS {
        let _ = writeln!(
            text,
            "    printf '%s=\\t%s\\n' {} '{}'",
            key.name,
            fish_text(&short(key.doc))
        );
        for value in choices(key.name) {
            let _ = writeln!(text, "    echo {}={value}", key.name);
        }
    }
    text.push_str("end\n\ncomplete -c chr-node -f\n");
    for command in &manual.commands {
        let _ = writeln!(
            text,
            "complete -c chr-node -n __fish_use_subcommand -a {} -d '{}'",
            command.name,
            fish_text(&command.summary)
        );
    }
    if let Some(run) = manual.find("run") {
        fish_options(&mut text, "__fish_use_subcommand", &run.options);
    }
    for command in &manual.commands {
        let seen = format!("\"__fish_seen_subcommand_from {}\"", command.name);
        if !command.words.is_empty() {
            let words = command.words.join(" ");
            let _ = writeln!(
                text,
                "complete -c chr-node -n \"__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {words}\" -a '{words}'",
                command.name,
                words = words
                    .split(' ')
                    .filter(|word| *word != command.name)
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        }
        if takes_file(command) {
            text.push_str("complete -c chr-node -n \"__fish_seen_subcommand_from import\" -F\n");
        }
        fish_options(&mut text, &seen, &command.options);
    }
    text
}

fn fish_options(text: &mut String, condition: &str, options: &[Opt]) {
    for option in options {
        let action = match option.values() {
            Values::Nothing => String::new(),
            Values::File => " -r -F".to_owned(),
            Values::Folder => " -x -a '(__fish_complete_directories)'".to_owned(),
            Values::Setting => " -x -a '(__chr_node_settings)'".to_owned(),
            Values::Words(words) => format!(" -x -a '{}'", words.join(" ")),
            Values::Free => " -x".to_owned(),
        };
        for flag in &option.flags {
            let name = match flag.strip_prefix("--") {
                Some(long) => format!("-l {long}"),
                None => format!("-s {}", flag.trim_start_matches('-')),
            };
            let _ = writeln!(
                text,
                "complete -c chr-node -n {condition} {name}{action} -d '{}'",
                fish_text(&short(&option.doc))
            );
        }
    }
}
