//! The node's side of device sessions.
//!
//! | file | what |
//! | --- | --- |
//! | [`admission`] | how many may connect, how fast, from where |
//! | `rate.rs` | how often |
//! | [`session`] | the state machine of one session, without I/O |
//! | `serving.rs` | what a session holds after Hello: its account |
//! | [`sessions`] | the tasks of all connections |
//! | [`listener`] | accepts and starts sessions |

pub mod admission;
pub mod listener;
mod rate;
mod serving;
pub mod session;
pub mod sessions;

pub use admission::{Admission, AdmissionLimits};
pub use listener::{listen, Server};
pub use session::{Current, ServerSession, Services, Terms};
pub use sessions::Sessions;
