//! The caches, and the chain.

use crate::node::house::House;
use crate::rpc::Exposition;

impl House {
    pub(super) fn cache_metrics(&self, out: &mut Exposition) {
        let counts = self.cache.counts();
        let tiers = [
            ("l1", counts.memory),
            ("l2", counts.disk),
            ("source", counts.source),
        ];
        out.counters(
            "chr_cache_hits_total",
            "Questions that a tier of the cache has answered.",
            "tier",
            &mut tiers.iter().map(|(name, tier)| (*name, tier.hits)),
        );
        out.counters(
            "chr_cache_misses_total",
            "Questions that a tier of the cache could not answer; of the source, that failed.",
            "tier",
            &mut tiers.iter().map(|(name, tier)| (*name, tier.misses)),
        );
        out.counter(
            "chr_cache_stale_total",
            "Answers that were given although they had outlived their time.",
            counts.stale,
        );
        out.number(
            "chr_cache_bytes",
            "Memory that answers take.",
            Some(counts.bytes),
        );
    }

    pub(super) fn chain_metrics(&self, out: &mut Exposition) {
        let Some(chain) = self.chain_info() else {
            return;
        };
        out.number(
            "chr_chain_block_number",
            "The newest block of the chain that is asked.",
            chain.block,
        );
        out.number(
            "chr_chain_block_timestamp_seconds",
            "When the newest block was made.",
            chain.block_time,
        );
        out.number(
            "chr_chain_synced",
            "Whether the newest block is of now; 0 while the chain does not answer.",
            chain.synced.map(u64::from),
        );
        out.counter(
            "chr_chain_refused_total",
            "Questions to the chain that were turned away by their bound.",
            chain.refused,
        );
    }
}
