//! The table of methods: the dispatcher, `rpc_discover` and docs/rpc.md follow from it.
//!
//! A subject has one file with its rows; [`TABLES`] names them all. To add a
//! method: a row, and what it calls in [`NodeView`]. Types are written as in
//! [`types`].

mod discover;
mod eth;
mod history;
mod members;
mod node;
pub(super) mod params;
#[cfg(test)]
mod reference;
mod rewards;
mod status;
pub(super) mod types;

pub use params::Params;

use super::fault::RpcFault;
use super::view::NodeView;
use crate::parts::{Part, CHAIN, HISTORY, OPENRPC};
use serde::Serialize;

/// One method.
pub(super) struct Method {
    /// What it is called by.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub summary: &'static str,
    /// The fields of its parameters, in their order, one a line, as in an object of
    /// [`types`]: `span: "hour" | "day" -- the stretch of time`; `name?:` may be left out.
    pub params: &'static str,
    /// The type of its result.
    pub result: &'static str,
    /// Whether it changes anything, so that it needs the operator's token.
    pub writes: bool,
    /// Whether the result tells nothing of devices and peers, so that nothing of it is
    /// ever shortened.
    pub public: bool,
    /// Who answers.
    pub run: Run,
}

/// Answers a method on the spot.
pub(super) type Answering = fn(&dyn NodeView, &Params) -> Result<Vec<u8>, RpcFault>;

/// How a method is answered.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// From memory, at once: the JSON text of the result.
    Now(Answering),
    /// The same, for those alone who see everything.
    Operator(Answering),
    /// By [`NodeView::ask`], which takes time.
    Later,
}

/// All methods, a subject each.
pub(super) const TABLES: &[&[Method]] = &[
    node::METHODS,
    members::METHODS,
    of(CHAIN, eth::METHODS),
    rewards::METHODS,
    of(OPENRPC, discover::METHODS),
    of(HISTORY, history::METHODS),
    status::METHODS,
];

/// The methods of a part, none in a build without it.
const fn of(part: Part, methods: &'static [Method]) -> &'static [Method] {
    if part.built {
        methods
    } else {
        &[]
    }
}

/// Rows as the program has them: what the OpenRPC document alone tells is left out
/// with it.
#[allow(clippy::indexing_slicing)] // by the compiler, which would refuse it
const fn rows<const N: usize>(mut rows: [Method; N]) -> [Method; N] {
    let mut at = 0;
    while at < N && !OPENRPC.built && !cfg!(test) {
        rows[at].summary = "";
        rows[at].result = "";
        at += 1;
    }
    rows
}

/// All methods in the order of the tables.
pub(super) fn all() -> impl Iterator<Item = &'static Method> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The method of that name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    // The name that the standard gives it; tools ask for it.
    let name = if name == "rpc.discover" {
        "rpc_discover"
    } else {
        name
    };
    all().find(|method| method.name == name)
}

/// The JSON text of a result.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, RpcFault> {
    serde_json::to_vec(value).map_err(|error| RpcFault::internal(error.to_string()))
}
