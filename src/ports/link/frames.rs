//! Frames about ports that mean the same to whoever is at the other end.

use super::{violation, Link, Violation};
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{decode, Abort, Credit, ErrorAnswer, Finish, Message, Opened};

impl Link {
    /// Carries out Opened, ErrorAnswer (to an Open), Credit, Finish and Abort.
    /// False for a frame of another type.
    ///
    /// # Errors
    /// The other side broke a rule.
    pub fn take_port_frame(
        &self,
        kind: u8,
        id: u32,
        body: &[u8],
        now: Moment,
    ) -> Result<bool, Violation> {
        match kind {
            Opened::KIND => {
                let opened: Opened = parse(body)?;
                if !self.answered(id, opened.credit, now) {
                    return Err(unasked());
                }
            }
            ErrorAnswer::KIND => {
                let error: ErrorAnswer = parse(body)?;
                if !self.answered_no(id, error.code, &error.text) && !self.knows(id) {
                    return Err(unasked());
                }
            }
            Credit::KIND => {
                let credit: Credit = parse(body)?;
                self.credit(credit.port, credit.bytes)?;
            }
            Finish::KIND => self.finish(parse::<Finish>(body)?.port)?,
            Abort::KIND => {
                let abort: Abort = parse(body)?;
                self.aborted(abort.port, abort.code, &abort.text)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn parse<M: Message>(body: &[u8]) -> Result<M, Violation> {
    decode(body).map_err(|e| violation(Code::PROTOCOL, e.to_string()))
}

fn unasked() -> Violation {
    violation(Code::PROTOCOL, "an answer to a request that was never made")
}
