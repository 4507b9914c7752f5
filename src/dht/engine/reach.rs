//! Where others see this node, and whether strangers can reach it.
//!
//! **Where.** Each PONG tells from which address our PING came. An address of one
//! of our own interfaces is believed at once: nobody can lie about that. Any other
//! one is a NAT's, and is believed when three nodes of different subnets agree on
//! it, and most of the latest do.
//!
//! **Whether.** A request that comes from an IP address to which we have sent
//! nothing for five minutes was let in by whatever stands in front of us: proof.
//! Where no such request comes by itself, we ask for one: a node that we know asks
//! a third one to send us a PING (`check`). Three times promised and nothing came:
//! strangers do not reach us. Without a NAT we are believed to be reachable until
//! that happens.
//!
//! **Mapped.** A router that was asked for the peer port says where it leads from
//! outside. One node that sees us there confirms the address; whether strangers get in
//! is looked at as ever. Three witnesses that agree on another address take its place:
//! another NAT stands behind the router.
//!
//! Each family of addresses is a side of its own: a home with a NAT for IPv4 and a
//! firewall for IPv6 may be reached by one, by both or by neither.

mod sent;

use super::numbers::Numbers;
use crate::dht::subnet::{is_private, witness};
use crate::time::Moment;
use sent::SentTo;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Nodes of different subnets that have to agree on our address: one liar and one
/// node behind the same NAT do not make it.
const VOTES_NEEDED: usize = 3;
/// The latest votes that count.
const VOTES_MAX: usize = 9;
/// A promised PING is waited for this long: two hops with their challenges and
/// time-outs.
const CHECK_WAIT: Duration = Duration::from_secs(10);
/// Checks in vain until we count as unreachable.
const CHECKS_MAX: u8 = 3;
/// Between checks while nothing is known.
const CHECK_SOON: Duration = Duration::from_secs(5);
/// Between checks at first while we are known to be unreachable; doubled each time.
const CHECK_LATER: Duration = Duration::from_secs(300);
/// The longest time between two: somebody may have opened the router's port.
const CHECK_RARELY: Duration = Duration::from_secs(3600);
/// A proof is good for this long. A node that serves gets a new one every few
/// seconds.
const PROOF_LIFE: Duration = Duration::from_secs(1800);

/// What a look at the state has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Outside(SocketAddr),
    Reachable(bool),
}

/// One family of addresses.
struct Side {
    interfaces: Vec<IpAddr>,
    /// What the operator said.
    told: Option<SocketAddr>,
    /// What the router said.
    mapped: Option<SocketAddr>,
    /// Somebody out there sees this node at that address.
    confirmed: bool,
    outside: Option<SocketAddr>,
    votes: Vec<(u64, SocketAddr)>,
    reachable: Option<bool>,
    sent: Box<SentTo>,
    proof: Option<Moment>,
    /// A check that was promised: until when its PING may come.
    open: Option<Moment>,
    /// When a request without a cookie came from an acquaintance last: on a short way
    /// the PING that is promised comes before the promise.
    knocked: Option<Moment>,
    in_vain: u8,
    next_check: Moment,
    wait: Duration,
    changes: Vec<Change>,
}

impl Side {
    fn new(told: Option<SocketAddr>, interfaces: Vec<IpAddr>, now: Moment) -> Side {
        Side {
            interfaces,
            told,
            mapped: None,
            confirmed: false,
            outside: told,
            votes: Vec::new(),
            reachable: None,
            sent: Box::new(SentTo::new(now)),
            proof: None,
            open: None,
            knocked: None,
            in_vain: 0,
            next_check: now,
            wait: CHECK_LATER,
            changes: Vec::new(),
        }
    }

