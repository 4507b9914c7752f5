//! Which links there are, which of two stays, who has to go. Without I/O.
//!
//! Between two nodes there is one link. When both dial at the same time two come
//! about; then the one that was dialled by the node with the lower address
//! stays, and that node closes the other as soon as no port is on it. The link
//! that stays by this rule may be one that is dead and does not know it yet (the
//! other node has lost its power and is back), so until something has been
//! heard on it since the second one came, ports go over the second. Two links
//! dialled by the same node: the newer stays, that node has missed the older.
//!
//! A link that has no port gives its place up when the pool is full and another
//! node is to be reached, the one that was of no use for longest first; when all
//! have ports, the least loaded of those that have long carried nothing. Links
//! that are to be kept never do.

use super::member::Member;
use super::terms::{PeerError, PeerFacts, PeerStatus, Wanted};
use crate::dht::subnet::{is_private, narrow};
use crate::identity::Address;
use crate::parts::POWER;
use crate::ports::Link;
use crate::session::dial::is_here;
use crate::sorted::{self, Map};
use crate::task::channel::{bounded, Receiver, Sender};
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::Close;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// Dials in progress. Each holds a socket for some seconds, and whoever opens
/// ports to devices decides how many are wanted.
pub const DIALS_MAX: usize = 64;
/// Openings that wait for one dial.
const WAITERS_MAX: usize = 4096;
/// Links to one node: one, and one that is being replaced.
const LINKS_OF_ONE: usize = 2;
/// A link that was heard from so recently is not asked whether it still stands
/// before a port is opened over it.
const FRESH: Duration = Duration::from_secs(2);
/// A link with ports counts as quiet when nothing was carried for so long.
pub const QUIET: Duration = Duration::from_secs(60);
/// First pause after a link that is to be kept was lost or not reached.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The same while there seems to be no network: what is wrong with that picture costs
/// minutes, not for ever.
const NO_NETWORK: Duration = Duration::from_secs(300);
/// A kept link that stood for so long was no failure.
const STOOD: Duration = Duration::from_secs(30);

/// What becomes of somebody's wish for a link.
pub(super) enum Asked {
    /// It stands.
    There(Arc<Link>),
    /// A dial is in progress; its outcome comes here.
    Wait(Receiver<Outcome>),
    /// The asker has to dial; the outcome comes here, too.
    Dial(Receiver<Outcome>),
}

/// Of a dial.
pub(super) type Outcome = Result<Arc<Link>, PeerError>;

/// A link's standing among those to the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// There is no other.
    Sole,
    /// It stays.
    First,
    /// The other one stays.
    Second,
    /// The one that stays by the rule has not been heard from yet.
    Unclear,
}

/// Whose place is wanted.
#[derive(Clone, Copy)]
enum WantedBy {
    /// Of any, for a link that this node needs.
    Ourselves,
    /// Of a stranger, for another.
    Stranger,
    /// Of a stranger of the network of this address, for another of it.
    Neighbour(IpAddr),
}

/// Whether two addresses are of one network (/24, IPv6 /48). Private ones are
/// not: in a house there may be many nodes.
fn is_neighbour(a: IpAddr, b: IpAddr) -> bool {
    !is_private(a) && narrow(a) == narrow(b)
}

/// A link that is to be kept.
#[derive(Debug)]
struct Keep {
    host: String,
    port: u16,
    /// When it may be dialled again.
    next: Moment,
    pause: Duration,
}

