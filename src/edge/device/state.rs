//! Which sessions of a device stand, what is published in them, and what the
//! program hears of it; without I/O.
//!
//! New ports go through the first session. Another one is kept warm beside it,
//! where the program gave several nodes: everything is published there, too, and
//! what is offered there is served. When the first ends, the other takes its
//! place at once, and the program hears `Lost` and `Back` in one go.

use super::keeper::SLOTS;
use super::{DeviceEvent, EVENTS_MAX};
use crate::identity::Address;
use crate::ports::local::End;
use crate::ports::Link;
use crate::sorted::Map;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::Publish;
use crate::wire::notice::Openings;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A session that the node has admitted.
pub(super) struct Standing {
    slot: usize,
    link: Arc<Link>,
    /// Where the node was reached.
    place: String,
    /// Publish requests that wait for their answer.
    asked: Map<u32, String>,
    /// The answers.
    published: Map<String, bool>,
}

/// A node that a slot is busy with, from dialling to the end of the session.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// Its place in the program's list.
    node: usize,
    /// Who it is, once TLS has proven it.
    address: Option<Address>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct State {
    sessions: Vec<Standing>,
    claims: [Option<Claim>; SLOTS],
    /// Whether the node of a slot has said that it opens no ports.
    closed: [bool; SLOTS],
    /// Nodes of which the program has heard that they cannot be kept warm.
    complained: Vec<usize>,
    /// What is published, and for whom.
    publications: Map<String, Option<Vec<Address>>>,
    pub events: VecDeque<DeviceEvent>,
    wakers: Vec<Waker>,
    ready_told: bool,
    /// Ready or Back was told for the first session.
    pub settled: bool,
    /// When the last first session ended.
    lost_at: Option<Moment>,
    pub over: Option<End>,
    /// The program leaves: no session is begun any more.
    pub leaving: bool,
}

impl State {
    pub fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        if !self.wakers.iter().any(|w| w.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub fn wake(&mut self) {
        for w in self.wakers.drain(..) {
            w.wake();
        }
    }

    pub fn tell(&mut self, event: DeviceEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.wake();
    }

    /// An attempt at a node failed. While a session stands, that is told once a
    /// node: the device works, and the node may be away for a week.
    pub fn trouble(&mut self, node: usize, reason: String) {
        if self.sessions.is_empty() {
            self.tell(DeviceEvent::Trouble { reason });
        } else if self.complained.contains(&node) {
            log::debug!("{reason}");
        } else {
            self.complained.push(node);
            self.tell(DeviceEvent::Trouble { reason });
        }
    }

    /// The links of the sessions that stand; new ports go through the first. Those
    /// whose node opens none are the last.
    pub fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        let with = |closed: bool| {
            let sessions = self.sessions.iter();
            sessions.filter(move |s| (self.closed.get(s.slot) == Some(&true)) == closed)
        };
        with(false).chain(with(true)).map(|s| &s.link)
    }

    /// The node that this slot has a session with opens no more ports, or opens them
    /// again.
    pub fn openings(&mut self, slot: usize, node: Address, said: Openings) {
        let closed = !said.open;
        match self.closed.get_mut(slot) {
            Some(before) if *before != closed => *before = closed,
            _ => return,
        }
        if said.open {
            return self.tell(DeviceEvent::Opens { node });
        }
        let first = self.links().next().map(|link| link.remote());
        self.tell(DeviceEvent::Closed {
            node,
            reason: said.text,
            retry_ms: said.retry_after_ms,
            instead: first.filter(|first| *first != node),
        });
    }

    /// The link of a session that is another one than `link`'s.
    pub fn other_than(&self, link: &Arc<Link>) -> Option<Arc<Link>> {
        self.links().find(|l| !Arc::ptr_eq(l, link)).cloned()
    }

    /// Marks a node as busy with this slot; false when another one has it, or
    /// the program leaves.
    pub fn claim(&mut self, slot: usize, node: usize) -> bool {
        let refused = self.leaving || self.is_claimed(node);
        if let (false, Some(claim)) = (refused, self.claims.get_mut(slot)) {
            let address = None;
            if let Some(closed) = self.closed.get_mut(slot) {
                *closed = false;
            }
            *claim = Some(Claim { node, address });
            return true;
        }
        false
    }

