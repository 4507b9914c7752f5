//! Programs that people use, through publish and forward: what they notice when
//! a relay delays, reorders, cuts or swallows ends of streams.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::servers::*;
use common::tools::*;
use common::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn hundreds_of_http_connections_at_once_get_all_their_answers() {
    let Some(wrk) = find_or_skip("wrk") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = Route::tcp(
        home.path(),
        &node.address(),
        http_server("hello from behind the NAT\n"),
    );
    // The second is more than may be opening at once.
    for connections in [200u32, 500] {
        // How long all need for their first answer is the machine's affair: a
        // busy one gets a second, longer run.
        let enough = ["3s", "15s"].iter().any(|duration| {
            let ran = run(
                Command::new(&wrk)
                    .args(["-t2", "-d", duration, "--timeout", "20s"])
                    .arg(format!("-c{connections}"))
                    .arg(format!("http://{}/", route.listen)),
                SOON,
            );
            assert_eq!(ran.code, 0, "{}", ran.err);
            // Both lines are printed only when there is something to say.
            assert!(!ran.out.contains("Socket errors"), "{}", ran.out);
            assert!(!ran.out.contains("Non-2xx"), "{}", ran.out);
            let line = ran.out.lines().find(|line| line.contains("requests in"));
            let first = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
            first.is_some_and(|n| n >= connections)
        });
        assert!(enough, "some of {connections} connections got no answer");
    }
    // All of them have closed; the route still works.
    let mut stream = route.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("behind the NAT\n"), "{answer}");
}

/// Reads an HTTP head up to its empty line, and no byte more.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// RFC 6455 section 5.2; `mask` as clients must.
fn write_frame(stream: &mut TcpStream, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    let mut frame = vec![0x80 | opcode];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        n @ 0..=125 => frame.push(bit | n as u8),
        n => {
            frame.push(bit | 126);
            frame.extend(u16::try_from(n).unwrap().to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    if mask.is_some() {
        frame.extend(key);
    }
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    stream.write_all(&frame).unwrap();
}

fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut key = [0; 4];
    if head[1] & 0x80 != 0 {
        stream.read_exact(&mut key).unwrap();
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    for (byte, k) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= k;
    }
    (head[0] & 0x0f, payload)
}

#[test]
fn a_web_socket_is_upgraded_and_speaks_both_ways_whoever_starts() {
    // Key and answer of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let port = serve(|mut stream| {
        let head = read_head(&mut stream);
        assert!(head.contains(KEY) && head.contains("Upgrade: websocket"));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        // The server speaks first, without being asked.
        write_frame(&mut stream, 1, b"welcome", None);
        loop {
            let (opcode, payload) = read_frame(&mut stream);
            match opcode {
                8 => {
                    write_frame(&mut stream, 8, &payload, None);
                    return;
                }
                9 => write_frame(&mut stream, 10, &payload, None),
                _ => write_frame(&mut stream, opcode, &payload, None),
            }
        }
    });
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), port);
    let mut stream = route.connect();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(
        stream,
        "GET /chat HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        route.listen
    )
    .unwrap();
    let head = read_head(&mut stream);
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains(ACCEPT),
        "{head}"
    );
    assert_eq!(read_frame(&mut stream), (1, b"welcome".to_vec()));
    for n in [0, 1, 125, 126, 5_000, 60_000] {
        let payload = noise(n as u64 + 1, n);
        write_frame(&mut stream, 2, &payload, Some([1, 2, 3, 4]));
        assert_eq!(read_frame(&mut stream), (2, payload));
        write_frame(&mut stream, 9, b"are you there?", Some([9, 9, 9, 9]));
        assert_eq!(read_frame(&mut stream), (10, b"are you there?".to_vec()));
    }
    write_frame(&mut stream, 8, &1000u16.to_be_bytes(), Some([0; 4]));
    assert_eq!(read_frame(&mut stream), (8, 1000u16.to_be_bytes().to_vec()));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "the server has closed");
}

