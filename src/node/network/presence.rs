//! Which devices are here, told to the network: signed by this node, one after
//! the other, and again while they stay.
//!
//! The first is published at once, then at most [`RATE`] a second: a thousand
//! devices that come back together are all found within two minutes, and the
//! searches for the nodes that keep their records leave the thread to relaying
//! meanwhile. Of those that wait, new ones go before those that are signed anew.
//! A device that left is not published again; what others have of it runs out
//! within the hour.
//!
//! [`Presences`] is what sessions talk to; it outlives the DHT, so that all is
//! published anew when that is restarted. [`Queue`] decides, without I/O.

use crate::dht::record::presence_key;
use crate::dht::service::Handle;
use crate::edge::server::Announce;
use crate::identity::Address;
use crate::node::house::Place;
use crate::sorted::Map;
use crate::time::{Clock, Moment};
use crate::wire::presence::{DevicePresence, UNTIL_MAX};
use smol::channel::{bounded, Receiver, Sender};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Devices published a second, beyond the first.
pub const RATE: u32 = 10;
const STEP: Duration = Duration::from_millis(1000 / RATE as u64);

/// When a presence is signed anew: half of the time for which it holds, less
/// some that spreads devices which came together.
const AGAIN: Duration = Duration::from_secs(UNTIL_MAX / 2);
const SPREAD: Duration = Duration::from_secs(UNTIL_MAX / 6);

/// A device that nobody took is published again after this, doubled each time up
/// to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_secs(2);
const RETRY_MOST: Duration = Duration::from_secs(120);

/// Devices that left whose `t` is remembered: one that comes back says a newer
/// one, whatever its clock is.
const LEFT_MAX: usize = 4096;

/// When a newcomer is due: before everybody else.
const FIRST: Moment = Moment(0);
/// When all are due that are published anew: before those whose time has come.
const SOON: Moment = Moment(1);

/// A device that is here.
#[derive(Debug)]
struct Here {
    said: DevicePresence,
    /// When it is due; also its place in [`Queue::due`].
    due: (Moment, u32),
    /// Failures in a row.
    failures: u32,
}

/// What is due when, without I/O.
#[derive(Debug, Default)]
pub struct Queue {
    here: HashMap<Address, Here>,
    /// By time, then by a number, so that no two are the same.
    due: Map<((Moment, u32), Address), ()>,
    number: u32,
    /// Nothing is published before.
    next: Moment,
    /// There is somebody to tell it to.
    joined: bool,
    left: VecDeque<(Address, u64)>,
}

impl Queue {
    fn plan(&mut self, device: Address, at: Moment) {
        self.number = self.number.wrapping_add(1);
        let due = (at, self.number);
        if let Some(here) = self.here.get_mut(&device) {
            self.due.remove(&(here.due, device));
            here.due = due;
            self.due.insert((due, device), ());
        }
    }

    fn last(&self, device: &Address) -> u64 {
        let left = self.left.iter().find(|(other, _)| other == device);
        let left = left.map_or(0, |(_, t)| *t);
        let here = self.here.get(device).map_or(0, |here| here.said.t);
        here.max(left)
    }

    fn came(&mut self, said: DevicePresence) {
        let device = said.device;
        let here = Here {
            said,
            due: (FIRST, 0),
            failures: 0,
        };
        if let Some(old) = self.here.insert(device, here) {
            self.due.remove(&(old.due, device));
        }
        self.left.retain(|(other, _)| *other != device);
        self.plan(device, FIRST);
    }

    fn left(&mut self, device: Address, t: u64) {
        if self.here.get(&device).is_none_or(|here| here.said.t != t) {
            return;
        }
        if let Some(here) = self.here.remove(&device) {
            self.due.remove(&(here.due, device));
        }
        if self.left.len() >= LEFT_MAX {
            self.left.pop_front();
        }
        self.left.push_back((device, t));
        if self.here.len() * 4 < self.here.capacity() {
            self.here.shrink_to_fit();
        }
    }

    /// When the next one is due.
    fn wait(&self) -> Option<Moment> {
        if !self.joined {
            return None;
        }
        let (((at, _), _), ()) = self.due.iter().next()?;
        Some((*at).max(self.next))
    }

    /// The next one, if it is due; `jitter` is a random number.
    fn take(&mut self, now: Moment, jitter: u64) -> Option<DevicePresence> {
        if self.wait()? > now {
            return None;
        }
        let (first, ()) = *self.due.iter().next()?;
        self.due.remove(&first);
        let (_, device) = first;
        self.next = now + STEP;
        let spread = Duration::from_millis(jitter % (SPREAD.as_millis() as u64));
        self.plan(device, now + AGAIN.saturating_sub(spread));
        self.here.get(&device).map(|here| here.said)
    }

