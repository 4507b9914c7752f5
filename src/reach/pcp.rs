//! The Port Control Protocol (RFC 6887), opcode MAP.
//!
//! ```text
//! request    2 | op | 0 0 | lifetime:32 | client's address:128
//! answer     2 | 0x80 | op | 0 | result | lifetime:32 | epoch:32 | 0:96
//! MAP        nonce:96 | protocol | 0 0 0 | internal port:16 | external port:16 | external address:128
//! ```
//!
//! Numbers are big-endian, IPv4 addresses are mapped into IPv6 (`::ffff:a.b.c.d`).
//! An answer counts when nonce, protocol and internal port are those that were
//! asked: who cannot read the question cannot answer it.

use super::{Failure, Granted, Want};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The gateway's port, of NAT-PMP as well.
pub const PORT: u16 = 5351;
const VERSION: u8 = 2;
const ANSWER: u8 = 0x80;
const OP_ANNOUNCE: u8 = 0;
const OP_MAP: u8 = 1;
const HEADER: usize = 24;
/// Bytes of a request for a mapping, and of its answer without options.
pub const MAP_LENGTH: usize = HEADER + 36;

/// What only asker and gateway know of a mapping.
pub type Nonce = [u8; 12];

/// A request for a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Who asks: has to be the datagram's source.
    pub client: IpAddr,
    /// Names the mapping.
    pub nonce: Nonce,
    /// The port here.
    pub want: Want,
    /// The port outside that is wished.
    pub wish: u16,
    /// For how long; nothing removes it.
    pub lease: Duration,
}

fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

impl Map {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAP_LENGTH);
        let seconds = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
        out.extend([VERSION, OP_MAP, 0, 0]);
        out.extend(seconds.to_be_bytes());
        out.extend(wide(self.client));
        out.extend(self.nonce);
        out.extend([self.want.transport.number(), 0, 0, 0]);
        out.extend(self.want.port.to_be_bytes());
        out.extend(self.wish.to_be_bytes());
        // No address is wished, one of the client's family (section 11.1).
        out.extend(wide(match self.client {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }));
        out
    }

    /// The answer to it in a datagram from the gateway. None: it is another one's.
    #[must_use]
    pub fn answer(&self, bytes: &[u8]) -> Option<Result<Granted, Failure>> {
        let [version, op, _, code, rest @ ..] = bytes else {
            return None;
        };
        if *version != VERSION {
            // A gateway of NAT-PMP says so in its own version (RFC 6886, section 3.5).
            let old = *version == 0 && op & ANSWER != 0;
            return old.then_some(Err(Failure::Silent));
        }
        if *op != ANSWER | OP_MAP {
            return None;
        }
        let (lifetime, rest) = number(rest)?;
        let (epoch, rest) = number(rest)?;
        let body: Option<&[u8; 36]> = rest.get(12..).and_then(<[u8]>::first_chunk);
        let Some(body) = body else {
            // Errors before the request was understood may be shorter.
            return (*code != 0).then(|| Err(refusal(*code)));
        };
        let (nonce, body) = body.split_first_chunk::<12>()?;
        let (&[protocol, _, _, _, i0, i1, e0, e1], body) = body.split_first_chunk::<8>()?;
        let ours = *nonce == self.nonce
            && protocol == self.want.transport.number()
            && u16::from_be_bytes([i0, i1]) == self.want.port;
        if !ours {
            return None;
        }
        if *code != 0 {
            return Some(Err(refusal(*code)));
        }
        let address = Ipv6Addr::from(*body.first_chunk::<16>()?);
        let external = u16::from_be_bytes([e0, e1]);
        if external == 0 && !self.lease.is_zero() {
            return Some(Err(Failure::Garbled("port 0")));
        }
        let address = address.to_canonical();
        let fits = address.is_ipv4() == self.client.is_ipv4() && !address.is_unspecified();
        Some(Ok(Granted {
            external,
            lease: Duration::from_secs(lifetime.into()),
            address: fits.then_some(address),
            epoch: Some(epoch),
        }))
    }
}

/// The gateway's clock in an announcement that it has lost its mappings
/// (section 14.1), which it sends to everybody.
#[must_use]
pub fn announced(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [VERSION, op, _, 0, _, _, _, _, e0, e1, e2, e3, ..]
            if *op == ANSWER | OP_ANNOUNCE && bytes.len() >= HEADER =>
        {
            Some(u32::from_be_bytes([*e0, *e1, *e2, *e3]))
        }
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (four, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*four), rest))
}

