//! Arguments of `publish`, `forward` and `message`.

use super::reader::{Reader, Word};
use super::{
    Command, DeviceArgs, ForwardArgs, MessageArgs, MessageText, PublishArgs, PublishedPort,
};
use crate::cli::spec::{self, Mode};
use crate::cli::Failure;
use crate::config::value::{shown, size};
use crate::edge::device::MESSAGE_MAX;
use crate::parts::MESSAGES;
use crate::sorted;

const DEVICE_OPTIONS: [&str; 16] = [
    // That which `message` does not take comes first.
    "--plain",
    "--node",
    "--identity",
    "--max-bytes",
    "--fleet",
    "--accept-node",
    "--json",
    "-v",
    "--verbose",
    "-q",
    "--quiet",
    "--help",
    "--version",
    // Those of `publish` alone come last.
    "--allow",
    "--fleet-devices",
    "--messages",
];
const FORWARD_OPTIONS: usize = DEVICE_OPTIONS.len() - 3;

/// Options of all device commands; false when it is another one.
fn device_option(
    reader: &mut Reader,
    device: &mut DeviceArgs,
    option: &str,
) -> Result<bool, Failure> {
    match option {
        "--node" => {
            let node = reader.read(option, "[0xADDR@]HOST:PORT", spec::node)?;
            if device.nodes.contains(&node) {
                return Err(reader.error(format!("--node {node} is given twice")));
            }
            device.nodes.push(node);
        }
        "--identity" => {
            let file = reader.path(option)?;
            reader.once(&mut device.identity, file, option)?;
        }
        "--max-bytes" => {
            let bytes = reader.read(option, "SIZE", |text| match size(text)? {
                0 => Err("nothing could be sent; allow more than 0 bytes".to_owned()),
                bytes => Ok(bytes),
            })?;
            reader.once(&mut device.max_bytes, bytes, option)?;
        }
        "--fleet" => {
            let fleet = reader.read(option, "0xADDR", spec::device)?;
            reader.once(&mut device.fleet, fleet, option)?;
        }
        "--plain" => device.plain = true,
        "--accept-node" => device.accept_node = true,
        "--json" => device.json = true,
        other => return reader.verbosity(other, &mut device.verbosity),
    }
    Ok(true)
}

fn need_node(reader: &Reader, device: &DeviceArgs) -> Result<(), Failure> {
    if device.nodes.is_empty() {
        return Err(reader.error(
            "no node is given; add --node HOST:PORT, such as --node node.example.org:41046",
        ));
    }
    Ok(())
}

pub(super) fn publish(mut reader: Reader) -> Result<Command, Failure> {
    let mut device = DeviceArgs::default();
    let mut specs = Vec::new();
    let mut allow = Vec::new();
    let mut fleet_devices = None;
    let mut messages = false;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => {
                let spec = spec::publish(&text)
                    .map_err(|problem| reader.error(format!("\"{}\": {problem}", shown(&text))))?;
                specs.push((text, spec));
            }
            Word::Option(option) => match option.as_str() {
                "--allow" => {
                    allow.push(reader.read("--allow", "0xADDR", spec::device)?);
                }
                "--fleet-devices" => {
                    let file = reader.path("--fleet-devices")?;
                    reader.once(&mut fleet_devices, file, "--fleet-devices")?;
                }
                "--messages" if MESSAGES.built => messages = true,
                "--messages" => return Err(reader.error(MESSAGES.absent)),
                other => {
                    if !device_option(&mut reader, &mut device, other)? {
                        return Err(reader.unknown_option(other, &DEVICE_OPTIONS));
                    }
                }
            },
        }
    }
    if specs.is_empty() && !messages {
        return Err(reader.error(
            "no port is given; name one, such as 8080:public, or take messages with --messages",
        ));
    }
    let mut ports: Vec<PublishedPort> = Vec::new();
    for (text, spec) in specs {
        let fail = |problem: &str| reader.error(format!("\"{}\": {problem}", shown(&text)));
        let mode = match spec.mode {
            Some(mode) => mode,
            None if !allow.is_empty() => Mode::Private,
            None => {
                return Err(fail(&format!(
                    "who may open it? Write {text}:public for everyone, add --allow 0xADDR for single devices, or write {text}:protected with --fleet-devices FILE"
                )))
            }
        };
        if mode == Mode::Private && allow.is_empty() {
            return Err(fail(
                "nobody could open a private port; add --allow 0xADDR for each device that may",
            ));
        }
        if mode == Mode::Protected && fleet_devices.is_none() {
            return Err(fail(
                "a protected port needs --fleet-devices FILE, a list of the devices that may open it",
            ));
        }
        if ports
            .iter()
            .any(|other| (other.port, other.protocol) == (spec.port, spec.protocol))
        {
            return Err(fail(&format!(
                "port {}/{} is published twice; give one of them another number, such as {}={}",
                spec.port,
                spec.protocol,
                spec.local,
                spec.port.wrapping_add(1).max(1)
            )));
        }
        ports.push(PublishedPort {
            host: spec.host,
            local: spec.local,
            port: spec.port,
            protocol: spec.protocol,
            mode,
        });
    }
    let offers = |mode| ports.iter().any(|port| port.mode == mode);
    if !allow.is_empty() && !offers(Mode::Private) && !messages {
        return Err(reader.error(
            "--allow has no effect: no port is private; write PORT:private or leave --allow out",
        ));
    }
    if fleet_devices.is_some() && !offers(Mode::Protected) && !messages {
        return Err(reader.error("--fleet-devices has no effect: no port is protected; write PORT:protected or leave it out"));
    }
    need_node(&reader, &device)?;
    sorted::sort_and_dedup(&mut allow);
    Ok(Command::Publish(PublishArgs {
        device,
        ports,
        messages,
        allow,
        fleet_devices,
    }))
}

