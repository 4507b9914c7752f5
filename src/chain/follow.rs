//! Follows the chain's head. The loop hangs on the supervisor's question, every
//! ten seconds, and has a timer of its own only while somebody wants to know.

use super::client::{number, words, Chain, Inner};
use super::head::Block;
use crate::cache::Fault;
use crate::liveness::Beat;
use crate::platform::clock::on_the_second;
use async_io::Timer;
use serde_json::{json, Value};
use smol::future;

impl Chain {
    /// Looks for new blocks, for ever.
    pub async fn follow(self, beat: Beat) {
        loop {
            let inner = &self.0;
            let (wait, watched) = {
                let now = inner.options.clock.now();
                let listened = (inner.options.listened)();
                let head = inner.head();
                (head.wait(now, listened), head.is_watched(now, listened))
            };
            if wait.is_zero() {
                // A question of the supervisor meanwhile is answered in between.
                future::or(inner.turn(), turn(&beat)).await;
                continue;
            }
            let timer = async {
                if watched {
                    Timer::at(on_the_second(wait)).await;
                } else {
                    future::pending::<()>().await;
                }
            };
            future::or(beat.asked(), timer).await;
            inner.tidy();
        }
    }
}

async fn turn(beat: &Beat) {
    loop {
        beat.asked().await;
    }
}

impl Inner {
    /// One look, and what follows from it.
    async fn turn(&self) {
        let before = self.head().state(self.options.clock.now(), None).error;
        match self.look().await {
            Ok(_) => {
                if before.is_some() {
                    log::info!("the chain {} answers again", self.options.place);
                }
            }
            Err(fault) => {
                if before.is_none() {
                    let why = words(&fault);
                    log::warn!(
                        "the chain does not answer: {why}; the node relays on and tries again"
                    );
                }
                return;
            }
        }
        let unknown = self.head().chain_id().is_none();
        if unknown {
            if let Err(fault) = self.ask_chain_id().await {
                log::debug!("chain id: {}", words(&fault));
            }
        }
        let new = self.head().unknown();
        if let Some(new) = new {
            match self.block(new).await {
                Ok(Some(block)) => {
                    let news = self.head().learned(block.clone());
                    if news {
                        (self.options.tell)(&block);
                    }
                }
                // Another machine of the provider's, which is behind the first.
                Ok(None) => log::debug!("block {new} is not there yet"),
                Err(fault) => log::debug!("block {new}: {}", words(&fault)),
            }
        }
    }

    async fn block(&self, wanted: u64) -> Result<Option<Block>, Fault> {
        let params = json!([format!("0x{wanted:x}"), false]);
        let said = self.call("eth_getBlockByNumber", &params).await?;
        if said.is_null() {
            return Ok(None);
        }
        let member = |name: &str| said.get(name).cloned().unwrap_or_default();
        let transactions = said.get("transactions").and_then(Value::as_array);
        let hash = member("hash");
        let hash = hash.as_str().filter(|hash| hash.len() <= 66);
        Ok(Some(Block {
            number: number(&member("number"))?,
            hash: hash.unwrap_or_default().to_owned(),
            time: number(&member("timestamp"))?,
            transactions: transactions.map_or(0, Vec::len),
        }))
    }
}
