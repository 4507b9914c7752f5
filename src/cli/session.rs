//! What `publish`, `forward` and `message` have in common at run time: a device that is
//! kept connected, its events, and a clean end.

use super::args::DeviceArgs;
use super::device::DeviceFiles;
use super::screen::{event, Screen, REFRESH};
use super::{thrift, told, Failure};
use crate::config::SaverWish;
use crate::edge::device::{Device, DeviceEvent, DeviceOptions, KnownNodes};
use crate::identity::keyfile::{KeyFile, Origin};
use crate::identity::Address;
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::sorted::Map;
use async_io::Timer;
use smol::Executor;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same refusal is told once in this time; a browser retries quickly.
const REPEAT: Duration = Duration::from_secs(10);
/// Different refusals that are remembered for that.
const REPEATS_MAX: usize = 256;

/// How long after a burst its memory is given back: a wake-up each.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// What is said when the first session stands: with the node's address and place.
pub type Ready<'a> = dyn Fn(&Screen, Address, &str) + Send + Sync + 'a;

/// A device that has been started from the command line.
pub struct Session {
    /// The device.
    pub device: Device,
    /// Where things are said.
    pub screen: Arc<Screen>,
    /// The executor that everything runs on.
    pub executor: Arc<Executor<'static>>,
    signals: Signals,
    saver: SaverWish,
    /// Keeps the key file locked.
    _key_file: KeyFile,
}

impl Session {
    /// Opens the identity and starts to connect. `stays`: for longer than one
    /// errand, so that a second session is worth keeping.
    ///
    /// # Errors
    /// The identity, the remembered nodes or TLS.
    pub fn start(
        args: &DeviceArgs,
        files: &DeviceFiles,
        executor: &Arc<Executor<'static>>,
        stays: bool,
    ) -> Result<Session, Failure> {
        let signals = Signals::catch_stops()
            .map_err(|e| Failure::Failed(format!("cannot catch signals: {e}")))?;
        let saver = thrift::wish()?;
        files.make_folder()?;
        let (key_file, origin) = KeyFile::open_or_create(&files.identity)?;
        if origin == Origin::Created {
            eprintln!(
                "new identity {} in {}",
                key_file.address(),
                files.identity.display()
            );
        }
        let nodes = args.nodes.clone();
        let mut options = DeviceOptions::new(key_file.key().clone(), nodes);
        options.fleet = args.fleet;
        options.max_bytes = args.max_bytes;
        options.warm_second = stays;
        options.known_nodes = KnownNodes::load(files.known_nodes.clone(), args.accept_node)
            .map_err(Failure::Failed)?;
        let device =
            Device::start(options, executor).map_err(|e| Failure::Failed(e.to_string()))?;
        Ok(Session {
            device,
            screen: Arc::new(Screen::new(args.json, args.verbosity.0 < 0)),
            executor: executor.clone(),
            signals,
            saver,
            _key_file: key_file,
        })
    }

    /// Runs an errand to its end, unless the device is over or no node takes it
    /// before, or the user stops it.
    ///
    /// # Errors
    /// What the errand says, or why it could not be run.
    pub async fn run(
        mut self,
        nodes: usize,
        errand: impl Future<Output = Result<(), String>>,
    ) -> Result<(), Failure> {
        let device = self.device.clone();
        let trouble = Mutex::new((0, String::new()));
        let events = async {
            loop {
                match device.next_event().await {
                    DeviceEvent::Trouble { reason } => {
                        let mut told = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                        *told = (told.0 + 1, reason.clone());
                        // Each has had its second chance.
                        if told.0 >= 2 * nodes && device.node().is_none() {
                            return Err(reason);
                        }
                    }
                    DeviceEvent::Over { reason } => return Err(reason),
                    _ => {}
                }
            }
        };
        let stop = async {
            let _ = self.signals.next().await;
            Err("stopped before there was an answer".to_owned())
        };
        let outcome = smol::future::or(errand, smol::future::or(events, stop)).await;
        self.device.leave().await;
        outcome.map_err(|reason| {
            if self.screen.is_json() {
                let event = event("error", &[("reason", &reason)]);
                self.screen.warn(&event, "");
            }
            Failure::Failed(reason)
        })
    }

