//! How many may connect, how fast, and from where.
//!
//! A handshake costs a fifth of a millisecond of CPU and a session 10 KB, so a
//! stranger's connections are counted before the first byte is read. Counters
//! fall by the guard's drop: reservations equal live sessions whatever happens.
//!
//! Handshakes in progress are few, so that strangers cannot take the memory of
//! devices; and for that reason a few silent connections would keep every device
//! out. When they are all taken, the oldest gives its place to the newcomer: the
//! oldest of the address that holds most of them if the newcomer's holds fewer,
//! else one that is older than [`HANDSHAKE_GRACE`].

use super::rate::Bucket;
use crate::meter::Counter;
use crate::sorted::Map;
use crate::time::Moment;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// The bounds, from the settings and the descriptor limit.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Sessions in total, handshakes included.
    pub sessions: usize,
    /// Sessions of one address (IPv6: of one /64).
    pub sessions_per_address: usize,
    /// Handshakes in progress in total.
    pub half_open: usize,
    /// Handshakes in progress of one address.
    pub half_open_per_address: usize,
    /// Connections taken a second, with a burst of as many; 0: no bound.
    pub accepts_per_second: u32,
    /// The same for one address; 0: no bound.
    pub accepts_per_second_per_address: u32,
}

/// Addresses whose rate is remembered. When more come at once, all start afresh:
/// the total rate holds in any case.
const RATES_MAX: usize = 4096;

/// How long a handshake, up to the first ticket, is left in peace even if others
/// wait: three round trips by satellite.
pub const HANDSHAKE_GRACE: Duration = Duration::from_secs(2);

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The node is full.
    Full,
    /// This address has as many sessions as it may.
    AddressFull,
    /// Too many handshakes are in progress.
    HalfOpen,
    /// This address has as many handshakes in progress as it may.
    AddressHalfOpen,
    /// This address connects too often.
    AddressRate,
    /// The node's memory is short.
    Memory,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Denied::Full => "performance.max_connections is reached",
            Denied::AddressFull => "the address has as many sessions as it may",
            Denied::HalfOpen => "too many handshakes are in progress",
            Denied::AddressHalfOpen => "the address has too many handshakes in progress",
            Denied::AddressRate => "the address connects too often",
            Denied::Memory => "node.memory_limit is nearly reached",
        })
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    sessions: usize,
    half_open: usize,
}

/// A handshake in progress.
#[derive(Debug)]
struct Waiting {
    address: IpAddr,
    since: Moment,
    waker: Option<Waker>,
}

impl Waiting {
    fn has_had_its_time(&self, now: Moment) -> bool {
        now.since(self.since) >= HANDSHAKE_GRACE
    }
}

#[derive(Debug)]
struct State {
    limits: AdmissionLimits,
    total: Count,
    /// Handshakes in progress by number, the oldest first.
    waiting: Map<u64, Waiting>,
    next: u64,
    by_address: HashMap<IpAddr, Count>,
    rates: HashMap<IpAddr, Bucket>,
    all: Option<Bucket>,
}

/// Names of the reasons why connections are not taken, in the order of [`Denied`].
pub const DENIED: [&str; 6] = [
    "full",
    "address_full",
    "half_open",
    "address_half_open",
    "address_rate",
    "memory",
];

/// What has become of connections since the beginning.
#[derive(Debug, Default)]
pub struct Tally {
    /// Taken, and past their handshake.
    pub established: Counter,
    /// Taken, and ended before.
    pub failed: Counter,
    /// Not taken, by [`DENIED`].
    pub denied: [Counter; DENIED.len()],
}

/// Counts connections; shared by all listeners.
#[derive(Debug)]
pub struct Admission {
    state: Mutex<State>,
    /// The node's memory is short: nobody is let in. No setting changes that.
    short: AtomicBool,
    /// How many came, and what became of them.
    pub tally: Tally,
}

/// A connection's place; gone when it is dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Arc<Admission>,
    address: IpAddr,
    number: u64,
    half_open: bool,
}

impl State {
    /// Ends the row of a handshake, if it is still there.
    fn remove_waiting(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        self.total.half_open -= 1;
        if let Some(own) = self.by_address.get_mut(&waiting.address) {
            own.half_open -= 1;
        }
        Some(waiting)
    }

    /// Turns out the oldest handshake of `address` for another one of the same.
    fn make_room_within(&mut self, address: IpAddr, now: Moment) -> Option<Waiting> {
        let mut row = self.waiting.iter();
        let (number, oldest) = row.find(|(_, w)| w.address == address)?;
        let number = oldest.has_had_its_time(now).then_some(*number)?;
        self.remove_waiting(number)
    }

    /// Turns out the handshake of another address that has the least claim to
    /// its place, for one of `address`.
    fn make_room_for(&mut self, address: IpAddr, now: Moment) -> Option<Waiting> {
        let counts = &self.by_address;
        let own = counts.get(&address).map_or(0, |c| c.half_open);
        let most = counts.iter().max_by_key(|(_, c)| c.half_open);
        let greedy = most.filter(|(_, c)| c.half_open > own + 1).map(|(a, _)| *a);
        let mut row = self.waiting.iter();
        let (number, _) = match greedy {
            Some(greedy) => row.find(|(_, w)| w.address == greedy)?,
            None => row.next().filter(|(_, w)| w.has_had_its_time(now))?,
        };
        let number = *number;
        self.remove_waiting(number)
    }
}

