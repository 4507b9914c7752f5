//! A small web server, and a client that downloads from it: plain HTTP/1.1 on
//! local sockets, as any two programs that know nothing of the network between
//! them.

use crate::platform::socket::Tuning;
use crate::session::dial::dial;
use crate::task;
use async_io::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::Executor;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Longest head of a request or an answer that either side reads: theirs have
/// some hundred bytes.
const HEAD_MAX: usize = 4096;
/// Longest page that the client takes.
const PAGE_MAX: u64 = 64 * 1024;
/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Bytes of the content before it repeats. A prime: bytes that went missing or
/// came twice in any usual block size are noticed.
const PERIOD: usize = 65_521;

/// The page at `/`.
const PAGE: &str = "<!doctype html>\n<title>chr-node demo</title>\n\
<p>This page came from a device that listens for nobody, through a node that could not read it.</p>\n";

/// What is downloaded, as server and client know it.
#[derive(Clone, Debug)]
pub struct Content(Arc<[u8]>);

impl Content {
    fn new() -> Content {
        let mut bytes = vec![0; PERIOD];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        Content(bytes.into())
    }

    /// The bytes from `at` on, up to the next repetition.
    fn from(&self, at: u64) -> &[u8] {
        let start = usize::try_from(at % PERIOD as u64).unwrap_or_default();
        self.0.get(start..).unwrap_or_default()
    }

    /// Whether these are the bytes at `at`.
    fn is(&self, mut at: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let wanted = self.from(at);
            let (part, rest) = bytes.split_at(wanted.len().min(bytes.len()));
            if !wanted.starts_with(part) {
                return false;
            }
            at = at.saturating_add(part.len() as u64);
            bytes = rest;
        }
        true
    }
}

/// A web server with a page at `/` and `size` bytes at `/download`.
pub struct WebServer {
    place: SocketAddr,
    content: Content,
    _serving: smol::Task<()>,
}

