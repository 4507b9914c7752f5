//! What a person sees who made a mistake: one line on standard error that says
//! what, where and what to do, and the right exit code. Through the real
//! program, because that is what scripts and init systems see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ADDRESS: &str = "0x00112233445566778899aabbccddeeff00112233";

/// The program in a folder of its own and without the environment of whoever runs the test.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chr-node"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null());
    command
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn finish(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run_with(line: &str, variables: &[(&str, &str)]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path())
        .args(line.split_whitespace())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    finish(output)
}

/// One line on standard error, nothing on standard output, this exit code.
fn refusal(line: &str, variables: &[(&str, &str)], code: i32) -> String {
    let ran = run_with(line, variables);
    assert_eq!(ran.code, code, "{line}: {}", ran.err);
    assert_eq!(ran.out, "", "{line}");
    assert!(ran.err.starts_with("chr-node: "), "{line}: {}", ran.err);
    assert!(ran.err.ends_with('\n'), "{line}: {}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
    ran.err
}

#[test]
fn every_usage_error_is_one_line_with_a_remedy_and_exit_code_2() {
    for (line, remedy) in [
        ("pubish", "did you mean publish?"),
        ("serve", "the commands are run, publish"),
        ("--frobnicate", "chr-node run --help"),
        ("run --config x.toml", "check what --config names"),
        ("config", "`config check` or `config show`"),
        ("config show --profile phone", "router, android or server"),
        (
            "run --set network.rpc_prot=1",
            "did you mean network.rpc_port?",
        ),
        (
            "run --set network.rpc_port=web",
            "0 for any free one, or off",
        ),
        ("run --data-dir", "--data-dir DIR"),
        ("publish", "8080:public"),
        ("publish 8080 --node localhost:1", "8080:public"),
        ("publish 8080:public", "--node HOST:PORT"),
        (
            "publish 8080:protected --node localhost:1",
            "--fleet-devices FILE",
        ),
        ("publish 8080:private --node localhost:1", "--allow 0xADDR"),
        (
            "publish 192.168.1.5:80 --node localhost:1",
            "HOST:PORT=PORT",
        ),
        ("publish 8080:public --node localhost", "HOST:PORT"),
        (
            "publish 8080:public --node 0x12@localhost:1",
            "40 hexadecimal digits",
        ),
        (
            "forward 127.0.0.1:0 camera:80 --node localhost:1",
            "0xADDR:PORT",
        ),
        (
            &format!("forward 127.0.0.1:0 {ADDRESS} --node localhost:1"),
            "0xADDR:PORT",
        ),
        (
            &format!("forward 127.0.0.1:0 {ADDRESS}:80"),
            "--node HOST:PORT",
        ),
        ("message", "0xADDR"),
        (&format!("message {ADDRESS}"), "the text is missing"),
        (&format!("message {ADDRESS} hi"), "--node HOST:PORT"),
        (
            "message camera hi --node localhost:1",
            "names of devices are not supported in this version; write 0xADDR",
        ),
        (
            "message 0x12 hi --node localhost:1",
            "40 hexadecimal digits",
        ),
        (
            &format!("message {ADDRESS} good morning --node localhost:1"),
            "in quotes",
        ),
        (
            &format!("message {ADDRESS} {} --node localhost:1", "x".repeat(8193)),
            "8193 bytes, a message at most 8192",
        ),
        (
            &format!("message {ADDRESS} hi --plain --node localhost:1"),
            "--help",
        ),
        (
            &format!("message {ADDRESS} hi --messages --node localhost:1"),
            "--help",
        ),
        ("publish --messages", "--node HOST:PORT"),
        ("publish --node localhost:1", "--messages"),
        (
            &format!("forward 1 {ADDRESS}:1 --messages --node localhost:1"),
            "--help",
        ),
        ("identity", "identity show"),
        ("identity show --identity a --data-dir b", "leave one out"),
        ("identity import", "identity import FILE"),
        ("identity import a b", "at a time"),
        ("identity new --output a", "identity export"),
        ("identity export --json", "one line"),
    ] {
        let text = refusal(line, &[], 2);
        assert!(text.contains(remedy), "{line}: {text}");
    }
}

#[test]
fn a_bad_environment_is_named_by_its_variable() {
    for (name, value, remedy) in [
        ("RPC_PORT", "99999", "allowed: a port"),
        ("EDGE2_PORT", "41046,41046", "twice"),
        ("MEMORY_LIMIT", "1K", "below 8M"),
        ("LOG_LEVEL", "loud", "error, warn, info"),
        ("CHR_SECURITY__FLEET_ALLOWLIST", "0x12", "0xFLEET/0xDEVICE"),
        ("CHR_NETWORK__COLOUR", "red", "unknown setting"),
    ] {
        let text = refusal("run", &[(name, value)], 2);
        assert!(text.contains(name) && text.contains(remedy), "{text}");
    }
}

#[test]
fn an_argument_with_line_breaks_cannot_forge_a_second_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path())
        .args(["run", "--set", "a\nchr-node: all is well\n=\x1b[2J"])
        .output()
        .unwrap();
    let ran = finish(output);
    assert_eq!((ran.code, ran.err.lines().count()), (2, 1), "{}", ran.err);
    assert!(!ran.err.contains('\x1b'));
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_utf_8_are_an_error_and_no_crash() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"node.name=\xff\xfe");
    for before in [
        &[][..],
        &["publish"],
        &["run", "--data-dir"],
        &["run", "--set"],
        &["message", ADDRESS],
        &["identity", "show", "--set"],
    ] {
        let output = program(folder.path()).args(before).arg(odd).output();
        let ran = finish(output.unwrap());
        assert_eq!((ran.code, ran.err.lines().count()), (2, 1), "{}", ran.err);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for line in [
        "--help",
        "help",
        "run --help",
        "publish --help",
        "forward -h",
        "message --help",
        "identity --help",
        "help forward",
    ] {
        let ran = run_with(line, &[]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
        assert!(
            ran.out.contains("Usage: chr-node") && ran.out.contains("Example"),
            "{line}"
        );
    }
    for line in ["--version", "-V", "publish --version"] {
        let ran = run_with(line, &[]);
        assert_eq!(
            ran.out,
            concat!("chr-node ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let output = program(folder.path())
        .args(["run", "--help"])
        .stdout(OwnedFd::from(writer))
        .output()
        .unwrap();
    let ran = finish(output);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn files_that_are_missing_are_failures_and_not_usage_errors() {
    for (line, remedy) in [
        ("identity show", "identity new"),
        ("identity show --identity nowhere/k.key", "nowhere"),
        ("identity new --identity nowhere/k.key", "make the folder"),
        ("identity export", "identity new"),
        ("identity import nowhere", "nowhere"),
        (
            "publish 8080:protected --fleet-devices nowhere/list --node localhost:1",
            "nowhere/list",
        ),
    ] {
        let text = refusal(line, &[], 1);
        assert!(text.contains(remedy), "{line}: {text}");
    }
}

#[test]
fn an_identity_moves_to_new_hardware_and_replaces_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |home: &str, words: &[&str]| {
        let mut command = program(folder.path());
        finish(command.args(words).env("DATA_DIR", home).output().unwrap())
    };
    let made = ask("old", &["identity", "new"]).out;
    let text = ask("old", &["identity", "export"]);
    assert_eq!(
        (text.code, text.out.lines().count()),
        (0, 1),
        "{}",
        text.err
    );
    let saved = ask("old", &["identity", "export", "--output", "saved"]);
    assert_eq!((saved.code, saved.out.as_str()), (0, ""), "{}", saved.err);
    let file = folder.path().join("saved");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text.out);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = ask("old", &["identity", "export", "--output", "saved"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("was left as it is"), "{}", again.err);

    let taken = ask("new", &["identity", "import", "saved"]);
    assert_eq!(
        (taken.code, taken.out.as_str()),
        (0, made.as_str()),
        "{}",
        taken.err
    );
    assert_eq!(ask("new", &["identity", "show"]).out, made);
    assert_eq!(ask("new", &["identity", "export"]).out, text.out);
    let twice = ask("new", &["identity", "import", "saved"]);
    assert_eq!((twice.code, twice.out.as_str()), (0, made.as_str()));

    let other = ask("other", &["identity", "new"]).out;
    let refused = ask("other", &["identity", "import", "saved"]);
    assert_eq!((refused.code, refused.err.lines().count()), (1, 1));
    assert!(refused.err.contains(other.trim_end()), "{}", refused.err);
    assert_eq!(ask("other", &["identity", "show"]).out, other);
    std::fs::write(
        folder.path().join("saved"),
        text.out.replace("chr-key-1 ", "chr-key-1 0"),
    )
    .unwrap();
    let broken = ask("third", &["identity", "import", "saved"]);
    assert_eq!((broken.code, broken.err.lines().count()), (1, 1));
    assert!(broken.err.contains("identity export"), "{}", broken.err);
    assert!(!folder.path().join("third/node.key").exists());
}

#[test]
fn an_identity_is_made_once_and_shown_ever_after() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |words: &[&str]| {
        finish(
            program(folder.path())
                .args(words)
                .env("DATA_DIR", "node/data")
                .output()
                .unwrap(),
        )
    };
    let made = ask(&["identity", "new"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(made.out.trim_end().len(), ADDRESS.len());
    assert!(folder.path().join("node/data/node.key").exists());

    let again = ask(&["identity", "new"]);
    assert_eq!(
        (again.code, again.err.lines().count()),
        (1, 1),
        "{}",
        again.err
    );
    assert!(again.err.contains(made.out.trim_end()), "{}", again.err);

    assert_eq!(ask(&["identity", "show"]).out, made.out);
    let json = ask(&["identity", "show", "--json", "--data-dir", "node/data"]);
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["address"], made.out.trim_end());
    assert_eq!(answer["file"], "node/data/node.key");
    let file = ask(&["identity", "show", "--identity", "node/data/node.key"]);
    assert_eq!(file.out, made.out);
}

#[test]
fn too_few_open_files_are_told_and_are_no_panic() {
    let home = tempfile::tempdir().unwrap();
    for line in [
        "run",
        "publish 1:public --node 127.0.0.1:1",
        "forward 1 0x00112233445566778899aabbccddeeff00112233:1 --node 127.0.0.1:1",
        "message 0x00112233445566778899aabbccddeeff00112233 hi --node 127.0.0.1:1",
    ] {
        let program = env!("CARGO_BIN_EXE_chr-node");
        let mut command = Command::new("sh");
        command
            .current_dir(home.path())
            .env("XDG_DATA_HOME", home.path())
            .args(["-c", &format!("ulimit -n 8 && exec {program} {line}")]);
        let ran = finish(command.output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
        assert!(ran.err.contains("8 files") && ran.err.contains("ulimit -n"));
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
