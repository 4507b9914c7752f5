//! Cookies: proof that who asks can read what is sent to its address.
//!
//! A cookie is a keyed hash of the asker's IP address and port and of the hour,
//! so nothing is remembered of anybody. Those of this hour and the previous one
//! are good. (RFC 9000, section 8.1, calls it address validation.)
//!
//! How it is used: [`Cookies::accepts`] before any other work on a request, and
//! [`Cookies::make`] for the CHALLENGE or the answer.

use crate::identity::sha256;
use crate::time::Moment;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long cookies are made with one secret.
pub const COOKIE_HOUR: Duration = Duration::from_secs(3600);

/// Bytes of the secret: with the rest of what is hashed it fills one block of
/// SHA-256, and a flood of spoofed packets costs one hash each.
const SECRET: usize = 24;

/// Makes and checks cookies.
pub struct Cookies {
    secret: [u8; SECRET],
}

impl Cookies {
    /// Cookies that nobody can guess who does not know `seed`. It must not come
    /// from a generator whose other numbers are seen by others.
    #[must_use]
    pub fn new(seed: &[u8]) -> Cookies {
        let mut secret = [0; SECRET];
        let hash = sha256(&[b"chr-dht-cookie", seed]);
        for (to, from) in secret.iter_mut().zip(hash) {
            *to = from;
        }
        Cookies { secret }
    }

    /// The cookie for `at`. Never 0, which means "none yet".
    #[must_use]
    pub fn make(&self, now: Moment, at: SocketAddr) -> u64 {
        self.of_hour(hour(now), at)
    }

    /// Whether `cookie` was made for `at` in this hour or the previous one.
    #[must_use]
    pub fn accepts(&self, now: Moment, at: SocketAddr, cookie: u64) -> bool {
        let hour = hour(now);
        // An attacker on the network gets one guess a packet either way: there is
        // nothing to learn from the time that a comparison of 8 bytes takes.
        cookie != 0
            && (cookie == self.of_hour(hour, at)
                || (hour > 0 && cookie == self.of_hour(hour - 1, at)))
    }

    fn of_hour(&self, hour: u64, at: SocketAddr) -> u64 {
        // One spelling an address, whatever the socket's family made of it.
        let ip = match at.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let hash = sha256(&[
            &self.secret,
            &hour.to_be_bytes(),
            &ip.octets(),
            &at.port().to_be_bytes(),
        ]);
        let first = hash.first_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(first).max(1)
    }
}

fn hour(now: Moment) -> u64 {
    now.since(Moment(0)).as_secs() / COOKIE_HOUR.as_secs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn hours(n: u64) -> Moment {
        Moment(0) + COOKIE_HOUR.saturating_mul(n.try_into().unwrap())
    }

    #[test]
    fn a_cookie_is_worth_nothing_at_another_address_or_port() {
        let cookies = Cookies::new(b"1");
        let here = at("10.0.0.1:5");
        let cookie = cookies.make(hours(5), here);
        assert!(cookies.accepts(hours(5), here, cookie));
        assert!(cookies.accepts(hours(5), at("[::ffff:10.0.0.1]:5"), cookie));
        for other in ["10.0.0.1:6", "10.0.0.2:5", "[::a00:1]:5"] {
            assert!(!cookies.accepts(hours(5), at(other), cookie));
        }
        assert!(!Cookies::new(b"2").accepts(hours(5), here, cookie));
        assert!(!cookies.accepts(hours(5), here, 0));
    }

    #[test]
    fn a_cookie_ends_within_two_hours() {
        let cookies = Cookies::new(b"1");
        let here = at("[2001:db8::1]:5");
        for hour in [0, 7] {
            let cookie = cookies.make(hours(hour), here);
            assert!(cookies.accepts(hours(hour + 1), here, cookie));
            assert!(!cookies.accepts(hours(hour + 2), here, cookie));
            if hour > 0 {
                assert!(!cookies.accepts(hours(hour - 1), here, cookie));
            }
        }
    }
}
