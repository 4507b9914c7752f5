//! What is known of one node in the routing table.

use super::rtt::ContactEstimate;
use crate::time::Moment;
use crate::wire::dht::Contact;

/// Requests in a row that nobody answered, after which a node has left. At a loss
/// of 5 % each way a live one misses three in a row once in a thousand.
pub const MISSED_MAX: u8 = 3;

/// A node that has proven its id over its address. 128 bytes: a table of 250 of them
/// takes 32 KB.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who and where.
    pub contact: Contact,
    /// What it wants to see in our next request; 0: it gave us none.
    pub cookie: u64,
    /// When it proved last that it lives.
    pub heard: Moment,
    /// When it was heard or asked by the table's owner last.
    pub tended: Moment,
    /// When it entered the table.
    pub since: Moment,
    /// Round trips to it.
    pub rtt: ContactEstimate,
    /// Unix seconds of its first answer in an earlier run; 0: there was none.
    pub first_seen: u64,
    /// Answers of it, earlier runs included.
    pub answers: u32,
    /// Requests that it did not answer, earlier runs included.
    pub failures: u32,
    /// Requests in a row that it has not answered.
    pub missed: u8,
    /// When the first of these was given up.
    pub missed_since: Moment,
}

impl Peer {
    /// One that has just proven itself.
    #[must_use]
    pub fn new(contact: Contact, now: Moment) -> Peer {
        Peer {
            contact,
            cookie: 0,
            heard: now,
            tended: now,
            since: now,
            rtt: ContactEstimate::default(),
            first_seen: 0,
            answers: 0,
            failures: 0,
            missed: 0,
            missed_since: now,
        }
    }

    /// It has answered (or not).
    pub fn judge(&mut self, answered: bool) {
        let count = match answered {
            true => &mut self.answers,
            false => &mut self.failures,
        };
        *count = count.saturating_add(1);
    }
}
