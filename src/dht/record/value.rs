//! Kinds 3 and 4: values. What hangs on a content value is its hash, on a
//! mutable one its owner's signature.
//!
//! ```text
//! content   RLP([until, value])
//! mutable   RLP([owner, name, seq, until, value, sig])
//! signed    keccak256("chr-value/1" || RLP([owner, name, seq, until, value]))
//! ```
//!
//! `until` of a content value is signed by nobody: whoever has the value may
//! store it anew. It is there so that copies passed on between replicas end
//! when the first one does.

use super::Refusal;
use crate::dht::seal::{Seal, Verify};
use crate::identity::{keccak256, Address, Signature};
use crate::wire::rlp::{Encoder, Item};

/// Longest name of a mutable value in bytes.
pub const VALUE_NAME_MAX: usize = 64;

const DOMAIN: &[u8] = b"chr-value/1";

/// A value that is found by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentValue {
    /// Unix seconds at which it ends unless it is stored anew; at most a day ahead.
    pub until: u64,
    /// What is stored.
    pub value: Vec<u8>,
}

impl ContentValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.list(|out| {
            out.u64(self.until).bytes(&self.value);
        });
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<ContentValue, Refusal> {
        let form = |_| Refusal::Form;
        let [until, value] = Item::parse(bytes)
            .and_then(|item| item.tuple())
            .map_err(form)?;
        Ok(ContentValue {
            until: until.u64().map_err(form)?,
            value: value.bytes().map_err(form)?.to_vec(),
        })
    }
}

/// A value that its owner can replace, found by owner and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutableValue {
    /// Who signs it.
    pub owner: Address,
    /// Tells an owner's values apart; at most 64 bytes.
    pub name: Vec<u8>,
    /// The higher number is the newer value.
    pub seq: u64,
    /// Unix seconds at which it ends unless a newer one is stored; at most a day ahead.
    pub until: u64,
    /// What is stored.
    pub value: Vec<u8>,
}

impl MutableValue {
    fn write(&self, out: &mut Encoder) {
        out.bytes(&self.owner.0).bytes(&self.name);
        out.u64(self.seq).u64(self.until).bytes(&self.value);
    }

    fn digest(&self) -> [u8; 32] {
        let mut out = Encoder::new();
        out.list(|out| self.write(out));
        keccak256(&[DOMAIN, &out.finish()])
    }

    pub(super) fn sign(&self, seal: &dyn Seal) -> Vec<u8> {
        let signature = seal.sign65(&self.digest());
        let mut out = Encoder::new();
        out.list(|out| {
            self.write(out);
            out.bytes(&signature.0);
        });
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(MutableValue, Signature), Refusal> {
        let form = |_| Refusal::Form;
        let [owner, name, seq, until, value, signature] = Item::parse(bytes)
            .and_then(|item| item.tuple())
            .map_err(form)?;
        let name = name.bytes().map_err(form)?;
        if name.len() > VALUE_NAME_MAX {
            return Err(Refusal::Form);
        }
        let value = MutableValue {
            owner: Address(owner.array().map_err(form)?),
            name: name.to_vec(),
            seq: seq.u64().map_err(form)?,
            until: until.u64().map_err(form)?,
            value: value.bytes().map_err(form)?.to_vec(),
        };
        Ok((value, Signature(signature.array().map_err(form)?)))
    }

    pub(super) fn check(&self, by: &Signature, verify: &dyn Verify) -> Result<(), Refusal> {
        if verify.recover65(&self.digest(), by) == Some(self.owner) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }
}
