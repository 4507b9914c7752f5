//! The chain and the caches, as `node_status` and `network_stats` tell them.

use serde::Serialize;

/// How the node stands with the chain that `chain.url` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChainInfo {
    /// Where it is asked, without what may be secret.
    pub url: String,
    /// Which chain it is, as it says.
    pub chain_id: Option<u64>,
    /// Number of the newest block.
    pub block: Option<u64>,
    /// When that was made, in seconds since 1970.
    pub block_time: Option<u64>,
    /// How long ago the chain answered last.
    pub answered_seconds: Option<u64>,
    /// Whether that block is of now; `None` while it cannot be known.
    pub synced: Option<bool>,
    /// Why not.
    pub error: Option<String>,
    /// What an operator should look at although it works.
    pub remark: Option<String>,
    /// Questions for others that were turned away by their bound.
    pub refused: u64,
}

/// One tier of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CacheTier {
    /// Questions that it answered.
    pub hits: u64,
    /// Questions that it could not answer; of the source: that failed.
    pub misses: u64,
    /// Share of hits; `None` before the first question.
    pub ratio: Option<f64>,
}

/// `network_stats.cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CacheStats {
    /// Memory.
    pub l1: CacheTier,
    /// The table `cache`.
    pub l2: CacheTier,
    /// Those who were asked.
    pub source: CacheTier,
    /// Questions that waited for the answer to another's.
    pub joined: u64,
    /// Answers that were given although they had outlived their time.
    pub stale: u64,
    /// Answers that were fetched anew before their time was over.
    pub ahead: u64,
    /// Answers in memory.
    pub entries: u64,
    /// Bytes in memory.
    pub bytes: u64,
    /// Most bytes in memory.
    pub capacity: u64,
    /// Answers on the disk.
    pub disk_rows: u64,
    /// Their bytes.
    pub disk_bytes: u64,
}
