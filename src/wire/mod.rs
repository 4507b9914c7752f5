//! Codecs without I/O.
//!
//! | file | format |
//! | --- | --- |
//! | [`frame`] | EdgeV2 framing in our dialect: header, data and control frames |
//! | [`control`] | what control frames carry (postcard) |
//! | [`peer`] | what control frames of links between nodes carry |
//! | [`code`] | the numbers by which a refusal or an end is named |
//! | [`notice`] | what a node that saves power and its devices agree on |
//! | [`presence`] | the signed word that a device is found at a node |
//! | [`rlp`] | Ethereum's RLP, canonical and bounded |
//! | [`diode`] | the one frame of Diode's dialect that this node can say |
//! | [`dht`] | packets of the DHT |
//!
//! Every decoder here is bounded before it allocates, and rejects trailing bytes.

pub mod code;
pub mod control;
pub mod dht;
pub mod diode;
pub mod frame;
pub mod notice;
pub mod peer;
pub mod presence;
pub mod rlp;
