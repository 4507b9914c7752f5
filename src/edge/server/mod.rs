//! The node's side of device sessions.
//!
//! | file | what |
//! | --- | --- |
//! | [`session`] | the state machine of one session, without I/O |
//! | [`services`] | what all sessions share, and what they are held to |
//! | `finding.rs` | what a session does so that its device is found |
//! | [`announce`] | who tells the network which devices are here |
//! | `serving.rs` | what a session holds after Hello: its account |
//! | [`listener`] | accepts and starts sessions |

pub mod announce;
mod finding;
pub mod listener;
pub mod services;
mod serving;
pub mod session;

pub use announce::{Announce, Witness};
pub use listener::{listen, Server};
pub use services::{Current, Services, Terms};
pub use session::ServerSession;
