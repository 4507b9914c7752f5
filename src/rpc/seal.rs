//! The node's signature of its answers: headers that every reply to a POST carries, so that
//! one who knows the node's address knows who has said it, whatever lies between.
//!
//! `x-diode-sender` is the node's address, `x-diode-signature` 65 bytes in hexadecimal, the recovery
//! id first, over SHA-256 of "DiodeNodeReply" and the body. Signing takes some 50 us and always
//! gives the same, so the latest few are remembered: a monitor that is told the same again pays
//! for a hash.

use super::view::NodeView;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// What is hashed before the body.
const CONTEXT: &[u8] = b"DiodeNodeReply";
/// Signatures that are remembered: a few monitors with a few calls each. 250 bytes apiece.
const REMEMBERED: usize = 16;

/// What is signed of a reply with that body.
#[must_use]
pub fn reply_digest(body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(CONTEXT);
    hash.update(body);
    hash.finalize().into()
}

/// Signs answers.
pub(super) struct Seals {
    view: Arc<dyn NodeView>,
    /// Digests and the header lines for them, the latest last.
    recent: Mutex<VecDeque<([u8; 32], String)>>,
}

impl Seals {
    /// With the key of that node.
    pub fn new(view: Arc<dyn NodeView>) -> Seals {
        Seals {
            view,
            recent: Mutex::default(),
        }
    }

    /// The header lines for a body, each with its end.
    pub fn lines(&self, body: &[u8]) -> String {
        let digest = reply_digest(body);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lines)) = recent.iter().find(|(seen, _)| *seen == digest) {
            return lines.clone();
        }
        drop(recent);
        let (sender, signature) = self.view.sign_reply(&digest);
        let mut lines = format!("x-diode-sender: {sender}\r\nx-diode-signature: 0x");
        for byte in signature {
            let _ = write!(lines, "{byte:02x}");
        }
        lines.push_str("\r\n");
        recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((digest, lines.clone()));
        lines
    }
}
