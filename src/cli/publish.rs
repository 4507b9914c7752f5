//! `chr-node publish`: offer local ports to other devices.

use super::args::PublishArgs;
use super::device::DeviceFiles;
use super::screen::event;
use super::session::{Refusals, Session};
use super::spec::{Mode, Protocol};
use super::{enough_files, logging, spec, Failure, FILES};
use crate::config::value::shown;
use crate::edge::device::publisher::{self, Access, Publication};
use crate::edge::device::Message;
use crate::identity::{hex, Address};
use crate::parts::MESSAGES;
use crate::sorted;
use crate::task;
use serde_json::json;
use smol::Executor;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The key of `publish` in the user's data folder.
pub const PUBLISH_KEY: &str = "publish.key";

/// Largest file of devices in bytes: 90,000 addresses, more than a node serves.
const MAX_FLEET_FILE: u64 = 4 << 20;

/// What to publish, with nothing left to look up.
#[derive(Clone, Debug)]
pub struct PublishPlan {
    /// The arguments.
    pub args: PublishArgs,
    /// Key and known nodes.
    pub files: DeviceFiles,
    /// Who may open protected ports.
    pub fleet_devices: Vec<Address>,
}

/// Resolves the arguments.
///
/// # Errors
/// No place for a key ([`Failure::Usage`]), or a list of devices that cannot be read.
pub fn prepare(args: &PublishArgs) -> Result<PublishPlan, Failure> {
    Ok(PublishPlan {
        files: DeviceFiles::find(args.device.identity.as_deref(), PUBLISH_KEY)?,
        fleet_devices: match &args.fleet_devices {
            Some(file) => read_devices(file)?,
            None => Vec::new(),
        },
        args: args.clone(),
    })
}

/// Publishes until it is told to stop.
///
/// # Errors
/// What [`prepare`] says, or what cannot be mended by trying again.
pub fn execute(args: &PublishArgs) -> Result<(), Failure> {
    enough_files("publish", FILES)?;
    let plan = prepare(args)?;
    logging::start(&logging::for_device(), plan.args.device.verbosity);
    let executor = Arc::new(Executor::new());
    let served = task::run(&executor, serve(plan, executor.clone()));
    served.unwrap_or(Ok(()))
}

/// Reads a list of devices: one address a line, `#` begins a remark.
async fn serve(plan: PublishPlan, executor: Arc<Executor<'static>>) -> Result<(), Failure> {
    let publications = publications(&plan);
    let session = Session::start(&plan.args.device, &plan.files, &executor, true)?;
    let letters = (plan.args.messages && MESSAGES.built).then(|| {
        let access = senders(&plan);
        let word = access.word();
        tell_messages(&session, access, &executor);
        word
    });
    let screen = session.screen.clone();
    let refusals = Refusals::default();
    task::spawn(
        &executor,
        publisher::serve(
            session.device.clone(),
            publications.clone(),
            executor.clone(),
            Arc::new(move |opener, name, end| {
                if refusals.is_news(&format!("{opener} {name} {end}")) {
                    screen.warn(
                        &event(
                            "refused",
                            &[("port", &name), ("device", &opener), ("reason", &end.text)],
                        ),
                        &format!("{name} was not opened by {opener}: {end}"),
                    );
                }
            }),
        ),
    )
    .detach();
    let device = session.device.address();
    session
        .attend(&move |screen, node, place| {
            let ports: Vec<_> = publications
                .iter()
                .map(|p| json!({"name": p.name(), "target": p.target(), "mode": p.access.word()}))
                .collect();
            let mut lines: Vec<String> = publications
                .iter()
                .map(|p| format!("  {}  ->  {} ({})", p.name(), p.target(), p.access.word()))
                .collect();
            let mut event = event("ready", &[("device", &device), ("node", &node)]);
            if let Some(event) = event.as_object_mut() {
                event.insert("ports".to_owned(), ports.into());
                if let Some(word) = letters {
                    event.insert("messages".to_owned(), word.into());
                    lines.push(format!("  messages ({word})"));
                }
            }
            let message = format!("others: chr-node message {device} TEXT --node {place}");
            let example = publications.first().map_or(message, |p| {
                let udp = if p.udp { "/udp" } else { "" };
                let plain = if p.plain { " --plain" } else { "" };
                format!(
                    "others: chr-node forward 127.0.0.1:0{udp} {device}:{}{plain} --node {place}",
                    p.port
                )
            });
            screen.say(
                &event,
                &format!(
                    "device {device} is at node {node} ({place}) and publishes\n{}\n{example}",
                    lines.join("\n")
                ),
            );
        })
        .await
}

