//! How a device opens ports of others: through its first session, and through
//! the second when the first does not lead there.

use super::Device;
use crate::identity::Address;
use crate::ports::local::End;
use crate::ports::{Link, LocalPort};
use crate::wire::code::Code;
use async_io::Timer;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long an opening waits for a session before it gives up.
const SESSION_WAIT: Duration = Duration::from_secs(15);
/// How long the first session has, where there is another, before that one is
/// asked as well. A node that finds the device answers within a second or two;
/// one that was cut off from the network never does, and TCP needs 20 s to
/// notice.
const FIRST_WAIT: Duration = Duration::from_secs(5);

impl Device {
    /// Opens port `name` of `peer`, raw. Waits for a session if there is none.
    /// With two sessions, the second is asked when the first does not find the
    /// device, does not answer, or lacks the power for more ports.
    ///
    /// # Errors
    /// There is no session in time, or the port was refused.
    pub async fn open(&self, peer: Address, name: &str) -> Result<LocalPort, End> {
        let first = self.session().await?;
        let options = &self.shared.options;
        if options.nodes.len() < 2 || !options.warm_second {
            return self.open_through(&first, peer, name).await;
        }
        let opened = async { self.open_through(&first, peer, name).await.map_err(Some) };
        let late = async {
            Timer::after(FIRST_WAIT).await;
            let other = self.other_session(&first).await;
            log::info!("node {} does not answer an opening", first.remote());
            // Those that follow need not wait as well.
            self.shared.lock().prefer(&other);
            Err(None)
        };
        let refusal = match smol::future::or(opened, late).await {
            Ok(port) => return Ok(port),
            Err(Some(end)) if !leads_nowhere(&end) => return Err(end),
            Err(refusal) => refusal,
        };
        let other = self.shared.lock().other_than(&first);
        let Some(other) = other else {
            return Err(refusal.unwrap_or_else(no_session));
        };
        let opened = self.open_through(&other, peer, name).await;
        // The better reason is that of a node which knows the device.
        opened.map_err(|end| match refusal {
            Some(refusal) if leads_nowhere(&end) => refusal,
            _ => end,
        })
    }

    async fn open_through(
        &self,
        link: &Arc<Link>,
        peer: Address,
        name: &str,
    ) -> Result<LocalPort, End> {
        let port = LocalPort::open(link, peer, name, self.shared.options.clock.now())?;
        poll_fn(|cx| port.poll_opened(cx)).await?;
        Ok(port)
    }

    /// The session that new ports go through; waits for it.
    async fn session(&self) -> Result<Arc<Link>, End> {
        let found = poll_fn(|cx| {
            let mut st = self.shared.lock();
            if let Some(link) = st.links().next() {
                return Poll::Ready(Ok(link.clone()));
            }
            match &st.over {
                Some(end) => Poll::Ready(Err(end.clone())),
                None => st.wait(cx),
            }
        });
        let late = async {
            Timer::after(SESSION_WAIT).await;
            Err(no_session())
        };
        smol::future::or(found, late).await
    }

    /// Another session than `first`; waits for it.
    async fn other_session(&self, first: &Arc<Link>) -> Arc<Link> {
        poll_fn(|cx| {
            let mut st = self.shared.lock();
            match st.other_than(first) {
                Some(link) => Poll::Ready(link),
                None => st.wait(cx),
            }
        })
        .await
    }
}

/// Whether another node may have a better answer.
fn leads_nowhere(end: &End) -> bool {
    matches!(
        end.code,
        Code::NOT_FOUND | Code::UNREACHABLE | Code::NO_ANSWER | Code::PEER_LOST | Code::LOW_POWER
    )
}

fn no_session() -> End {
    End::new(Code::PEER_LOST, "there is no session with a node")
}
