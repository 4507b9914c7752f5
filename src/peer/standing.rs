//! A link after its greeting: whether the other node is still there, and whether
//! the link is still of use.

use super::hub::Hub;
use super::member::Member;
use super::pool::Rank;
use crate::ports::Link;
use crate::session::Stop;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::Ping;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// A link on which nothing was heard for so long is asked, by the node that
/// dialled it: 8 bytes a second with all headers.
const QUIET_DIALLED: Duration = Duration::from_secs(30);
/// And by the other, which usually hears the first one's question before.
const QUIET_TAKEN: Duration = Duration::from_secs(45);
/// The same without a port on the link. Nobody waits for it then, and whoever
/// wants to open one asks first: as seldom as devices ask.
const EMPTY_DIALLED: Duration = Duration::from_secs(100);
/// The same while this node saves power.
const EMPTY_SAVING: Duration = Duration::from_secs(280);
/// While this node saves power it asks so soon those that would ask it before long,
/// each at a time of its own: waits of half a minute and more end together then.
const EMPTY_ROUND: Duration = Duration::from_secs(60);
/// And by the other node, without a port.
const EMPTY_TAKEN: Duration = Duration::from_secs(330);
/// How long the answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long it may take when a port is about to be opened over a link that was
/// quiet: openings wait 20 s, and the next node must have its turn in that time.
const DOUBT_TIME: Duration = Duration::from_secs(5);
/// How often the round trip of a busy link is measured.
const RTT_EVERY: Duration = Duration::from_secs(60);
/// A second link to the same node is closed when it has had no port for so
/// long: the other node may have sent PeerOpen before it knew that it is one.
const SECOND_GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether it is the second one, until that is settled.
const UNCLEAR_EVERY: Duration = Duration::from_secs(1);

/// What a link holds once it stands.
pub(super) struct Standing {
    member: Arc<Member>,
    /// Leaves the pool with the session.
    _place: Place,
    /// The question that waits for its answer: its id, when it was asked, and by
    /// when something has to be heard.
    ping: Option<(u32, Moment, Moment)>,
    measured: Moment,
    had_ports: bool,
    /// When it was looked after last: in every turn, before anything is sent.
    turn: Moment,
}

/// A link's place in the pool; leaving scope takes it off and ends its ports.
struct Place(Arc<Hub>, Arc<Member>);

impl Drop for Place {
    fn drop(&mut self) {
        let Place(hub, member) = self;
        hub.leave(member);
        // Closed in good order, or lost.
        let code = member.link.ending().map_or(Code::PEER_LOST, |c| c.code);
        member
            .link
            .dissolve(code, "the link to the other device's node ended");
    }
}

impl Standing {
    pub fn new(hub: &Arc<Hub>, member: Arc<Member>, now: Moment) -> Standing {
        Standing {
            _place: Place(hub.clone(), member.clone()),
            member,
            ping: None,
            measured: now,
            had_ports: false,
            turn: now,
        }
    }

    /// Payload of a port has come.
    pub fn received(&mut self, bytes: usize, now: Moment) {
        self.member.count_in(bytes);
        self.member.mark_used(now);
    }

    /// Payload of a port has left.
    pub fn sent(&mut self, bytes: usize) {
        self.member.count_out(bytes);
        self.member.mark_used(self.turn);
    }

    /// The answer to our question has come.
    pub fn answered(&mut self, link: &Link, id: u32, now: Moment) {
        if let Some((_, at, _)) = self.ping.take_if(|(ping, ..)| *ping == id) {
            link.set_rtt(now.since(at));
        }
    }

    /// Measures the round trip, for the windows.
    pub fn measure(&mut self, link: &Link, now: Moment) {
        self.ask(link, now, ANSWER_TIME);
    }

    /// All that time brings about; when to look again.
    pub fn tick(
        &mut self,
        hub: &Hub,
        link: &Link,
        (dialled, heard): (bool, Moment),
        now: Moment,
    ) -> Result<Moment, Stop> {
        self.settle(link, heard, now);
        let quiet = match (dialled, self.had_ports) {
            (true, true) => QUIET_DIALLED,
            (true, false) if hub.board.saves() => EMPTY_SAVING,
            (true, false) => EMPTY_DIALLED,
            (false, true) => QUIET_TAKEN,
            // One that serves in the DHT saves no power: it would ask in 100 s.
            (false, false) if self.member.facts.serving && hub.board.saves() => EMPTY_ROUND,
            (false, false) => EMPTY_TAKEN,
        };
        let mut next = self.look_after(link, heard, quiet, now)?;
        if let Some(due) = link.expire(now) {
            next = next.min(due);
        }
        if let Some(due) = self.end_if_useless(hub, link, dialled, now) {
            next = next.min(due);
        }
        Ok(next)
    }

    /// Tells the pool whether it is of use, and when it was heard from.
    fn settle(&mut self, link: &Link, heard: Moment, now: Moment) {
        self.member.hear(heard);
        let has_ports = link.port_count() > 0;
        self.turn = now;
        if has_ports != self.had_ports {
            self.member.mark_used(now);
        }
        self.had_ports = has_ports;
    }

    fn ask(&mut self, link: &Link, now: Moment, time: Duration) {
        self.ping = Some((link.request(&Ping {}), now, now + time));
        self.measured = now;
    }

    /// Finds out whether the other node is still there; when to look again.
    fn look_after(
        &mut self,
        link: &Link,
        heard: Moment,
        quiet: Duration,
        now: Moment,
    ) -> Result<Moment, Stop> {
        let doubted = self.member.check.swap(false, Ordering::Relaxed);
        let waits = self.ping.filter(|(_, asked, _)| heard <= *asked);
        if let Some((id, asked, due)) = waits {
            let due = if doubted {
                due.min(now + DOUBT_TIME)
            } else {
                due
            };
            if now >= due {
                return Err(Stop::Lost("the other node no longer answers".into()));
            }
            self.ping = Some((id, asked, due));
            return Ok(due);
        }
        let busy = self.had_ports && self.ping.is_none();
        if doubted {
            self.ask(link, now, DOUBT_TIME);
        } else if now >= heard + quiet || (busy && now.since(self.measured) >= RTT_EVERY) {
            self.ask(link, now, ANSWER_TIME);
        } else {
            return Ok(heard + quiet);
        }
        Ok(self.ping.map_or(now + quiet, |(.., due)| due))
    }

    /// Closes a link that nobody needs; when to look again.
    fn end_if_useless(&self, hub: &Hub, link: &Link, dialled: bool, now: Moment) -> Option<Moment> {
        let mut next = None;
        let used = self.member.used();
        if self.member.paired.load(Ordering::Relaxed) {
            match hub.rank(&self.member) {
                Rank::Second if hub.closes_second(&self.member) && !self.had_ports => {
                    let due = used.max(self.member.heard()) + SECOND_GRACE;
                    if now >= due {
                        link.leave(Code::SECOND_LINK, "another link to this node stays");
                        return None;
                    }
                    next = Some(due);
                }
                Rank::Unclear => next = Some(now + UNCLEAR_EVERY),
                _ => {}
            }
        }
        if dialled && !self.had_ports && !self.member.is_kept() {
            let idle_after = hub.terms().idle_after;
            let due = used + idle_after;
            if now >= due {
                let text = format!("no port was on it for {} s", idle_after.as_secs());
                link.leave(Code::IDLE, &text);
                return None;
            }
            next = Some(next.map_or(due, |n: Moment| n.min(due)));
        }
        next
    }
}
