//! Two devices in one program: one answers in capitals, the other asks.
//!
//! Start a node (`cargo run --release`), then
//! `cargo run --example two_devices -- 127.0.0.1:41046`.

use chr_node::edge::device::{Device, DeviceEvent, DeviceOptions, NodeAddress, Stream};
use chr_node::identity::SecretKey;
use chr_node::ports::local::End;
use smol::Executor;
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let node: NodeAddress = std::env::args()
        .nth(1)
        .ok_or("name the node as HOST:PORT")?
        .parse()?;
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(talk(node, executor.clone())))
}

async fn talk(
    node: NodeAddress,
    executor: Arc<Executor<'static>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // A device is a key and a list of nodes. A real one keeps its key in a file
    // (`chr_node::identity::keyfile::KeyFile`).
    let nodes = vec![node];
    let server = Device::start(
        DeviceOptions::new(SecretKey::generate(), nodes.clone()),
        &executor,
    )?;
    let client = Device::start(DeviceOptions::new(SecretKey::generate(), nodes), &executor)?;

    server.publish("tls:7", None);
    until_ready(&server).await?;
    let serving = executor.spawn(serve_one(server.clone(), client.address()));

    let mut stream = client.connect(server.address(), 7).await?;
    stream.write_all(b"hello from the other side").await?;
    stream.finish().await?;
    let answer = stream.read_to_end(1024).await?;
    println!(
        "{} said: {}",
        stream.peer(),
        String::from_utf8_lossy(&answer)
    );
    serving.await?;
    client.leave().await;
    server.leave().await;
    Ok(())
}

/// Waits until a ticket is accepted and all ports stand.
async fn until_ready(device: &Device) -> Result<(), String> {
    loop {
        match device.next_event().await {
            DeviceEvent::Ready { node, place } => {
                println!("{} is at node {node} ({place})", device.address());
                return Ok(());
            }
            DeviceEvent::Over { reason } => return Err(reason),
            // The device goes on trying by itself.
            event => eprintln!("{event:?}"),
        }
    }
}

async fn serve_one(
    device: Device,
    friend: chr_node::identity::Address,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let offer = device.accept().await.ok_or("the device is over")?;
    // The end-to-end handshake has proven who the opener is before this is asked.
    let tunnel = offer
        .accept(|opener| {
            if opener == friend {
                Ok(())
            } else {
                let code = chr_node::wire::code::Code::NOT_ALLOWED;
                Err(End::new(code, "friends only"))
            }
        })
        .await?;
    let mut stream = Stream::new(tunnel);
    let question = stream.read_to_end(1024).await?;
    stream.write_all(&question.to_ascii_uppercase()).await?;
    stream.finish().await?;
    Ok(())
}
