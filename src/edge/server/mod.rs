//! The node's side of device sessions.
//!
//! | file | what |
//! | --- | --- |
//! | [`session`] | the state machine of one session, without I/O |
//! | `serving.rs` | what a session holds after Hello: its account |
//! | [`listener`] | accepts and starts sessions |

pub mod listener;
mod serving;
pub mod session;

pub use listener::{listen, Server};
pub use session::{Current, ServerSession, Services, Terms};
