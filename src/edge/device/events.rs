//! What a device's program hears and is offered.

use super::tunnel::Tunnel;
use super::Shared;
use crate::identity::Address;
use crate::ports::local::End;
use crate::ports::LocalPort;
use crate::tls::Channel;
use crate::wire::code::Code;
use std::sync::Arc;

/// What happens to a device, for its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// A ticket was accepted and all published ports stand.
    Ready {
        /// The node.
        node: Address,
        /// Where it was reached.
        place: String,
    },
    /// The session ended that new ports went through, and the ports in it with
    /// it. The device tries to come back; with a second session that stands,
    /// `Back` follows at once.
    Lost {
        /// Why.
        reason: String,
    },
    /// A session stands again.
    Back {
        /// The node.
        node: Address,
        /// Milliseconds without a session in which everything stands.
        after_ms: u64,
    },
    /// A node could not be reached or refused the session; the device goes on trying.
    Trouble {
        /// Where, why and what to do.
        reason: String,
    },
    /// A node that a session stands with opens no more ports for the time being. Those
    /// that are open go on, and new ones go through another node, if there is one.
    Closed {
        /// The node.
        node: Address,
        /// Why.
        reason: String,
        /// Milliseconds after which it may open ports again.
        retry_ms: Option<u32>,
        /// The node that new ports go through.
        instead: Option<Address>,
    },
    /// That node opens ports again.
    Opens {
        /// The node.
        node: Address,
    },
    /// The node refused to publish a port.
    Refused {
        /// The port's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// It makes no sense to go on; the device has stopped.
    Over {
        /// Why, and what to do.
        reason: String,
    },
}

/// A port that somebody wants to open.
pub struct Offer {
    pub(super) port: LocalPort,
    pub(super) shared: Arc<Shared>,
}

impl Offer {
    /// The opener as the node says; end to end, the handshake tells for sure.
    #[must_use]
    pub fn opener(&self) -> Address {
        self.port.peer()
    }

    /// The port's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.port.name()
    }

    /// Refuses the opening.
    pub fn refuse(self, code: Code, text: &str) {
        self.port.refuse(code, text);
    }

    /// Takes the port. For `tls:` and `utls:` the handshake is done first, and
    /// `allowed` judges the opener by its proven address.
    ///
    /// # Errors
    /// The handshake failed or the opener is not allowed; the opener is told.
    pub async fn accept(self, allowed: impl Fn(Address) -> Result<(), End>) -> Result<Tunnel, End> {
        let clock = self.shared.options.clock.clone();
        if !crate::edge::is_end_to_end(self.port.name()) {
            let verdict = allowed(self.port.peer());
            if let Err(end) = verdict {
                self.port.refuse(end.code, &end.text);
                return Err(end);
            }
            self.port.accept();
            return Ok(Tunnel::plain(self.port, clock));
        }
        self.port.accept();
        let channel = Channel::server(&self.shared.inner_server);
        Tunnel::secured(self.port, channel, Vec::new(), clock, allowed).await
    }
}