    /// Whether a slot is busy with this node.
    pub fn is_claimed(&self, node: usize) -> bool {
        self.claims.iter().flatten().any(|c| c.node == node)
    }

    /// The slot has met this node; false when another slot has a session with
    /// it already, by another of its places: a node keeps one session a device.
    pub fn meet(&mut self, slot: usize, address: Address) -> bool {
        let met = |c: &Claim| c.address == Some(address);
        if self.claims.iter().flatten().any(met) {
            return false;
        }
        if let Some(Some(claim)) = self.claims.get_mut(slot) {
            claim.address = Some(address);
        }
        true
    }

    /// The slot is no longer busy with its node.
    pub fn release(&mut self, slot: usize) {
        if let Some(claim) = self.claims.get_mut(slot) {
            *claim = None;
        }
    }

    /// A session stands in this slot: publishes there what is published.
    pub fn admitted(&mut self, slot: usize, link: &Arc<Link>, place: &str, now: Moment) {
        if self.sessions.is_empty() {
            self.settled = false;
        }
        if let Some(claim) = self.claims.get(slot).copied().flatten() {
            self.complained.retain(|node| *node != claim.node);
        }
        self.sessions.push(Standing {
            slot,
            link: link.clone(),
            place: place.to_owned(),
            asked: Map::new(),
            published: Map::new(),
        });
        if let Some(session) = self.sessions.last_mut() {
            for (name, allow) in &self.publications {
                session.publish(name, allow.clone());
            }
        }
        self.wake();
        self.settle(now);
    }

    /// The slot's session ended; whether it stood. The next one takes its place.
    pub fn ended(&mut self, slot: usize, reason: &str, now: Moment) -> bool {
        self.wake();
        let Some(at) = self.sessions.iter().position(|s| s.slot == slot) else {
            return false;
        };
        self.sessions.remove(at);
        if at > 0 {
            log::info!("the session that was kept warm ended: {reason}");
            return true;
        }
        self.lost_at = Some(now);
        self.settled = false;
        self.tell(DeviceEvent::Lost {
            reason: reason.to_owned(),
        });
        self.settle(now);
        true
    }

    /// It makes no sense to go on: what stands ends with the keeper.
    pub fn end(&mut self, reason: &str) {
        self.sessions.clear();
        self.over = Some(End::new(Code::LEAVING, reason));
        self.tell(DeviceEvent::Over {
            reason: reason.to_owned(),
        });
    }

    /// Has new ports go through this session, if it stands.
    pub fn prefer(&mut self, link: &Arc<Link>) {
        let at = self
            .sessions
            .iter()
            .position(|s| Arc::ptr_eq(&s.link, link));
        if let Some(at) = at.filter(|at| *at > 0) {
            self.sessions.swap(0, at);
            log::info!("new ports go through node {}", link.remote());
        }
    }

    /// Publishes a name now and in every session to come.
    pub fn publish(&mut self, name: &str, allow: Option<Vec<Address>>) {
        for session in &mut self.sessions {
            session.publish(name, allow.clone());
        }
        self.publications.insert(name.to_owned(), allow);
    }

    /// The answer to a request to publish.
    pub fn published(&mut self, slot: usize, id: u32, result: Result<(), End>, now: Moment) {
        let session = self.sessions.iter_mut().find(|s| s.slot == slot);
        let Some((session, name)) = session.and_then(|s| {
            let name = s.asked.remove(&id)?;
            Some((s, name))
        }) else {
            return;
        };
        session.published.insert(name.clone(), result.is_ok());
        if let Err(end) = result {
            self.tell(DeviceEvent::Refused {
                name,
                reason: end.text,
            });
        }
        self.settle(now);
    }

    /// Tells Ready or Back once everything stands in the first session.
    pub fn settle(&mut self, now: Moment) {
        let Some(first) = self.sessions.first().filter(|_| !self.settled) else {
            return;
        };
        let stands = |name| first.published.get(name) == Some(&true);
        if !self.publications.keys().all(stands) {
            return;
        }
        let (node, place) = (first.link.remote(), first.place.clone());
        self.settled = true;
        if std::mem::replace(&mut self.ready_told, true) {
            let away = self.lost_at.map_or(0, |at| now.since(at).as_millis());
            let after_ms = u64::try_from(away).unwrap_or(u64::MAX);
            self.tell(DeviceEvent::Back { node, after_ms });
        } else {
            self.tell(DeviceEvent::Ready { node, place });
        }
    }
}

