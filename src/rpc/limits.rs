//! Every bound of the HTTP service, with its reason.
//!
//! Worst case in memory, with the defaults: 128 connections of 8 KiB head, 4 KiB
//! read ahead and 8 KiB body, 4 MiB of larger bodies, and one body of 1 MiB copied
//! on its way to the worker: about 8 MiB, under attack only. Over TLS a connection may
//! hold two records more (36 KiB: 4.5 MiB if all do). An idle connection holds no
//! buffer at all. Those who listen have their own bounds below.

use std::time::Duration;

/// Longest request head, in bytes: browsers send 1 to 2 KiB, and servers commonly allow 8.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Most header lines: browsers send about 20. The parser's array of them lives on the stack.
pub(super) const MAX_HEADERS: usize = 64;
/// Longest body, in bytes: a full batch of calls is below 20 KiB, messages to come below 1 MiB.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// Bodies up to here, in bytes, are not counted against [`BODY_BUDGET`], so that an ordinary
/// call is served also while someone keeps the budget taken.
pub(super) const SMALL_BODY: usize = 8 * 1024;
/// What all larger bodies in the making may hold together, in bytes: four of the largest.
pub(super) const BODY_BUDGET: usize = 4 * MAX_BODY;
/// How much a body's buffer grows at a time, in bytes: memory is taken as bytes arrive, not as they are announced.
pub(super) const BODY_STEP: usize = 64 * 1024;
/// Read size, in bytes. The buffer is on the stack while reading, so a waiting connection costs none.
pub(super) const CHUNK: usize = 4 * 1024;
/// Answers of a batch beyond so many bytes are refused one by one: a hundred lists of all known
/// peers would be 20 MB.
pub(super) const MAX_RESULTS: usize = 1024 * 1024;
/// Longest answer of the worker, in bytes: far above what a full batch returns; a sanity bound.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Most calls in a batch.
pub(super) const MAX_BATCH: usize = 100;
/// Longest text accepted as the id of a call, in bytes: it is echoed, and a UUID has 36.
pub(super) const MAX_ID: usize = 256;

/// Parameters of all calls of a POST that are made values of, in bytes of their text: a value takes up to
/// thirty times as much, and the largest honest ones (the data of a call to the chain) are some 50 KB.
pub(super) const MAX_PARAMS: usize = 128 * 1024;
/// Calls that wait for the chain or the disk, of all clients: what is asked of them is remembered, and
/// they answer a few at a time.
pub(super) const ASYNC_CALLS: usize = 128;
/// How long a call may wait for the chain or the disk: as long as a slow chain takes, below what clients wait.
pub(super) const ASYNC_LIMIT: Duration = Duration::from_secs(30);

/// Wrong tokens from one network before it has to wait: a hand that slips, and a script that is tried out.
pub(super) const WRONG_LIMIT: u32 = 10;
/// After so long a wrong token is forgotten, and one more can be tried.
pub(super) const WRONG_PAUSE: Duration = Duration::from_secs(6);
/// Networks whose wrong tokens are remembered; the oldest goes. Who has more networks than that to try from
/// still has 2^256 tokens before him.
pub(super) const WRONG_NETWORKS: usize = 64;

/// Connections to tiny_http. Two: one is served while the next is delivered. It bounds tiny_http's threads.
pub(super) const LINKS: usize = 2;
/// How long a complete request waits for a seat before it is refused: a burst of all connections
/// passes in a tenth of it.
pub(super) const SEAT_LIMIT: Duration = Duration::from_millis(500);
/// From asking the worker to its answer, waiting for a free link included.
pub(super) const WORKER_LIMIT: Duration = Duration::from_secs(10);
/// Between two attempts to replace a broken worker: the cause (no descriptors, no threads) rarely passes faster.
pub(super) const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// After an accept error (no descriptors): the listener stays readable, so without a pause we would spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines of the log about accept errors: they come by the thousand, and logs are written to flash.
pub(super) const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);
/// How long a connection may keep us waiting before it can be ended to make room: a round trip
/// of a bad link, so that an honest client's request is read.
pub(super) const GRACE: Duration = Duration::from_millis(250);
/// How long a new connection waits for room before it is turned away: all that are there have outlived their grace by then.
pub(super) const ROOM_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks for room; only while the table is full.
pub(super) const ROOM_PAUSE: Duration = Duration::from_millis(10);
/// How long a refused client may go on sending, so that it reads the refusal before the reset.
pub(super) const LINGER_LIMIT: Duration = Duration::from_secs(2);
/// How much a refused client may go on sending, in bytes.
pub(super) const LINGER_BYTES: usize = MAX_BODY;

/// Event streams and WebSockets at once. They are counted apart from the connections above, so
/// that those who watch keep nobody out who asks; each may hold 128 events of 2 KiB and a message of 64 KiB.
pub(super) const LONG: usize = 32;
/// How many of these strangers may take (neither on this machine nor with the operator's token):
/// the operator can always look.
pub(super) const LONG_STRANGERS: usize = 24;
/// Between two signs of life of an event stream, when nothing happens.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// For a listener to take what was written: far longer than a phone's radio sleeps.
pub(super) const LISTENER_WRITE: Duration = Duration::from_secs(30);
/// Events are written together up to here, in bytes.
pub(super) const EVENTS_STEP: usize = 32 * 1024;
/// Between two pings of a WebSocket. Two without an answer: it is dead.
pub(super) const PING: Duration = Duration::from_secs(60);
/// A WebSocket over which neither a message came nor an event went for so long is closed.
pub(super) const WEBSOCKET_IDLE: Duration = Duration::from_secs(3_600);
/// How long streams get to hear that the node stops.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);

/// The bounds that depend on the device, and the time limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections of clients. Past it, the one that has kept us
    /// waiting longest ends. Costs up to 20 KiB each while a request is coming in, under 2 KiB idle, 4 over TLS.
    pub connections: usize,
    /// Complete requests that wait for the worker or are with it. Past it, one waits up to half a second, then 503.
    pub requests: usize,
    /// For a whole request head, from its first byte (on a fresh connection, from the accept).
    pub head: Duration,
    /// For a whole body.
    pub body: Duration,
    /// For a connection kept alive without a request.
    pub idle: Duration,
    /// For the client to take an answer.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // Browsers (six connections each) and monitors need 30; the others are so that the
            // queue behind a flood of slow heads moves by 500 connections a second (see GRACE).
            connections: 128,
            // Each is answered in less than a millisecond: this many for half a second means that something is wrong.
            requests: 32,
            // One round trip on the worst link, with retransmissions.
            head: Duration::from_secs(5),
            // 1 MiB at 1 Mbit/s takes 8.4 s.
            body: Duration::from_secs(10),
            // Monitors ask every 10 to 15 s; longer would keep descriptors for nobody.
            idle: Duration::from_secs(30),
            write: Duration::from_secs(10),
        }
    }
}