    /// The router says where the peer port leads from outside, or does not any more.
    fn set_mapped(&mut self, mapped: Option<SocketAddr>, now: Moment) {
        if self.mapped == mapped {
            return;
        }
        let before = std::mem::replace(&mut self.mapped, mapped);
        self.confirmed = false;
        if self.told.is_some() {
            return;
        }
        match mapped {
            Some(_) if self.outside != mapped => {
                // Whoever reached us until now may have come another way.
                self.unprove();
                self.outside = mapped;
            }
            // What others see counts again, once they have seen it.
            None if before.is_some() && self.outside == before => {
                self.unprove();
                self.outside = None;
            }
            _ => {}
        }
        if let Some(at) = mapped {
            if self.reachable == Some(false) {
                // Strangers failed while the router let nobody in.
                self.reachable = None;
            }
            // Others may have seen it before.
            self.confirmed = self.votes.iter().any(|(_, seen)| seen.ip() == at.ip());
            if self.confirmed {
                self.changes.push(Change::Outside(at));
            }
        }
        (self.open, self.in_vain) = (None, 0);
        (self.next_check, self.wait) = (now, CHECK_LATER);
    }

    /// The network may be another one: what was seen and proven does not count.
    fn forget(&mut self, now: Moment) {
        self.votes.clear();
        self.confirmed = false;
        self.outside = self.told.or(self.mapped);
        (self.proof, self.open, self.in_vain) = (None, None, 0);
        (self.next_check, self.wait) = (now, CHECK_LATER);
    }

    /// Something was sent to `ip`.
    fn sent(&mut self, now: Moment, ip: IpAddr) {
        self.sent.add(now, ip);
    }

    /// A node at `from` saw our packet come from `seen`.
    fn seen(&mut self, now: Moment, from: IpAddr, seen: SocketAddr, exempt: bool) {
        // What a neighbour on a private network sees says nothing about the outside.
        if is_private(seen.ip()) && !is_private(from) {
            return;
        }
        let witness = witness(from, exempt);
        self.votes.retain(|(voter, _)| *voter != witness);
        if self.votes.len() >= VOTES_MAX {
            self.votes.remove(0);
        }
        self.votes.push((witness, seen));
        if let Some(at) = self.mapped.filter(|at| at.ip() == seen.ip()) {
            // Ports of packets that leave may be others.
            if !self.confirmed && self.told.is_none() {
                self.confirmed = true;
                self.changes.push(Change::Outside(at));
            }
            return;
        }
        if self.told.is_some() || self.outside == Some(seen) {
            return;
        }
        let own = self.is_own(seen.ip());
        let agree = self.votes.iter().filter(|(_, at)| *at == seen).count();
        let most = agree >= VOTES_NEEDED && agree * 2 > self.votes.len();
        // What neighbours at home see does not count beside what the world sees.
        let better = match self.outside {
            Some(old) => is_private(old.ip()) || !is_private(seen.ip()),
            None => true,
        };
        if better && (own || most) {
            let inner = self.mapped.is_some() || self.outside.is_none_or(|at| is_private(at.ip()));
            if !own && inner {
                // Whoever reached us until now was on our side of the NAT.
                self.unprove();
            }
            // The router is wrong about its own address: it stands behind another one.
            self.mapped = None;
            self.outside = Some(seen);
            self.changes.push(Change::Outside(seen));
            (self.in_vain, self.next_check, self.wait) = (0, now, CHECK_LATER);
            if own && self.reachable.is_none() {
                self.set(true);
            }
        }
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.interfaces.contains(&ip)
    }

    fn unprove(&mut self) {
        if self.reachable == Some(true) {
            self.set(false);
        }
        (self.reachable, self.proof) = (None, None);
    }

    fn set(&mut self, reachable: bool) {
        if self.reachable != Some(reachable) {
            self.reachable = Some(reachable);
            self.changes.push(Change::Reachable(reachable));
        }
    }

