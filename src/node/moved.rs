//! What the house does when the machine's network comes, goes, or is another one.

use super::house::House;
use super::supervisor::End;
use crate::liveness::Beat;
use crate::parts::POWER;
use crate::platform::links::{Change, Links};
use smol::future;
use std::sync::Arc;

impl House {
    /// Begins to watch the network. Whoever dials hears at once when there is none.
    pub fn watch_network(&self) -> Links {
        let watch = Links::new();
        self.tell_dialling(!watch.is_up() && watch.is_told());
        watch
    }

    fn tell_dialling(&self, away: bool) {
        if let Some(links) = self.network.links.get().filter(|_| POWER.built) {
            links.set_away(away);
        }
    }

    /// The network has changed; `told`: the next change is heard of at once. Whoever was
    /// connected is asked whether he is still there: what went over the old network may
    /// be dead, and would be waited for for minutes.
    pub fn network_changed(self: &Arc<House>, change: Change, told: bool) {
        // Where a network that comes is seen late, those who dial see it first.
        self.tell_dialling(change == Change::Down && told);
        match change {
            Change::Down => return log::warn!("there is no network any more"),
            Change::Up => log::info!("there is a network again"),
            Change::Moved => {}
        }
        if let Some(links) = self.network.links.get() {
            links.doubt_all();
        }
        if POWER.built {
            self.board.doubt_all();
            // It may cost money.
            self.thrift.hurry();
            self.mind_power();
        }
    }

    /// The same for ever, for a node that has nobody else to watch: without a peer port.
    pub async fn follow_network(self: Arc<House>, beat: Beat) -> End {
        let asked = async {
            loop {
                beat.asked().await;
            }
        };
        let watching = async {
            let mut watch = self.watch_network();
            loop {
                let change = watch.changed().await;
                self.network_changed(change, watch.is_told());
            }
        };
        future::or(asked, watching).await
    }
}