/// Who may send messages: those who are named, else everyone.
fn senders(plan: &PublishPlan) -> Access {
    let (allow, fleet) = (&plan.args.allow, &plan.fleet_devices);
    if !allow.is_empty() {
        let mut senders = [allow.as_slice(), fleet].concat();
        sorted::sort_and_dedup(&mut senders);
        Access::Private(senders)
    } else if plan.args.fleet_devices.is_some() {
        Access::Protected(fleet.clone())
    } else {
        Access::Public
    }
}

/// Takes messages and tells each, one a line.
fn tell_messages(session: &Session, access: Access, executor: &Arc<Executor<'static>>) {
    let mailbox = session.device.listen_for_messages(access, executor);
    let screen = session.screen.clone();
    let telling = async move {
        loop {
            let Message { from, bytes } = mailbox.next_message().await;
            match String::from_utf8(bytes) {
                Ok(text) => screen.say(
                    &event("message", &[("from", &from), ("text", &text)]),
                    &format!("message from {from}: {}", printable(&text)),
                ),
                Err(error) => {
                    let digits = hex::encode(error.as_bytes());
                    screen.say(
                        &event("message", &[("from", &from), ("hex", &digits)]),
                        &format!("message from {from}, no text: {digits}"),
                    );
                }
            }
        }
    };
    task::spawn(executor, telling).detach();
}

/// One line without control characters: what strangers send must neither move
/// the cursor nor look like a line of this program.
fn printable(text: &str) -> String {
    let mut line = String::new();
    for c in text.trim_end_matches(['\n', '\r']).chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn publications(plan: &PublishPlan) -> Vec<Publication> {
    plan.args
        .ports
        .iter()
        .map(|p| Publication {
            port: p.port,
            udp: p.protocol == Protocol::Udp,
            plain: plan.args.device.plain,
            host: p.host.clone(),
            target_port: p.local,
            access: match p.mode {
                Mode::Public => Access::Public,
                Mode::Private => Access::Private(plan.args.allow.clone()),
                Mode::Protected => Access::Protected(plan.fleet_devices.clone()),
            },
        })
        .collect()
}

fn read_devices(path: &Path) -> Result<Vec<Address>, Failure> {
    let name = path.display();
    let fail = |problem: String| Failure::Failed(format!("--fleet-devices {name}: {problem}"));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FLEET_FILE + 1).read_to_string(&mut text))
        .map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > MAX_FLEET_FILE {
        return Err(fail(
            "the file is larger than 4 MiB; split the fleet".to_owned(),
        ));
    }
    let mut devices = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let entry = line.split('#').next().unwrap_or("").trim();
        if !entry.is_empty() {
            let device = spec::device(entry)
                .map_err(|problem| fail(format!("line {}: {}", n + 1, shown(&problem))))?;
            devices.push(device);
        }
    }
    if devices.is_empty() {
        return Err(fail(
            "it names no device; write one 0xADDR a line".to_owned(),
        ));
    }
    sorted::sort_and_dedup(&mut devices);
    Ok(devices)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_message_cannot_take_over_the_terminal_or_forge_a_line() {
        let text = "hi\x1b[2J\nmessage from 0x00: yes\u{9b}31m\r\n";
        let line = "hi\\u{1b}[2J\\nmessage from 0x00: yes\\u{9b}31m";
        assert_eq!(printable(text), line);
        assert_eq!(printable("grüß dich 👋"), "grüß dich 👋");
    }

    const A: &str = "0x00112233445566778899aabbccddeeff00112233";

    fn read(text: &str) -> Result<Vec<Address>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fleet");
        std::fs::write(&file, text).unwrap();
        read_devices(&file).map_err(|failure| {
            assert_eq!(failure.exit_code(), 1);
            failure.to_string()
        })
    }

    #[test]
    fn a_list_of_devices_may_have_remarks_and_windows_line_ends() {
        let text = format!("# the fleet\r\n\r\n  {A}  # door\r\n{A}\n");
        assert_eq!(read(&text).unwrap().len(), 1);
    }

    #[test]
    fn a_slip_in_a_list_of_devices_is_named_by_its_line_and_admits_nobody() {
        let problem = read(&format!("{A}\n\n0x12\n")).unwrap_err();
        assert!(problem.contains("line 3"), "{problem}");
        assert!(read("# nobody yet\n")
            .unwrap_err()
            .contains("names no device"));
    }

    #[test]
    fn a_list_that_is_missing_too_large_or_no_text_is_an_error() {
        let missing = read_devices(Path::new("/nonexistent/fleet")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/fleet"));
        assert!(read(&"#".repeat(5 << 20)).unwrap_err().contains("4 MiB"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fleet");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(read_devices(&file).is_err());
    }
}
