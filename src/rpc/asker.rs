//! Who asks: where a request came from, and what its sender may see and do.
//!
//! Reading is open to all whom `network.rpc_bind` lets in. Who is neither on this
//! machine nor has the operator's token sees addresses of devices and peers
//! shortened ([`super::redact`]). Writing needs the token, on this machine, too,
//! and from elsewhere HTTPS, so that the token never crosses a network in the clear.

use super::reply::Refusal;
use std::net::IpAddr;

/// What the door knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The other end; `None` where it is not known (a stream accepted elsewhere).
    pub ip: Option<IpAddr>,
    /// Whether the connection came over TLS.
    pub tls: bool,
}

impl Origin {
    /// Whether the other end is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.ip.is_some_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// A program on this machine, and no proxy that speaks for others.
    pub loopback: bool,
    /// The request came over TLS.
    pub https: bool,
    /// It carried the operator's token.
    pub authorised: bool,
}

impl Asker {
    /// Whether addresses of devices and peers are shown in full.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.loopback || self.authorised
    }

    /// Whether it may see what concerns the operator alone.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub(super) fn may_look(&self) -> Result<(), Refusal> {
        if self.sees_all() {
            return Ok(());
        }
        Err(Refusal::unauthorised(
            "from elsewhere this needs the operator's token, over HTTPS: Authorization: Bearer with the text of DATA_DIR/operator.token",
        ))
    }

    /// Whether it may change something.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub(super) fn may_write(&self) -> Result<(), Refusal> {
        if !self.loopback && !self.https {
            return Err(Refusal::new(403, "from elsewhere only over HTTPS (network.rpcs_port): a token that crosses a network in the clear is no secret"));
        }
        if !self.authorised {
            return Err(Refusal::unauthorised(
                "this needs the operator's token: send Authorization: Bearer with the text of DATA_DIR/operator.token",
            ));
        }
        Ok(())
    }

    /// As one digit, for the way to the worker and back.
    pub(super) fn to_digit(self) -> u8 {
        u8::from(self.loopback) | u8::from(self.https) << 1 | u8::from(self.authorised) << 2
    }

    /// The opposite of [`Asker::to_digit`].
    pub(super) fn from_digit(digit: u8) -> Asker {
        Asker {
            loopback: digit & 1 != 0,
            https: digit & 2 != 0,
            authorised: digit & 4 != 0,
        }
    }
}
