//! The switchboard: who is online, who is connected to what, and how much of
//! whose bytes may wait.
//!
//! | file | what |
//! | --- | --- |
//! | [`queue`] | bytes that wait for one port, ready to be framed without a copy |
//! | [`budget`] | memory that all links share |
//! | [`window`] | credit granted to a sender, and how it grows and shrinks |
//! | [`link`] | one session's shared half: its ports, its out-queue |
//! | [`local`] | a port that ends in this program (device side) |
//! | [`locate`] | finds the node of a device that is not here |
//! | [`search`] | a port that waits until that is known |
//! | [`switchboard`] | all sessions of a node; opening a port between two of them |
//!
//! Nothing here does I/O. A session's task locks its own [`link::Link`] and,
//! for data that it received, the one link in which the port ends; never two at once.

pub mod budget;
pub mod link;
pub mod local;
pub mod locate;
pub mod queue;
pub mod search;
pub mod switchboard;
pub mod window;

pub use budget::{Answers, Budget};
pub use link::{Link, LinkOptions, Output, Violation};
pub use local::LocalPort;
pub use locate::{Locate, Locating};
pub use switchboard::{Refusal, Registration, Switchboard};
pub use window::Window;
