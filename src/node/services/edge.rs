//! Device ports: accepts connections and serves their sessions.

use crate::edge::server::{listen, Server, Services};
use crate::node::error::NodeError;
use crate::node::events::Telling;
use crate::node::house::House;
use crate::node::supervisor::{Beats, Later, Restart, Running, Service};
use crate::session::Admission;
use crate::task;
use crate::time::Clock;
use crate::wire::code::Code;
use crate::wire::control::Close;
use async_io::Timer;
use smol::future::FutureExt;
use smol::Task;
use std::sync::Arc;
use std::time::Duration;

/// How long devices get to read why the node stops.
const DRAIN_TIME: Duration = Duration::from_millis(1_200);
/// When they should come back: a restart takes far less.
const COME_BACK_MS: u32 = 1_000;

/// See the module's text.
pub struct Edge(pub Arc<House>);

impl Service for Edge {
    fn name(&self) -> &'static str {
        "edge"
    }

    fn restart(&self) -> Restart {
        Restart::Transient
    }

    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>> {
        async move {
            let house = &self.0;
            let book = house.book.get().ok_or_else(|| super::missing("tickets"))?;
            let services = Arc::new(Services {
                board: house.board.clone(),
                book,
                terms: house.terms()?.into(),
                budget: house.budget.clone(),
                presence: house.announce(),
                witness: Some(Arc::new(Telling(house.hub.clone()))),
                clock: house.clock.clone(),
            });
            let admission = Admission::new(house.admission());
            let server = Arc::new(Server::new(services, admission, house.tls.clone()));
            let listening: Vec<Task<()>> = house
                .edge
                .accepting()?
                .into_iter()
                .map(|listener| {
                    let loop_ = listen(
                        server.clone(),
                        listener,
                        house.executor.clone(),
                        beats.one_more(),
                    );
                    task::spawn(&house.executor, loop_)
                })
                .collect();
            house.server.put(server);
            Ok(super::first_end(listening, beats.one_more()).boxed())
        }
        .boxed()
    }

    /// Tells all devices that the node stops and waits until they have read it.
    fn stop(&self) -> Later<'_, ()> {
        async move {
            let Some(server) = self.0.server.clear() else {
                return;
            };
            let board = &server.services.board;
            for link in board.links() {
                link.end(Close {
                    code: Code::SHUTTING_DOWN,
                    text: "the node is stopping; come back soon".into(),
                    retry_after_ms: Some(COME_BACK_MS),
                });
            }
            let clock = &self.0.clock;
            let end = clock.now() + DRAIN_TIME;
            while board.devices() > 0 && clock.now() < end {
                Timer::after(Duration::from_millis(20)).await;
            }
            server.sessions.end().await;
        }
        .boxed()
    }
}
