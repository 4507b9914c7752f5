//! `chr-node message`: send a few words to another device.

use super::args::{MessageArgs, MessageText};
use super::device::DeviceFiles;
use super::screen::event;
use super::session::Session;
use super::{enough_files, logging, Failure, FILES};
use crate::edge::device::MESSAGE_MAX;
use crate::task;
use smol::Executor;
use std::io::Read;
use std::sync::Arc;

/// The key of `message` in the user's data folder: another one than those of
/// `publish` and `forward`, which may be running with theirs.
pub const MESSAGE_KEY: &str = "message.key";

/// Sends the message and waits until it has been delivered.
///
/// # Errors
/// No place for a key ([`Failure::Usage`]), nothing or too much to send, or why
/// it was not delivered.
pub fn execute(args: &MessageArgs) -> Result<(), Failure> {
    enough_files("message", FILES)?;
    let files = DeviceFiles::find(args.device.identity.as_deref(), MESSAGE_KEY)?;
    logging::start(&logging::for_device(), args.device.verbosity);
    let bytes = match &args.text {
        MessageText::Words(text) => text.clone().into_bytes(),
        MessageText::Input => read_input(std::io::stdin().lock())?,
    };
    let executor = Arc::new(Executor::new());
    let sent = task::run(
        &executor,
        send(args.clone(), files, bytes, executor.clone()),
    );
    sent.unwrap_or(Ok(()))
}

async fn send(
    args: MessageArgs,
    files: DeviceFiles,
    bytes: Vec<u8>,
    executor: Arc<Executor<'static>>,
) -> Result<(), Failure> {
    let session = Session::start(&args.device, &files, &executor, false)?;
    let (device, screen) = (session.device.clone(), session.screen.clone());
    let errand = async move {
        let sent = device.send_message(args.to, &bytes).await;
        sent.map_err(|end| format!("the message was not delivered: {end}"))?;
        let mut delivered = event(
            "delivered",
            &[("device", &device.address()), ("to", &args.to)],
        );
        if let Some(event) = delivered.as_object_mut() {
            let node = device.node().map(|node| node.to_string());
            event.insert("node".to_owned(), node.into());
        }
        screen.say(&delivered, &format!("delivered to {}", args.to));
        Ok(())
    };
    session.run(args.device.nodes.len(), errand).await
}

/// What standard input has, up to its end.
fn read_input(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = MESSAGE_MAX as u64 + 1;
    input
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Failed(format!("message: standard input: {error}")))?;
    if bytes.is_empty() {
        let text = "message: standard input is empty; there is nothing to send";
        return Err(Failure::Failed(text.to_owned()));
    }
    if bytes.len() > MESSAGE_MAX {
        return Err(Failure::Failed(format!(
            "message: standard input has more than {MESSAGE_MAX} bytes, the most that a message may have; send it in parts, or publish a port for it"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_input_that_is_no_message_is_told_before_anything_is_sent() {
        assert_eq!(read_input(&b"hi\n"[..]).unwrap(), b"hi\n");
        assert_eq!(
            read_input(&[7; MESSAGE_MAX][..]).unwrap().len(),
            MESSAGE_MAX
        );
        let empty = read_input(&b""[..]).unwrap_err();
        assert!(empty.to_string().contains("nothing to send"));
        let long = read_input(&[7; MESSAGE_MAX + 1][..]).unwrap_err();
        assert!(long.to_string().contains("8192"), "{long}");
        assert_eq!((empty.exit_code(), long.exit_code()), (1, 1));
    }
}