/// Section 7.4.
fn refusal(code: u8) -> Failure {
    let word = match code {
        // It speaks another version, has no such opcode.
        1 | 4 => return Failure::Silent,
        7 => return Failure::NoAddress,
        2 => "not authorized",
        3 => "malformed request",
        8 => "no resources",
        9 => "unsupported protocol",
        10 => "too many mappings for this device",
        11 => "cannot provide that port",
        12 => "the address was changed on the way: there is another NAT between",
        13 => "excessive remote peers",
        other => return Failure::Refused(format!("PCP result {other}")),
    };
    Failure::Refused(word.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::Transport;
    use super::*;
    use proptest::prelude::*;

    fn map() -> Map {
        Map {
            client: [192, 168, 1, 7].into(),
            nonce: [9; 12],
            want: Want {
                transport: Transport::Udp,
                port: 51055,
            },
            wish: 51055,
            lease: Duration::from_secs(7200),
        }
    }

    /// As a gateway writes it.
    fn grant(map: &Map, code: u8, lease: u32, epoch: u32, external: u16, ip: &str) -> Vec<u8> {
        let mut out = vec![2, 0x81, 0, code];
        out.extend(lease.to_be_bytes());
        out.extend(epoch.to_be_bytes());
        out.extend([0; 12]);
        out.extend(&map.encode()[24..42]);
        out.extend(external.to_be_bytes());
        out.extend(wide(ip.parse().unwrap()));
        out
    }

    #[test]
    fn a_request_has_the_bytes_of_the_standard() {
        let bytes = map().encode();
        assert_eq!(bytes.len(), MAP_LENGTH);
        assert_eq!(bytes[..8], [2, 1, 0, 0, 0, 0, 0x1c, 0x20]);
        assert_eq!(bytes[18..24], [0xff, 0xff, 192, 168, 1, 7]);
        assert_eq!(bytes[36..44], [17, 0, 0, 0, 0xc7, 0x6f, 0xc7, 0x6f]);
    }

    #[test]
    fn only_the_answer_to_this_question_counts() {
        let map = map();
        let good = grant(&map, 0, 3600, 77, 50_000, "203.0.113.9");
        let granted = map.answer(&good).unwrap().unwrap();
        assert_eq!(granted.external, 50_000);
        assert_eq!(granted.lease, Duration::from_secs(3600));
        assert_eq!(granted.address, "203.0.113.9".parse().ok());
        assert_eq!(granted.epoch, Some(77));
        for place in [24, 36, 41] {
            let mut wrong = good.clone();
            wrong[place] ^= 1;
            assert_eq!(map.answer(&wrong), None, "byte {place}");
        }
        let port_0 = grant(&map, 0, 3600, 77, 0, "203.0.113.9");
        assert!(map.answer(&port_0).unwrap().is_err());
        let down = grant(&map, 7, 30, 77, 0, "0.0.0.0");
        assert_eq!(map.answer(&down), Some(Err(Failure::NoAddress)));
        // A gateway that knows NAT-PMP alone.
        let old = [0, 0x81, 0, 1, 0, 0, 0, 9];
        assert_eq!(map.answer(&old), Some(Err(Failure::Silent)));
    }

    #[test]
    fn a_hole_in_the_firewall_for_ipv6_has_an_address_of_ipv6() {
        let mut map = map();
        map.client = "2001:db8::7".parse().unwrap();
        let bytes = map.encode();
        assert_eq!(bytes[8..12], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(bytes[44..], [0; 16], "no address is wished");
        let hole = grant(&map, 0, 3600, 77, 51055, "2001:db8::7");
        let granted = map.answer(&hole).unwrap().unwrap();
        assert_eq!(granted.address, Some(map.client));
        // The other family's address is none that this request could have got.
        for other in ["203.0.113.9", "::"] {
            let wrong = grant(&map, 0, 3600, 77, 51055, other);
            assert_eq!(map.answer(&wrong).unwrap().unwrap().address, None);
        }
    }

    #[test]
    fn an_announcement_is_told_from_everything_else() {
        let mut bytes = vec![2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(announced(&bytes), None, "it is cut off");
        bytes.extend([0; 12]);
        assert_eq!(announced(&bytes), Some(5));
        bytes[1] = 0;
        assert_eq!(announced(&bytes), None, "it is a request");
    }

    proptest! {
        #[test]
        fn no_datagram_makes_a_panic_or_a_mapping_of_port_0(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..1200),
            header in any::<bool>(),
        ) {
            if header && bytes.len() >= MAP_LENGTH {
                let good = grant(&map(), 0, 1, 1, 1, "1.2.3.4");
                bytes[..42].copy_from_slice(&good[..42]);
            }
            if let Some(Ok(granted)) = map().answer(&bytes) {
                prop_assert!(granted.external != 0);
            }
            let _ = announced(&bytes);
        }

        #[test]
        fn an_answer_that_is_cut_off_is_none(cut in 0usize..60) {
            let good = grant(&map(), 0, 3600, 77, 50_000, "203.0.113.9");
            prop_assert_eq!(map().answer(&good[..cut]), None);
        }
    }
}
