//! Whether what the node needs of others is there: its fleet, the time, the chain.

use super::Findings;
use crate::node::house::House;
use crate::node::network::wanted;
use crate::node::watch::Notes;
use crate::time::{Clock, Moment};
use std::time::Duration;

/// A link that is lost is dialled again at once; after this it is missed.
const MISSED: Duration = Duration::from_secs(3);
/// Names in one line.
const NAMES_MAX: usize = 3;

impl House {
    pub(super) fn others(&self, notes: &mut Notes, now: Moment, found: &mut Findings) {
        if !self.clock.trusted() {
            found.degraded(
                "the device's clock is not set".into(),
                "set it (NTP); until then epochs of tickets are taken as they come, and nothing is signed for the network",
            );
        }
        self.fleet(notes, now, found);
        self.chain_troubles(found);
    }

    fn chain_troubles(&self, found: &mut Findings) {
        let Some(chain) = self.chain_info() else {
            return;
        };
        if let Some(why) = chain.error {
            found.degraded(
                format!("the chain is not to be had: {why}"),
                "check chain.url and the way there; devices are served, eth_ methods answer from the cache",
            );
        }
    }

    fn fleet(&self, notes: &mut Notes, now: Moment, found: &mut Findings) {
        let wanted = wanted(&self.settings());
        notes
            .fleet
            .retain(|id, _| wanted.iter().any(|node| node.id == *id));
        if wanted.is_empty() {
            return;
        }
        let links = self.network.links.get();
        let links = links.map_or_else(Vec::new, |links| links.list());
        let mut missing = Vec::new();
        for node in &wanted {
            // A node that was never seen is missed from the first look on.
            let seen = notes.fleet.get_or_insert_with(node.id, || now);
            if links.iter().any(|link| link.id == node.id) {
                *seen = now;
            } else if now.since(*seen) >= MISSED {
                let name = self.fleet_name(&node.id).unwrap_or_default();
                let place = format!("{}:{}", node.host, node.port);
                missing.push(match name.is_empty() {
                    true => place,
                    false => format!("{name} ({place})"),
                });
            }
        }
        if missing.is_empty() {
            return;
        }
        let (count, all) = (missing.len(), wanted.len());
        missing.truncate(NAMES_MAX);
        let more = if count > NAMES_MAX { ", …" } else { "" };
        found.degraded(
            format!(
                "{count} of {all} nodes of the fleet do not answer: {}{more}",
                missing.join(", ")
            ),
            "start them, or correct fleet.nodes; devices of this node are served",
        );
    }
}
