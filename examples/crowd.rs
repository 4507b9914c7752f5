//! Many devices in one program, at one node: what puts load on a node that is
//! measured from outside (`scripts/measure-guest`, `scripts/measure-instructions`).
//!
//! `cargo run --example crowd -- HOST:PORT`, then one word a line on standard
//! input; each is answered with one line when it is done:
//!
//! | word | what | answer |
//! | --- | --- | --- |
//! | `suite` | a handshake as the devices make it | `suite NAME`, as the node chose |
//! | `hold N` | so many devices that stay, their tickets accepted | `held N` |
//! | `pair` | two devices with a port between them | `paired` |
//! | `carry N` | so many bytes through that port | `carried N` |
//! | `leave` | all of them leave | `left` |
//!
//! At the end of the input, or of the node, it ends.

use chr_node::edge::device::{Device, DeviceEvent, DeviceOptions, NodeAddress};
use chr_node::identity::SecretKey;
use chr_node::platform::clock::BootClock;
use chr_node::ports::LocalPort;
use chr_node::time::Clock;
use chr_node::tls::{client_config_with, Channel, CipherOrder, Versions};
use smol::Executor;
use std::error::Error;
use std::future::poll_fn;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Devices that connect at once: a node of the profile `router` lets one address
/// have no more handshakes under way.
const BATCH: usize = 4;
/// Bytes written to the port at once.
const BLOCK: usize = 64 * 1024;
/// For an emulated node a handshake may take a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was asked for so far.
struct Crowd {
    node: NodeAddress,
    executor: Arc<Executor<'static>>,
    devices: Vec<Device>,
    /// Where the first of two devices writes and the second one reads.
    port: Option<(LocalPort, LocalPort)>,
}

fn main() -> Result<()> {
    let node: NodeAddress = std::env::args()
        .nth(1)
        .ok_or("name the node as HOST:PORT")?
        .parse()?;
    let executor = Arc::new(Executor::new());
    let mut crowd = Crowd {
        node,
        executor: executor.clone(),
        devices: Vec::new(),
        port: None,
    };
    // Devices live on a thread of their own, so that they answer their node's
    // pings while this one waits for the next word.
    let running = executor.clone();
    std::thread::spawn(move || smol::block_on(running.run(std::future::pending::<()>())));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse()?;
        let answer = match word {
            "suite" => crowd.suite()?,
            "hold" => smol::block_on(crowd.hold(usize::try_from(number)?))?,
            "pair" => smol::block_on(crowd.pair())?,
            "carry" => smol::block_on(crowd.carry(number))?,
            "leave" => smol::block_on(crowd.leave()),
            _ => return Err(format!("what is {word}?").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Crowd {
    fn device(&self) -> Result<Device> {
        let mut options = DeviceOptions::new(SecretKey::generate(), vec![self.node.clone()]);
        // What small machines without AES in hardware speak. A node that has none
        // chooses it by itself.
        options.ciphers = CipherOrder::ChaCha20;
        Ok(Device::start(options, &self.executor)?)
    }

    /// The same handshake without a device around it, which does not tell.
    fn suite(&self) -> Result<String> {
        let key = SecretKey::generate();
        let config = client_config_with(
            &key,
            &[chr_node::edge::ALPN],
            Versions::Both,
            CipherOrder::ChaCha20,
        )?;
        let mut channel = Channel::client(&config)?;
        let mut stream = TcpStream::connect(self.node.place())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut out = Vec::new();
        channel.start(&mut out)?;
        let mut block = vec![0; BLOCK];
        while channel.is_handshaking() {
            stream.write_all(&out)?;
            out.clear();
            let n = stream.read(&mut block)?;
            if n == 0 {
                return Err("the node has closed the connection".into());
            }
            let got = block.get_mut(..n).unwrap_or_default();
            let _ = channel.receive(got, &mut out, &mut |_| ())?;
        }
        Ok(format!("suite {}", channel.suite().ok_or("no suite")?))
    }

    async fn hold(&mut self, count: usize) -> Result<String> {
        let goal = self.devices.len() + count;
        while self.devices.len() < goal {
            let mut batch = Vec::new();
            for _ in 0..BATCH.min(goal - self.devices.len()) {
                batch.push(self.device()?);
            }
            for device in &batch {
                ready(device).await?;
            }
            self.devices.append(&mut batch);
        }
        Ok(format!("held {count}"))
    }

    async fn pair(&mut self) -> Result<String> {
        let (a, b) = (self.device()?, self.device()?);
        ready(&a).await?;
        ready(&b).await?;
        // Plain, because what the devices encrypt for each other is not the node's work.
        a.publish("tcp:1", None);
        let accepting = async {
            let offer = a.accept().await.ok_or("the publication ended")?;
            let port = offer.accept(|_| Ok(())).await?.into_port();
            Ok::<_, Box<dyn Error + Send + Sync>>(port)
        };
        let opening = async {
            // The publication may still be on its way.
            loop {
                match b.open(a.address(), "tcp:1").await {
                    Ok(port) => return port,
                    Err(_) => smol::Timer::after(Duration::from_millis(20)).await,
                };
            }
        };
        let (far, near) = smol::future::zip(accepting, opening).await;
        self.port = Some((near, far?));
        self.devices.extend([a, b]);
        Ok("paired".into())
    }

    async fn carry(&mut self, bytes: u64) -> Result<String> {
        let (near, far) = self.port.as_ref().ok_or("there is no pair yet")?;
        let clock = BootClock::new();
        let block = vec![7; BLOCK];
        let writing = async {
            let mut left = bytes;
            while left > 0 {
                let most = block.len().min(usize::try_from(left).unwrap_or(BLOCK));
                let some = block.get(..most).unwrap_or_default();
                left -= poll_fn(|cx| near.poll_write(cx, some)).await? as u64;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        let reading = async {
            let mut got = 0;
            while got < bytes {
                let chunk = poll_fn(|cx| far.poll_read(cx, clock.now())).await?;
                got += chunk.ok_or("the port ended")?.len() as u64;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        let (wrote, read) = smol::future::zip(writing, reading).await;
        wrote?;
        read?;
        Ok(format!("carried {bytes}"))
    }

    async fn leave(&mut self) -> String {
        self.port = None;
        let all = std::mem::take(&mut self.devices);
        for device in &all {
            device.leave().await;
        }
        "left".into()
    }
}

/// Waits for the device's ticket to be accepted.
async fn ready(device: &Device) -> Result<()> {
    let accepted = async {
        loop {
            match device.next_event().await {
                DeviceEvent::Ready { .. } => return Ok(()),
                DeviceEvent::Over { reason } => return Err(reason.to_string().into()),
                other => eprintln!("crowd: {other:?}"),
            }
        }
    };
    let late = async {
        smol::Timer::after(PATIENCE).await;
        Err("no ticket was accepted in time".into())
    };
    smol::future::or(accepted, late).await
}