impl Keep {
    /// The same while there has been no network since then; what is on this machine
    /// needs none.
    fn due(&self, away: Option<Moment>) -> Moment {
        match away {
            // Others do not watch the network.
            Some(since) if POWER.built && !is_here(&self.host) => self.next.max(since + NO_NETWORK),
            _ => self.next,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Pool {
    node: Address,
    /// Most links, dials included.
    pub max: usize,
    members: Map<Address, Vec<Arc<Member>>>,
    dials: Map<Address, Vec<Sender<Outcome>>>,
    wanted: Map<Address, Keep>,
    /// Since when there is no network.
    away: Option<Moment>,
    next: u64,
    /// No links come about any more.
    pub stopped: bool,
}

impl Pool {
    pub fn new(node: Address, max: usize) -> Pool {
        Pool {
            node,
            max,
            members: Map::new(),
            dials: Map::new(),
            wanted: Map::new(),
            away: None,
            next: 0,
            stopped: false,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values().flatten()
    }

    fn live(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.all().filter(|m| m.is_live())
    }

    /// How many links stand.
    pub fn count(&self) -> usize {
        self.all().count()
    }

    pub fn list(&self) -> Vec<PeerStatus> {
        self.all().map(|m| m.status()).collect()
    }

    #[cfg(test)]
    pub fn members_of(&self, id: &Address) -> Vec<Arc<Member>> {
        self.members.get(id).cloned().unwrap_or_default()
    }

    pub fn links(&self) -> Vec<Arc<Link>> {
        self.all().map(|m| m.link.clone()).collect()
    }

    /// Strangers that dialled this node get so many places: those that it dials
    /// itself, for its own devices, must not be taken from it.
    fn most_strangers(&self) -> usize {
        (self.max - self.max / 4).max(1)
    }

    /// The link over which ports to `id` go, and whether that is settled.
    fn current(&self, id: &Address) -> Option<(&Arc<Member>, bool)> {
        let mut live = self.members.get(id)?.iter().filter(|m| m.is_live());
        let mut best = live.next()?;
        let mut settled = true;
        for newer in live {
            // Whether the older one was dialled by the node whose links stay.
            let lower_dials = best.dialled == (self.node < best.id);
            if best.dialled == newer.dialled || !lower_dials {
                (best, settled) = (newer, true);
            } else if best.heard() < newer.since {
                (best, settled) = (newer, false);
            } else {
                settled = true;
            }
        }
        Some((best, settled))
    }

    /// Somebody wants a link to `peer`.
    pub fn ask(&mut self, peer: Address, now: Moment) -> Result<Asked, PeerError> {
        if self.stopped {
            return Err(PeerError::Stopped);
        }
        if peer == self.node {
            return Err(PeerError::Itself);
        }
        if let Some((member, _)) = self.current(&peer) {
            if now.since(member.heard()) > FRESH {
                member.doubt();
            }
            return Ok(Asked::There(member.link.clone()));
        }
        let (tell, told) = bounded(1);
        if let Some(waiters) = self.dials.get_mut(&peer) {
            if waiters.len() >= WAITERS_MAX {
                return Err(PeerError::Busy);
            }
            waiters.push(tell);
            return Ok(Asked::Wait(told));
        }
        if self.dials.len() >= DIALS_MAX {
            return Err(PeerError::Busy);
        }
        if !self.has_room() && !self.make_room(WantedBy::Ourselves, now) {
            return Err(PeerError::Full);
        }
        self.dials.insert(peer, vec![tell]);
        Ok(Asked::Dial(told))
    }

    /// Whether a link to `id` may come about, whose greeting has been heard.
    pub fn admit(
        &self,
        (id, place, dialled): (Address, SocketAddr, bool),
        now: Moment,
    ) -> Result<(), Close> {
        if self.stopped {
            return Err(close(Code::SHUTTING_DOWN, "this node is stopping", None));
        }
        let wanted = self.wanted.contains_key(&id);
        let known = self.members.contains_key(&id);
        if !dialled && !known && !self.admit_stranger(place.ip(), wanted, now) {
            let text = "this node has as many links as it may";
            return Err(close(Code::TOO_MANY_LINKS, text, Some(60_000)));
        }
        Ok(())
    }

    /// A link that was admitted stands: ports may go over it.
    pub fn join(
        &mut self,
        who: (Address, SocketAddr, bool),
        link: &Arc<Link>,
        facts: PeerFacts,
        now: Moment,
    ) -> Arc<Member> {
        let (id, ..) = who;
        let wanted = self.wanted.contains_key(&id);
        let member = Arc::new(Member::new(self.next, who, link, facts, now));
        self.next += 1;
        member.kept.store(wanted, Ordering::Relaxed);
        let row = self.members.get_or_insert_with(id, Vec::new);
        row.push(member.clone());
        if row.len() > 1 {
            for other in row.iter() {
                other.paired.store(true, Ordering::Relaxed);
                if !Arc::ptr_eq(other, &member) {
                    other.doubt();
                }
            }
            self.thin_out(&id);
        }
        self.settle_dial(&id, &Ok(link.clone()));
        member
    }

    /// More than a second link to one node: those go that ports do not need.
    fn thin_out(&self, id: &Address) {
        let Some(row) = self.members.get(id) else {
            return;
        };
        let current = self.current(id).map(|(m, _)| m.number);
        let mut others: Vec<_> = row
            .iter()
            .filter(|m| m.is_live() && Some(m.number) != current)
            .collect();
        sorted::sort_by(&mut others, |a, b| {
            a.link.port_count().cmp(&b.link.port_count())
        });
        let surplus = (others.len() + 1).saturating_sub(LINKS_OF_ONE);
        for member in others.into_iter().take(surplus) {
            member
                .link
                .leave(Code::SECOND_LINK, "newer links to this node stand");
        }
    }

    /// Whether a node that has dialled this one may stay.
    fn admit_stranger(&self, from: IpAddr, wanted: bool, now: Moment) -> bool {
        if wanted {
            return self.has_room() || self.make_room(WantedBy::Ourselves, now);
        }
        let strangers = || self.live().filter(|m| !m.dialled && !m.is_kept());
        let neighbours = strangers().filter(|m| is_neighbour(m.place.ip(), from));
        if neighbours.count() >= self.most_neighbours() {
            return self.make_room(WantedBy::Neighbour(from), now);
        }
        if strangers().count() < self.most_strangers() && self.has_room() {
            return true;
        }
        self.make_room(WantedBy::Stranger, now)
    }

    /// Of one network, so many: addresses are what a stranger has to pay for,
    /// identities are free.
    fn most_neighbours(&self) -> usize {
        (self.max / 8).max(2)
    }

    fn has_room(&self) -> bool {
        self.live().count() + self.dials.len() < self.max
    }

    /// Has a link give its place up. For a stranger only another one does, that
    /// was of no use for a while.
    fn make_room(&self, wanted_by: WantedBy, now: Moment) -> bool {
        let is_quiet = |m: &Member| now.since(m.used()) >= QUIET;
        let may_go = |m: &&Arc<Member>| {
            let fits = match wanted_by {
                WantedBy::Ourselves => true,
                WantedBy::Stranger => !m.dialled && is_quiet(m),
                WantedBy::Neighbour(ip) => {
                    !m.dialled && is_quiet(m) && is_neighbour(m.place.ip(), ip)
                }
            };
            fits && !m.is_kept()
        };
        let idle = self
            .live()
            .filter(may_go)
            .filter(|m| m.link.port_count() == 0);
        if let Some(member) = idle.min_by_key(|m| m.used()) {
            let text = "this link had no port, and its place was needed";
            member.link.leave(Code::IDLE, text);
            return true;
        }
        let quiet = self
            .live()
            .filter(may_go)
            .filter(|m| matches!(wanted_by, WantedBy::Ourselves) && is_quiet(m));
        if let Some(member) = quiet.min_by_key(|m| (m.link.port_count(), m.used())) {
            let text = "this link had long carried nothing, and its place was needed";
            member.link.leave(Code::TOO_MANY_LINKS, text);
            return true;
        }
        false
    }

    /// A dial has ended without a link.
    pub fn dial_failed(&mut self, peer: &Address, error: PeerError, now: Moment) {
        self.put_off(peer, now);
        self.settle_dial(peer, &Err(error));
    }

    fn settle_dial(&mut self, peer: &Address, outcome: &Outcome) {
        for waiter in self.dials.remove(peer).unwrap_or_default() {
            // Whoever has gone needs no answer.
            let _ = waiter.try_send(outcome.clone());
        }
    }

    /// The session of a link has ended.
    pub fn leave(&mut self, member: &Arc<Member>, now: Moment) {
        if let Some(row) = self.members.get_mut(&member.id) {
            row.retain(|m| !Arc::ptr_eq(m, member));
            if let [last] = row.as_slice() {
                last.paired.store(false, Ordering::Relaxed);
            }
            if row.is_empty() {
                self.members.remove(&member.id);
            }
        }
        if now.since(member.since) >= STOOD {
            if let Some(keep) = self.wanted.get_mut(&member.id) {
                keep.pause = FIRST_PAUSE;
            }
        }
        self.put_off(&member.id, now);
    }

    pub fn rank(&self, member: &Arc<Member>) -> Rank {
        let live = self.members.get(&member.id);
        let live = live.map_or(0, |row| row.iter().filter(|m| m.is_live()).count());
        match self.current(&member.id) {
            _ if live < 2 => Rank::Sole,
            Some((_, false)) => Rank::Unclear,
            Some((current, true)) if Arc::ptr_eq(current, member) => Rank::First,
            _ => Rank::Second,
        }
    }

    /// Whether this node closes second links to `peer`; the other one does not.
    pub fn closes_second(&self, peer: &Address) -> bool {
        self.node < *peer
    }

    /// The nodes that links are to be kept to.
    pub fn keep(&mut self, wanted: Vec<Wanted>, now: Moment) {
        let mut before = std::mem::take(&mut self.wanted);
        for w in wanted {
            if w.id == self.node {
                continue;
            }
            let old = before.remove(&w.id);
            let (next, pause) = old
                .filter(|k| k.host == w.host && k.port == w.port)
                .map_or((now, FIRST_PAUSE), |k| (k.next, k.pause));
            let keep = Keep {
                host: w.host,
                port: w.port,
                next,
                pause,
            };
            self.wanted.insert(w.id, keep);
        }
        for member in self.all() {
            let kept = self.wanted.contains_key(&member.id);
            if member.kept.swap(kept, Ordering::Relaxed) != kept {
                // Its session has other deadlines now.
                member.link.wake();
            }
        }
    }

    /// The next dial of a kept link waits.
    fn put_off(&mut self, peer: &Address, now: Moment) {
        if let Some(keep) = self.wanted.get_mut(peer) {
            // Half to one and a half: two nodes that keep each other do not always dial at once.
            let pause = if POWER.built && self.away.is_some() && !is_here(&keep.host) {
                NO_NETWORK
            } else {
                keep.pause
            };
            keep.next = now + pause.mul_f64(0.5 + fastrand::f64());
            keep.pause = (keep.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Those that have no link, are not being dialled, and may be; and when to look again.
    pub fn due(&self, now: Moment) -> (Vec<Wanted>, Option<Moment>) {
        let mut due = Vec::new();
        let mut next: Option<Moment> = None;
        for (id, keep) in &self.wanted {
            if self.stopped || self.members.contains_key(id) || self.dials.contains_key(id) {
                continue;
            }
            let at = keep.due(self.away);
            if at <= now {
                due.push(Wanted {
                    id: *id,
                    host: keep.host.clone(),
                    port: keep.port,
                });
            } else {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        (due, next)
    }

    /// The links that stand.
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.all().cloned().collect()
    }

    /// There is no network, or there is one again.
    pub fn set_away(&mut self, away: bool, now: Moment) {
        self.away = away.then(|| self.away.unwrap_or(now));
    }

    /// The network is another one: nobody has to wait for what failed in the old one.
    /// Nodes that came into it together do not all dial in one instant.
    pub fn hurry(&mut self, now: Moment) {
        for keep in self.wanted.values_mut() {
            keep.next = keep.next.min(now + FIRST_PAUSE.mul_f64(fastrand::f64()));
            keep.pause = FIRST_PAUSE;
        }
    }

    /// No links come about any more; who waits for one is told.
    pub fn stop(&mut self) {
        self.stopped = true;
        for peer in self.dials.keys().copied().collect::<Vec<_>>() {
            self.settle_dial(&peer, &Err(PeerError::Stopped));
        }
    }
}

fn close(code: Code, text: &str, retry_after_ms: Option<u32>) -> Close {
    Close {
        code,
        text: text.into(),
        retry_after_ms,
    }
}