impl WebServer {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(size: u64, executor: &Arc<Executor<'static>>) -> io::Result<WebServer> {
        let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0))?;
        let place = listener.get_ref().local_addr()?;
        let content = Content::new();
        Ok(WebServer {
            place,
            content: content.clone(),
            _serving: task::spawn(executor, serve(listener, content, size, executor.clone())),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn place(&self) -> SocketAddr {
        self.place
    }

    /// What a client should get.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }
}

async fn serve(
    listener: Async<TcpListener>,
    content: Content,
    size: u64,
    executor: Arc<Executor<'static>>,
) {
    // It lives for a demonstration; when accepting fails, so does that, by its
    // own deadline.
    while let Ok((stream, _)) = listener.accept().await {
        let content = content.clone();
        task::spawn(&executor, async move {
            if let Err(e) = answer(stream, &content, size).await {
                log::debug!("demo: a connection to the web server ended: {e}");
            }
        })
        .detach();
    }
}

async fn answer(mut stream: Async<TcpStream>, content: &Content, size: u64) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
    let mut waiting = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut waiting).await? {
        match head.lines().next().unwrap_or_default() {
            "GET / HTTP/1.1" => {
                let whole = answer_head("200 OK", "text/html", PAGE.len() as u64) + PAGE;
                stream.write_all(whole.as_bytes()).await?;
            }
            "GET /download HTTP/1.1" => {
                let head = answer_head("200 OK", "application/octet-stream", size);
                stream.write_all(head.as_bytes()).await?;
                let mut sent = 0;
                while sent < size {
                    let left = usize::try_from(size - sent).unwrap_or(usize::MAX);
                    let part = content.from(sent);
                    let part = part.get(..left).unwrap_or(part);
                    stream.write_all(part).await?;
                    sent += part.len() as u64;
                }
            }
            _ => {
                let head = answer_head("404 Not Found", "text/plain", 0);
                stream.write_all(head.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

fn answer_head(status: &str, kind: &str, length: u64) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
}

/// The next head up to its empty line, which stays out; what came after it stays
/// in `waiting`. None at a clean end.
async fn read_head(
    stream: &mut Async<TcpStream>,
    waiting: &mut Vec<u8>,
) -> io::Result<Option<String>> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        if let Some(end) = waiting.windows(END.len()).position(|w| w == END) {
            let rest = waiting.split_off(end + END.len());
            let mut head = std::mem::replace(waiting, rest);
            head.truncate(end);
            let text = String::from_utf8(head);
            return text.map(Some).map_err(|_| bad("the head is not text"));
        }
        if waiting.len() > HEAD_MAX {
            return Err(bad("the head has no end"));
        }
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await? {
            0 if waiting.is_empty() => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => waiting.extend_from_slice(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Who asks: one connection that is used again.
pub struct Client {
    stream: Async<TcpStream>,
    /// What came behind the last head.
    waiting: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(place: SocketAddr) -> Result<Client, String> {
        let host = place.ip().to_string();
        Ok(Client {
            stream: dial(&host, place.port(), Tuning::LOCAL).await?,
            waiting: Vec::new(),
        })
    }

    /// Fetches the small page and looks whether it is the right one.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn page(&mut self) -> Result<(), String> {
        let length = self.ask("/").await.map_err(|e| e.to_string())?;
        if length > PAGE_MAX {
            return Err(format!("it has {length} bytes"));
        }
        let mut body = vec![0; usize::try_from(length).unwrap_or_default()];
        let here = self.waiting.len().min(body.len());
        for (to, from) in body.iter_mut().zip(self.waiting.drain(..here)) {
            *to = from;
        }
        if let Some(rest) = body.get_mut(here..) {
            let read = self.stream.read_exact(rest).await;
            read.map_err(|e| e.to_string())?;
        }
        if body != PAGE.as_bytes() {
            return Err("it is not the page that was sent".to_owned());
        }
        Ok(())
    }

    /// Asks for the download, which is then read bit by bit.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn download(&mut self, content: &Content) -> Result<Download<'_>, String> {
        let length = self.ask("/download").await.map_err(|e| e.to_string())?;
        let mut download = Download {
            content: content.clone(),
            at: 0,
            length,
            buffer: vec![0; BLOCK],
            stream: &mut self.stream,
        };
        download.check(&std::mem::take(&mut self.waiting))?;
        Ok(download)
    }

    /// Sends a request and reads the head of its answer: the length of the body.
    async fn ask(&mut self, path: &str) -> io::Result<u64> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let head = read_head(&mut self.stream, &mut self.waiting).await?;
        let head = head.ok_or(ErrorKind::UnexpectedEof)?;
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        if status != "HTTP/1.1 200 OK" {
            return Err(bad(&format!("the web server said {status:?}")));
        }
        lines
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .and_then(|length| length.parse().ok())
            .ok_or_else(|| bad("the answer does not say how long it is"))
    }
}

/// A body on its way.
pub struct Download<'a> {
    content: Content,
    at: u64,
    length: u64,
    buffer: Vec<u8>,
    stream: &'a mut Async<TcpStream>,
}

impl Download<'_> {
    /// Bytes of the whole.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that have not come yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    /// Reads what is there and checks every byte of it.
    ///
    /// # Errors
    /// What went wrong, and after how many bytes.
    pub async fn read_some(&mut self) -> Result<(), String> {
        let read = self.stream.read(&mut self.buffer).await;
        let n = read.map_err(|e| format!("after {} bytes: {e}", self.at))?;
        if n == 0 {
            return Err(format!(
                "it ended after {} of {} bytes",
                self.at, self.length
            ));
        }
        let buffer = std::mem::take(&mut self.buffer);
        let checked = self.check(buffer.get(..n).unwrap_or_default());
        self.buffer = buffer;
        checked
    }

    fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() as u64 > self.left() || !self.content.is(self.at, bytes) {
            return Err(format!("wrong bytes after the first {}", self.at));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn with_server(size: u64, talk: impl AsyncFnOnce(SocketAddr, Content)) {
        let executor = Arc::new(Executor::new());
        smol::block_on(executor.run(async {
            let web = WebServer::start(size, &executor).unwrap();
            talk(web.place(), web.content().clone()).await;
        }));
    }

    #[test]
    fn a_connection_is_used_for_pages_and_a_download_of_any_length() {
        for size in [1, 65_520, 65_521, 65_522, 1_000_003] {
            with_server(size, async |place, content| {
                let mut client = Client::connect(place).await.unwrap();
                client.page().await.unwrap();
                let mut download = client.download(&content).await.unwrap();
                assert_eq!(download.length(), size);
                while download.left() > 0 {
                    download.read_some().await.unwrap();
                }
                client.page().await.unwrap();
            });
        }
    }

    #[test]
    fn bytes_that_are_missing_doubled_or_changed_are_noticed() {
        let content = Content::new();
        let bytes: Vec<u8> = content.0.iter().chain(&*content.0).copied().collect();
        assert!(content.is(7, &bytes[7..100_000]));
        assert!(!content.is(7, &bytes[8..100_000]));
        let shifted = 16_384 + 7;
        assert!(!content.is(7, &bytes[shifted..100_000]));
        for at in [0, 65_520, 65_521, 99_999] {
            let mut changed = bytes[..100_000].to_vec();
            changed[at] ^= 1;
            assert!(!content.is(0, &changed), "{at}");
        }
    }

    #[test]
    fn a_stranger_at_the_web_server_cannot_fill_it() {
        with_server(1, async |place, _| {
            let mut stream = Async::<TcpStream>::connect(place).await.unwrap();
            // It closes before all of this is taken.
            let _ = stream.write_all(&vec![b'a'; 1 << 20]).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty());
            let mut stream = Async::<TcpStream>::connect(place).await.unwrap();
            let _ = stream.write_all(b"PUT /download HTTP/1.1\r\n\r\n").await;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 404");
        });
    }
}