    /// Tells events until the device is over or the user stops it. `ready` is
    /// called for the first session, with the node's address and place.
    ///
    /// # Errors
    /// Why the device is over.
    pub async fn attend(mut self, ready: &Ready<'_>) -> Result<(), Failure> {
        let device = self.device.clone();
        let screen = self.screen.clone();
        let events = async {
            // A node that is away for a night is one line, not a thousand.
            let mut trouble = String::new();
            loop {
                let event = device.next_event().await;
                if let DeviceEvent::Trouble { reason } = &event {
                    if *reason == trouble && !screen.is_json() {
                        continue;
                    }
                    trouble.clone_from(reason);
                } else {
                    trouble.clear();
                }
                if let Some(end) = tell(&screen, &event, ready) {
                    return Err(Failure::Failed(end));
                }
            }
        };
        let stop = async {
            let _ = self.signals.next().await;
            Ok(())
        };
        let redraw = async {
            if !screen.is_live() {
                std::future::pending::<()>().await;
            }
            loop {
                screen.draw(device.node(), device.traffic());
                Timer::after(REFRESH).await;
            }
        };
        let chores = smol::future::or(redraw, tidy(&device));
        let chores = smol::future::or(chores, thrift::mind(self.saver));
        let outcome = smol::future::or(stop, smol::future::or(events, chores)).await;
        self.device.leave().await;
        outcome
    }
}

/// Gives memory back that was needed for traffic.
async fn tidy<T>(device: &Device) -> T {
    let mut before = 0;
    loop {
        Timer::after(TIDY_EVERY).await;
        let carried = device.traffic().carried();
        if carried != before {
            before = carried;
            memory::give_back(|| ());
        }
    }
}

/// Says one event; a text when the device is over.
fn tell(screen: &Screen, happened: &DeviceEvent, ready: &Ready<'_>) -> Option<String> {
    match happened {
        DeviceEvent::Ready { node, place } => ready(screen, *node, place),
        DeviceEvent::Lost { reason } => screen.warn(
            &event("lost", &[("reason", reason)]),
            &format!("lost the session: {reason}; reconnecting"),
        ),
        DeviceEvent::Back { node, after_ms } => {
            let mut event = event("back", &[("node", node)]);
            if let Some(event) = event.as_object_mut() {
                event.insert("ms".to_owned(), (*after_ms).into());
            }
            let seconds = *after_ms as f64 / 1000.0;
            screen.say(&event, &format!("back after {seconds:.1} s, node {node}"));
        }
        DeviceEvent::Trouble { reason } => screen.warn(
            &event("error", &[("reason", reason)]),
            &format!("{reason}; trying again"),
        ),
        DeviceEvent::Closed {
            node,
            reason,
            retry_ms,
            instead,
        } => {
            let mut event = event("closed", &[("node", node), ("reason", reason)]);
            let mut text = format!("node {node} opens no more ports for now: {reason}");
            if let Some(event) = event.as_object_mut() {
                if let Some(ms) = retry_ms {
                    event.insert("retry_ms".to_owned(), (*ms).into());
                    let span = told::span(u64::from(*ms / 1000));
                    text = format!("{text}; it may again in {span}");
                }
                if let Some(other) = instead {
                    event.insert("instead".to_owned(), other.to_string().into());
                    text = format!("{text}; new ports go through node {other}");
                }
            }
            screen.warn(&event, &text);
        }
        DeviceEvent::Opens { node } => screen.say(
            &event("opens", &[("node", node)]),
            &format!("node {node} opens ports again"),
        ),
        DeviceEvent::Refused { name, reason } => screen.warn(
            &event("refused", &[("port", name), ("reason", reason)]),
            &format!("the node refused to publish {name}: {reason}"),
        ),
        DeviceEvent::Over { reason } => {
            if screen.is_json() {
                screen.warn(&event("error", &[("reason", reason)]), "");
            }
            return Some(reason.clone());
        }
    }
    None
}

/// Refusals of single connections, each told once in a while.
#[derive(Default)]
pub struct Refusals {
    told: Mutex<Map<String, Instant>>,
}

impl Refusals {
    /// Whether this text should be told now.
    #[must_use]
    pub fn is_news(&self, text: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if told.len() >= REPEATS_MAX {
            *told = Map::new();
        }
        let old = told.insert(text.to_owned(), now);
        match old {
            Some(at) if now.duration_since(at) < REPEAT => {
                told.insert(text.to_owned(), at);
                false
            }
            _ => true,
        }
    }
}