impl Admission {
    /// With nobody connected.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Arc<Admission> {
        Arc::new(Admission {
            state: Mutex::new(State {
                limits,
                total: Count::default(),
                waiting: Map::new(),
                next: 0,
                by_address: HashMap::new(),
                rates: HashMap::new(),
                all: None,
            }),
            short: AtomicBool::new(false),
            tally: Tally::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts other bounds in force; who is in stays.
    pub fn change(&self, limits: AdmissionLimits) {
        self.lock().limits = limits;
    }

    /// Whether the node's memory is short; who is in stays.
    pub fn set_short(&self, short: bool) {
        self.short.store(short, Ordering::Relaxed);
    }

    /// Whether the total rate allows one more connection now. If not, the caller
    /// waits: connections stay in the kernel's backlog, which is bounded and cheap.
    pub fn pace(&self, now: Moment) -> bool {
        let mut st = self.lock();
        let rate = st.limits.accepts_per_second;
        if rate == 0 {
            return true;
        }
        let bucket = st.all.get_or_insert_with(|| Bucket::full(rate, now));
        bucket.take(rate, now)
    }

    /// Takes a place for a connection from `address`.
    ///
    /// # Errors
    /// Which bound is met.
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: Moment) -> Result<Slot, Denied> {
        let mut wake = Vec::new();
        let admitted = self.admit_or_replace(prefix(address), now, &mut wake);
        if let Err(denied) = &admitted {
            if let Some(counter) = self.tally.denied.get(*denied as usize) {
                counter.one();
            }
        }
        for waker in wake {
            waker.wake();
        }
        admitted
    }

    fn admit_or_replace(
        self: &Arc<Self>,
        address: IpAddr,
        now: Moment,
        wake: &mut Vec<Waker>,
    ) -> Result<Slot, Denied> {
        let mut guard = self.lock();
        let st = &mut *guard;
        let limits = st.limits;
        let rate = limits.accepts_per_second_per_address;
        if rate > 0 {
            if st.rates.len() >= RATES_MAX {
                st.rates = HashMap::new();
            }
            let bucket = st
                .rates
                .entry(address)
                .or_insert_with(|| Bucket::full(rate, now));
            if !bucket.take(rate, now) {
                return Err(Denied::AddressRate);
            }
        }
        if self.short.load(Ordering::Relaxed) {
            return Err(Denied::Memory);
        }
        if st.total.sessions >= limits.sessions {
            return Err(Denied::Full);
        }
        let own = st.by_address.get(&address).copied().unwrap_or_default();
        if own.sessions >= limits.sessions_per_address {
            return Err(Denied::AddressFull);
        }
        if own.half_open >= limits.half_open_per_address {
            let gone = st.make_room_within(address, now);
            wake.extend(gone.ok_or(Denied::AddressHalfOpen)?.waker);
        }
        if st.total.half_open >= limits.half_open {
            let gone = st.make_room_for(address, now);
            wake.extend(gone.ok_or(Denied::HalfOpen)?.waker);
        }
        let number = st.next;
        st.next += 1;
        st.waiting.insert(
            number,
            Waiting {
                address,
                since: now,
                waker: None,
            },
        );
        st.total.sessions += 1;
        st.total.half_open += 1;
        let own = st.by_address.entry(address).or_default();
        own.sessions += 1;
        own.half_open += 1;
        Ok(Slot {
            admission: self.clone(),
            address,
            number,
            half_open: true,
        })
    }

    /// Forgets addresses whose rate is as if they had never come, and gives back
    /// the memory that a storm of them needed. For a quiet moment.
    pub fn tidy(&self, now: Moment) {
        let mut st = self.lock();
        let rate = st.limits.accepts_per_second_per_address;
        st.rates.retain(|_, bucket| !bucket.is_full(rate, now));
        st.rates.shrink_to_fit();
        st.by_address.shrink_to_fit();
    }

    /// Sessions now, handshakes included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.lock().total.sessions
    }

    /// Handshakes in progress now.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.lock().total.half_open
    }
}

impl Slot {
    /// The handshake is done.
    pub fn established(&mut self) {
        if std::mem::take(&mut self.half_open) {
            self.admission.tally.established.one();
            self.admission.lock().remove_waiting(self.number);
        }
    }

    /// Whether this handshake has to make room for a newcomer; wakes `cx` when
    /// that happens.
    #[must_use]
    pub fn poll_turned_out(&self, cx: &Context<'_>) -> bool {
        if !self.half_open {
            return false;
        }
        match self.admission.lock().waiting.get_mut(&self.number) {
            None => true,
            Some(Waiting { waker: Some(w), .. }) => {
                w.clone_from(cx.waker());
                false
            }
            Some(waiting) => {
                waiting.waker = Some(cx.waker().clone());
                false
            }
        }
    }

    /// Where the connection comes from (IPv6: the /64).
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut st = self.admission.lock();
        if self.half_open {
            self.admission.tally.failed.one();
            st.remove_waiting(self.number);
        }
        st.total.sessions -= 1;
        if let Some(own) = st.by_address.get_mut(&self.address) {
            own.sessions -= 1;
            if own.sessions == 0 {
                st.by_address.remove(&self.address);
            }
        }
        if st.by_address.len() * 4 < st.by_address.capacity() {
            st.by_address.shrink_to_fit();
        }
    }
}

/// One customer has at least a /64 of IPv6: all of it counts as one address.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
