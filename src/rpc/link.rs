//! One exchange with the worker, over a connection that stays open.
//!
//! The request is written here from scratch. Nothing of the client's head goes
//! into it but the question and the length that we counted ourselves.

use std::io;
use std::os::unix::net::UnixStream;

use async_io::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::Ask;
use super::head::Question;
use super::limits::MAX_ANSWER;
use super::reply::Answer;

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
    }
}

/// Sends a request and reads its answer. After an error, or when dropped half
/// way, the connection is of no more use.
pub(super) async fn exchange(link: &Async<UnixStream>, ask: &Ask) -> io::Result<Answer> {
    let mut link = link;
    let (method, path) = request_line(ask.question);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: worker\r\nContent-Length: {}\r\n\r\n",
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
        if let Some((end, status, length)) = parse_head(&received)? {
            let mut body = received.split_off(end);
            if body.len() > length {
                return Err(broken("the worker sent more than one answer"));
            }
            let have = body.len();
            body.resize(length, 0);
            link.read_exact(body.get_mut(have..).unwrap_or_default())
                .await?;
            return Ok(Answer { status, body });
        }
        if received.len() > MAX_ANSWER_HEAD {
            return Err(broken("the worker's answer has no end to its head"));
        }
    }
}

/// Length of the head, status and length of the body, once the head is complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(broken("the worker's answer is not HTTP")),
    };
    let status = response.code.unwrap_or_default();
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok())
        .and_then(|digits| digits.parse::<usize>().ok())
        .filter(|&length| length <= MAX_ANSWER)
        .ok_or_else(|| broken("the worker's answer has no usable length"))?;
    Ok(Some((end, status, length)))
}

fn broken(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
