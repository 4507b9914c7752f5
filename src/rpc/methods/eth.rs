//! The chain: what is asked of the one that `chain.url` names, and what programs
//! for Ethereum expect of whomever they talk to.
//!
//! Writing methods are not among them, and nothing whose answer has no bound:
//! docs/rpc.md has the list with the reasons.

use super::{json, rows, Method, Run};
use crate::rpc::fault::RpcFault;
use crate::rpc::view::NodeView;

/// A method that the chain answers.
const fn chain(
    name: &'static str,
    summary: &'static str,
    params: &'static str,
    result: &'static str,
) -> Method {
    Method {
        name,
        summary,
        params,
        result,
        writes: false,
        public: true,
        run: Run::Later,
    }
}

/// One that the node answers.
const fn own(
    name: &'static str,
    summary: &'static str,
    result: &'static str,
    run: fn(&dyn NodeView, &super::Params) -> Result<Vec<u8>, RpcFault>,
) -> Method {
    Method {
        name,
        summary,
        params: "",
        result,
        writes: false,
        public: true,
        run: Run::Now(run),
    }
}

const AT: &str = "
    address: address
    block?: block -- latest, if it is left out";
const CALL: &str = "
    transaction: object -- from, to, gas, gasPrice, maxFeePerGas, maxPriorityFeePerGas, value, nonce, data or input
    block?: block -- latest, if it is left out";

/// The rows.
pub(super) const METHODS: &[Method] = &rows([
    chain("eth_blockNumber", "The newest block.", "", "quantity"),
    chain("eth_chainId", "Which chain it is.", "", "quantity"),
    chain("eth_gasPrice", "What gas costs.", "", "quantity"),
    chain("eth_getBalance", "What an account has.", AT, "quantity"),
    chain("eth_getCode", "The code of a contract.", AT, "data"),
    chain(
        "eth_getTransactionCount",
        "How many transactions an account has sent.",
        AT,
        "quantity",
    ),
    chain(
        "eth_getStorageAt",
        "A word of a contract's storage.",
        "
    address: address
    position: quantity
    block?: block -- latest, if it is left out",
        "data",
    ),
    chain("eth_call", "What a contract answers.", CALL, "data"),
    chain(
        "eth_estimateGas",
        "How much gas a transaction would take.",
        CALL,
        "quantity",
    ),
    chain(
        "eth_getBlockByNumber",
        "A block.",
        "
    block: block
    full_transactions?: boolean -- whether transactions come whole; no, if it is left out",
        "object?",
    ),
    chain(
        "eth_getBlockByHash",
        "A block.",
        "
    hash: hash
    full_transactions?: boolean -- whether transactions come whole; no, if it is left out",
        "object?",
    ),
    chain(
        "eth_getTransactionByHash",
        "A transaction.",
        "hash: hash",
        "object?",
    ),
    chain(
        "eth_getTransactionReceipt",
        "What a transaction came to; null while it is in no block.",
        "hash: hash",
        "object?",
    ),
    chain(
        "net_version",
        "The id of the chain in decimal digits; of the one that tickets are for, if no chain is asked.",
        "",
        "string",
    ),
    chain("web3_sha3", "Keccak-256.", "data: data", "hash"),
    own(
        "web3_clientVersion",
        "Name and version of the program.",
        "string",
        |view, _| {
            let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
            json(&format!("chr-node/v{}/{os}-{arch}", view.info().version))
        },
    ),
    own(
        "net_listening",
        "Whether the node takes connections.",
        "boolean",
        |view, _| json(&view.ready()),
    ),
    own(
        "net_peerCount",
        "Links to other nodes.",
        "quantity",
        |view, _| quantity(view.info().peers),
    ),
    own(
        "net_edgeCount",
        "Sessions of devices.",
        "quantity",
        |view, _| quantity(view.info().devices),
    ),
    own(
        "eth_accounts",
        "Accounts that this node signs for: none.",
        "[address]",
        |_, _| json(&[""; 0]),
    ),
    own(
        "eth_coinbase",
        "The node's address, which is its wallet.",
        "address",
        |view, _| json(&view.info().node_id),
    ),
    own(
        "eth_syncing",
        "Always false: the node keeps no chain of its own. node_status.chain tells how it stands with the one that it asks.",
        "boolean",
        |_, _| json(&false),
    ),
    own(
        "eth_mining",
        "Always false.",
        "boolean",
        |_, _| json(&false),
    ),
    own(
        "eth_hashrate",
        "Always 0x0.",
        "quantity",
        |_, _| quantity(None),
    ),
]);

fn quantity(number: Option<u64>) -> Result<Vec<u8>, RpcFault> {
    json(&format!("0x{:x}", number.unwrap_or(0)))
}
