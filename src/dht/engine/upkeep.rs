//! What a node does when nobody wants anything of it: joining, noticing that it is
//! cut off, asking its contacts whether they are there, filling its buckets.
//!
//! **Joining.** Seeds, remembered nodes and, when it was part of the network
//! before, nodes of its table are asked, a few at a time, with a back-off up to a
//! minute, for ever. The first that answers is asked for our own neighbourhood (a
//! lookup of our own id); then the buckets are filled ([`super::fill`]).
//!
//! **Contacts.** The paper refreshes each bucket once an hour by a lookup. Here
//! each contact is asked once in a while ([`Engine::patience`]), which costs less
//! and keeps full buckets free of dead ones; how often is learnt from how many of
//! those asked are dead, between a quarter of an hour and [`super::Config::refresh`].
//! Once in that time the own neighbourhood is searched, and a bucket that has room
//! though the network is large enough to fill it.

use super::requests::Why;
use super::search::Purpose;
use super::{Engine, Event};
use crate::time::Moment;
use crate::wire::dht::Contact;
use std::time::Duration;

/// Contacts of which dead ones are found more often than this are asked more often:
/// one of ten.
const DEAD_STEP: f64 = 0.85;
/// The other side of the balance: 0.85^0.1 · 1.018^0.9 = 1.
const ALIVE_STEP: f64 = 1.018;
/// The least of [`Engine::patience`]: 200 contacts asked every quarter of an hour
/// are 80 bytes a second, and as much for being asked.
const PATIENCE_MIN: Duration = Duration::from_secs(900);
/// Where it begins.
pub(super) const PATIENCE_FIRST: Duration = Duration::from_secs(1800);
/// A client asks its contacts this many times less often: nobody else asks them for
/// it, and it has a battery.
const CLIENT_FACTOR: u32 = 2;
/// Between two such questions at least.
const PACE: Duration = Duration::from_secs(1);
/// The same after a sleep or while a torn network heals.
const PACE_HURRY: Duration = Duration::from_millis(50);
/// When nobody was heard for so long, the network may be gone: contacts are asked
/// until one answers or [`ISOLATED_MISSES`] do not. In a large network somebody is
/// heard all the time.
const SILENCE: Duration = Duration::from_secs(60);
/// Of a client, to which nobody speaks unasked.
const SILENCE_CLIENT: Duration = Duration::from_secs(300);
/// Between these questions.
const PACE_SILENCE: Duration = Duration::from_secs(4);
/// How long the hurry lasts; who was asked within it is not asked again.
const HURRY: Duration = Duration::from_secs(30);
/// Unanswered requests in a row that make a node think that it is cut off, provided
/// that the time [`ISOLATED_AFTER`] has passed, too.
const ISOLATED_MISSES: u32 = 6;
/// See [`ISOLATED_MISSES`].
const ISOLATED_AFTER: Duration = Duration::from_secs(10);
/// Between the first two attempts to join; doubled each time.
pub(super) const JOIN_WAIT_MIN: Duration = Duration::from_secs(1);
/// Between attempts at most: a router that comes back is noticed within a minute.
const JOIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// From joining to the first look at the neighbourhood and the buckets; doubled each
/// time, up to [`super::Config::refresh`]. Whoever is among the first of a network
/// meets most of the others after it has joined.
const REFRESH_FIRST: Duration = Duration::from_secs(60);
/// Remembered nodes asked in one attempt; of the table likewise.
const JOIN_KNOWN: usize = 8;
/// Nodes to be asked again that wait for it; what does not fit is found later, by
/// its turn.
const DOUBTS_MAX: usize = 64;
/// Nodes that are asked after a search whether they want a place: k.
const INVITATIONS: usize = 20;
/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It knows nobody who answers.
    Apart,
    /// It searches its neighbourhood.
    Joining,
    /// It takes part.
    Joined,
}

impl Engine {
    pub(super) fn is_joined(&self) -> bool {
        self.standing == Standing::Joined
    }

    /// Whether it only asks. Also while it is not known whether strangers reach it:
    /// nobody needs it yet.
    fn is_client(&self) -> bool {
        !self.serving()
    }

