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
            return Err(Refusal::new(403, "a token was sent in the clear: consider it known to others, remove DATA_DIR/operator.token and start the node, which makes a new one; use HTTPS (network.rpcs_port)"));
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
