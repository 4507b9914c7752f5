//! Keeps a device connected: tries the nodes in order, fails over, and comes
//! back for ever.
//!
//! Where there are several nodes, two *slots* do that side by side, each with
//! one session at a time, never both with the same node. The first begins; the
//! second follows when a session stands, or when the first has had no luck for
//! a moment, and keeps one warm at the next node of the list. From then on they
//! are equals: whichever loses its session looks for another.

use super::attempt::{attempt, Outcome};
use super::Shared;
use crate::platform::boot_timer::BootTimer;
use crate::platform::clock::{awake, on_the_second, SleepWatch};
use crate::platform::links::{Change, Links};
use crate::session::dial::is_here;
use crate::session::Stop;
use crate::time::{Clock, Moment};
use async_io::Timer;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Sessions at once: one in use and one that can take over.
pub(super) const SLOTS: usize = 2;

/// First pause after all nodes have failed; the first retry comes within 0.5 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause in the first minute after a loss: with the handshake that
/// follows, a device is back within 5 s of its node.
const EAGER_PAUSE: Duration = Duration::from_secs(4);
/// How long a device is eager after a loss.
const EAGER_TIME: Duration = Duration::from_secs(60);
/// Pause after that.
const PATIENT_PAUSE: Duration = Duration::from_secs(60);
/// A node may not send us away for longer than this.
const LONGEST_WISH: Duration = Duration::from_secs(300);
/// How long the first node of the list has before others are tried beside it: a
/// few round trips by satellite. A node that answers is done long before.
const HEAD_START: Duration = Duration::from_secs(3);

/// How often a device looks whether it has slept. A sleep during which a look was due
/// is noticed at its end; a shorter one matters little.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// A network that came is used within this time: devices behind one router do not
/// all come back in the same instant.
const NETWORK_SETTLES: Duration = Duration::from_millis(500);
/// How often a node is tried while there seems to be no network.
const NO_NETWORK: Duration = Duration::from_secs(300);

/// Runs until the device is over.
pub(super) async fn keep(shared: Arc<Shared>) {
    let watching = async {
        loop {
            resumed(&*shared.options.clock).await;
            let links: Vec<_> = shared.lock().links().cloned().collect();
            for link in links {
                link.wake();
            }
        }
    };
    let moving = async {
        let mut network = Links::new();
        loop {
            let change = network.changed().await;
            log::debug!("network: {change:?}");
            if change == Change::Down {
                continue;
            }
            let links: Vec<_> = shared.lock().links().cloned().collect();
            for link in links {
                link.doubt();
            }
        }
    };
    let watching = smol::future::or(watching, moving);
    let second = async {
        if shared.options.nodes.len() < 2 || !shared.options.warm_second {
            return pending().await;
        }
        let late = async {
            Timer::after(HEAD_START).await;
        };
        smol::future::or(stands(&shared), late).await;
        connect(&shared, 1).await;
    };
    let connecting = smol::future::or(connect(&shared, 0), second);
    smol::future::or(connecting, watching).await;
}

/// Waits until a session stands, with all that is published.
async fn stands(shared: &Shared) {
    poll_fn(|cx| {
        let mut st = shared.lock();
        if st.settled {
            return Poll::Ready(());
        }
        st.wait(cx)
    })
    .await;
}

/// Waits until the device has slept.
async fn resumed(clock: &dyn Clock) {
    let (mut watch, timer) = (SleepWatch::default(), BootTimer::new());
    while watch.look(clock.now(), awake()).is_none() {
        let wait = on_the_second(LOOK_EVERY).saturating_duration_since(Instant::now());
        timer.wait(wait).await;
    }
}

/// What a slot has made of the nodes once around.
#[derive(Default)]
struct Sweep {
    /// The node whose session stood and ended: the others are tried next.
    lost: Option<usize>,
    /// A node was asked to be left alone for so long.
    wish: Duration,
    /// Nodes that somebody else answers for.
    wrong: usize,
    tried: usize,
    /// Attempts that failed for a reason which may pass quickly.
    hopeful: usize,
}

