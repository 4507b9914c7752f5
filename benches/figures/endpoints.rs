//! Light endpoints: devices of the library, in this process.

use super::programs::Node;
use chr_node::edge::device::{Device, DeviceEvent, DeviceOptions};
use chr_node::identity::SecretKey;
use chr_node::platform::clock::BootClock;
use chr_node::ports::LocalPort;
use chr_node::time::Clock;
use chr_node::tls::CipherOrder;
use smol::Executor;
use std::future::{poll_fn, Future};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Runs `work` to its end on this thread.
pub fn run<F>(work: impl FnOnce(Arc<Executor<'static>>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let executor = Arc::new(Executor::new());
    // As a task of its own: `run` polls its future at every wake-up of the thread.
    let task = executor.spawn(work(executor.clone()));
    smol::block_on(executor.run(task));
}

/// A device that is about to connect.
pub fn start(node: &Node, ciphers: CipherOrder, executor: &Arc<Executor<'static>>) -> Device {
    let mut options = DeviceOptions::new(SecretKey::generate(), vec![node.address.clone()]);
    options.ciphers = ciphers;
    Device::start(options, executor).unwrap()
}

/// Waits for the device's ticket to be accepted.
pub async fn ready(device: &Device) {
    loop {
        match device.next_event().await {
            DeviceEvent::Ready { .. } => return,
            DeviceEvent::Over { reason } => panic!("{reason}"),
            other => eprintln!("{other:?}"),
        }
    }
}

/// A plain port between two devices, and the devices, which it needs.
pub struct Pair {
    /// Of the device that opened the port.
    pub near: LocalPort,
    /// Of the device that had published it.
    pub far: LocalPort,
    pub devices: (Device, Device),
}

/// Publishes `tcp:1` at one device and opens it from another.
pub async fn pair(node: &Node, ciphers: CipherOrder, executor: &Arc<Executor<'static>>) -> Pair {
    pair_of(node, node, ciphers, executor).await
}

/// As [`pair`]: published at the first node, opened at the second.
pub async fn pair_of(
    first: &Node,
    second: &Node,
    ciphers: CipherOrder,
    executor: &Arc<Executor<'static>>,
) -> Pair {
    let a = start(first, ciphers, executor);
    let b = start(second, ciphers, executor);
    ready(&a).await;
    ready(&b).await;
    a.publish("tcp:1", None);
    let accepting = async {
        let offer = a.accept().await.unwrap();
        offer.accept(|_| Ok(())).await.unwrap().into_port()
    };
    let opening = async {
        loop {
            // The publication may still be on its way.
            match b.open(a.address(), "tcp:1").await {
                Ok(port) => return port,
                Err(_) => smol::Timer::after(Duration::from_millis(5)).await,
            };
        }
    };
    let (far, near) = smol::future::zip(accepting, opening).await;
    Pair {
        near,
        far,
        devices: (a, b),
    }
}

/// Writes all of `bytes`, as fast as they are taken.
pub async fn write_all(port: &LocalPort, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| port.poll_write(cx, bytes)).await.unwrap();
        bytes = &bytes[n..];
    }
}

/// How many bytes came next; 0 at the end.
pub async fn read_some(port: &LocalPort, clock: &impl Clock) -> usize {
    poll_fn(|cx| match port.poll_read(cx, clock.now()) {
        Poll::Ready(Ok(Some(chunk))) => Poll::Ready(chunk.len()),
        Poll::Ready(Ok(None)) => Poll::Ready(0),
        Poll::Ready(Err(e)) => panic!("{e}"),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Sends everything back to where it came from.
pub async fn echo(port: LocalPort) {
    let clock = clock();
    while let Ok(Some(chunk)) = poll_fn(|cx| port.poll_read(cx, clock.now())).await {
        write_all(&port, chunk.bytes()).await;
    }
}

/// The clock of the ports.
pub fn clock() -> impl Clock {
    BootClock::new()
}