    /// When [`Engine::upkeep`] has something to do.
    pub(super) fn upkeep_due(&self) -> Option<Moment> {
        let join =
            (self.standing == Standing::Apart && self.knows_anybody()).then_some(self.next_join);
        let joined = self.is_joined();
        let check = (joined && !self.table.is_empty()).then_some(self.next_check);
        let refresh = joined.then_some(self.next_refresh);
        let doubt = self.doubts.iter().map(|(at, _)| *at).min();
        let fill = self.fill_due();
        [join, check, refresh, doubt, fill]
            .into_iter()
            .flatten()
            .min()
    }

    /// How long a contact may be quiet before it is asked.
    fn patience(&self) -> Duration {
        let factor = if self.is_client() { CLIENT_FACTOR } else { 1 };
        self.patience * factor
    }

    /// When silence of all makes a node ask whether it is cut off itself.
    fn silence_due(&self) -> Moment {
        let wait = match self.is_client() {
            true => SILENCE_CLIENT,
            false => SILENCE,
        };
        self.heard + wait
    }

    fn knows_anybody(&self) -> bool {
        !self.seeds.is_empty() || !self.lost.is_empty() || !self.table.is_empty()
    }

    pub(super) fn upkeep(&mut self, now: Moment) {
        if self.standing == Standing::Apart && now >= self.next_join {
            self.seek(now);
        }
        self.ask_doubted(now);
        if !self.is_joined() {
            return;
        }
        let silent = now.since(self.heard) >= ISOLATED_AFTER;
        if self.table.is_empty() || (self.unheard >= ISOLATED_MISSES && silent) {
            self.isolated(now);
            return;
        }
        self.ask_stalest(now);
        if now >= self.next_refresh {
            self.refresh_wait = (self.refresh_wait * 2).min(self.refresh());
            self.next_refresh = now + self.numbers.about(self.refresh_wait);
            if !self.is_client() {
                self.find_neighbourhood(now);
            }
            self.fill_buckets();
            // Seeds may be on the other side of a tear in the network.
            let place = self.numbers.below(self.seeds.len());
            if let Some((at, id)) = self.seeds.get(place).copied() {
                let id = id.unwrap_or_default();
                self.ping(now, Contact { id, at }, Why::Seek);
            }
        }
        self.fill(now);
    }

    fn ask_stalest(&mut self, now: Moment) {
        if now < self.next_check {
            return;
        }
        let Some(stalest) = self.table.stalest() else {
            return;
        };
        let (contact, tended) = (stalest.contact, stalest.tended);
        let hurry = now < self.hurry_until;
        let wait = if hurry { HURRY } else { self.patience() };
        let silence = self.silence_due();
        let due = (tended + wait).min(silence);
        if due > now {
            self.next_check = due;
            return;
        }
        self.next_check = now
            + match (hurry, silence <= now) {
                (true, _) => PACE_HURRY,
                (false, true) => PACE_SILENCE,
                (false, false) => PACE,
            };
        if let Some(peer) = self.table.get_mut(&contact.id) {
            peer.tended = now;
        }
        self.ping(now, contact, Why::Check);
    }

    fn refresh(&self) -> Duration {
        let factor = if self.is_client() { CLIENT_FACTOR } else { 1 };
        self.config.refresh * factor
    }

    /// Asks whoever is remembered.
    fn seek(&mut self, now: Moment) {
        self.next_join = now + self.numbers.about(self.join_wait);
        self.join_wait = (self.join_wait * 2).min(JOIN_WAIT_MAX);
        for (at, id) in self.seeds.clone() {
            let id = id.unwrap_or_default();
            self.ping(now, Contact { id, at }, Why::Seek);
        }
        for _ in 0..JOIN_KNOWN.min(self.lost.len()) {
            let lost = self.lost.remove(0);
            let contact = lost.contact;
            self.lost.push(lost);
            self.ping(now, contact, Why::Seek);
        }
        for _ in 0..JOIN_KNOWN {
            let Some(stalest) = self.table.stalest_mut().filter(|peer| peer.tended < now) else {
                break;
            };
            stalest.tended = now;
            let contact = stalest.contact;
            self.ping(now, contact, Why::Seek);
        }
    }

