//! `/ws`: JSON-RPC and events over one WebSocket.
//!
//! A call goes the same way as one by POST, to the same methods, with the same
//! rights; one at a time. `chr_subscribe` and `chr_unsubscribe` are answered here.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `handshake.rs` | the request that opens it, without I/O |
//! | `frame.rs` | frames to messages and back, without I/O |
//! | `subscriptions.rs` | who listens to what, and how it is told, without I/O |
//! | `serve.rs` | the conversation |

pub mod frame;
pub(super) mod handshake;
mod serve;
mod subscriptions;

pub(super) use serve::serve;