pub(super) fn forward(mut reader: Reader) -> Result<Command, Failure> {
    let mut device = DeviceArgs::default();
    let mut listen = None;
    let mut target = None;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(text) => {
                let fail = |problem| reader.error(format!("\"{}\": {problem}", shown(&text)));
                if listen.is_none() {
                    listen = Some(spec::listen(&text).map_err(fail)?);
                } else if target.is_none() {
                    target = Some(spec::target(&text).map_err(fail)?);
                } else {
                    return Err(reader.unexpected(
                        &text,
                        "one LISTEN and one 0xADDR:PORT are taken; start another `chr-node forward` with its own --identity for a second port",
                    ));
                }
            }
            Word::Option(option) => {
                if !device_option(&mut reader, &mut device, &option)? {
                    let known = DEVICE_OPTIONS.get(..FORWARD_OPTIONS).unwrap_or_default();
                    return Err(reader.unknown_option(&option, known));
                }
            }
        }
    }
    let example = "such as `chr-node forward 127.0.0.1:8080 0xADDR:8080 --node HOST:PORT`";
    let listen =
        listen.ok_or_else(|| reader.error(format!("it is not said where to listen, {example}")))?;
    let target =
        target.ok_or_else(|| reader.error(format!("the device to reach is missing, {example}")))?;
    need_node(&reader, &device)?;
    Ok(Command::Forward(ForwardArgs {
        device,
        listen,
        target,
    }))
}

pub(super) fn message(mut reader: Reader) -> Result<Command, Failure> {
    let mut device = DeviceArgs::default();
    let mut to = None;
    let mut text = None;
    while let Some(word) = reader.next()? {
        match word {
            Word::Help => return Ok(Command::Help(reader.topic)),
            Word::Version => return Ok(Command::Version),
            Word::Value(word) if to.is_none() => {
                to =
                    Some(spec::addressee(&word).map_err(|problem| {
                        reader.error(format!("\"{}\": {problem}", shown(&word)))
                    })?);
            }
            Word::Value(word) if text.is_none() => {
                text = Some(words(word).map_err(|problem| reader.error(problem))?);
            }
            Word::Value(word) => return Err(reader.unexpected(
                &word,
                "one TEXT is taken; put it in quotes, or write it to standard input and - for TEXT",
            )),
            Word::Option(option) => {
                let ours = option != "--plain";
                if !ours || !device_option(&mut reader, &mut device, &option)? {
                    let known = DEVICE_OPTIONS.get(1..FORWARD_OPTIONS).unwrap_or_default();
                    return Err(reader.unknown_option(&option, known));
                }
            }
        }
    }
    let example = "such as `chr-node message 0xADDR \"good morning\" --node HOST:PORT`";
    let to =
        to.ok_or_else(|| reader.error(format!("the device to send to is missing, {example}")))?;
    let text = text.ok_or_else(|| reader.error(format!("the text is missing, {example}")))?;
    need_node(&reader, &device)?;
    Ok(Command::Message(MessageArgs { device, to, text }))
}

/// The TEXT of a message.
fn words(text: String) -> Result<MessageText, String> {
    if text == "-" {
        return Ok(MessageText::Input);
    }
    if text.is_empty() {
        return Err("the text is empty; write some, or - for standard input".to_owned());
    }
    if text.contains(char::REPLACEMENT_CHARACTER) {
        // What was no UTF-8 has become that; it would arrive as something else.
        return Err("the text is not UTF-8; write it to standard input and - for TEXT".to_owned());
    }
    if text.len() > MESSAGE_MAX {
        return Err(format!(
            "the text has {} bytes, a message at most {MESSAGE_MAX}; send it in parts, or publish a port for it",
            text.len()
        ));
    }
    Ok(MessageText::Words(text))
}
