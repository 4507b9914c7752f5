//! The hub between those who publish and those who listen.

use super::super::redact::shorten_text;
use super::{Topic, Topics};
use crate::time::Clock;
use smol::future;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// Listeners at once: some browsers and monitors. Each may hold [`QUEUE`] events.
pub const LISTENERS: usize = 32;
/// Events that wait for one listener: a burst of devices that come back after a
/// restart, while a phone's connection takes a second. They are shared among all
/// listeners; of `status` only the latest waits.
pub const QUEUE: usize = 128;
/// Events that are kept for those who come back and for the status page.
pub const RING: usize = 64;
/// Longest text of an event other than `status`, in bytes; all that are made here
/// are far below. [`RING`] and [`QUEUE`] of them are what memory is given for.
pub const EVENT_BYTES: usize = 2_048;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1 since the node started.
    pub id: u64,
    /// What it is about.
    pub topic: Topic,
    /// When, in seconds since 1970 by the node's clock.
    pub time: u64,
    data: String,
    /// Made when the first asks for it, once for all.
    short: OnceLock<String>,
}

impl Event {
    /// What happened, as the text of a JSON object.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The same for those who may not see addresses of devices and nodes, but for
    /// `names`, which are those of this node and the same in every call.
    #[must_use]
    pub fn shortened(&self, names: &[String]) -> &str {
        self.short.get_or_init(|| shorten_text(&self.data, names))
    }
}

/// What a listener hears next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many events were dropped before the next, because they were not taken.
    Lost(u64),
    /// An event.
    Event(Arc<Event>),
}

/// Whether such events come by the second, and not by the hour as devices do.
fn is_frequent(topic: Topic) -> bool {
    matches!(topic, Topic::Ticket | Topic::Block)
}

/// The event that makes room in the ring for one of this topic, if it has to: frequent ones
/// have half of the ring and no more, or nobody would ever see who came and went.
fn leaving(ring: &VecDeque<Arc<Event>>, topic: Topic) -> Option<usize> {
    let mut frequent = ring
        .iter()
        .enumerate()
        .filter(|(_, e)| is_frequent(e.topic));
    if is_frequent(topic) && frequent.clone().count() >= RING / 2 {
        return frequent.next().map(|(place, _)| place);
    }
    (ring.len() >= RING).then_some(0)
}

/// See the module's text.
pub struct Hub {
    clock: Arc<dyn Clock>,
    /// Bits of the topics that somebody listens to.
    wanted: AtomicU8,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    ring: VecDeque<Arc<Event>>,
    listeners: Vec<Listener>,
    numbers: u64,
    /// Who waits until somebody listens.
    publishers: Vec<Waker>,
}

struct Listener {
    number: u64,
    topics: Topics,
    queue: VecDeque<Arc<Event>>,
    lost: u64,
    waker: Option<Waker>,
}

impl Hub {
    /// A hub without listeners; events bear the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Hub {
        Hub {
            clock,
            wanted: AtomicU8::new(0),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who listens. `data` is the text of a JSON object on one line;
    /// addresses of devices and nodes in it are shortened for those who may not see them.
    pub fn publish(&self, topic: Topic, data: String) {
        let status = topic == Topic::Status;
        if (status && !self.wanted(topic)) || (!status && data.len() > EVENT_BYTES) {
            return;
        }
        let time = self.clock.unix();
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.last += 1;
        let event = Arc::new(Event {
            id: state.last,
            topic,
            time,
            data,
            short: OnceLock::new(),
        });
        if !status {
            if let Some(place) = leaving(&state.ring, topic) {
                state.ring.remove(place);
            }
            state.ring.push_back(event.clone());
        }
        for listener in &mut state.listeners {
            if listener.topics.has(topic) {
                listener.take(&event);
                wakers.extend(listener.waker.take());
            }
        }
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }

    /// What was published last, the oldest first; `status` is not kept.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<Event>> {
        self.lock().ring.iter().cloned().collect()
    }

