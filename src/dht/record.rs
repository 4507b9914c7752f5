//! Records.

/// A record as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 1 node record, 2 presence, 3 content value, 4 mutable value.
    pub kind: u8,
    /// Its canonical RLP, or the value itself.
    pub bytes: Vec<u8>,
}