    /// A request came from `from`, with a valid cookie or without.
    fn asked(&mut self, now: Moment, from: IpAddr, cookie: bool) {
        let inside = is_private(from) && self.outside.is_some_and(|at| !is_private(at.ip()));
        if inside {
            return;
        }
        if self.sent.has(now, from) {
            // It may be the PING that was promised, out of the hands of somebody
            // whom we have asked lately: this check proves nothing either way.
            if !cookie {
                self.open = None;
                self.knocked = Some(now);
            }
            return;
        }
        (self.proof, self.open, self.in_vain) = (Some(now), None, 0);
        self.wait = CHECK_LATER;
        self.set(true);
    }

    /// Whoever was asked for a check has promised it, or cannot do it.
    fn promised(&mut self, now: Moment, promised: bool) {
        let knocked = self.knocked.is_some_and(|at| now.since(at) < CHECK_WAIT);
        if promised && self.open.is_none() && !knocked {
            self.open = Some(now + CHECK_WAIT);
        }
    }

    /// When [`Side::check`] wants to be called.
    fn due(&self) -> Option<Moment> {
        // Nothing can be looked at while nobody has seen it.
        self.outside?;
        Some(self.open.unwrap_or(self.next_check))
    }

    /// Time has passed. Some: have this address looked at now.
    fn check(&mut self, now: Moment, numbers: &mut Numbers) -> Option<SocketAddr> {
        if let Some(until) = self.open {
            if now < until {
                return None;
            }
            self.open = None;
            self.in_vain = self.in_vain.saturating_add(1);
            if self.in_vain >= CHECKS_MAX {
                self.set(false);
            }
        }
        if now < self.next_check {
            return None;
        }
        let fresh = self.proof.map(|at| at + PROOF_LIFE);
        if let Some(until) = fresh.filter(|until| *until > now) {
            self.next_check = until;
            return None;
        }
        let wait = if self.in_vain >= CHECKS_MAX {
            self.wait = (self.wait * 2).min(CHECK_RARELY);
            self.wait
        } else if self.knocked.is_some_and(|at| now.since(at) < CHECK_LATER) {
            // In a small network everybody is an acquaintance.
            CHECK_LATER
        } else {
            CHECK_SOON
        };
        self.next_check = now + numbers.about(wait) + CHECK_WAIT;
        self.outside
    }
}

/// Where others see this node, by one family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenAt {
    /// Where.
    pub at: SocketAddr,
    /// Whether strangers can reach it there; none: not known yet.
    pub reachable: Option<bool>,
    /// It is an address of this machine, or the operator's word: not a NAT's.
    pub own: bool,
    /// The router says so, and another node sees this one there.
    pub confirmed: bool,
}

/// See the module's top.
pub(super) struct Reach {
    /// IPv4, IPv6.
    sides: [Side; 2],
    /// What was told of both together.
    told: Option<bool>,
    changes: Vec<Change>,
}

fn is_v4(ip: IpAddr) -> bool {
    ip.to_canonical().is_ipv4()
}

fn of_family(interfaces: &[IpAddr], v4: bool) -> Vec<IpAddr> {
    let of = interfaces.iter().copied();
    of.filter(|ip| is_v4(*ip) == v4).collect()
}

impl Reach {
    pub(super) fn new(told: Option<SocketAddr>, interfaces: Vec<IpAddr>, now: Moment) -> Reach {
        let side = |v4| {
            let told = told.filter(|at| is_v4(at.ip()) == v4);
            Side::new(told, of_family(&interfaces, v4), now)
        };
        Reach {
            sides: [side(true), side(false)],
            told: None,
            changes: Vec::new(),
        }
    }

    fn side(&mut self, ip: IpAddr) -> &mut Side {
        let [v4, v6] = &mut self.sides;
        match is_v4(ip) {
            true => v4,
            false => v6,
        }
    }

    /// Where others see this node: a public address before a private one, one that
    /// can be reached before one that cannot, IPv4 before IPv6.
    pub(super) fn outside(&self) -> Option<SocketAddr> {
        let rank = |seen: &SeenAt| (is_private(seen.at.ip()), seen.reachable == Some(false));
        let [first, second] = self.places();
        match (first, second) {
            (Some(a), Some(b)) if rank(&b) < rank(&a) => Some(b.at),
            (a, b) => a.or(b).map(|seen| seen.at),
        }
    }

