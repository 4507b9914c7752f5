//! The operator's token, and who has shown it.
//!
//! A token is 32 random bytes; nobody guesses it. Wrong ones are counted all the same,
//! so that a program that tries costs little and is seen: after [`WRONG_LIMIT`] in a row
//! those who ask from the same network wait.

use super::asker::{Asker, Origin};
use super::head::{Credential, Head};
use super::limits::{WRONG_LIMIT, WRONG_NETWORKS, WRONG_PAUSE};
use super::reply::Refusal;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The operator's token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Token {
        Token(bytes)
    }

    /// From 64 hexadecimal digits, of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Token> {
        decode(text.as_bytes()).map(Token)
    }

    /// Compares in a time that does not depend on where the two differ.
    fn is(&self, other: &[u8; 32]) -> bool {
        let pairs = self.0.iter().zip(other);
        let differing = pairs.fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
        differing == 0
    }
}

/// 32 bytes from 64 digits.
pub(super) fn decode(digits: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for &digit in pair {
            let value = char::from(digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

/// Whether there is a token to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// There is.
    Known(Token),
    /// There is none, and why: writing calls are refused with these words.
    Missing(String),
}

impl Default for TokenState {
    fn default() -> TokenState {
        TokenState::Missing("this service was given none".to_owned())
    }
}

/// Judges who asks.
#[derive(Default)]
pub(super) struct Guard {
    token: Mutex<TokenState>,
    wrong: Mutex<Vec<Wrong>>,
}

/// Wrong tokens from one network.
struct Wrong {
    network: Option<IpAddr>,
    /// How many; one less after each [`WRONG_PAUSE`].
    count: u32,
    since: Instant,
}

impl Guard {
    /// With that token.
    pub fn new(token: TokenState) -> Guard {
        Guard {
            token: Mutex::new(token),
            wrong: Mutex::default(),
        }
    }

    /// Puts another token in force.
    pub fn change(&self, token: TokenState) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Who asks, by where the connection comes from and what its request shows.
    pub fn judge(&self, origin: Origin, head: &Head, now: Instant) -> Result<Asker, Refusal> {
        let asker = Asker {
            loopback: origin.is_loopback() && !head.forwarded,
            https: origin.tls,
            authorised: false,
        };
        let shown = match head.credential {
            Credential::None => return Ok(asker),
            Credential::Strange => {
                return Err(Refusal::unauthorised(
                    "Authorization is not as it must be: Bearer and the 64 hexadecimal digits of DATA_DIR/operator.token",
                ))
            }
            Credential::Token(shown) => shown,
        };
        if !asker.loopback && !asker.https {
            return Err(Refusal::new(403, "a token was sent in the clear: consider it known to others, remove DATA_DIR/operator.token and send SIGHUP for a new one; use HTTPS (network.rpcs_port)"));
        }
        let network = origin.ip.map(network);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain_mut(|row| row.calm(now));
        let row = wrong.iter().position(|row| row.network == network);
        if let Some(row) = row.and_then(|at| wrong.get(at)) {
            if row.count >= WRONG_LIMIT {
                return Err(Refusal::too_many(
                    WRONG_PAUSE,
                    "too many wrong tokens from this network",
                ));
            }
        }
        match &*self.token.lock().unwrap_or_else(PoisonError::into_inner) {
            TokenState::Missing(why) => {
                return Err(Refusal::new(
                    403,
                    format!("no token can be accepted: {why}"),
                ))
            }
            TokenState::Known(token) if token.is(&shown) => {
                return Ok(Asker {
                    authorised: true,
                    ..asker
                })
            }
            TokenState::Known(_) => {}
        }
        match row.and_then(|at| wrong.get_mut(at)) {
            Some(row) => row.count += 1,
            None => {
                if wrong.len() >= WRONG_NETWORKS {
                    wrong.remove(0);
                }
                log::warn!("rpc: a wrong token from {}", told(network));
                wrong.push(Wrong {
                    network,
                    count: 1,
                    since: now,
                });
            }
        }
        Err(Refusal::unauthorised(
            "this is not the operator's token (DATA_DIR/operator.token)",
        ))
    }
}

impl Wrong {
    /// Forgets what is long ago; whether something is left.
    fn calm(&mut self, now: Instant) -> bool {
        while self.count > 0 && now.saturating_duration_since(self.since) >= WRONG_PAUSE {
            self.since += WRONG_PAUSE;
            self.count -= 1;
        }
        self.count > 0
    }
}

fn told(network: Option<IpAddr>) -> String {
    network.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string())
}

/// An IPv4 address, or the /64 that one holder of IPv6 addresses has.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::head;
    use super::*;

    const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn head(lines: &str) -> Head {
        let text = format!("GET /config HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        head::parse(text.as_bytes(), &[]).unwrap()
    }

    fn shown(digits: &str) -> Head {
        head(&format!("Authorization: Bearer {digits}\r\n"))
    }

    fn guard() -> Guard {
        Guard::new(TokenState::Known(Token::parse(DIGITS).unwrap()))
    }

    fn from(ip: &str, tls: bool) -> Origin {
        Origin {
            ip: Some(ip.parse().unwrap()),
            tls,
        }
    }

    #[test]
    fn the_token_counts_on_this_machine_and_over_tls_alone() {
        let (guard, now) = (guard(), Instant::now());
        let proxied = || {
            head(&format!(
                "Authorization: bearer {DIGITS}\r\nX-Forwarded-For: 192.0.2.7\r\n"
            ))
        };
        for (origin, head, want) in [
            (
                from("127.0.0.1", false),
                shown(DIGITS),
                Ok((true, true, true)),
            ),
            (
                from("::ffff:127.0.0.1", false),
                shown(DIGITS),
                Ok((true, true, true)),
            ),
            (
                from("::1", true),
                shown(&DIGITS.to_lowercase()),
                Ok((true, true, true)),
            ),
            (
                from("192.0.2.1", true),
                shown(DIGITS),
                Ok((true, false, true)),
            ),
            (from("127.0.0.1", true), proxied(), Ok((true, false, true))),
            (from("127.0.0.1", false), proxied(), Err(403)),
            (from("192.0.2.1", false), shown(DIGITS), Err(403)),
            (from("192.0.2.1", true), shown(&"0".repeat(64)), Err(401)),
            (from("127.0.0.1", false), shown(&DIGITS[..62]), Err(401)),
            (from("192.0.2.1", true), head(""), Ok((false, false, false))),
            (from("127.0.0.1", false), head(""), Ok((true, true, false))),
        ] {
            let judged = guard.judge(origin, &head, now);
            let told = judged.map(|asker| {
                let writes = asker.may_write().is_ok();
                assert_eq!(writes, asker.authorised);
                (asker.sees_all(), asker.loopback, asker.authorised)
            });
            assert_eq!(
                told.map_err(|refusal| refusal.status),
                want,
                "{origin:?} {head:?}"
            );
        }
        // A stream of which nothing is known is one from elsewhere.
        let unknown = Origin {
            ip: None,
            tls: false,
        };
        assert!(!guard.judge(unknown, &head(""), now).unwrap().sees_all());
    }

    #[test]
    fn wrong_tokens_are_counted_by_network_and_forgotten_in_time() {
        let (guard, start) = (guard(), Instant::now());
        let wrong = |ip: &str, now| guard.judge(from(ip, true), &shown(&"1".repeat(64)), now);
        let status = |ip: &str, now| wrong(ip, now).unwrap_err().status;
        for n in 0..WRONG_LIMIT {
            assert_eq!(status(&format!("2001:db8::{n:x}"), start), 401);
        }
        assert_eq!(status("2001:db8::ffff", start), 429);
        // Also with the right one: else it would be no limit.
        let right = guard.judge(from("2001:db8::1", true), &shown(DIGITS), start);
        assert_eq!(right.unwrap_err().status, 429);
        // Others are not concerned.
        assert_eq!(status("2001:db8:0:1::1", start), 401);
        assert!(guard
            .judge(from("192.0.2.1", true), &shown(DIGITS), start)
            .is_ok());
        let later = start + WRONG_PAUSE;
        assert_eq!(status("2001:db8::1", later), 401);
        assert_eq!(status("2001:db8::1", later), 429);
        let much_later = start + WRONG_PAUSE * (WRONG_LIMIT + 2);
        assert!(guard
            .judge(from("2001:db8::1", true), &shown(DIGITS), much_later)
            .is_ok());
    }

    #[test]
    fn a_world_of_wrong_tokens_does_not_grow_the_table() {
        let (guard, now) = (guard(), Instant::now());
        for n in 0..10_000_u32 {
            let ip = std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
            let _ = guard.judge(from(&ip, true), &shown(&"2".repeat(64)), now);
        }
        assert_eq!(guard.wrong.lock().unwrap().len(), WRONG_NETWORKS);
    }
}
