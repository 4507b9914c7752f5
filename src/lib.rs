//! # chr-node: the map of the house
//!
//! A relay node for small devices. Devices behind NAT hold one TLS session to
//! the node ([`edge`]), publish local ports there and open each other's ports
//! through it; the node copies bytes from one session's inbox to the other's
//! outbox ([`ports`]) and is paid by signed [`ticket`]s, which it keeps in LMDB
//! ([`store`]).
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`cli`] | argument parsing, one file a subcommand |
//! | [`node`] | wiring: builds the services in order, limits, health, `run.json` |
//! | [`rpc`] | the HTTP door, tiny_http behind it, `/health`, JSON-RPC |
//! | [`edge`] | device sessions: state machines of both sides, the server, the device-side client |
//! | [`peer`] | links between nodes: open, keep, replace; relayed ports |
//! | [`dht`] | Kademlia: routing table, lookups, records, storage; then its UDP service |
//! | [`session`] | TLS sessions over TCP: the shell around a state machine, who may connect |
//! | [`ports`] | the switchboard: who is online, who is connected to what, windows |
//! | [`reach`] | the router's ports: PCP, NAT-PMP, UPnP |
//! | [`reward`] | reward periods: uptime and performance scores, tokens earned |
//! | [`ticket`] | tickets, the validation steps, usage accounting |
//! | [`chain`] | an EVM chain's JSON-RPC: the client, what may be asked of it |
//! | [`cache`] | answers that may be given again: memory, disk, source |
//! | [`store`] | LMDB: tables, records, the writer thread |
//! | [`wire`] | codecs without I/O: EdgeV2 frames, RLP, DHT packets |
//! | [`tls`] | rustls with secp256k1, and TLS without I/O |
//! | [`identity`] | keys, addresses, signatures, certificates, the key file |
//! | [`config`] | typed settings and where each value came from |
//! | [`platform`] | what differs by OS and device: limits, CPU features, clocks |
//! | [`time`] | the clock as an argument |
//! | [`task`] | tasks, all of one shape |
//! | [`tokens`] | amounts of tokens, exact to 18 decimals |
//! | [`parts`] | parts that a build may lack |
//! | [`sorted`] | lists in order: one sort for all types, small maps |
//! | [`meter`] | counters and histograms of durations |
//! | [`liveness`] | how a loop proves that it still turns |
//!
//! Which room may use which is a rule (docs/architecture.md); `tests/house.rs` checks it.

pub mod cache;
pub mod chain;
pub mod cli;
pub mod config;
pub mod dht;
pub mod edge;
pub mod identity;
pub mod liveness;
pub mod meter;
pub mod node;
pub mod parts;
pub mod peer;
pub mod platform;
pub mod ports;
pub mod reach;
pub mod reward;
pub mod rpc;
pub mod session;
pub mod sorted;
pub mod store;
pub mod task;
pub mod ticket;
pub mod time;
pub mod tls;
pub mod tokens;
pub mod wire;
