//! (room under construction)

pub mod rlp;
