//! Small services that are published, and the routes that lead to them.

use super::{noise, Device};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;

/// Serves each connection in a thread of its own; returns the port.
pub fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            std::thread::spawn(move || handle(stream));
        }
    });
    port
}

/// Bytes that repeat nowhere, a block at a time: making them must cost less
/// than carrying them.
pub struct Blocks {
    block: Vec<u8>,
    number: u64,
}

/// Bytes of a block.
pub const BLOCK: usize = 1 << 20;

impl Blocks {
    pub fn new(seed: u64) -> Blocks {
        Blocks {
            block: noise(seed, BLOCK),
            number: 0,
        }
    }

    pub fn next(&mut self) -> &[u8] {
        self.number += 1;
        self.block[..8].copy_from_slice(&self.number.to_be_bytes());
        &self.block
    }
}

/// Writes so many blocks; their SHA-256.
pub fn write_blocks(to: &mut impl Write, seed: u64, count: usize) -> [u8; 32] {
    let mut blocks = None;
    let mut hash = Sha256::new();
    for _ in 0..count {
        let block = blocks.get_or_insert_with(|| Blocks::new(seed)).next();
        hash.update(block);
        to.write_all(block).unwrap();
    }
    hash.finalize().into()
}

/// Reads to the end; number of bytes and SHA-256.
pub fn hash_to_end(from: &mut impl Read) -> (u64, [u8; 32]) {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        match from.read(&mut buffer).unwrap() {
            0 => return (total, hash.finalize().into()),
            n => {
                total += n as u64;
                hash.update(&buffer[..n]);
            }
        }
    }
}

/// Takes everything up to the end of input, then answers with its number of
/// bytes and SHA-256: forty bytes.
pub fn digest_server() -> u16 {
    serve(|mut stream| {
        let (total, digest) = hash_to_end(&mut stream);
        stream.write_all(&total.to_be_bytes()).unwrap();
        stream.write_all(&digest).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// Sends blocks until the other side has had enough.
pub fn source_server(seed: u64) -> u16 {
    serve(move |mut stream| {
        let mut blocks = Blocks::new(seed);
        while stream.write_all(blocks.next()).is_ok() {}
    })
}

/// HTTP/1.1 with keep-alive; every answer has this body.
pub fn http_server(body: &'static str) -> u16 {
    serve(move |stream| {
        let mut write = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        while lines.next().is_some() {
            // The rest of the head.
            for line in lines.by_ref() {
                if line.is_empty() {
                    break;
                }
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n{body}",
                body.len()
            );
            if write.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// Sends every datagram back to where it came from.
pub fn udp_echo() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..n], from);
        }
    });
    port
}

/// A published port and the local place that leads to it.
pub struct Route {
    pub publisher: Device,
    pub forwarder: Device,
    pub listen: SocketAddr,
    /// `0xDEVICE:8080`
    pub target: String,
}

impl Route {
    /// To a local TCP port, end to end.
    pub fn tcp(home: &Path, node: &str, port: u16) -> Route {
        Route::open(
            home,
            node,
            &format!("{port}=8080:public"),
            "127.0.0.1:0",
            &[],
        )
    }

    /// `options` go to both programs.
    pub fn open(home: &Path, node: &str, spec: &str, listen: &str, options: &[&str]) -> Route {
        let mut args = vec!["publish", spec, "--node", node];
        args.extend(options);
        let publisher = Device::start(home, "publish", &args);
        let ready = publisher.expect("ready");
        let target = format!("{}:8080", ready["device"].as_str().unwrap());
        let (forwarder, listen) = Device::forward(home, "forward", node, listen, &target, options);
        Route {
            publisher,
            forwarder,
            listen,
            target,
        }
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listen).unwrap()
    }
}

/// Sends `bytes` to an echo and wants them back.
#[track_caller]
pub fn assert_echo(place: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(super::SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == bytes, "{} of {} bytes", back.len(), bytes.len());
}
