//! NAT-PMP (RFC 6886).
//!
//! ```text
//! address?   0 | 0                     ->  0 | 128 | result:16 | epoch:32 | address:32
//! map        0 | 1 UDP, 2 TCP | 0 0 | internal:16 | external:16 | lifetime:32
//!            ->  0 | 128 + op | result:16 | epoch:32 | internal:16 | external:16 | lifetime:32
//! ```

use super::{Failure, Granted, Transport, Want};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The question for the gateway's address outside.
pub const ADDRESS: [u8; 2] = [0, 0];
const ANSWER: u8 = 128;

/// A request for a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// The port here.
    pub want: Want,
    /// The port outside that is wished.
    pub wish: u16,
    /// For how long; nothing removes it.
    pub lease: Duration,
}

impl Map {
    fn op(&self) -> u8 {
        match self.want.transport {
            Transport::Udp => 1,
            Transport::Tcp => 2,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let seconds = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
        // A removal has no wish (section 3.4).
        let wish = if seconds == 0 { 0 } else { self.wish };
        let mut out = vec![0, self.op(), 0, 0];
        out.extend(self.want.port.to_be_bytes());
        out.extend(wish.to_be_bytes());
        out.extend(seconds.to_be_bytes());
        out
    }

    /// The answer to it. None: it is another one's.
    #[must_use]
    pub fn answer(&self, bytes: &[u8]) -> Option<Result<Granted, Failure>> {
        let (code, epoch, rest) = head(bytes, self.op())?;
        if code != 0 {
            return Some(Err(refusal(code)));
        }
        let &[i0, i1, e0, e1, l0, l1, l2, l3] = rest.first_chunk::<8>()?;
        if u16::from_be_bytes([i0, i1]) != self.want.port {
            return None;
        }
        let external = u16::from_be_bytes([e0, e1]);
        if external == 0 && !self.lease.is_zero() {
            return Some(Err(Failure::Garbled("port 0")));
        }
        Some(Ok(Granted {
            external,
            lease: Duration::from_secs(u32::from_be_bytes([l0, l1, l2, l3]).into()),
            address: None,
            epoch: Some(epoch),
        }))
    }
}

/// The gateway's address and clock, as an answer to [`ADDRESS`] or as what it tells
/// everybody when they have changed (section 3.2.1).
#[must_use]
pub fn address(bytes: &[u8]) -> Option<Result<(Ipv4Addr, u32), Failure>> {
    let (code, epoch, rest) = head(bytes, 0)?;
    if code != 0 {
        return Some(Err(refusal(code)));
    }
    let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    if ip.is_unspecified() {
        return Some(Err(Failure::NoAddress));
    }
    Some(Ok((ip, epoch)))
}

fn head(bytes: &[u8], op: u8) -> Option<(u16, u32, &[u8])> {
    let (&[version, told, c0, c1, e0, e1, e2, e3], rest) = bytes.split_first_chunk::<8>()?;
    let ours = version == 0 && told == ANSWER | op;
    let epoch = u32::from_be_bytes([e0, e1, e2, e3]);
    ours.then_some((u16::from_be_bytes([c0, c1]), epoch, rest))
}

/// Section 3.5.
fn refusal(code: u16) -> Failure {
    let word = match code {
        1 | 5 => return Failure::Silent,
        3 => return Failure::NoAddress,
        2 => "not authorized",
        4 => "no resources",
        other => return Failure::Refused(format!("NAT-PMP result {other}")),
    };
    Failure::Refused(word.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn map() -> Map {
        Map {
            want: Want {
                transport: Transport::Tcp,
                port: 41046,
            },
            wish: 41046,
            lease: Duration::from_secs(7200),
        }
    }

    const GOOD: [u8; 16] = [
        0, 130, 0, 0, 0, 0, 0, 9, 0xa0, 0x56, 0xa0, 0x57, 0, 0, 0x0e, 0x10,
    ];

    #[test]
    fn bytes_are_those_of_the_standard() {
        let bytes = map().encode();
        assert_eq!(
            bytes,
            [0, 2, 0, 0, 0xa0, 0x56, 0xa0, 0x56, 0, 0, 0x1c, 0x20]
        );
        let gone = Map {
            lease: Duration::ZERO,
            ..map()
        };
        assert_eq!(gone.encode(), [0, 2, 0, 0, 0xa0, 0x56, 0, 0, 0, 0, 0, 0]);
        let granted = map().answer(&GOOD).unwrap().unwrap();
        assert_eq!((granted.external, granted.epoch), (41047, Some(9)));
        assert_eq!(granted.lease, Duration::from_secs(3600));
        let told = address(&[0, 128, 0, 0, 0, 0, 0, 7, 203, 0, 113, 9]);
        assert_eq!(told, Some(Ok((Ipv4Addr::new(203, 0, 113, 9), 7))));
    }

    #[test]
    fn another_port_s_answer_and_a_refusal_are_no_mapping() {
        let mut other = GOOD;
        other[9] ^= 1;
        assert_eq!(map().answer(&other), None);
        let mut udp = GOOD;
        udp[1] = 129;
        assert_eq!(map().answer(&udp), None);
        let down = [0, 130, 0, 3, 0, 0, 0, 9];
        assert_eq!(map().answer(&down), Some(Err(Failure::NoAddress)));
        let nowhere = [0, 128, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0];
        assert_eq!(address(&nowhere), Some(Err(Failure::NoAddress)));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_a_panic_or_a_mapping_of_port_0(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            cut in 0usize..16,
        ) {
            if let Some(Ok(granted)) = map().answer(&bytes) {
                prop_assert!(granted.external != 0);
            }
            let _ = address(&bytes);
            prop_assert_eq!(map().answer(&GOOD[..cut]), None);
        }
    }
}
