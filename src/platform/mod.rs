//! What differs by operating system and device.
//!
//! Everything here answers one question about the machine that the program
//! runs on and decides nothing else: how many descriptors there are
//! ([`limits`]), how much memory ([`memory`])
//! and which threads there are ([`crew`]), whether the CPU has AES
//! ([`cpu`]), what kind of device it is ([`device`]) and what its files lie on ([`medium`],
//! [`mounts`]), what it says of itself while
//! the node runs ([`readings`], on a phone [`termux`]), what time it is and whether that can be believed ([`clock`]),
//! how to wait while it sleeps ([`boot_timer`]), whether power or bytes are to be saved ([`saver`]),
//! whether these cost money ([`metered`]),
//! what becomes of its network ([`links`]),
//! how a socket is set up ([`socket`], [`listen`], [`udp`]), who knows the address of a name
//! ([`resolver`]), where packets leave ([`routes`]), when to stop ([`signals`]), where a user's
//! files belong ([`folders`]) and what of all that is not as it should be ([`checks`]).
//!
//! Files under `/proc` and `/sys` are read below a root that tests replace, so
//! that a 64 MB router or a container is a folder in a test.

pub mod boot_timer;
pub mod checks;
pub mod clock;
pub mod cpu;
pub mod crew;
pub mod device;
pub mod folders;
pub mod limits;
pub mod links;
pub mod listen;
pub mod medium;
pub mod memory;
pub mod metered;
pub mod mounts;
pub mod notify;
pub mod readings;
pub mod resolver;
pub mod routes;
pub mod saver;
pub mod signals;
pub mod socket;
mod sys;
pub mod termux;
#[cfg(test)]
pub mod testing;
pub mod udp;
