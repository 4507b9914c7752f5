//! How ports come about: asked, asking, answered, refused, overdue.

use super::{violation, Far, Link, Port, Stage, Violation, OPENINGS_MAX, OPEN_TIMEOUT};
use crate::identity::Address;
use crate::ports::local::End;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{short_text, ErrorAnswer, Open, Opened};

impl Link {
    /// Creates the port of an Open whose number [`Link::claim_remote_number`] let pass.
    pub(in crate::ports) fn asked_by_remote(&self, id: u32, open: &Open, far: Far, now: Moment) {
        let mut st = self.lock();
        let window = st.first_window(&open.name, now);
        let relay = matches!(far, Far::Relay(..));
        st.ports.insert(
            open.port,
            Port::new(far, Stage::Asking(id), &open.name, open.credit, window),
        );
        if relay {
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
        if st.openings.len() >= OPENINGS_MAX {
            st.forget_answered();
        }
        if st.openings.len() >= OPENINGS_MAX {
            return Ok(Some(Code::TOO_MANY_OPENINGS));
        }
        Ok(None)
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
            let text = format!("the device has {} ports open, its limit", st.ports.len());
            return Err((Code::TOO_MANY_PORTS, text));
        }
        let asked = |p: &&Port| p.stage == Stage::Asked;
        if st.ports.values().filter(asked).take(OPENINGS_MAX).count() >= OPENINGS_MAX {
            let text = "too many openings wait for the device's answer; try again shortly";
            return Err((Code::TOO_MANY_OPENINGS, text.into()));
        }
        let number = st.local_next;
        st.local_next = number.checked_add(2).ok_or((
            Code::TOO_MANY_PORTS,
            "this session has used up its port numbers; reconnect".to_owned(),
        ))?;
        let window = st.first_window(name, now);
        st.ports
            .insert(number, Port::new(far, Stage::Asked, name, 0, window));
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
        let budget = &self.options.budget;
        self.change(|st| {
            let stage = st.ports.get(&number).map(|p| p.stage);
            if let Some(Stage::Asking(id)) = stage {
                st.remove(number, budget);
                st.control(id, &refused(code, short_text(text)));
            }
        });
    }

    /// The other side answered our Open with Opened. False when we never asked.
    pub fn answered(&self, id: u32, credit: u32, now: Moment) -> bool {
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
            port.window.restart(now);
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
                    far
                }
            }
        };
        if let Some((link, port)) = far {
            link.refuse(port, code, text);
        }
        true
    }

    /// Refuses openings whose answer is overdue; returns when to ask again.
    pub fn expire(&self, now: Moment) -> Option<Moment> {
        loop {
            let (number, far) = {
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
                (number, st.ports.get(&number).and_then(Port::relay))
            };
            let text = "the publishing device did not answer in time";
            self.refuse(number, Code::NO_ANSWER, text);
            if let Some((link, port)) = far {
                link.cut(port, Code::NO_ANSWER, text);
            }
        }
    }
}

/// The answer that refuses an opening.
pub(super) fn refused(code: Code, text: String) -> ErrorAnswer {
    ErrorAnswer {
        code,
        text,
        limit: None,
        retry_after_ms: None,
    }
}
