//! What a session does so that its device is found from other nodes.
//!
//! After Welcome the node asks the device to sign that it is here; what the
//! device signs comes along with its first ticket and is handed on at once,
//! without waiting for a commit. The node's own half is added where the network
//! is told ([`Announce`]).

use super::announce::Announce;
use crate::identity::Address;
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use crate::wire::control::{short_text, ErrorAnswer};
use crate::wire::presence::{recover, DevicePresence, PresenceAsk, PresenceSigned};
use std::sync::Arc;
use std::time::Duration;

/// One signature is checked so often in a session: a device signs twice a day,
/// and a check costs what a hundred frames do.
const CHECK_EVERY: Duration = Duration::from_secs(15);
/// As many may come at once before that counts: first tries that clash with
/// what other nodes have told meanwhile.
const CHECKS_AT_ONCE: u32 = 4;

/// See the module's text. Leaving scope tells that the device has left.
pub(super) struct Finding {
    announce: Arc<dyn Announce>,
    device: Address,
    node: Address,
    /// The newest `t` that this session has handed on.
    taken: Option<u64>,
    /// Checks are spoken for up to then.
    busy: Moment,
    /// The device was asked, and told a time that can be believed.
    asked: bool,
    told_time: bool,
}

impl Finding {
    pub fn new(
        announce: &Arc<dyn Announce>,
        device: Address,
        node: Address,
        now: Moment,
    ) -> Finding {
        Finding {
            announce: announce.clone(),
            device,
            node,
            taken: None,
            busy: now,
            asked: false,
            told_time: false,
        }
    }

    /// What to ask the device now, if anything: once after Welcome, and again
    /// when this node has learnt the time. What a device without a clock had
    /// signed before that is worth nothing to others.
    pub fn ask(&mut self, clock: &dyn Clock) -> Option<PresenceAsk> {
        if self.asked && (self.told_time || !clock.trusted()) {
            return None;
        }
        self.asked = true;
        self.told_time = clock.trusted();
        Some(PresenceAsk {
            last_t: self.last(),
            unix_time: if self.told_time { clock.unix() } else { 0 },
        })
    }

    fn last(&self) -> u64 {
        let known = self.announce.last(self.device);
        known.max(self.taken.unwrap_or(0))
    }

    /// Hands on what the device has signed, if it is right. The signature comes
    /// last: it costs most.
    pub fn take(
        &mut self,
        signed: &PresenceSigned,
        now: Moment,
        clock: &dyn Clock,
    ) -> Result<(), ErrorAnswer> {
        let said = DevicePresence {
            device: self.device,
            node: self.node,
            t: signed.t,
            not_after: signed.not_after,
            device_sig: signed.signature,
        };
        let last = self.last();
        if said.t <= last {
            return Err(ErrorAnswer {
                limit: Some(last),
                ..refused("t must be newer than the newest that the network knows")
            });
        }
        if clock.trusted() {
            let in_time = said.check_time(clock.unix());
            in_time.map_err(|e| refused(&e.to_string()))?;
        }
        let free = self.busy.max(now);
        let wait = free.since(now);
        let most = CHECK_EVERY * (CHECKS_AT_ONCE - 1);
        if wait > most {
            let until = wait.saturating_sub(most);
            return Err(ErrorAnswer {
                retry_after_ms: u32::try_from(until.as_millis()).ok(),
                ..refused("presence comes too often")
            });
        }
        self.busy = free + CHECK_EVERY;
        said.check(&recover).map_err(|e| refused(&e.to_string()))?;
        self.taken = Some(said.t);
        self.announce.came(said);
        Ok(())
    }
}

impl Drop for Finding {
    fn drop(&mut self) {
        if let Some(t) = self.taken {
            self.announce.left(self.device, t);
        }
    }
}

fn refused(text: &str) -> ErrorAnswer {
    ErrorAnswer {
        code: Code::PRESENCE,
        text: short_text(&format!("presence: {text}")),
        limit: None,
        retry_after_ms: None,
    }
}