    /// Somebody has answered, whatever he was asked.
    pub(super) fn alive(&mut self, now: Moment, from: Contact) {
        self.doubts.retain(|(_, contact)| contact.id != from.id);
        if self.standing == Standing::Apart && !self.table.is_empty() {
            self.standing = Standing::Joining;
            self.hurry(now);
            self.search(now, None, self.id, Purpose::Join);
        }
    }

    /// The search for our own neighbourhood is over; so many have answered.
    pub(super) fn joined(&mut self, now: Moment, answered: usize) {
        if self.is_joined() {
            return;
        }
        if answered == 0 {
            self.standing = Standing::Apart;
            return;
        }
        self.standing = Standing::Joined;
        self.join_wait = JOIN_WAIT_MIN;
        self.refresh_wait = REFRESH_FIRST.min(self.refresh());
        self.next_refresh = now + self.numbers.about(self.refresh_wait);
        let nodes = self.table.len();
        self.event(Event::Joined { nodes });
        self.fill_buckets();
        self.publish_soon(now);
    }

    fn isolated(&mut self, now: Moment) {
        self.standing = Standing::Apart;
        self.doubts.clear();
        self.fills.clear();
        (self.next_join, self.join_wait) = (now, JOIN_WAIT_MIN);
        self.event(Event::Isolated);
    }

    /// Searches our own id.
    pub(super) fn find_neighbourhood(&mut self, now: Moment) {
        self.search(now, None, self.id, Purpose::Join);
    }

    /// A search of ours for nodes is over: whom it has heard of but not asked is asked
    /// now, if a bucket has room for it.
    pub(super) fn invite(&mut self, now: Moment, unasked: Vec<Contact>) {
        let mut left = INVITATIONS;
        for contact in unasked {
            if left > 0 && self.table.named(contact) {
                left -= 1;
                self.check(now, contact);
            }
        }
    }

    /// Asks many contacts in a short time.
    pub(super) fn hurry(&mut self, now: Moment) {
        self.hurry_until = now + HURRY;
        self.next_check = now;
    }

    /// Whether a contact lives; unless it is being asked.
    pub(super) fn check(&mut self, now: Moment, contact: Contact) {
        let same = |p: &super::requests::Pending| p.to == contact.id && matches!(p.why, Why::Check);
        if !self.pending.iter().any(same) {
            self.ping(now, contact, Why::Check);
        }
    }

    /// A contact has missed a request: it is asked again, soon once, then less and
    /// less often.
    pub(super) fn doubt(&mut self, now: Moment, contact: Contact) {
        let missed = self.table.get(&contact.id).map_or(0, |peer| peer.missed);
        if missed <= 1 {
            self.check(now, contact);
            return;
        }
        let waits = |(_, other): &(Moment, Contact)| other.id == contact.id;
        if self.standing == Standing::Apart
            || self.doubts.len() >= DOUBTS_MAX
            || self.doubts.iter().any(waits)
        {
            return;
        }
        let wait = Duration::from_secs(1 << u32::from(missed).min(6));
        let at = now + self.numbers.about(wait);
        self.doubts.push((at, contact));
    }

    fn ask_doubted(&mut self, now: Moment) {
        let mut due = Vec::new();
        self.doubts.retain(|(at, contact)| {
            if *at <= now {
                due.push(*contact);
            }
            *at > now
        });
        for contact in due {
            self.check(now, contact);
        }
    }

    /// Learns from a question whether a contact of the table lives.
    pub(super) fn learn_patience(&mut self, alive: bool) {
        let step = if alive { ALIVE_STEP } else { DEAD_STEP };
        let most = self.config.refresh.max(PATIENCE_MIN);
        self.patience = self.patience.mul_f64(step).clamp(PATIENCE_MIN, most);
    }

    /// Nobody may be where they were: whoever is remembered is asked when the contacts
    /// of the table do not answer, without waiting for the back-off.
    pub(super) fn join_again(&mut self, now: Moment) {
        self.join_wait = JOIN_WAIT_MIN;
        self.next_join = now;
    }
}
