//! How ports come about: asked, asking, answered, refused, overdue.

use super::{
    violation, Declined, Far, Link, Port, Stage, Violation, NODE_OPENINGS_MAX, NODE_SHARE,
    OPENINGS_MAX, OPEN_TIMEOUT,
};
use crate::identity::Address;
use crate::ports::local::End;
use crate::ports::switchboard::Refusal;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{Open, Opened};
use crate::wire::peer::PeerOpen;

impl Link {
    /// Creates the port of an Open whose number [`Link::claim_remote_number`] let pass.
    pub(in crate::ports) fn asked_by_remote(&self, id: u32, open: &Open, far: Far, now: Moment) {
        let mut st = self.lock();
        let window = st.first_window(&open.name, now, &self.options.budget);
        let ours = matches!(far, Far::Local(_));
        let port = Port::new(far, Stage::Asking(id), &open.name, open.credit, window);
        st.ports.insert(open.port, Box::new(port));
        if !ours {
            st.openings.push_back((now + OPEN_TIMEOUT, open.port));
        }
    }

    /// Checks an Open's number and the bounds, and marks the number as used.
    ///
    /// # Errors
    /// It is not the next number of that side: the session ends. `Some` is a
    /// bound that refuses the port alone.
    pub fn claim_remote_number(&self, number: u32) -> Result<Option<Code>, Violation> {
        let mut st = self.lock();
        let even = number.is_multiple_of(2);
        if number == 0 || even == self.options.chooses_even || number <= st.remote_high {
            return Err(violation(
                Code::PROTOCOL,
                format!("port number {number} is not the next of the opening side"),
            ));
        }
        st.remote_high = number;
        if st.ports.len() >= self.options.max_ports {
            return Ok(Some(Code::TOO_MANY_PORTS));
        }
        let most = self.openings_max();
        if st.openings.len() >= most {
            st.forget_answered();
        }
        if st.openings.len() >= most {
            return Ok(Some(Code::TOO_MANY_OPENINGS));
        }
        Ok(None)
    }

    /// Openings that may wait for their answer, of each side.
    #[must_use]
    pub fn openings_max(&self) -> usize {
        if self.between_nodes {
            NODE_OPENINGS_MAX
        } else {
            OPENINGS_MAX
        }
    }

    /// Most ports that this link may have open.
    #[must_use]
    pub fn max_ports(&self) -> usize {
        self.options.max_ports
    }

    /// Creates a port that this side opens and returns its number; Open is sent
    /// by [`Link::send_open`], once the far end knows the number.
    pub(in crate::ports) fn ask_remote(
        &self,
        name: &str,
        far: Far,
        now: Moment,
    ) -> Result<u32, (Code, String)> {
        let mut st = self.lock();
        if st.gone || st.ending.is_some() {
            return Err((Code::NOT_FOUND, "the session is ending".into()));
        }
        if st.ports.len() >= self.options.max_ports {
            let who = if self.between_nodes {
                "the link to the device's node"
            } else {
                "the device"
            };
            let text = format!("{who} has {} ports open, its limit", st.ports.len());
            return Err((Code::TOO_MANY_PORTS, text));
        }
        let share = match &far {
            Far::Relay(from, _) if from.between_nodes => st.asked_for(from, NODE_SHARE),
            _ => 0,
        };
        if st.asked >= self.openings_max() || share >= NODE_SHARE {
            let text = "too many openings wait for the device's answer; try again shortly";
            return Err((Code::TOO_MANY_OPENINGS, text.into()));
        }
        let number = st.local_next;
        st.local_next = number.checked_add(2).ok_or((
            Code::TOO_MANY_PORTS,
            "this session has used up its port numbers; reconnect".to_owned(),
        ))?;
        let window = st.first_window(name, now, &self.options.budget);
        let port = Port::new(far, Stage::Asked, name, 0, window);
        st.ports.insert(number, Box::new(port));
        st.asked += 1;
        Ok(number)
    }

    /// Sends Open for a port made by [`Link::ask_remote`].
    pub(in crate::ports) fn send_open(&self, number: u32, peer: Address, name: &str) {
        self.change(|st| {
            let Some(credit) = st.ports.get(&number).map(|p| p.window.size()) else {
                return;
            };
            let open = Open {
                port: number,
                peer,
                name: name.to_owned(),
                credit,
            };
            st.control(number, &open);
        });
    }

    /// The same between nodes: for `opener`, to a port of `device`.
    pub(in crate::ports) fn send_peer_open(
        &self,
        number: u32,
        opener: Address,
        device: Address,
        name: &str,
    ) {
        self.change(|st| {
            let Some(credit) = st.ports.get(&number).map(|p| p.window.size()) else {
                return;
            };
            let open = PeerOpen {
                port: number,
                opener,
                device,
                name: name.to_owned(),
                credit,
            };
            st.control(number, &open);
        });
    }