    /// How many events were told, and how many listen now.
    #[must_use]
    pub fn counts(&self) -> (u64, usize) {
        let state = self.lock();
        (state.last, state.listeners.len())
    }

    /// Whether somebody listens to `topic`.
    #[must_use]
    pub fn wanted(&self, topic: Topic) -> bool {
        Topics::of(self.wanted.load(Ordering::Relaxed)).has(topic)
    }

    /// Waits until somebody listens to `topic`.
    pub async fn until_wanted(&self, topic: Topic) {
        future::poll_fn(|context| {
            let mut state = self.lock();
            if state.listeners.iter().any(|l| l.topics.has(topic)) {
                return Poll::Ready(());
            }
            let waker = context.waker();
            if !state.publishers.iter().any(|w| w.will_wake(waker)) {
                state.publishers.push(waker.clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// A listener for `topics`. It hears first what is kept and younger than the
    /// event `after`; an unknown one is as old as can be. `None`: there are
    /// [`LISTENERS`] already.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, topics: Topics, after: Option<u64>) -> Option<Subscription> {
        let mut state = self.lock();
        if state.listeners.len() >= LISTENERS {
            return None;
        }
        let mut listener = Listener {
            number: state.numbers,
            topics,
            queue: VecDeque::new(),
            lost: 0,
            waker: None,
        };
        if let Some(after) = after {
            // Counted anew: the node was restarted meanwhile.
            let after = if after > state.last { 0 } else { after };
            let missed = state.ring.iter().filter(|event| event.id > after);
            listener
                .queue
                .extend(missed.filter(|e| topics.has(e.topic)).cloned());
        }
        let number = state.numbers;
        state.numbers += 1;
        state.listeners.push(listener);
        let wakers = self.count(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Some(Subscription {
            hub: self.clone(),
            number,
        })
    }

    /// Sees to it that [`Hub::wanted`] is true; who is to be woken.
    fn count(&self, state: &mut State) -> Vec<Waker> {
        let all = state.listeners.iter().map(|listener| listener.topics);
        let wanted = all.fold(Topics::default(), Topics::and);
        self.wanted.store(wanted.bits(), Ordering::Relaxed);
        if wanted.is_empty() {
            Vec::new()
        } else {
            std::mem::take(&mut state.publishers)
        }
    }
}

impl Listener {
    fn take(&mut self, event: &Arc<Event>) {
        if event.topic == Topic::Status {
            // A newer one makes it worthless: nothing is lost with it.
            self.queue.retain(|waits| waits.topic != Topic::Status);
        }
        if self.queue.len() >= QUEUE {
            self.queue.pop_front();
            self.lost += 1;
        }
        self.queue.push_back(event.clone());
    }
}

/// One who listens; leaves when dropped.
pub struct Subscription {
    hub: Arc<Hub>,
    number: u64,
}

impl Subscription {
    /// What comes next; waits for it.
    pub async fn next(&self) -> Next {
        future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Subscription::next`], for what is polled by hand.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.hub.lock();
        let own = |listener: &&mut Listener| listener.number == self.number;
        let Some(listener) = state.listeners.iter_mut().find(own) else {
            return Poll::Pending;
        };
        if listener.lost > 0 {
            return Poll::Ready(Next::Lost(std::mem::take(&mut listener.lost)));
        }
        match listener.queue.pop_front() {
            Some(event) => Poll::Ready(Next::Event(event)),
            None => {
                listener.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Listens to other topics from now on. What waits already still comes.
    pub fn change(&self, topics: Topics) {
        let mut state = self.hub.lock();
        let own = |listener: &&mut Listener| listener.number == self.number;
        if let Some(listener) = state.listeners.iter_mut().find(own) {
            listener.topics = topics;
        }
        let wakers = self.hub.count(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.listeners.retain(|l| l.number != self.number);
        let wakers = self.hub.count(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
