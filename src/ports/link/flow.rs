//! Bytes: taken in, passed on, handed out, and the credit for them.

use super::state::Told;
use super::{violation, Far, Link, Output, Stage, Violation};
use crate::time::Moment;
use crate::wire::code::Code;

impl Link {
    /// Bytes of a data frame arrived. Returns how many of them are port payload
    /// that was taken (none for a port that is gone).
    ///
    /// # Errors
    /// More than the credit, a number that was never used, data after Finish.
    pub fn receive(
        &self,
        number: u32,
        bytes: &[u8],
        first: bool,
        last: bool,
        now: Moment,
    ) -> Result<usize, Violation> {
        let mut whole = Vec::new();
        let mut waker = None;
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&number) else {
                return st.late(number, self.options.chooses_even).map(|()| 0);
            };
            match port.stage {
                Stage::Over => return Ok(0),
                // Credit comes with our answer.
                Stage::Asking(_) if !bytes.is_empty() => {
                    return Err(violation(
                        Code::FLOW_CONTROL,
                        format!("data on port {number} before it was opened"),
                    ));
                }
                _ => {}
            }
            if port.received_finish {
                return Err(violation(
                    Code::PROTOCOL,
                    format!("data on port {number} after its end"),
                ));
            }
            if !port.window.receive(bytes.len()) {
                return Err(violation(
                    Code::FLOW_CONTROL,
                    format!("more data on port {number} than was granted"),
                ));
            }
            if port.datagrams && !(first && last) {
                port.partial.extend_from_slice(bytes);
                if !last {
                    return Ok(bytes.len());
                }
                whole = std::mem::take(&mut port.partial);
            }
            let payload = if whole.is_empty() { bytes } else { &whole };
            match &mut port.far {
                Far::Relay(link, far_port) => Some((link.clone(), *far_port, port.datagrams)),
                Far::Local(local) => {
                    let dropped = local.push(payload, port.datagrams, &mut waker);
                    if dropped > 0 {
                        st.drain(number, dropped, now, &self.options.budget);
                    }
                    None
                }
                Far::Sought(_) => None,
            }
        };
        if let Some(w) = waker {
            w.wake();
        }
        if let Some((link, far_port, datagrams)) = far {
            let payload = if whole.is_empty() { bytes } else { &whole };
            let lost = link.push(far_port, payload, datagrams);
            if lost > 0 {
                self.drained(number, lost, now);
            }
        }
        Ok(bytes.len())
    }

    /// Queues bytes for the other side. Returns those that were dropped or had
    /// no port any more.
    fn push(&self, number: u32, bytes: &[u8], datagrams: bool) -> usize {
        let mut st = self.lock();
        let Some(port) = st.ports.get_mut(&number) else {
            return bytes.len();
        };
        let lost = if datagrams {
            port.out.push_datagram(bytes)
        } else {
            port.out.push_stream(bytes);
            0
        };
        let waker = st.list(number);
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        lost
    }

    /// `n` bytes that arrived here on `number` have left at the far end.
    pub(in crate::ports) fn drained(&self, number: u32, n: usize, now: Moment) {
        let mut st = self.lock();
        let due = st.drain(number, n, now, &self.options.budget);
        let waker = if due && !st.paused {
            st.waker_if_idle()
        } else {
            None
        };
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
    }

    /// The other side will take more.
    ///
    /// # Errors
    /// A number that was never used.
    pub fn credit(&self, number: u32, bytes: u32) -> Result<(), Violation> {
        let mut st = self.lock();
        let Some(port) = st.ports.get_mut(&number) else {
            return st.late(number, self.options.chooses_even);
        };
        port.credit = port.credit.saturating_add(u64::from(bytes));
        st.enlist(number);
        Ok(())
    }

    /// What to send next: control frames are appended to `staging`, and at most
    /// one data frame's bytes are returned. Ports take turns. `None` and an
    /// unchanged `staging` mean that nothing can be sent.
    pub fn poll_output(&self, staging: &mut Vec<u8>, now: Moment) -> Option<Output> {
        let (output, far) = {
            let mut st = self.lock();
            staging.append(&mut st.control);
            if st.control.capacity() > 4096 {
                st.control = Vec::new();
            }
            st.waiting.set(0);
            if st.paused {
                return None;
            }
            st.next_chunk(staging, &self.options.budget)?
        };
        match far {
            Told::Relay(link, port) => link.drained(port, output.chunk.len(), now),
            Told::Writer(Some(waker)) => waker.wake(),
            Told::Writer(None) => {}
        }
        Some(output)
    }
}
