//! All sessions of a node, and opening a port between two of them.

use super::link::{violation, Far, Link, Violation};
use super::locate::Locate;
use super::search::{not_here, Seats};
use crate::identity::Address;
use crate::parts::POWER;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{
    is_port_name, short_text, Close, ErrorAnswer, Open, MESSAGES, PORT_NAMES,
};
use crate::wire::notice::Openings;
use crate::wire::peer::PeerOpen;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a port was not opened. The session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As a number.
    pub code: Code,
    /// In words, with what to do.
    pub text: String,
    /// The limit that was met, where it was one.
    pub limit: Option<u64>,
    /// Milliseconds after which trying again makes sense.
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// As it goes over the wire.
    #[must_use]
    pub fn into_answer(self) -> ErrorAnswer {
        ErrorAnswer {
            code: self.code,
            text: short_text(&self.text),
            limit: self.limit,
            retry_after_ms: self.retry_after_ms,
        }
    }

    /// With a code and a text alone.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Refusal {
        refusal(code, text)
    }
}

fn refusal(code: Code, text: impl Into<String>) -> Refusal {
    Refusal {
        code,
        text: text.into(),
        limit: None,
        retry_after_ms: None,
    }
}

/// Who is online, by device address: one session each.
#[derive(Default)]
pub struct Switchboard {
    online: Mutex<HashMap<Address, Arc<Link>>>,
    locate: Mutex<Option<Arc<dyn Locate>>>,
    /// Why no port is opened at the moment.
    closed: Mutex<Option<Refusal>>,
    /// Whether there is such a reason: asked in every turn of a session.
    is_closed: AtomicBool,
    /// Power is saved.
    saving: AtomicBool,
    pub(super) seats: Seats,
    /// Port payload bytes that arrived from devices since start; a session adds
    /// its own once a turn.
    pub bytes_in: AtomicU64,
    /// Port payload bytes that were sent to devices since start.
    pub bytes_out: AtomicU64,
    /// Ports opened since start.
    pub opened: AtomicU64,
    /// Openings that this node refused: no such device, no such port, or a bound.
    pub turned_away: AtomicU64,
}

impl std::fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchboard")
            .field("devices", &self.devices())
            .finish_non_exhaustive()
    }
}

/// A device's place on the board; leaving scope takes it off and ends its ports.
#[derive(Debug)]
pub struct Registration {
    board: Arc<Switchboard>,
    link: Arc<Link>,
}

impl Registration {
    /// The board that it is on.
    #[must_use]
    pub fn board(&self) -> &Switchboard {
        &self.board
    }

    /// The link that is registered.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        {
            let mut online = self.board.lock();
            let mine = online
                .get(&self.link.remote())
                .is_some_and(|l| Arc::ptr_eq(l, &self.link));
            if mine {
                online.remove(&self.link.remote());
            }
            if online.len() * 4 < online.capacity() {
                online.shrink_to_fit();
            }
        }
        self.link
            .dissolve(Code::PEER_LOST, "the other device's session ended");
    }
}

impl Switchboard {
    /// A board without devices. Its size is bounded by the cap of connections.
    #[must_use]
    pub fn new() -> Arc<Switchboard> {
        Arc::new(Switchboard::default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Arc<Link>>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an authenticated device on the board. An older session of the same
    /// device is told that it was replaced.
    #[must_use]
    pub fn register(self: &Arc<Self>, link: &Arc<Link>) -> Registration {
        let older = self.lock().insert(link.remote(), link.clone());
        if let Some(older) = older {
            older.end(Close {
                code: Code::REPLACED,
                text: "another program connected with the same identity; give one of them its own with --identity FILE".into(),
                retry_after_ms: None,
            });
        }
        Registration {
            board: self.clone(),
            link: link.clone(),
        }
    }

    /// Says how devices are found that have no session with this node; `None`:
    /// they are not.
    pub fn set_locate(&self, locate: Option<Arc<dyn Locate>>) {
        *self.locate.lock().unwrap_or_else(PoisonError::into_inner) = locate;
    }

    pub(super) fn locator(&self) -> Option<Arc<dyn Locate>> {
        self.locate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Devices that are looked for at other nodes now.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.seats.taken()
    }

    /// The session of a device.
    #[must_use]
    pub fn find(&self, device: &Address) -> Option<Arc<Link>> {
        self.lock().get(device).cloned()
    }

    /// Devices online.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.lock().len()
    }

    /// Open and opening ports of all sessions; a relayed port counts on both.
    #[must_use]
    pub fn ports(&self) -> usize {
        let links: Vec<_> = self.lock().values().cloned().collect();
        links.iter().map(|l| l.port_count()).sum()
    }

    /// All sessions, for shutdown.
    #[must_use]
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.lock().values().cloned().collect()
    }

