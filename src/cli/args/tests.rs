//! Tests of `args.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

const A: &str = "0x00112233445566778899aabbccddeeff00112233";
const B: &str = "0xffeeddccbbaa99887766554433221100ffeeddcc";

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn read(line: &str) -> Command {
    parse(words(line)).unwrap_or_else(|e| panic!("{line}: {e}"))
}

fn refusal(line: &str) -> String {
    let failure = parse(words(line)).expect_err(line);
    assert_eq!(failure.exit_code(), 2, "{line}");
    failure.to_string()
}

fn published(line: &str) -> PublishArgs {
    match read(line) {
        Command::Publish(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_chr_node_is_a_node() {
    assert_eq!(read(""), Command::Run(RunArgs::default()));
    assert_eq!(read("run"), read(""));
    assert_eq!(
        read("--ephemeral -vv"),
        read("run -v --ephemeral --verbose")
    );
}

#[test]
fn settings_keep_the_order_in_which_they_were_said() {
    let Command::Run(args) =
        read("run --set storage.data_dir=/a=b --data-dir=/c --set log.level=warn -q")
    else {
        panic!()
    };
    let said: Vec<_> = args
        .settings
        .assignments
        .iter()
        .map(|a| (a.key.as_str(), a.value.as_str(), a.option))
        .collect();
    assert_eq!(
        said,
        [
            ("storage.data_dir", "/a=b", "--set"),
            ("storage.data_dir", "/c", "--data-dir"),
            ("log.level", "warn", "--set"),
        ]
    );
    assert_eq!(args.verbosity, Verbosity(-1));
}

#[test]
fn help_and_version_are_everywhere() {
    for (line, topic) in [
        ("--help", Topic::Overview),
        ("-h", Topic::Overview),
        ("help", Topic::Overview),
        ("run --help", Topic::Run),
        ("help run", Topic::Run),
        ("publish 8080:public -h", Topic::Publish),
        ("forward --help", Topic::Forward),
        ("message -h", Topic::Message),
        ("identity --help", Topic::Identity),
        ("identity show --help", Topic::Identity),
    ] {
        assert_eq!(read(line), Command::Help(topic), "{line}");
    }
    for line in [
        "--version",
        "-V",
        "run --version",
        "publish -V",
        "forward --version",
        "identity -V",
    ] {
        assert_eq!(read(line), Command::Version, "{line}");
    }
}

#[test]
fn publish_reads_everything_that_it_offers() {
    let args = published(&format!(
        "publish 8080:public --node a:1 22=2222:private --node {A}@[::1]:2 53/udp:protected --allow {A} --allow {B} --allow {A} \
         --fleet-devices list.txt --identity k.key --max-bytes 10G --fleet {B} --plain --accept-node --json -vv"
    ));
    let modes: Vec<_> = args.ports.iter().map(|p| (p.port, p.mode)).collect();
    assert_eq!(
        modes,
        [
            (8080, Mode::Public),
            (2222, Mode::Private),
            (53, Mode::Protected)
        ]
    );
    assert_eq!(args.allow.len(), 2);
    assert_eq!(args.fleet_devices, Some("list.txt".into()));
    let device = args.device;
    assert_eq!(device.nodes.len(), 2);
    assert_eq!(device.identity, Some("k.key".into()));
    assert_eq!(device.max_bytes, Some(10 << 30));
    assert_eq!(device.fleet.unwrap().to_string(), B);
    assert!(device.plain && device.accept_node && device.json);
    assert_eq!(device.verbosity, Verbosity(2));
}

#[test]
fn without_a_mode_a_port_is_private_to_those_who_are_allowed() {
    let args = published(&format!("publish 8080 --allow {A} --node a:1"));
    assert_eq!(args.ports.first().unwrap().mode, Mode::Private);
}

#[test]
fn nobody_publishes_to_everyone_by_forgetting_a_word() {
    let text = refusal("publish 8080 --node a:1");
    for choice in [
        "8080:public",
        "--allow",
        "8080:protected",
        "--fleet-devices",
    ] {
        assert!(text.contains(choice), "{text}");
    }
}

#[test]
fn forward_reads_where_and_whom() {
    let Command::Forward(args) = read(&format!(
        "forward 127.0.0.1:0/udp {A}:53 --node a:1 --node b:2"
    )) else {
        panic!()
    };
    assert_eq!(args.listen.protocol, Protocol::Udp);
    assert_eq!(args.target.port, 53);
    assert_eq!(args.device.nodes.len(), 2);
}

#[test]
fn a_message_is_words_or_what_comes_on_standard_input() {
    let message = |text: &str| {
        let mut all = words(&format!("message {A} --node a:1 --node b:2 --json"));
        all.extend([OsString::from("--"), OsString::from(text)]);
        match parse(all).unwrap() {
            Command::Message(args) => args,
            other => panic!("{other:?}"),
        }
    };
    let args = message("-5 degrees, and falling");
    let words = MessageText::Words("-5 degrees, and falling".into());
    assert_eq!((args.to.to_string(), args.text), (A.to_owned(), words));
    assert_eq!(args.device.nodes.len(), 2);
    assert_eq!(message("-").text, MessageText::Input);
    assert_eq!(message(&"é".repeat(4096)).device, args.device);
}

#[test]
fn a_device_may_take_messages_alone_or_beside_ports() {
    let args = published(&format!("publish --messages --allow {A} --node a:1"));
    assert!(args.messages && args.ports.is_empty() && args.allow.len() == 1);
    let args = published("publish 80:public --messages --fleet-devices f --node a:1");
    assert!(args.messages && args.ports.len() == 1);
    assert!(!published("publish 80:public --node a:1").messages);
    // Without them these options still have no effect.
    for option in [
        "--allow 0x00112233445566778899aabbccddeeff00112233",
        "--fleet-devices f",
    ] {
        let text = refusal(&format!("publish 80:public {option} --node a:1"));
        assert!(text.contains("no effect"), "{text}");
    }
}

#[test]
fn identity_takes_one_place() {
    let Command::Identity(args) = read("identity new --data-dir /srv --json") else {
        panic!()
    };
    assert_eq!(args.action, IdentityAction::New);
    assert_eq!(args.data_dir.unwrap().value, "/srv");
    assert!(args.json);
}

#[test]
fn every_slip_is_answered_with_what_to_write() {
    let forward = format!("forward 0 {A}:1 --node a:1");
    for (line, hint) in [
        ("pubish", "did you mean publish?"),
        ("weather", "the commands are"),
        ("statsu", "status"),
        ("status --onse", "--once"),
        ("status now", "--rpc URL"),
        ("health --once", "unknown option"),
        ("rewards --rpc https://a.b:1", "network.rpc_port"),
        ("tickets --rpc a.b:1 --rpc a.b:2", "twice"),
        ("run --ephmeral", "did you mean --ephemeral?"),
        ("run --colour red", "`chr-node run --help`"),
        ("--profle router", "did you mean --profile?"),
        ("--config x --config y", "--config is given twice"),
        ("run --config", "--config needs a value: --config FILE"),
        ("config", "`config check` or `config show`"),
        ("config look", "`config check` or `config show`"),
        ("config check show", "one of check and show at a time"),
        ("config show --ephemeral", "`chr-node config --help`"),
        ("run -x", "`chr-node run --help`"),
        ("run now", "--set KEY=VALUE"),
        ("run --set", "--set KEY=VALUE"),
        ("run --set log.level", "KEY=VALUE"),
        ("run --ephemeral=yes", "takes no value"),
        ("run -v -q", "leave one out"),
        ("publish", "such as 8080:public"),
        ("publish 8080:public", "--node HOST:PORT"),
        ("publish 8080:public --node", "--node [0xADDR@]HOST:PORT"),
        ("publish 8080:public --node a", "port is missing"),
        ("publish 8080:public --node a:1 --node a:1", "twice"),
        ("publish 8080:private --node a:1", "--allow 0xADDR"),
        ("publish 8080:protected --node a:1", "--fleet-devices FILE"),
        (
            "publish 8080:public 9090=8080:public --node a:1",
            "published twice",
        ),
        (
            "publish 8080:public --node a:1 --allow 0x12",
            "40 hexadecimal digits",
        ),
        (
            &format!("publish 8080:public --node a:1 --allow {A}"),
            "no port is private",
        ),
        (
            "publish 8080:public --node a:1 --fleet-devices f",
            "no port is protected",
        ),
        (
            "publish 8080:public --node a:1 --max-bytes 0",
            "more than 0",
        ),
        (
            "publish 8080:public --node a:1 --max-bytes lots",
            "whole number",
        ),
        (
            "publish 8080:public --node a:1 --identity a --identity b",
            "given twice",
        ),
        ("publish 8080:public --node a:1 --identity=", "name a file"),
        (
            "publish 8080:public --node a:1 --fleet x",
            "40 hexadecimal digits",
        ),
        ("forward", "where to listen"),
        ("forward 127.0.0.1:0", "device to reach is missing"),
        (
            "forward 127.0.0.1:0 camera:80 --node a:1",
            "names of devices",
        ),
        (&format!("{forward} {A}:2"), "start another"),
        (&format!("{forward} --allow {A}"), "unknown option --allow"),
        (&format!("forward 0 {A}:1"), "--node HOST:PORT"),
        ("identity", "`identity export` or `identity import FILE`"),
        ("identity destroy", "`identity show`, `identity new`"),
        ("identity show new", "one of show, new, export and import"),
        ("identity show --identity a --data-dir b", "leave one out"),
        ("identity show --jsn", "did you mean --json?"),
        ("help me", "help on run"),
    ] {
        let text = refusal(line);
        assert!(text.contains(hint), "{line}: {text}");
        assert!(!text.contains('\n'), "{line}: {text}");
    }
}

proptest! {
    #[test]
    fn no_command_line_makes_the_parser_fall_over(
        command in "run|publish|forward|identity|help|",
        words in proptest::collection::vec(
            "\\PC{0,20}|--(set|node|allow|fleet|identity|data-dir|max-bytes|json|plain)(=\\PC{0,9})?|-[vqhVx]{1,3}|[0-9]{1,5}(:public)?",
            0..6,
        ),
    ) {
        let line = [command].into_iter().chain(words).map(OsString::from);
        if let Err(failure) = parse(line) {
            prop_assert_eq!(failure.exit_code(), 2);
            prop_assert!(!failure.to_string().contains('\n'));
        }
    }
}

#[test]
fn doctor_takes_the_settings_of_run_and_nothing_else() {
    let Command::Doctor(args) = read("doctor --data-dir /a --set network.rpc_port=off --json")
    else {
        panic!()
    };
    let Command::Run(run) = read("run --data-dir /a --set network.rpc_port=off") else {
        panic!()
    };
    assert!(args.json && args.settings == run.settings);
    assert_eq!(read("doctor -h"), Command::Help(Topic::Doctor));
    assert!(refusal("doctor --josn").contains("--json"));
    assert!(refusal("doctor now").contains("everything"));
}
