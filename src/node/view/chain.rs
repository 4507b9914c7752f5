//! The chain and the caches: how they are, and questions to the chain.

use super::super::house::House;
use crate::cache::TierCounts;
use crate::chain::{Answer, ChainError};
use crate::identity::{hex, keccak256};
use crate::rpc::{Asked, CacheStats, CacheTier, ChainInfo, Params, RpcFault, Told};
use serde_json::{json, Value};
use std::borrow::Cow;
use std::time::Duration;

/// EIP-1474: more was asked than is allowed.
const LIMIT_EXCEEDED: i32 = -32005;

impl House {
    /// `network_stats.cache`.
    pub(super) fn cache_stats(&self) -> CacheStats {
        let tier = |tier: TierCounts| CacheTier {
            hits: tier.hits,
            misses: tier.misses,
            ratio: tier.ratio(),
        };
        let counts = self.cache.counts();
        CacheStats {
            l1: tier(counts.memory),
            l2: tier(counts.disk),
            source: tier(counts.source),
            joined: counts.joined,
            stale: counts.stale,
            ahead: counts.ahead,
            entries: counts.entries as u64,
            bytes: counts.bytes,
            capacity: counts.capacity,
            disk_rows: counts.disk_rows as u64,
            disk_bytes: counts.disk_bytes as u64,
        }
    }

    /// How the node stands with its chain; `None` without `chain.url`.
    pub(in crate::node) fn chain_info(&self) -> Option<ChainInfo> {
        let chain = self.chain.get()?;
        let state = chain.state();
        let tickets = self.settings().tickets.chain_id;
        let other = state.chain_id.filter(|id| *id != tickets);
        Some(ChainInfo {
            url: chain.place(),
            chain_id: state.chain_id,
            block: state.block,
            block_time: state.block_time,
            answered_seconds: state.answered.map(|age| age.as_secs()),
            synced: state.synced,
            error: state.error,
            remark: other.map(|id| {
                format!("it is chain {id}, and tickets are for {tickets} (tickets.chain_id)")
            }),
            refused: chain.refused(),
        })
    }

    /// Answers a method of `eth_`, `net_` or `web3_` that is not answered on the spot.
    pub(super) fn ask_chain(&self, method: &'static str, params: &Params) -> Asked {
        let chain = self.chain.get();
        let given = params.to_list();
        let now = |result: Result<Value, RpcFault>| -> Asked {
            Box::pin(std::future::ready(result.map(Told::from)))
        };
        match method {
            "web3_sha3" => return now(sha3(params)),
            "net_version" => {
                let known = chain.and_then(|chain| chain.state().chain_id);
                let id = known.unwrap_or(self.settings().tickets.chain_id);
                return now(Ok(json!(id.to_string())));
            }
            _ => {}
        }
        let Some(chain) = chain else {
            return now(Err(RpcFault::unavailable(
                "this node asks no chain: set chain.url to the JSON-RPC of one",
            )));
        };
        Box::pin(async move {
            let params = given.as_array().map_or(&[][..], Vec::as_slice);
            match chain.answer(method, params).await {
                Some(Ok(Answer { value, stale })) => Ok(Told {
                    value,
                    stale_seconds: stale.map(|age| age.as_secs()),
                }),
                Some(Err(error)) => Err(fault(error)),
                None => Err(RpcFault::internal(format!(
                    "{method} is not known to the chain's client"
                ))),
            }
        })
    }
}

fn sha3(params: &Params) -> Result<Value, RpcFault> {
    let digits = params.text(0).and_then(|text| text.strip_prefix("0x"));
    let bytes = digits.and_then(hex::decode);
    let bytes =
        bytes.ok_or_else(|| RpcFault::params("data is 0x and pairs of hexadecimal digits"))?;
    Ok(json!(format!("0x{}", hex::encode(&keccak256(&[&bytes])))))
}

fn later(code: i32, text: String, wait: Duration) -> RpcFault {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    RpcFault {
        code,
        text: Cow::Owned(text),
        data: Some(json!({"retry_after_ms": millis})),
    }
}

fn fault(error: ChainError) -> RpcFault {
    let text = error.to_string();
    match error {
        ChainError::Params(why) => RpcFault::params(why),
        ChainError::Down(_, wait) => later(RpcFault::unavailable("").code, text, wait),
        ChainError::Busy(wait) => later(LIMIT_EXCEEDED, text, wait),
        ChainError::Refused(said) => {
            let code = said.get("code").and_then(Value::as_i64);
            let code = code.and_then(|code| i32::try_from(code).ok());
            let message = said.get("message").and_then(Value::as_str);
            RpcFault {
                code: code.unwrap_or(RpcFault::unavailable("").code),
                text: Cow::Owned(message.unwrap_or_default().to_owned()),
                data: said.get("data").cloned(),
            }
        }
    }
}
