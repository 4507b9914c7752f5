//! HTTP: the door, tiny_http behind it, `/health`, `/ready` and JSON-RPC.
//!
//! tiny_http 0.12 is a fine worker and a poor guard: one request with a huge
//! `Content-Length` aborts the process, an accept error ends its server, its
//! threads and its buffers have no bound and nothing in it has a time limit.
//! So it never meets a stranger. A request goes this way:
//!
//! 1. The [`Door`] accepts on the executor and gives the connection a place. When
//!    all are taken, the connection that has kept us waiting longest ends.
//! 2. The door reads the head (bounded in bytes and time), parses it strictly
//!    and either refuses or knows: which question, how many bytes of body.
//! 3. It reads the body and only then, with the request complete, takes one of
//!    the few seats before the worker. What it writes to the worker is a request
//!    of its own making; not one byte of the client's head travels on.
//! 4. tiny_http gets it from a Unix socket in a folder that only we can enter,
//!    over one of two connections that stay open. Its thread passes it through a
//!    bounded channel to a task on the executor, which asks the [`NodeView`].
//! 5. The answer goes back the same way; the door writes the client's answer.
//!
//! All node state is read on the executor, no task of the executor ever waits for a thread
//! by blocking, and a worker that broke is replaced.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `door.rs` | accepting, and the public face |
//! | `slots.rs` | who is connected, and who has to go |
//! | `https.rs`, `stream.rs` | TLS between the socket and the conversation |
//! | `wire.rs` | one connection, each step within its time |
//! | `connection.rs` | the conversation with one client, with its time limits |
//! | `scan.rs`, `head.rs`, `host.rs` | the request head: where it ends, what it asks, without I/O |
//! | `asker.rs`, `token.rs`, `redact.rs` | who asks, and what he may see and do |
//! | `reply.rs`, `seal.rs` | refusals and answers as bytes, and the node's signature of them |
//! | `jsonrpc.rs`, `call.rs`, `pending.rs`, `fault.rs` | JSON-RPC 2.0, without I/O |
//! | `methods/` | the table of methods: names, parameters, results, who answers |
//! | `answer.rs`, `config.rs` | what is asked by path |
//! | `view.rs`, `network.rs`, `device.rs`, `rewards.rs`, `status.rs`, `members.rs`, `settings.rs`, `history.rs`, `stored.rs` | what is asked of the node, and how it is told |
//! | `page/` | the status page |
//! | `dispatch.rs` | the way to the worker: seats, replacement, the reason when there is none |
//! | `worker.rs`, `link.rs`, `folder.rs` | tiny_http's thread, the connections to it, the folder of its socket |
//! | `events/` | what happens, told to those who listen |
//! | `websocket/` | calls and events over a WebSocket |
//! | `limits.rs` | every bound, with its reason |

mod answer;
mod asker;
mod call;
mod calls;
mod chain;
mod config;
mod connection;
mod device;
mod dispatch;
mod door;
mod error;
pub mod events;
mod fault;
mod folder;
mod head;
mod history;
mod host;
mod https;
mod jsonrpc;
mod limits;
mod link;
mod members;
mod methods;
mod metrics;
mod network;
mod page;
mod pending;
mod redact;
mod reply;
mod rewards;
mod scan;
mod seal;
mod settings;
mod slots;
mod status;
mod stored;
mod stream;
mod token;
mod view;
pub mod websocket;
mod wire;
mod worker;

pub use asker::{Asker, Origin};
pub use calls::Calls;
pub use chain::{CacheStats, CacheTier, ChainInfo};
pub use device::{Battery, DeviceInfo};
pub use door::{Door, DoorOptions};
pub use error::RpcError;
pub use fault::{Asked, RpcFault, Told};
pub use folder::runtime_dirs;
pub use history::{History, HistoryReply, HistorySpan, Series};
pub use limits::Limits;
pub use members::{FleetNode, FleetStatus, SessionInfo, SESSIONS_MAX};
pub use methods::Params;
pub use metrics::Exposition;
pub use network::{DhtStats, Latency, NetworkStats, PeerInfo};
pub use rewards::{
    FleetTickets, RewardPeriod, RewardProjection, RewardRates, RewardStatus, TicketInfo,
    TicketList, TicketSums, FLEETS_MAX, HISTORY_MAX, LATEST_MAX,
};
pub use seal::reply_digest;
pub use settings::{Changed, ChangedSetting, SettingInfo};
pub use status::{EventInfo, Status};
pub use stored::{StoreInfo, TableInfo};
pub use token::{Token, TokenState};
pub use view::{Health, HealthLayer, HealthReason, HealthState, HttpsInfo, NodeInfo, NodeView};