impl Standing {
    /// Asks the node to publish `name`.
    fn publish(&mut self, name: &str, allow: Option<Vec<Address>>) {
        self.published.remove(name);
        let name = name.to_owned();
        let id = self.link.request(&Publish {
            name: name.clone(),
            allow,
        });
        self.asked.insert(id, name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ports::{Budget, LinkOptions};
    use std::time::Duration;

    fn link(n: u8) -> Arc<Link> {
        Link::new(LinkOptions {
            remote: Address([n; 20]),
            chooses_even: false,
            max_ports: 8,
            budget: Budget::new(1 << 20),
        })
    }

    fn at(ms: u64) -> Moment {
        Moment::default() + Duration::from_millis(ms)
    }

    /// What was told since the last time, in short.
    fn told(state: &mut State) -> Vec<String> {
        let events = state.events.drain(..);
        events
            .map(|event| match event {
                DeviceEvent::Ready { node, .. } => format!("ready {}", node.0[0]),
                DeviceEvent::Lost { reason } => format!("lost {reason}"),
                DeviceEvent::Back { node, after_ms } => format!("back {} {after_ms}", node.0[0]),
                DeviceEvent::Trouble { reason } => format!("trouble {reason}"),
                DeviceEvent::Refused { name, .. } => format!("refused {name}"),
                DeviceEvent::Over { reason } => format!("over {reason}"),
                DeviceEvent::Opens { node } => format!("opens {}", node.0[0]),
                DeviceEvent::Closed { node, instead, .. } => {
                    format!("closed {} {:?}", node.0[0], instead.map(|node| node.0[0]))
                }
            })
            .collect()
    }

    /// The first ids that a device's link gives out.
    const FIRST: u32 = 1;

    #[test]
    fn when_the_first_session_ends_the_warm_one_takes_over_without_a_pause() {
        let mut state = State::default();
        state.publish("tls:80", None);
        state.admitted(0, &link(1), "a:1", at(0));
        assert!(told(&mut state).is_empty(), "nothing is published yet");
        state.published(0, FIRST, Ok(()), at(1));
        assert_eq!(told(&mut state), ["ready 1"]);
        // The warm one is no news.
        state.admitted(1, &link(2), "b:1", at(2));
        state.published(1, FIRST, Ok(()), at(3));
        assert!(told(&mut state).is_empty());
        assert!(state.ended(0, "gone", at(50)));
        assert_eq!(told(&mut state), ["lost gone", "back 2 0"]);
        // The first comes back, and is the warm one now.
        state.admitted(0, &link(1), "a:1", at(90));
        state.published(0, FIRST, Ok(()), at(91));
        assert!(told(&mut state).is_empty());
        let nodes: Vec<u8> = state.links().map(|l| l.remote().0[0]).collect();
        assert_eq!(nodes, [2, 1]);
        // The end of the warm one is no news, either.
        assert!(state.ended(0, "again", at(99)));
        assert!(told(&mut state).is_empty());
        assert!(!state.ended(0, "twice", at(99)));
    }

    #[test]
    fn a_warm_session_without_all_ports_is_not_called_back_before_it_has_them() {
        let mut state = State::default();
        state.publish("tls:80", None);
        state.admitted(0, &link(1), "a:1", at(0));
        state.published(0, FIRST, Ok(()), at(1));
        state.admitted(1, &link(2), "b:1", at(2));
        state.ended(0, "gone", at(50));
        assert_eq!(told(&mut state), ["ready 1", "lost gone"]);
        state.published(1, FIRST, Ok(()), at(80));
        assert_eq!(told(&mut state), ["back 2 30"]);
    }

    #[test]
    fn what_is_published_later_is_published_in_both_sessions() {
        let mut state = State::default();
        state.admitted(0, &link(1), "a:1", at(0));
        state.admitted(1, &link(2), "b:1", at(2));
        assert_eq!(told(&mut state), ["ready 1"]);
        state.publish("tls:80", None);
        let full = End::new(Code::TOO_MANY_PORTS, "full");
        state.published(1, FIRST, Err(full), at(3));
        state.published(1, FIRST, Ok(()), at(3));
        assert_eq!(told(&mut state), ["refused tls:80"]);
        state.ended(0, "gone", at(50));
        assert_eq!(told(&mut state), ["lost gone"], "nobody finds it there");
    }

    #[test]
    fn two_places_of_one_node_make_one_session() {
        let mut state = State::default();
        assert!(state.claim(0, 0));
        assert!(!state.claim(1, 0), "another slot is busy with it");
        assert!(state.claim(1, 1));
        assert!(state.meet(0, Address([7; 20])));
        assert!(!state.meet(1, Address([7; 20])));
        state.release(0);
        assert!(state.meet(1, Address([7; 20])));
        assert!(state.is_claimed(1) && !state.is_claimed(0));
        assert!(!state.claim(SLOTS, 0), "no such slot");
    }

    #[test]
    fn a_node_that_cannot_be_kept_warm_is_complained_of_once() {
        let mut state = State::default();
        for _ in 0..2 {
            state.trouble(1, "no b".into());
        }
        state.claim(0, 0);
        state.admitted(0, &link(1), "a:1", at(0));
        assert_eq!(
            told(&mut state),
            ["trouble no b", "trouble no b", "ready 1"]
        );
        for _ in 0..9 {
            state.trouble(1, "no b".into());
            state.trouble(2, "no c".into());
        }
        assert_eq!(told(&mut state), ["trouble no b", "trouble no c"]);
        // Once it has worked, the next failure is news again.
        state.claim(1, 1);
        state.admitted(1, &link(2), "b:1", at(0));
        state.ended(1, "gone", at(1));
        state.release(1);
        state.trouble(1, "no b".into());
        assert_eq!(told(&mut state), ["trouble no b"]);
        // Without any session each attempt counts.
        state.ended(0, "gone", at(2));
        state.trouble(1, "no b".into());
        assert_eq!(told(&mut state), ["lost gone", "trouble no b"]);
    }

    #[test]
    fn a_device_that_is_over_offers_no_session_to_open_ports_in() {
        let mut state = State::default();
        state.admitted(0, &link(1), "a:1", at(0));
        state.admitted(1, &link(2), "b:1", at(0));
        state.end("replaced");
        assert_eq!(told(&mut state), ["ready 1", "over replaced"]);
        assert_eq!(state.links().count(), 0);
        assert_eq!(state.over.as_ref().unwrap().text, "replaced");
    }

    #[test]
    fn new_ports_go_through_a_node_that_opens_them_and_come_back() {
        let mut state = State::default();
        let said = |open| Openings {
            open,
            code: Code::LOW_POWER,
            text: String::new(),
            retry_after_ms: None,
        };
        let firsts = |state: &State| state.links().map(|l| l.remote().0[0]).collect::<Vec<_>>();
        let (one, two) = (link(1), link(2));
        state.claim(0, 0);
        state.claim(1, 1);
        // It may say so while the ticket is still on its way to the disk.
        state.openings(0, one.remote(), said(false));
        state.admitted(0, &one, "a:1", at(0));
        assert_eq!(told(&mut state), ["closed 1 None", "ready 1"]);
        assert_eq!(firsts(&state), [1], "there is no other");
        state.admitted(1, &two, "b:1", at(0));
        assert_eq!(firsts(&state), [2, 1]);
        assert_eq!(state.other_than(&two).unwrap().remote(), one.remote());
        state.openings(0, one.remote(), said(false));
        assert!(told(&mut state).is_empty(), "that is known");
        state.openings(0, one.remote(), said(true));
        assert_eq!(firsts(&state), [1, 2]);
        state.openings(1, two.remote(), said(true));
        state.openings(0, one.remote(), said(false));
        assert_eq!(told(&mut state), ["opens 1", "closed 1 Some(2)"]);
        // The next session of the slot is with a node that has said nothing.
        state.ended(0, "gone", at(1));
        state.release(0);
        assert!(state.claim(0, 0));
        state.admitted(0, &one, "a:1", at(2));
        state.openings(1, two.remote(), said(false));
        assert_eq!(firsts(&state), [1, 2]);
    }

    #[test]
    fn a_program_that_does_not_listen_to_events_does_not_fill_the_memory() {
        let mut state = State::default();
        for n in 0..10 * EVENTS_MAX {
            state.trouble(0, n.to_string());
        }
        assert_eq!(state.events.len(), EVENTS_MAX);
        let newest = (10 * EVENTS_MAX - 1).to_string();
        assert_eq!(
            told(&mut state).last().unwrap(),
            &format!("trouble {newest}")
        );
    }
}
