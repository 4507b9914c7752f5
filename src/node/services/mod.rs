//! The services of a node, in the order in which they are started; each uses
//! what those before it have left in the [`House`].
//!
//! | service | what it does | restart |
//! | --- | --- | --- |
//! | [`store`] | opens LMDB; watches over its writer | permanent |
//! | [`tickets`] | the accounts of devices; saves those of devices that left | permanent |
//! | [`edge`] | accepts devices and serves their sessions | transient |
//! | [`peer`] | links to other nodes | transient |
//! | [`dht`] | this node's part in Kademlia; finds devices that are elsewhere | transient |
//! | [`reach`] | asks the router for the ports | transient |
//! | [`rpc`] | HTTP | transient |
//! | [`chain`] | follows the chain that `chain.url` names | transient |
//! | [`cron`] | statistics, memory given back, the remembered time | permanent |
//! | [`rewards`] | reward periods | permanent |
//! | [`announce`] | writes `run.json` and tells init that the node serves | temporary |

mod announce;
mod chain;
mod cron;
mod dht;
mod edge;
mod peer;
mod reach;
mod rewards;
mod rpc;
mod store;
mod tickets;

use super::error::NodeError;
use super::house::House;
use super::supervisor::{End, Service};
use crate::liveness::Beat;
use crate::parts::{CHAIN, PORT_MAPPING, REWARDS};
use smol::{future, Task};
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// All of them, in order.
pub fn all(house: &Arc<House>) -> Vec<Box<dyn Service>> {
    let mut all: Vec<Box<dyn Service>> = vec![
        Box::new(store::StoreService::new(house)),
        Box::new(tickets::Tickets(house.clone())),
        Box::new(edge::Edge(house.clone())),
        Box::new(peer::Peer(house.clone())),
        Box::new(dht::Dht(house.clone())),
    ];
    if PORT_MAPPING.built {
        all.push(Box::new(reach::Reach(house.clone())));
    }
    all.push(Box::new(rpc::Rpc(house.clone())));
    if CHAIN.built {
        all.push(Box::new(chain::Follower(house.clone())));
    }
    all.push(Box::new(cron::Cron(house.clone())));
    if REWARDS.built {
        all.push(Box::new(rewards::Rewards(house.clone())));
    }
    all.push(Box::new(announce::Announce(house.clone())));
    all
}

/// Ends when one of the tasks does, and with its panic if it had one. With none
/// there is nothing to do: the ports are off.
async fn first_end(mut tasks: Vec<Task<()>>, beat: Beat) -> End {
    if tasks.is_empty() {
        return End::Done;
    }
    let ended = poll_fn(|cx| {
        let mut tasks = tasks.iter_mut();
        if tasks.any(|task| Pin::new(task).poll(cx).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    future::or(ended, turn(beat)).await;
    End::Failed("a listener has ended".into())
}

/// Answers for ever that it turns.
async fn turn<T>(beat: Beat) -> T {
    loop {
        beat.asked().await;
    }
}

/// What a service says that misses one before it.
fn missing(name: &'static str) -> NodeError {
    NodeError::Service {
        name,
        why: "it does not run".into(),
    }
}