    /// Where others see this node, by both families.
    pub(super) fn places(&self) -> [Option<SeenAt>; 2] {
        self.sides.each_ref().map(|side| {
            let at = side.outside?;
            Some(SeenAt {
                at,
                reachable: side.reachable,
                confirmed: side.confirmed,
                own: side.told == Some(at) || side.is_own(at.ip()),
            })
        })
    }

    /// Whether strangers reach this node by any family.
    pub(super) fn reachable(&self) -> Option<bool> {
        let [v4, v6] = &self.sides;
        match (v4.reachable, v6.reachable) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), None) if v6.outside.is_none() => Some(false),
            (None, Some(false)) if v4.outside.is_none() => Some(false),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }

    /// What has changed since the last call.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        if let Some(change) = self.changes.pop() {
            return Some(change);
        }
        let mut proven = false;
        for side in &mut self.sides {
            while let Some(change) = side.changes.pop() {
                match change {
                    Change::Outside(_) => self.changes.push(change),
                    // Both sides together are told below.
                    Change::Reachable(_) => proven = true,
                }
            }
        }
        let reachable = self.reachable();
        if proven && reachable != self.told {
            // What is not known any more is not to be relied on.
            if reachable.is_some() || self.told == Some(true) {
                let reachable = reachable.unwrap_or(false);
                self.changes.insert(0, Change::Reachable(reachable));
            }
            self.told = reachable;
        }
        self.changes.pop()
    }

    pub(super) fn set_interfaces(&mut self, interfaces: &[IpAddr], now: Moment) {
        let [v4, v6] = &mut self.sides;
        v4.interfaces = of_family(interfaces, true);
        v6.interfaces = of_family(interfaces, false);
        self.forget(now);
    }

    /// The routers say where the peer port leads from outside, by IPv4 and by IPv6, or
    /// does not any more.
    pub(super) fn set_mapped(&mut self, mapped: [Option<SocketAddr>; 2], now: Moment) {
        for (side, mapped) in self.sides.iter_mut().zip(mapped) {
            side.set_mapped(mapped, now);
        }
    }

    /// The network may be another one: what was seen and proven does not count.
    pub(super) fn forget(&mut self, now: Moment) {
        self.sides.iter_mut().for_each(|side| side.forget(now));
    }

    /// Something was sent to `ip`.
    pub(super) fn sent(&mut self, now: Moment, ip: IpAddr) {
        self.side(ip).sent(now, ip);
    }

    /// A node at `from` saw our packet come from `seen`.
    pub(super) fn seen(&mut self, now: Moment, from: IpAddr, seen: SocketAddr, exempt: bool) {
        // Who saw the other family did not see this packet.
        if is_v4(from) == is_v4(seen.ip()) {
            self.side(from).seen(now, from, seen, exempt);
        }
    }

    /// A request came from `from`, with a valid cookie or without.
    pub(super) fn asked(&mut self, now: Moment, from: IpAddr, cookie: bool) {
        self.side(from).asked(now, from, cookie);
    }

    /// Whoever at `from` was asked for a check has promised it, or cannot do it.
    pub(super) fn promised(&mut self, now: Moment, from: IpAddr, promised: bool) {
        self.side(from).promised(now, promised);
    }

    /// When [`Reach::check`] wants to be called.
    pub(super) fn due(&self) -> Option<Moment> {
        self.sides.iter().filter_map(Side::due).min()
    }

    /// Time has passed. Some: have this address looked at now, by somebody of its
    /// family.
    pub(super) fn check(&mut self, now: Moment, numbers: &mut Numbers) -> Option<SocketAddr> {
        let due = |side: &&mut Side| side.due().is_some_and(|due| due <= now);
        let mut sides = self.sides.iter_mut().filter(due);
        sides.find_map(|side| side.check(now, numbers))
    }
}

#[cfg(test)]
mod tests;