    /// Forgets a port made by [`Link::ask_remote`] for which Open was not sent.
    pub(in crate::ports) fn unask(&self, number: u32) {
        let budget = &self.options.budget;
        self.lock().remove(number, budget);
    }

    /// The port that the other side asked for stands: answers its Open.
    pub(in crate::ports) fn accept(&self, number: u32) {
        self.change(|st| {
            let Some(port) = st.ports.get_mut(&number) else {
                return;
            };
            if let Stage::Asking(id) = port.stage {
                port.stage = Stage::Open;
                let credit = port.window.size();
                st.control(id, &Opened { credit });
                st.enlist(number);
            }
        });
    }

    /// The port that the other side asked for does not come about.
    pub(in crate::ports) fn refuse(&self, number: u32, code: Code, text: &str) {
        self.refuse_with(number, Refusal::new(code, text));
    }

    /// The same, with a limit and a time.
    pub(in crate::ports) fn refuse_with(&self, number: u32, no: Refusal) {
        let budget = &self.options.budget;
        self.change(|st| {
            let stage = st.ports.get(&number).map(|p| p.stage);
            if let Some(Stage::Asking(id)) = stage {
                st.remove(number, budget);
                st.control(id, &no.into_answer());
            }
        });
    }

    /// The other side answered our Open with Opened. False when we never asked.
    pub fn answered(&self, id: u32, credit: u32, now: Moment) -> bool {
        let budget = &self.options.budget;
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&id) else {
                return st.was_used(id, self.options.chooses_even);
            };
            match port.stage {
                Stage::Asked => port.stage = Stage::Open,
                Stage::Over => return true,
                Stage::Asking(_) | Stage::Open => return false,
            }
            port.credit = u64::from(credit);
            let asked = port.window.restart(now);
            budget.answers.opened.took(now.since(asked));
            st.asked -= 1;
            st.opened += 1;
            let Some(port) = st.ports.get_mut(&id) else {
                return true;
            };
            let far = port.relay();
            if let Far::Local(local) = &mut port.far {
                local.wake_all();
            }
            st.enlist(id);
            far
        };
        if let Some((link, port)) = far {
            link.accept(port);
        }
        true
    }

    /// The other side refused our Open. False when there is no such port (any more).
    pub fn answered_no(&self, id: u32, code: Code, text: &str) -> bool {
        let budget = &self.options.budget;
        let far = {
            let mut st = self.lock();
            match st.ports.get_mut(&id) {
                None => return false,
                Some(port) if port.stage != Stage::Asked => return false,
                Some(port) => {
                    let far = port.relay();
                    st.give_up(id, End::new(code, text), budget);
                    budget.answers.refused.one();
                    far
                }
            }
        };
        if let Some((link, port)) = far {
            let declined = Declined {
                by: self.remote(),
                for_good: true,
            };
            link.decline(port, declined, code, text);
        }
        true
    }

    /// What was asked for a port of this link has refused it, or was lost: the
    /// other side is told, unless another node may still have the device.
    pub(in crate::ports) fn decline(
        &self,
        number: u32,
        declined: Declined,
        code: Code,
        text: &str,
    ) {
        let elsewhere = matches!(
            code,
            Code::NOT_FOUND | Code::PEER_LOST | Code::SHUTTING_DOWN
        );
        {
            let mut st = self.lock();
            let waits = st
                .ports
                .get_mut(&number)
                .filter(|p| elsewhere && p.sought && matches!(p.stage, Stage::Asking(_)));
            if let Some(port) = waits {
                port.far = Far::Sought(Some(Box::new(declined)));
                let waker = st.waker.clone();
                drop(st);
                if let Some(w) = waker {
                    w.wake();
                }
                return;
            }
        }
        self.refuse(number, code, text);
    }

    /// Refuses openings whose answer is overdue; returns when to ask again.
    pub fn expire(&self, now: Moment) -> Option<Moment> {
        loop {
            let (number, far, sought) = {
                let mut st = self.lock();
                let &(due, number) = st.openings.front()?;
                let asking = st
                    .ports
                    .get(&number)
                    .is_some_and(|p| matches!(p.stage, Stage::Asking(_)));
                if asking && due > now {
                    return Some(due);
                }
                st.openings.pop_front();
                if !asking {
                    continue;
                }
                let port = st.ports.get(&number);
                let sought = port.is_some_and(|p| matches!(p.far, Far::Sought(_)));
                (number, port.and_then(|p| p.relay()), sought)
            };
            let text = if sought {
                "the node of the publishing device was not found in time"
            } else {
                "the publishing device did not answer in time"
            };
            self.options.budget.answers.overdue.one();
            self.refuse(number, Code::NO_ANSWER, text);
            if let Some((link, port)) = far {
                link.cut(port, Code::NO_ANSWER, text);
            }
        }
    }
}
