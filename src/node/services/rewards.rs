//! Reward periods: looked at with every tick of the house. That they cannot be
//! kept takes nothing else along: it is the last service but one.

use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::supervisor::{Beats, Later, Restart, Running, Service};
use smol::future::FutureExt;
use std::sync::Arc;

/// See the module's text.
pub struct Rewards(pub Arc<House>);

impl Service for Rewards {
    fn name(&self) -> &'static str {
        "rewards"
    }

    fn restart(&self) -> Restart {
        Restart::Permanent
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        let beat = beats.one_more();
        async move {
            let house = self.0.clone();
            house.adopt_earnings();
            house.track_earnings();
            Ok(async move {
                loop {
                    beat.asked().await;
                    house.track_earnings();
                }
            }
            .boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move { self.0.finish_earnings() }.boxed()
    }
}
