//! Hits and misses, for `network_stats` and metrics.

/// One tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierCounts {
    /// Questions that it answered.
    pub hits: u64,
    /// Questions that it could not answer; of the source: that failed.
    pub misses: u64,
}

impl TierCounts {
    pub(super) fn count(&mut self, hit: bool) {
        let place = if hit {
            &mut self.hits
        } else {
            &mut self.misses
        };
        *place = place.saturating_add(1);
    }

    /// Share of hits, from 0 to 1, in thousandths; `None` before the first
    /// question.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let all = self.hits.saturating_add(self.misses);
        (all > 0).then(|| (self.hits as f64 / all as f64 * 1000.0).round() / 1000.0)
    }
}

/// All of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// L1.
    pub memory: TierCounts,
    /// L2; only kinds that go there are counted.
    pub disk: TierCounts,
    /// L3.
    pub source: TierCounts,
    /// Questions that waited for the result of another's.
    pub joined: u64,
    /// Answers that were given although they had outlived their time.
    pub stale: u64,
    /// Answers that were fetched anew before they ended.
    pub ahead: u64,
    /// Bytes in memory.
    pub bytes: u64,
    /// Most bytes in memory.
    pub capacity: u64,
    /// Answers in memory.
    pub entries: usize,
    /// Answers on the disk.
    pub disk_rows: usize,
    /// Bytes on the disk.
    pub disk_bytes: usize,
}
