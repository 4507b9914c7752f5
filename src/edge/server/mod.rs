//! The node's side of device sessions.
//!
//! | file | what |
//! | --- | --- |
//! | [`admission`] | how many may connect, how fast, from where |
//! | [`session`] | the state machine of one session, without I/O |
//! | [`listener`] | accepts and starts sessions |

pub mod admission;
pub mod listener;
pub mod session;

pub use admission::{Admission, AdmissionLimits};
pub use listener::{listen, Server};
pub use session::{ServerSession, Services, Terms};