    /// How the publishing of a presence went.
    fn done(&mut self, said: &DevicePresence, stored: bool, now: Moment) {
        let Some(here) = self.here.get_mut(&said.device) else {
            return;
        };
        if here.said.t != said.t {
            return;
        }
        if stored {
            here.failures = 0;
            return;
        }
        let pause = RETRY.saturating_mul(1 << here.failures.min(6));
        here.failures = here.failures.saturating_add(1);
        self.plan(said.device, now + pause.min(RETRY_MOST));
    }

    /// Whether this node takes part. When it does again, everything is to be
    /// published anew.
    fn set_joined(&mut self, joined: bool) {
        self.joined = joined;
        if !joined {
            return;
        }
        let all: Vec<Address> = self.here.keys().copied().collect();
        for device in all {
            self.plan(device, SOON);
        }
    }
}

/// See the module's text.
pub struct Presences {
    queue: Mutex<Queue>,
    /// Knows what other nodes have said, while it runs.
    dht: Place<Handle>,
    clock: Arc<dyn Clock>,
    wake: (Sender<()>, Receiver<()>),
}

impl Presences {
    /// Without devices.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Presences> {
        Arc::new(Presences {
            queue: Mutex::default(),
            dht: Place::default(),
            clock,
            wake: bounded(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        let _ = self.wake.0.try_send(());
    }

    /// Whether this node takes part in the network. Nothing is published while it
    /// does not, and everything anew when it does: to others than before.
    pub fn set_joined(&self, joined: bool) {
        self.lock().set_joined(joined);
        self.changed();
    }

    /// The DHT runs, or does not any more.
    pub fn set_dht(&self, dht: Option<Handle>) {
        match dht {
            Some(dht) => self.dht.put(dht),
            None => drop(self.dht.clear()),
        }
    }

    /// The newest `t` of a device in the records that this node keeps.
    fn stored(&self, device: &Address) -> u64 {
        let Some(dht) = self.dht.get() else { return 0 };
        let records = dht.stored(presence_key(device));
        let times = records.iter().map(|record| record.entry().order);
        times.max().unwrap_or(0)
    }

    /// The next device to publish, if one is due.
    #[must_use]
    pub fn take(&self) -> Option<DevicePresence> {
        self.lock().take(self.clock.now(), fastrand::u64(..))
    }

    /// When the next is due; `None` while no device is here, or nobody to tell it
    /// to.
    #[must_use]
    pub fn wait(&self) -> Option<Moment> {
        self.lock().wait()
    }

    /// Resolves when [`Presences::wait`] may be another.
    pub async fn woken(&self) {
        let _ = self.wake.1.recv().await;
    }

    /// How the publishing of a presence went.
    pub fn done(&self, said: &DevicePresence, stored: bool) {
        self.lock().done(said, stored, self.clock.now());
        self.changed();
    }
}

impl Announce for Presences {
    fn last(&self, device: Address) -> u64 {
        let own = self.lock().last(&device);
        own.max(self.stored(&device))
    }

    fn came(&self, presence: DevicePresence) {
        self.lock().came(presence);
        self.changed();
    }

    fn left(&self, device: Address, t: u64) {
        self.lock().left(device, t);
        self.changed();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::identity::Signature;

    const SECOND: Duration = Duration::from_secs(1);

    fn said(n: u16, t: u64) -> DevicePresence {
        let mut device = [7; 20];
        device[..2].copy_from_slice(&n.to_be_bytes());
        DevicePresence {
            device: Address(device),
            node: Address([1; 20]),
            t,
            not_after: t + 1,
            device_sig: Signature([0; 65]),
        }
    }

    fn joined() -> Queue {
        let mut queue = Queue::default();
        queue.set_joined(true);
        queue
    }

    /// Runs until `end`; how many were published in each second.
    fn run(queue: &mut Queue, now: &mut Moment, end: Duration) -> Vec<usize> {
        let start = *now;
        let mut seconds = vec![0; end.as_secs() as usize];
        while let Some(at) = queue.wait().filter(|at| at.since(start) < end) {
            *now = (*now).max(at);
            let Some(said) = queue.take(
                *now,
                (now.0 / 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20,
            ) else {
                panic!("it was due at {at:?}");
            };
            queue.done(&said, true, *now);
            if let Some(count) = seconds.get_mut(now.since(start).as_secs() as usize) {
                *count += 1;
            }
        }
        *now = start + end;
        seconds
    }

    #[test]
    fn the_first_is_published_at_once_and_a_thousand_within_two_minutes() {
        let mut now = Moment(5_000_000_000);
        let mut queue = joined();
        queue.came(said(0, 1));
        assert!(queue.take(now, 1).is_some(), "the first waits");
        for n in 1..1000 {
            queue.came(said(n, 1));
        }
        let seconds = run(&mut queue, &mut now, 120 * SECOND);
        assert_eq!(seconds.iter().sum::<usize>(), 999);
        assert!(seconds.iter().all(|n| *n <= RATE as usize), "{seconds:?}");
    }

    #[test]
    fn who_stays_is_signed_anew_in_time_and_not_all_at_once() {
        let mut now = Moment(1);
        let mut queue = joined();
        for n in 0..600 {
            queue.came(said(n, 1));
        }
        let first: usize = run(&mut queue, &mut now, 60 * SECOND).iter().sum();
        assert_eq!(first, 600);
        let seconds = run(&mut queue, &mut now, Duration::from_secs(1799));
        assert_eq!(seconds.iter().sum::<usize>(), 600);
        let most = seconds.iter().max().unwrap();
        assert!(*most < RATE as usize, "{most} in a second");
        // Within the hour for which the first signature held.
        let first = seconds.iter().position(|n| *n > 0).unwrap();
        assert!((1140..1300).contains(&first), "{first}");
    }

    #[test]
    fn a_newcomer_does_not_wait_for_those_who_are_published_anew() {
        let mut now = Moment(1);
        let mut queue = joined();
        for n in 0..500 {
            queue.came(said(n, 1));
        }
        run(&mut queue, &mut now, 60 * SECOND);
        queue.set_joined(true);
        queue.came(said(900, 1));
        assert_eq!(queue.take(now, 0), Some(said(900, 1)));
        let others: usize = run(&mut queue, &mut now, 60 * SECOND).iter().sum();
        assert_eq!(others, 500);
    }

    #[test]
    fn who_left_is_published_no_more_and_comes_back_with_a_newer_time() {
        let mut now = Moment(1);
        let mut queue = joined();
        queue.came(said(1, 10));
        queue.came(said(2, 10));
        queue.left(said(1, 0).device, 10);
        assert_eq!(queue.last(&said(1, 0).device), 10);
        let published = run(&mut queue, &mut now, 7200 * SECOND);
        assert_eq!(queue.take(now, 0).map_or(2, |said| said.device.0[1]), 2);
        assert!(published.iter().sum::<usize>() >= 3);
        // It came again in another session before the end of the first was heard.
        queue.came(said(1, 12));
        queue.left(said(1, 0).device, 11);
        assert_eq!(queue.last(&said(1, 0).device), 12);
        assert!(queue.here.contains_key(&said(1, 0).device));
        for n in 100..100 + LEFT_MAX as u16 + 50 {
            queue.came(said(n, 3));
            queue.left(said(n, 3).device, 3);
        }
        assert_eq!(queue.left.len(), LEFT_MAX);
    }

    #[test]
    fn a_node_that_is_alone_tells_nobody_and_does_not_wake_for_it() {
        let mut queue = Queue::default();
        let mut now = Moment(1);
        for n in 0..50 {
            queue.came(said(n, 1));
        }
        assert_eq!((queue.wait(), queue.take(now, 0)), (None, None));
        queue.set_joined(true);
        let first: usize = run(&mut queue, &mut now, 10 * SECOND).iter().sum();
        assert_eq!(first, 50);
        queue.set_joined(false);
        assert_eq!(queue.wait(), None);
        queue.set_joined(true);
        let again: usize = run(&mut queue, &mut now, 10 * SECOND).iter().sum();
        assert_eq!(again, 50);
    }

    #[test]
    fn what_nobody_took_is_tried_again_with_longer_pauses() {
        let mut now = Moment(1);
        let mut queue = joined();
        queue.came(said(1, 1));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let said = queue.take(now, 0).unwrap();
            queue.done(&said, false, now);
            let next = queue.wait().unwrap();
            pauses.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120]);
        // There is a network again.
        queue.set_joined(true);
        assert_eq!(queue.wait(), Some(queue.next));
        let said = queue.take(queue.next, 0).unwrap();
        queue.done(&said, true, now);
        assert!(queue.wait().unwrap().since(now) > SECOND * 60);
    }
}
