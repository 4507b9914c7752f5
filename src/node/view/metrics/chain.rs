//! The caches and the chain.

use crate::node::house::House;
use crate::rpc::Exposition;

impl House {
    pub(super) fn cache_metrics(&self, out: &mut Exposition) {
        let cache = self.cache_stats();
        let tiers = [("l1", cache.l1), ("l2", cache.l2), ("source", cache.source)];
        out.counters(
            "chr_cache_hits_total",
            "Questions that a tier of the cache answered: memory (l1), disk (l2), those who were asked (source).",
            "tier",
            &mut tiers.iter().map(|(name, tier)| (*name, tier.hits)),
        );
        out.counters(
            "chr_cache_misses_total",
            "Questions that it could not answer.",
            "tier",
            &mut tiers.iter().map(|(name, tier)| (*name, tier.misses)),
        );
        let answers = [
            ("joined", cache.joined),
            ("stale", cache.stale),
            ("ahead", cache.ahead),
        ];
        out.counters(
            "chr_cache_answers_total",
            "Answers that waited for another's question (joined), were given beyond their time (stale), or were fetched before they ended (ahead).",
            "how",
            &mut answers.into_iter(),
        );
        out.number(
            "chr_cache_bytes",
            "What the cache takes in memory.",
            Some(cache.bytes),
        );
        out.number(
            "chr_cache_capacity_bytes",
            "What it may take (storage.cache_size).",
            Some(cache.capacity),
        );
        out.number(
            "chr_cache_disk_bytes",
            "What it takes in the store.",
            Some(cache.disk_bytes),
        );
    }

    pub(super) fn chain_metrics(&self, out: &mut Exposition) {
        let Some(chain) = self.chain_info() else {
            return;
        };
        let yes = |value: bool| f64::from(u8::from(value));
        out.gauge(
            "chr_chain_up",
            "1 while the chain answers.",
            Some(yes(chain.error.is_none())),
        );
        out.gauge(
            "chr_chain_synced",
            "1 while its newest block is of now.",
            chain.synced.map(yes),
        );
        out.number(
            "chr_chain_block",
            "Number of its newest block.",
            chain.block,
        );
        out.number(
            "chr_chain_block_timestamp_seconds",
            "When that was made, in seconds since 1970.",
            chain.block_time,
        );
        out.counter(
            "chr_chain_refused_total",
            "Questions for others that were turned away by their bound.",
            chain.refused,
        );
    }
}