#[test]
fn an_answer_that_comes_only_after_the_end_of_input_arrives() {
    let Some(nc) = find_or_skip("nc") else {
        return;
    };
    let help = run(Command::new(&nc).arg("-h"), SOON);
    if !help.err.contains("-N") && !help.err.contains("46CDdFhklNn") {
        println!("skipped: this nc has no -N");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let port = serve(|mut stream| {
        let mut question = String::new();
        stream.read_to_string(&mut question).unwrap();
        let _ = write!(stream, "you said {question}");
    });
    let route = Route::tcp(home.path(), &node.address(), port);
    let ran = run(
        Command::new("sh").arg("-c").arg(format!(
            "printf x | {} -N 127.0.0.1 {}",
            nc.display(),
            route.listen.port()
        )),
        SOON,
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, "you said x"));
}

/// An sshd of our own, with keys that live as long as the test.
struct Sshd {
    _program: Program,
    port: u16,
}

impl Sshd {
    /// `None` when a program is missing.
    fn start(home: &Path) -> Option<Sshd> {
        let sshd = find_or_skip("sshd")?;
        let keygen = find_or_skip("ssh-keygen")?;
        for name in ["host", "client"] {
            let made = run(
                Command::new(&keygen)
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(home.join(name)),
                SOON,
            );
            assert_eq!(made.code, 0, "{}", made.err);
        }
        fs::copy(home.join("client.pub"), home.join("authorized")).unwrap();
        // sshd takes no port 0: a free one that was just given back.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n",
            home.display()
        );
        fs::write(home.join("sshd_config"), text).unwrap();
        // Its privileged half wants this folder; only root can make it.
        let _ = fs::create_dir_all("/run/sshd");
        let program = Program::start(
            Command::new(sshd)
                .args(["-D", "-e", "-f"])
                .arg(home.join("sshd_config"))
                .stdout(Stdio::null()),
        );
        until(SOON, "sshd listens", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Sshd {
            _program: program,
            port,
        })
    }
}

#[test]
fn an_interactive_ssh_session_echoes_keys_and_ends_with_its_exit_code() {
    let Some(ssh) = find_or_skip("ssh") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(home.path()) else {
        return;
    };
    let node = Node::start(home.path());
    let route = Route::tcp(home.path(), &node.address(), sshd.port);
    let mut command = Command::new(ssh);
    command
        .args(["-tt", "-F", "none", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"])
        .arg("-o")
        .arg(format!(
            "UserKnownHostsFile={}",
            home.path().join("hosts").display()
        ))
        .arg("-i")
        .arg(home.path().join("client"))
        .args(["-p", &route.listen.port().to_string(), "127.0.0.1"])
        .arg("env -i PS1='ready> ' sh -i")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = Screen::watch(child.stdout.take().unwrap());
    // A person waits for each answer before the next line.
    screen.wait_for("ready> ");
    keys.write_all(b"echo $((6*7)) is the answer\n").unwrap();
    screen.wait_for("42 is the answer");
    screen.wait_for("ready> ");
    keys.write_all(b"tty\n").unwrap();
    screen.wait_for("/dev/pts/");
    // A key that the terminal itself answers: the sleep is interrupted.
    screen.wait_for("ready> ");
    keys.write_all(b"sh -c 'echo asleep$((1)); exec sleep 1000'\n")
        .unwrap();
    screen.wait_for("asleep1");
    keys.write_all(&[3]).unwrap();
    screen.wait_for("ready> ");
    // A screenful and more comes whole.
    keys.write_all(b"i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done\n")
        .unwrap();
    screen.wait_for("line 3000");
    keys.write_all(b"exit 7\n").unwrap();
    let status = until(SOON, "ssh ends", || child.try_wait().unwrap());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(status.code(), Some(7), "{said}");
}

/// What a program shows, as it comes.
struct Screen {
    pieces: std::sync::mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Screen {
    fn watch(mut from: impl Read + Send + 'static) -> Screen {
        let (send, pieces) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Screen {
            pieces,
            text: String::new(),
        }
    }

    /// Waits until `words` are there, and forgets everything up to them.
    #[track_caller]
    fn wait_for(&mut self, words: &str) {
        loop {
            if let Some(at) = self.text.find(words) {
                self.text.drain(..at + words.len());
                return;
            }
            match self.pieces.recv_timeout(SOON) {
                Ok(piece) => self.text.push_str(&String::from_utf8_lossy(&piece)),
                Err(e) => panic!("{words:?} never came ({e}); on the screen: {}", self.text),
            }
        }
    }
}
