//! The device's word that it is at this node, without I/O.
//!
//! The node asks after Welcome; the word goes out along with the first ticket,
//! so that the device is found as soon as it is admitted, and again when half of
//! its time is over. Its `t` is newer than what the network knows already: that
//! is how a device that has moved is found at its new place.

use crate::identity::{Address, SecretKey};
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use crate::wire::control::ErrorAnswer;
use crate::wire::presence::{DevicePresence, PresenceAsk, PresenceSigned, AHEAD_MAX, VALID_MAX};
use std::time::Duration;

/// The word is given again after half of its time: a node that is restarted, or
/// a device that sleeps, has hours for it.
const RENEW_AFTER: Duration = Duration::from_secs(VALID_MAX / 2);
/// Words in a row that may be refused at once, as when another node has told of
/// the device meanwhile. A node that refuses more is not given one each time it asks.
const TRIES: u32 = 3;
/// Pause after that, and after a refusal that more tries would not change.
const PAUSE: Duration = Duration::from_secs(600);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// What the node asked last, and when.
    ask: Option<(PresenceAsk, Moment)>,
    /// The word that waits for its answer.
    sent: Option<u32>,
    /// Words since the last that was taken.
    tries: u32,
    next: Option<Moment>,
}

impl Telling {
    /// The node asks.
    pub fn asked(&mut self, ask: &PresenceAsk, now: Moment) {
        let fresh = match &self.ask {
            None => true,
            // It has learnt the time. That happens once.
            Some((old, _)) => old.unix_time == 0 && ask.unix_time != 0,
        };
        if fresh {
            self.ask = Some((ask.clone(), now));
            self.tries = 0;
            self.next = Some(now);
        }
    }

    /// When the next word is due.
    pub fn due(&self) -> Option<Moment> {
        self.next.filter(|_| self.sent.is_none())
    }

    /// The word, if it is due: to be sent now, its id goes to [`Telling::sent`].
    pub fn sign(
        &self,
        key: &SecretKey,
        node: Address,
        now: Moment,
        clock: &dyn Clock,
    ) -> Option<PresenceSigned> {
        let (ask, at) = self
            .ask
            .as_ref()
            .filter(|_| self.due().is_some_and(|due| due <= now))?;
        let t = time(ask, now.since(*at), clock).max(ask.last_t.saturating_add(1));
        let said = DevicePresence::sign(key, node, t, t.saturating_add(VALID_MAX));
        Some(PresenceSigned {
            t,
            not_after: said.not_after,
            signature: said.device_sig,
        })
    }

    /// The word has gone out with this id.
    pub fn sent(&mut self, id: u32) {
        self.sent = Some(id);
        self.tries = self.tries.saturating_add(1);
        self.next = None;
    }

    /// The node took the word with this id. False: there was none.
    pub fn taken(&mut self, id: u32, now: Moment) -> bool {
        let ours = self.sent.take_if(|sent| *sent == id).is_some();
        if ours {
            self.tries = 0;
            self.next = Some(now + RENEW_AFTER);
        }
        ours
    }

    /// The node refused the word with this id. False: there was none.
    pub fn refused(&mut self, id: u32, error: &ErrorAnswer, now: Moment) -> bool {
        if self.sent.take_if(|sent| *sent == id).is_none() {
            return false;
        }
        if let (Some((ask, _)), Some(last)) = (&mut self.ask, error.limit) {
            ask.last_t = last;
        }
        let again = error.limit.is_some() || error.code == Code::NO_TICKET;
        if again && self.tries < TRIES {
            self.next = Some(now);
            return true;
        }
        log::warn!(
            "other nodes do not learn that this device is here: {}",
            error.text
        );
        let wish = Duration::from_millis(u64::from(error.retry_after_ms.unwrap_or(0)));
        self.tries = 0;
        self.next = Some(now + wish.max(PAUSE));
        true
    }
}

/// What time it is, in unix seconds: by the own clock unless it cannot be
/// trusted or the node's is far from it. The network judges by its own clocks,
/// and a word with another time is good for nothing there.
fn time(ask: &PresenceAsk, since: Duration, clock: &dyn Clock) -> u64 {
    let own = clock.unix();
    if ask.unix_time == 0 {
        return own.max(clock.floor());
    }
    let node = ask.unix_time.saturating_add(since.as_secs());
    if clock.trusted() && own.abs_diff(node) <= AHEAD_MAX {
        own
    } else {
        node
    }
}