    /// Has all sessions look at the time, see [`Link::wake`].
    pub fn wake_all(&self) {
        for link in self.links() {
            link.wake();
        }
    }

    /// Has all sessions ask whether their device is still there, see [`Link::doubt`].
    pub fn doubt_all(&self) {
        for link in self.links() {
            link.doubt();
        }
    }

    /// Carries out an Open that `opener` sent with request `id`. The answer goes
    /// to `opener` when the publishing device has given its own; a device without
    /// a session here is looked for at other nodes.
    ///
    /// # Errors
    /// `Err` ends the opener's session; `Ok(Some)` is the answer to its request.
    pub fn open(
        &self,
        opener: &Arc<Link>,
        id: u32,
        open: &Open,
        now: Moment,
    ) -> Result<Option<Refusal>, Violation> {
        let answer = self.try_open(opener, id, open, now)?;
        self.count(answer.is_some());
        Ok(answer)
    }

    /// Opens no more ports, for that reason; `None`: opens them again. Those that are
    /// open go on.
    pub fn close_openings(&self, why: Option<Refusal>) {
        let closed = why.is_some();
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = why;
        if POWER.built && self.is_closed.swap(closed, Ordering::Relaxed) != closed {
            // Each tells its device.
            self.wake_all();
        }
    }

    /// Tells the device at the other end whether ports are opened, if that is
    /// otherwise than it was told. Whether it knows that they are not.
    pub fn notice(&self, link: &Link, told: bool) -> bool {
        if !POWER.built || self.is_closed.load(Ordering::Relaxed) == told {
            return told;
        }
        let why = self.closed();
        let closed = why.is_some();
        if closed != told {
            let why = why.unwrap_or_else(|| refusal(Code(0), ""));
            let said = Openings {
                open: !closed,
                code: why.code,
                text: short_text(&why.text),
                retry_after_ms: why.retry_after_ms,
            };
            link.push_control(0, &said);
        }
        closed
    }

    /// Whether power is saved: then sessions and links are asked in rounds.
    #[must_use]
    pub fn saves(&self) -> bool {
        POWER.built && self.saving.load(Ordering::Relaxed)
    }

    /// Says so, or the contrary.
    pub fn set_saving(&self, saving: bool) {
        self.saving.store(saving, Ordering::Relaxed);
    }

