//! The chain: follows its head, and can be asked. Off without `chain.url`.
//!
//! Nothing here waits for the chain: the service stands at once, and a chain that
//! is away is told by health and tried again.

use crate::chain::{Block, Chain, Options, Place};
use crate::node::error::NodeError;
use crate::node::house::House;
use crate::node::supervisor::{Beats, End, Later, Restart, Running, Service};
use crate::rpc::events::Topic;
use crate::sorted::object;
use smol::future::FutureExt;
use std::sync::Arc;

/// See the module's text.
pub struct Follower(pub Arc<House>);

impl Follower {
    fn options(&self) -> Option<Options> {
        let house = &self.0;
        let settings = house.settings();
        let url = settings.chain.url.clone()?;
        let (tell, listen) = (house.hub.clone(), house.hub.clone());
        let clock = house.clock.clone();
        Some(Options {
            place: Place {
                https: url.https,
                host: url.host,
                port: url.port,
                path: url.path,
            },
            ca_file: settings.chain.ca_file.clone(),
            cache: house.cache.clone(),
            clock: house.clock.clone(),
            agent: house.agent(),
            tell: Box::new(move |block| {
                clock.heard_of_block(block.time);
                tell.publish(Topic::Block, told(block));
            }),
            listened: Box::new(move || listen.wanted(Topic::Block) || listen.wanted(Topic::Status)),
        })
    }
}

/// The event `block`.
fn told(block: &Block) -> String {
    object(&mut [
        ("number", block.number.into()),
        ("hash", block.hash.as_str().into()),
        ("time", block.time.into()),
        ("transactions", block.transactions.into()),
    ])
    .to_string()
}

impl Service for Follower {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn restart(&self) -> Restart {
        Restart::Transient
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        async move {
            let Some(options) = self.options() else {
                return Ok(std::future::ready(End::Done).boxed());
            };
            let chain = Chain::new(options);
            self.0.chain.put(chain.clone());
            let beat = beats.one_more();
            Ok(async move {
                chain.follow(beat).await;
                End::Done
            }
            .boxed())
        }
        .boxed()
    }

    fn stop(&self) -> Later<'_, ()> {
        async move {
            self.0.chain.clear();
        }
        .boxed()
    }
}
