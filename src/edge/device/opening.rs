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
    /// device or does not answer.
    ///
    /// # Errors
    /// There is no session in time, or the port was refused.
    pub async fn open(&self, peer: Address, name: &str) -> Result<LocalPort, End> {
        let links = self.sessions().await?;
        let mut refusal = None;
        let mut links = links.iter().peekable();
        while let Some(link) = links.next() {
            let opened = self.open_through(link, peer, name);
            let outcome = if links.peek().is_none() {
                opened.await.map_err(Some)
            } else {
                let late = async {
                    Timer::after(FIRST_WAIT).await;
                    Err(None)
                };
                smol::future::or(async { opened.await.map_err(Some) }, late).await
            };
            match (outcome, links.peek()) {
                (Ok(port), _) => return Ok(port),
                (Err(None), Some(next)) => {
                    log::info!("node {} does not answer an opening", link.remote());
                    self.shared.lock().prefer(next);
                }
                (Err(Some(end)), Some(_)) if leads_nowhere(&end) => refusal = Some(end),
                (Err(end), _) => {
                    // The better reason is that of a node which knows the device.
                    let end = end.filter(|end| refusal.is_none() || !leads_nowhere(end));
                    return Err(end.or(refusal).unwrap_or_else(no_session));
                }
            }
        }
        Err(refusal.unwrap_or_else(no_session))
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

    /// The links of the sessions that stand, at least one.
    async fn sessions(&self) -> Result<Vec<Arc<Link>>, End> {
        let found = poll_fn(|cx| {
            let mut st = self.shared.lock();
            if st.links().next().is_some() {
                return Poll::Ready(Ok(st.links().cloned().collect()));
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
}

/// Whether another node may have a better answer.
fn leads_nowhere(end: &End) -> bool {
    matches!(
        end.code,
        Code::NOT_FOUND | Code::NO_ANSWER | Code::PEER_LOST
    )
}

fn no_session() -> End {
    End::new(Code::PEER_LOST, "there is no session with a node")
}
