//! Packets of the DHT: one UDP datagram each, at most [`PACKET_MAX`] bytes.
//!
//! In the order in which they are seen: a node that has never asked another one
//! sends a request with cookie 0 and gets a CHALLENGE, the 60 bytes of a header
//! with a cookie in it. It sends the request again with that cookie and gets its
//! answer, which carries a fresh cookie for the next request. So a spoofed source
//! address never gets more bytes than were sent in its name, and costs no
//! signature check.
//!
//! ```text
//!  0        1        2        4                12               20
//! +--------+--------+--------+----------------+----------------+
//! | ver 01 | type   | flags 0| txid           | cookie         |
//! +--------+--------+--------+----------------+----------------+
//! 20       from (20 bytes)     40        to (20 bytes)
//! 60       payload: one canonical RLP list
//! n - 64   signature, EIP-2098, by `from` over keccak-256("chr-dht/1" || all before it)
//! ```
//!
//! | type | payload |
//! | --- | --- |
//! | 1 PING | `[serving, check]`, `check` is `[]` or `[ip, port]` |
//! | 2 PONG | `[serving, unix, [ip, port]]` |
//! | 3 FIND_NODE | `[serving, target]` |
//! | 4 NODES | `[[[id, ip, port]…]]`, at most 20 |
//! | 5 FIND_VALUE | `[serving, key]` |
//! | 6 VALUE | `[[record…], [[id, ip, port]…]]` |
//! | 7 STORE | `[serving, [record…]]`, at most 8 |
//! | 8 STORED | `[codes]`, a byte a record |
//! | 9 CHALLENGE | none, and no signature |
//! | 10 ERROR | `[code, text]` |
//! | 11 SYNC | `[serving, bits, prefix, hashes]` |
//! | 12 SYNCED | `[hashes, listed, [[kind, key, slot, order, until]…]]` |
//!
//! How it is used: [`peek`] at what arrived (no hash, no allocation), look at the
//! cookie, then either answer [`challenge`] or [`decode`], which parses before it
//! hashes and hashes once before it recovers the signer. [`encode`] writes and
//! signs; contacts that do not fit are left off from the end, so the best come
//! first. [`Body::room`] tells what fits.
//!
//! Sources: Maymounkov and Mazières 2002 (the four calls), RFC 9000 section 8.1
//! (why a challenge), EIP-2098. Vectors: categories `dht.packet`, `dht.refused`.

mod body;
mod packet;
mod sync;

pub use body::{
    error_code, read_place, write_place, Body, Contact, CONTACTS_MAX, ERROR_TEXT_MAX, PAYLOAD_MAX,
    RECORDS_MAX, RECORD_MAX,
};
pub use packet::{
    challenge, decode, encode, peek, Header, Malformed, Packet, Recover, Sign, TooLong, Type,
    CHALLENGE_LEN, HEADER_LEN, PACKET_MAX, SIGNATURE_LEN, VERSION,
};
pub use sync::{Entry, Hashes, Prefix, ENTRIES_MAX, FANOUT, PREFIX_BITS_MAX};

#[cfg(test)]
mod tests;