/// Tries the nodes for this slot, over and over; returns when the device is over.
async fn connect(shared: &Arc<Shared>, slot: usize) {
    let clock = &*shared.options.clock;
    let nodes = shared.options.nodes.len();
    let mut since: Option<Moment> = None;
    let mut pause = FIRST_PAUSE;
    let mut turn = 0;
    let mut skip = None;
    loop {
        let sweep = match sweep(shared, slot, turn, skip).await {
            Ok(sweep) => sweep,
            Err(reason) => return shared.lock().end(&reason),
        };
        if shared.lock().leaving {
            return pending().await;
        }
        let now = clock.now();
        skip = None;
        if let Some(lost) = sweep.lost {
            since = Some(now);
            pause = FIRST_PAUSE;
            // The others first: this one has just failed.
            turn = (lost + 1) % nodes;
            let st = shared.lock();
            if (0..nodes).any(|node| node != lost && !st.is_claimed(node)) {
                skip = Some(lost);
                continue;
            }
        }
        if sweep.wrong == nodes {
            return shared.lock().end("no node is the one that it should be");
        }
        let eager = now.since(*since.get_or_insert(now)) < EAGER_TIME;
        if sweep.lost.is_none() && sweep.tried > 0 && sweep.hopeful == 0 {
            pause = PATIENT_PAUSE;
        }
        let rest = async {
            Timer::after(jitter(pause).max(sweep.wish.min(LONGEST_WISH))).await;
        };
        // A device that was asleep has waited long enough, and so has one that has
        // got a network.
        let rested = smol::future::or(rest, resumed(clock));
        smol::future::or(rested, network_comes()).await;
        wait_for_network(shared).await;
        pause = if eager {
            (pause * 2).min(EAGER_PAUSE)
        } else {
            PATIENT_PAUSE
        };
    }
}

/// Waits until there is a network that was not there, or not this one.
async fn network_comes() {
    let mut network = Links::new();
    while network.changed().await == Change::Down {}
    Timer::after(NETWORK_SETTLES.mul_f64(fastrand::f64())).await;
}

/// While there is no network at all nothing is tried, unless a node may be on this
/// machine. What is wrong with that picture costs minutes, not for ever.
async fn wait_for_network(shared: &Shared) {
    if shared.options.nodes.iter().any(|node| is_here(&node.host)) {
        return;
    }
    let mut network = Links::new();
    if network.is_up() {
        return;
    }
    log::warn!("there is no network; nothing is tried until there is one");
    let late = async {
        Timer::at(on_the_second(NO_NETWORK)).await;
    };
    let comes = async {
        while network.changed().await == Change::Down {}
        Timer::after(NETWORK_SETTLES.mul_f64(fastrand::f64())).await;
    };
    smol::future::or(comes, late).await;
}

/// Tries each node that no other slot is busy with once, from `turn` on, and
/// stays with the first that takes the device.
///
/// # Errors
/// Why the device is over.
async fn sweep(
    shared: &Arc<Shared>,
    slot: usize,
    turn: usize,
    skip: Option<usize>,
) -> Result<Sweep, String> {
    let nodes = &shared.options.nodes;
    let mut sweep = Sweep::default();
    for step in 0..nodes.len() {
        let at = (turn + step) % nodes.len();
        let Some(node) = nodes.get(at).filter(|_| Some(at) != skip) else {
            continue;
        };
        if !shared.lock().claim(slot, at) {
            continue;
        }
        sweep.tried += 1;
        let outcome = attempt(shared, slot, node).await;
        shared.lock().release(slot);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(reason) => {
                sweep.hopeful += 1;
                shared.lock().trouble(at, reason);
                continue;
            }
        };
        let reason = outcome.explain(node);
        let others = shared.lock().links().next().is_some();
        // What is signed for already may still be used in the other session.
        if outcome.is_final(nodes.len()) && !(outcome.is_spent() && others) {
            return Err(reason);
        }
        sweep.wrong += usize::from(outcome.wrong_node);
        if let Stop::Told(close) = &outcome.stop {
            sweep.wish = Duration::from_millis(u64::from(close.retry_after_ms.unwrap_or(0)));
        }
        if outcome.was_admitted {
            sweep.lost = Some(at);
            break;
        }
        sweep.hopeful += usize::from(is_hopeful(&outcome));
        if outcome.is_spent() {
            log::info!("no session is kept warm: {reason}");
        } else {
            shared.lock().trouble(at, reason);
        }
    }
    Ok(sweep)
}

/// Whether the next attempt may go better without anybody doing anything.
fn is_hopeful(outcome: &Outcome) -> bool {
    !outcome.same_node && !outcome.is_spent()
}

/// Half to one and a half of `pause`: devices that lost the same node do not
/// all come back in the same instant. The longest stays below the promised one.
fn jitter(pause: Duration) -> Duration {
    let cap = if pause <= EAGER_PAUSE {
        EAGER_PAUSE
    } else {
        PATIENT_PAUSE
    };
    pause.mul_f64(0.5 + fastrand::f64()).min(cap)
}
