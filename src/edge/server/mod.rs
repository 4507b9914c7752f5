//! The node's side of device sessions.
//!
//! | file | what |
//! | --- | --- |
//! | [`session`] | the state machine of one session, without I/O |
//! | [`announce`] | who tells the network which devices are here |
//! | `serving.rs` | what a session holds after Hello: its account |
//! | [`listener`] | accepts and starts sessions |

pub mod announce;
pub mod listener;
mod serving;
pub mod session;

pub use announce::Announce;
pub use listener::{listen, Server};
pub use session::{Current, ServerSession, Services, Terms};