    fn closed(&self) -> Option<Refusal> {
        let closed = self.closed.lock();
        closed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses a port whose device was looked for in vain.
    pub(super) fn turn_away(&self, opener: &Link, port: u32, no: Refusal) {
        self.count(true);
        opener.refuse_with(port, no);
    }

    fn count(&self, refused: bool) {
        let one = u64::from(refused);
        self.turned_away.fetch_add(one, Ordering::Relaxed);
    }

    fn try_open(
        &self,
        opener: &Arc<Link>,
        id: u32,
        open: &Open,
        now: Moment,
    ) -> Result<Option<Refusal>, Violation> {
        if let Some(no) = check_number(opener, open)? {
            return Ok(Some(no));
        }
        if open.peer == opener.remote() {
            return Ok(Some(own_port()));
        }
        if let Some(no) = self.closed() {
            return Ok(Some(no));
        }
        Ok(match self.find(&open.peer) {
            Some(target) => self.ask(opener, opener.remote(), &target, id, open, now),
            None => self.search(opener, id, open, now),
        })
    }

    /// Carries out a PeerOpen that the node at the other end of `link` sent with
    /// request `id`, for a device of its own. It is for a device of this node or
    /// for none: an opening is never passed on to a third node.
    ///
    /// # Errors
    /// As for [`Switchboard::open`].
    pub fn open_from_peer(
        &self,
        link: &Arc<Link>,
        id: u32,
        open: PeerOpen,
        now: Moment,
    ) -> Result<Option<Refusal>, Violation> {
        let opener = open.opener;
        let open = Open {
            port: open.port,
            peer: open.device,
            name: open.name,
            credit: open.credit,
        };
        if let Some(no) = check_number(link, &open)? {
            return Ok(Some(no));
        }
        if open.peer == opener {
            return Ok(Some(own_port()));
        }
        if let Some(no) = self.closed() {
            self.count(true);
            return Ok(Some(no));
        }
        let answer = match self.find(&open.peer) {
            Some(target) => self.ask(link, opener, &target, id, &open, now),
            None => Some(not_here(open.peer)),
        };
        self.count(answer.is_some());
        Ok(answer)
    }

    /// Asks a device of this node for a port that `opener` wants, whose session
    /// or node is at the other end of `link`.
    fn ask(
        &self,
        link: &Arc<Link>,
        opener: Address,
        target: &Arc<Link>,
        id: u32,
        open: &Open,
        now: Moment,
    ) -> Option<Refusal> {
        if let Some(no) = check_published(target, opener, &open.name) {
            return Some(no);
        }
        let far = Far::Relay(link.clone(), open.port);
        let number = match target.ask_remote(&open.name, far, now) {
            Ok(number) => number,
            Err((code, text)) => {
                return Some(Refusal {
                    retry_after_ms: Some(1_000),
                    ..refusal(code, text)
                })
            }
        };
        link.asked_by_remote(id, open, Far::Relay(target.clone(), number), now);
        target.send_open(number, opener, &open.name);
        self.opened.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Claims the number of an Open, and looks at its name.
fn check_number(link: &Link, open: &Open) -> Result<Option<Refusal>, Violation> {
    if let Some(code) = link.claim_remote_number(open.port)? {
        return Ok(Some(match code {
            Code::TOO_MANY_PORTS => Refusal {
                limit: Some(link.max_ports() as u64),
                ..refusal(
                    code,
                    "this session has as many ports open as it may; close some",
                )
            },
            _ => Refusal {
                limit: Some(link.openings_max() as u64),
                retry_after_ms: Some(1_000),
                ..refusal(code, "too many openings wait for their answer")
            },
        }));
    }
    if !is_port_name(&open.name) {
        return Err(violation(Code::PROTOCOL, PORT_NAMES));
    }
    if !link.budget().has_room() {
        return Ok(Some(Refusal {
            retry_after_ms: Some(10_000),
            ..refusal(
                Code::TOO_MANY_PORTS,
                "the node has no memory for more ports; try again when some have closed",
            )
        }));
    }
    Ok(None)
}

fn own_port() -> Refusal {
    refusal(
        Code::OWN_PORT,
        "that is this device itself; publish and forward need two identities",
    )
}

/// Names the option that one of the two sides has forgotten, if it is that.
fn why_not_published(is_published: impl Fn(&str) -> bool, name: &str) -> String {
    if name == MESSAGES {
        return "the device takes no messages: start `chr-node publish` there with --messages"
            .to_owned();
    }
    let (kind, number) = name.split_once(':').unwrap_or_default();
    let is = |kind: &str| is_published(&format!("{kind}:{number}"));
    let (twin, datagrams) = match kind {
        "tls" => ("tcp", false),
        "tcp" => ("tls", false),
        "utls" => ("udp", true),
        _ => ("utls", true),
    };
    if is(twin) && matches!(kind, "tls" | "utls") {
        format!("port {number} is published plain only: use --plain here too, or publish it without --plain")
    } else if is(twin) {
        format!("port {number} is published with end-to-end encryption: leave out --plain here, or publish it with --plain")
    } else if !datagrams && (is("udp") || is("utls")) {
        format!("port {number} is published for UDP only: forward to it with LISTEN/udp, or publish it with /tcp")
    } else if datagrams && (is("tcp") || is("tls")) {
        format!(
            "port {number} is published for TCP only: leave /udp out here, or publish it with /udp"
        )
    } else {
        format!("the device does not publish {name}: publish it there, or correct the port here")
    }
}

/// What the node can tell without asking the device.
fn check_published(target: &Link, opener: Address, name: &str) -> Option<Refusal> {
    let st = target.lock();
    let Some(publication) = st.published.get(name).filter(|_| st.admitted) else {
        let text = why_not_published(|name| st.published.contains_key(name), name);
        return Some(refusal(Code::NOT_PUBLISHED, text));
    };
    match &publication.allow {
        Some(list) if list.binary_search(&opener).is_err() => Some(refusal(
            Code::NOT_ALLOWED,
            format!("the device does not allow {opener} to open {name}"),
        )),
        _ => None,
    }
}
