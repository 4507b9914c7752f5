//! How ports go: finished, aborted, cut, dissolved with their session.

use super::{violation, Declined, Ending, Far, Link, Stage, Violation};
use crate::ports::local::End;
use crate::ports::switchboard::Refusal;
use crate::sorted::Map;
use crate::wire::code::Code;
use crate::wire::control::{short_text, Abort};

impl Link {
    /// The other side sends no more on this port.
    ///
    /// # Errors
    /// A number that was never used, or a second Finish.
    pub fn finish(&self, number: u32) -> Result<(), Violation> {
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&number) else {
                return st.late(number, self.options.chooses_even);
            };
            if port.stage == Stage::Over {
                return Ok(());
            }
            if port.received_finish {
                return Err(violation(
                    Code::PROTOCOL,
                    format!("port {number} was finished twice"),
                ));
            }
            port.received_finish = true;
            let far = port.relay();
            if let Far::Local(local) = &mut port.far {
                local.finish();
            }
            st.remove_if_done(number, &self.options.budget);
            far
        };
        if let Some((link, port)) = far {
            link.finish_out(port);
        }
        Ok(())
    }

    /// Sends Finish once everything queued on the port has gone.
    pub(in crate::ports) fn finish_out(&self, number: u32) {
        self.change(|st| {
            if let Some(port) = st.ports.get_mut(&number) {
                if port.ending == Ending::No {
                    port.ending = Ending::Due;
                    st.enlist(number);
                }
            }
        });
    }

    /// The other side gave the port up.
    ///
    /// # Errors
    /// A number that was never used.
    pub fn aborted(&self, number: u32, code: Code, text: &str) -> Result<(), Violation> {
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&number) else {
                return st.late(number, self.options.chooses_even);
            };
            let far = port.relay();
            st.give_up(number, End::new(code, text), &self.options.budget);
            far
        };
        if let Some((link, port)) = far {
            link.cut(port, code, text);
        }
        Ok(())
    }

    /// Ends a port towards the other side: a refusal while it waits for the
    /// answer, Abort otherwise.
    pub(in crate::ports) fn cut(&self, number: u32, code: Code, text: &str) {
        let budget = &self.options.budget;
        self.change(|st| {
            let Some(stage) = st.ports.get(&number).map(|p| p.stage) else {
                return;
            };
            st.remove(number, budget);
            let text = short_text(text);
            match stage {
                Stage::Asking(id) => st.control(id, &Refusal::new(code, text).into_answer()),
                Stage::Asked | Stage::Open => st.control(
                    0,
                    &Abort {
                        port: number,
                        code,
                        text,
                    },
                ),
                Stage::Over => {}
            }
        });
    }

    /// Ends every port: the session is over. Called by the session's guard.
    pub fn dissolve(&self, code: Code, text: &str) {
        let (ports, searches) = {
            let mut st = self.lock();
            st.gone = true;
            st.published = Map::new();
            st.openings.clear();
            st.ready.clear();
            st.control = Vec::new();
            st.waiting.unsent = 0;
            st.waiting.set(0);
            st.waker = None;
            let searches = std::mem::take(&mut st.searches);
            let budget = &self.options.budget;
            let mut relays = Vec::new();
            let numbers: Vec<u32> = st.ports.keys().copied().collect();
            for number in numbers {
                if let Some(port) = st.ports.get(&number) {
                    relays.extend(port.relay().map(|far| (far, port.stage)));
                }
                st.give_up(number, End::new(code, text), budget);
            }
            (relays, searches)
        };
        drop(searches);
        // Closed by one of the two nodes because nothing was on it: another
        // link to the same node does as well.
        let for_good = !matches!(code, Code::IDLE | Code::SECOND_LINK);
        for ((link, port), stage) in ports {
            if stage == Stage::Asked {
                let declined = Declined {
                    by: self.remote(),
                    for_good,
                };
                link.decline(port, declined, Code::PEER_LOST, text);
            } else {
                link.cut(port, Code::PEER_LOST, text);
            }
        }
    }
}
