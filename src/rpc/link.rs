//! One exchange with the worker, over a connection that stays open.
//!
//! The request is written here from scratch. Nothing of the client's head goes
//! into it but the question and the length that we counted ourselves.

use std::io;
use std::os::unix::net::UnixStream;

use async_io::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::Ask;
use super::asker::Asker;
use super::head::Question;
use super::limits::MAX_ANSWER;
use super::reply::{Answer, Kind};

/// Longest head of the worker's answers, in bytes: tiny_http writes about 120.
const MAX_ANSWER_HEAD: usize = 2 * 1024;
/// Header lines in the worker's answers: it writes three.
const MAX_ANSWER_HEADERS: usize = 16;

/// Method and path of a question, as the worker reads them back.
pub(super) fn request_line(question: Question) -> (&'static str, &'static str) {
    match question {
        Question::Health => ("GET", "/health"),
        Question::Ready => ("GET", "/ready"),
        Question::Rpc => ("POST", "/rpc"),
        Question::Page => ("GET", "/"),
        Question::Metrics => ("GET", "/metrics"),
        Question::Config => ("GET", "/config"),
        Question::ChangeConfig => ("POST", "/config"),
        // Never sent: the door answers these itself.
        Question::Events => ("GET", "/events"),
        Question::WebSocket => ("GET", "/ws"),
    }
}

/// The header that says who asks, and under which number an answer to come is left.
pub(super) const ASKER: &str = "X-Asker";

/// Its value.
fn asker_value(ask: &Ask) -> String {
    format!("{}.{}", ask.asker.to_digit(), ask.number)
}

/// The opposite.
pub(super) fn read_asker(value: &str) -> Option<(Asker, u64)> {
    let (digit, number) = value.split_once('.')?;
    Some((Asker::from_digit(digit.parse().ok()?), number.parse().ok()?))
}

/// Sends a request and reads its answer. After an error, or when dropped half
/// way, the connection is of no more use.
pub(super) async fn exchange(link: &Async<UnixStream>, ask: &Ask) -> io::Result<Answer> {
    let mut link = link;
    let (method, path) = request_line(ask.question);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: worker\r\n{ASKER}: {}\r\nContent-Length: {}\r\n\r\n",
        asker_value(ask),
        ask.body.len()
    );
    link.write_all(head.as_bytes()).await?;
    link.write_all(&ask.body).await?;

    let mut received = Vec::new();
    loop {
        let before = received.len();
        received.resize(before + 1024, 0);
        let room = received.get_mut(before..).unwrap_or_default();
        let count = link.read(room).await?;
        received.truncate(before + count);
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((end, status, kind, length)) = parse_head(&received)? {
            let mut body = received.split_off(end);
            if body.len() > length {
                return Err(broken("the worker sent more than one answer"));
            }
            let have = body.len();
            body.resize(length, 0);
            link.read_exact(body.get_mut(have..).unwrap_or_default())
                .await?;
            return Ok(Answer { status, kind, body });
        }
        if received.len() > MAX_ANSWER_HEAD {
            return Err(broken("the worker's answer has no end to its head"));
        }
    }
}

/// Length of the head, status, kind and length of the body, once the head is complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, u16, Kind, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(broken("the worker's answer is not HTTP")),
    };
    let status = response.code.unwrap_or_default();
    let value = |name: &str| {
        let mut headers = response.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let mime = value("content-type").unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|kind| kind.mime() == mime);
    let length = value("content-length")
        .and_then(|digits| digits.parse::<usize>().ok())
        .filter(|&length| length <= MAX_ANSWER)
        .ok_or_else(|| broken("the worker's answer has no usable length"))?;
    Ok(Some((end, status, kind.unwrap_or(Kind::Json), length)))
}

fn broken(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
