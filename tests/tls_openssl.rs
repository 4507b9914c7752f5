//! OpenSSL's own programs against our channels, in both directions: what a
//! client in another language will meet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use chr_node::identity::certificate::{peer_key, self_signed, CertificateError};
use chr_node::identity::{Address, SecretKey};
use chr_node::tls::{client_config, Channel, ServerConfigs, TlsError, Version, Versions};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{spawn, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// No step of these tests takes a tenth of this; it ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many handshakes make sure of a high s: OpenSSL sends one in every
/// second, so that 12 without happen once in 4,096 runs (and then the test
/// passes, too).
const OFTEN: usize = 12;

/// Certificates made by the `openssl` program.
struct Openssl {
    folder: TempDir,
}

impl Openssl {
    /// `None`, and a line that says why, where the program is missing or has
    /// no secp256k1.
    fn find() -> Option<Openssl> {
        let curves = Command::new("openssl")
            .args(["ecparam", "-list_curves"])
            .stderr(Stdio::null())
            .output();
        match curves {
            Err(error) => println!("skipped: the program openssl cannot be run: {error}"),
            Ok(output) if !String::from_utf8_lossy(&output.stdout).contains("secp256k1") => {
                println!("skipped: this openssl does not know the curve secp256k1");
            }
            Ok(_) => {
                let openssl = Openssl {
                    folder: TempDir::new().unwrap(),
                };
                openssl.make();
                return Some(openssl);
            }
        }
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &str) -> String {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {text}");
        text
    }

    fn make(&self) {
        for (name, curve) in [("good", "secp256k1"), ("p256", "prime256v1")] {
            self.run(&format!(
                "ecparam -name {curve} -genkey -noout -out {name}.key"
            ));
            self.run(&format!(
                "req -new -x509 -key {name}.key -subj /CN=x -days 10 -out {name}.pem"
            ));
        }
        // A request signed without extensions becomes version 1.
        self.run("req -new -key good.key -subj /CN=old -out old.csr");
        self.run("x509 -req -in old.csr -signkey good.key -days 10 -out old.pem");
        self.run("x509 -in good.pem -outform DER -out good.der");
        self.run("x509 -in old.pem -outform DER -out old.der");
        fs::write(self.path("ours.der"), self_signed(&our_key())).unwrap();
        self.run("x509 -inform DER -in ours.der -out ours.pem");
    }

    /// The address of the key in `good.pem` and `old.pem`.
    fn address(&self) -> Address {
        let der = fs::read(self.path("good.der")).unwrap();
        peer_key(&der).unwrap().address()
    }

    fn start(&self, arguments: &str) -> Running {
        let child = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// Runs a client that sends `text`, to a server of ours.
    fn connect(&self, options: &str, text: &[u8], versions: Versions) -> (Met, Said) {
        let (port, server) = serve(versions, text.len());
        let mut client = self.start(&format!(
            "s_client -connect 127.0.0.1:{port} -quiet {options}"
        ));
        let mut stdin = client.0.stdin.take().unwrap();
        let text = text.to_vec();
        let writer = spawn(move || {
            // The other side may be gone by then: that is what some tests want.
            let _ = stdin.write_all(&text);
            let _ = stdin.flush();
            // Kept open: an end of input would end the client too early.
            stdin
        });
        // Read meanwhile: a client whose output waits does not read its socket.
        let said = client.read();
        let met = server.join().unwrap();
        drop(writer.join().unwrap());
        (met, said)
    }

    /// Starts a server that reverses lines; returns its port.
    fn listen(&self, options: &str) -> (Running, u16) {
        let mut server = self.start(&format!("s_server -accept 127.0.0.1:0 -rev {options}"));
        let mut line = String::new();
        let mut lines = BufReader::new(server.0.stdout.as_mut().unwrap());
        while !line.starts_with("ACCEPT ") {
            line.clear();
            assert_ne!(
                lines.read_line(&mut line).unwrap(),
                0,
                "{}",
                server.read().1
            );
        }
        let port = line.trim_end().rsplit(':').next().unwrap();
        (server, port.parse().unwrap())
    }
}

/// Standard output and standard error.
type Said = (Vec<u8>, String);

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn read(&mut self) -> Said {
        let (mut out, mut err) = (Vec::new(), String::new());
        let mut stdout = self.0.stdout.take().unwrap();
        let reader = spawn(move || {
            stdout.read_to_end(&mut out).unwrap();
            out
        });
        let mut stderr = self.0.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        (reader.join().unwrap(), err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn our_key() -> SecretKey {
    SecretKey::from_bytes(&[0x33; 32]).unwrap()
}

/// How a connection with one of our sides ended: who was there, or why not.
#[derive(Debug)]
struct Met {
    peer: Option<Address>,
    version: Option<Version>,
    suite: Option<&'static str>,
    plain: Vec<u8>,
    error: Option<TlsError>,
}

/// Accepts one connection, returns `expected` bytes to it and closes.
fn serve(versions: Versions, expected: usize) -> (u16, JoinHandle<Met>) {
    let configs = ServerConfigs::new(&our_key(), &[b"chr-edge/2"], versions).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        run(socket, Channel::server(&configs), &[], expected, true)
    });
    (port, server)
}

/// Connects, sends `text` and waits for as many bytes.
fn dial(port: u16, versions: Versions, text: &[u8]) -> Met {
    let config = client_config(&our_key(), &[], versions).unwrap();
    let channel = Channel::client(&config).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    run(socket, channel, text, text.len(), false)
}

fn run(
    mut socket: TcpStream,
    mut channel: Channel,
    text: &[u8],
    expected: usize,
    echo: bool,
) -> Met {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut met = Met {
        peer: None,
        version: None,
        suite: None,
        plain: Vec::new(),
        error: None,
    };
    let (mut out, mut buffer) = (Vec::new(), vec![0; 65_536]);
    channel.start(&mut out).unwrap();
    while met.plain.len() < expected {
        socket.write_all(&out).unwrap();
        out.clear();
        let length = socket.read(&mut buffer).expect("silence");
        if length == 0 {
            break;
        }
        let from = met.plain.len();
        let plain = &mut met.plain;
        let mut sink = |part: &[u8]| plain.extend_from_slice(part);
        match channel.receive(&mut buffer[..length], &mut out, &mut sink) {
            Ok(progress) if progress.handshake_done_now => {
                met.peer = channel.peer_address();
                met.version = channel.version();
                met.suite = channel.suite();
                channel.send(text, &mut out).unwrap();
            }
            Ok(progress) if progress.closed => break,
            Ok(_) => {}
            Err(error) => {
                met.error = Some(error);
                break;
            }
        }
        if echo && !channel.is_handshaking() {
            channel.send(&met.plain[from..], &mut out).unwrap();
        }
    }
    channel.close(&mut out);
    // A side that refused us may not wait for our last words.
    let _ = socket.write_all(&out);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    if echo {
        // Closing with unread bytes would reset the connection under our alert.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    met
}

/// A client as a program in another language would set it up.
const CLIENT: &str = "-tls1_2 -groups secp256k1 -cert good.pem -key good.key";

#[test]
fn openssl_finds_our_certificate_valid() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    openssl.run("verify -check_ss_sig -CAfile ours.pem ours.pem");
    let text = openssl.run("x509 -in ours.pem -noout -text");
    for part in [
        "Version: 3 (0x2)",
        "Not Before: Jan  1 00:00:00 1970 GMT",
        "Not After : Dec 31 23:59:59 9999 GMT",
        "ASN1 OID: secp256k1",
        "X509v3 Basic Constraints: critical",
        &our_key().address().to_string(),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_client_with_openssl_connects() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    for (options, suite) in [
        ("-cipher ECDHE-ECDSA-AES128-GCM-SHA256", "AES_128_GCM"),
        ("-cipher ECDHE-ECDSA-AES256-GCM-SHA384", "AES_256_GCM"),
        ("-cipher ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20"),
        ("-CAfile ours.pem -verify_return_error", "TLS_ECDHE_ECDSA"),
        ("-alpn chr-edge/2", "TLS_ECDHE_ECDSA"),
    ] {
        let options = format!("{CLIENT} {options}");
        let (met, said) = openssl.connect(&options, b"hello\n", Versions::Both);
        assert_eq!(met.error, None, "{options}: {}", said.1);
        assert_eq!(met.peer, Some(openssl.address()));
        assert_eq!(met.version, Some(Version::Tls12));
        assert!(met.suite.unwrap().contains(suite), "{met:?}");
        assert_eq!(
            (&met.plain[..], &said.0[..]),
            (&b"hello\n"[..], &b"hello\n"[..])
        );
    }
}

#[test]
fn a_stream_to_openssl_and_back_is_unchanged() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let text: Vec<u8> = (0..50_000)
        .flat_map(|n| format!("{n:08x}\n").into_bytes())
        .collect();
    let (met, said) = openssl.connect(CLIENT, &text, Versions::Only12);
    assert_eq!(met.error, None, "{}", said.1);
    assert!(met.plain == text && said.0 == text);
}

#[test]
fn a_high_s_of_an_openssl_client_is_accepted() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    for _ in 0..OFTEN {
        let (met, said) = openssl.connect(CLIENT, b"x\n", Versions::Both);
        assert_eq!(met.peer, Some(openssl.address()), "{met:?} {}", said.1);
    }
}

#[test]
fn a_version_1_certificate_of_openssl_is_accepted() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    assert!(openssl
        .run("x509 -in old.pem -noout -text")
        .contains("Version: 1 (0x0)"));
    let options = CLIENT.replace("good.pem", "old.pem");
    let (met, said) = openssl.connect(&options, b"x\n", Versions::Both);
    assert_eq!(met.peer, Some(openssl.address()), "{met:?} {}", said.1);
}

#[test]
fn a_client_that_offers_both_versions_lands_on_1_2() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let options = "-groups X25519:secp256k1 -cert good.pem -key good.key";
    let (met, said) = openssl.connect(options, b"x\n", Versions::Both);
    assert_eq!(met.version, Some(Version::Tls12), "{met:?} {}", said.1);
    assert_eq!(met.peer, Some(openssl.address()));
}

#[test]
fn a_client_that_we_cannot_know_never_gets_in() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    for (options, error, told) in [
        (
            "-tls1_2 -groups secp256k1",
            TlsError::NoCertificate,
            "certificate required",
        ),
        (
            "-tls1_2 -groups secp256k1:P-256 -cert p256.pem -key p256.key",
            TlsError::Certificate(CertificateError::OtherCurve),
            "certificate unknown",
        ),
    ] {
        let (met, said) = openssl.connect(options, b"x\n", Versions::Both);
        assert_eq!(met.error, Some(error), "{options}");
        assert_eq!(
            (met.peer, &met.plain[..], &said.0[..]),
            (None, &[][..], &[][..])
        );
        assert!(said.1.contains(told), "{options}: {}", said.1);
    }
}

#[test]
fn a_client_without_our_curve_is_told_so() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let pair = "-cert good.pem -key good.key";
    for options in ["-tls1_2 -groups P-256", "-tls1_3", "-groups X25519:P-256"] {
        let (met, said) = openssl.connect(&format!("{options} {pair}"), b"x\n", Versions::Both);
        let error = met.error.unwrap();
        assert!(matches!(error, TlsError::NothingInCommon(_)), "{error}");
        assert!(
            said.1.contains("handshake failure"),
            "{options}: {}",
            said.1
        );
    }
}

#[test]
fn a_server_of_openssl_is_reached() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let server = "-cert good.pem -key good.key -tls1_2";
    for (options, versions) in [
        ("-groups secp256k1", Versions::Only12),
        ("-groups secp256k1", Versions::Both),
        (
            "-groups X25519:secp256k1 -Verify 1 -verify_return_error -CAfile ours.pem",
            Versions::Both,
        ),
        ("-groups X25519:secp256k1 -serverpref", Versions::Both),
    ] {
        let (_server, port) = openssl.listen(&format!("{server} {options}"));
        let met = dial(port, versions, b"olleh\n");
        assert_eq!(met.error, None, "{options}");
        assert_eq!(met.peer, Some(openssl.address()));
        assert_eq!(met.version, Some(Version::Tls12));
        assert_eq!(met.plain, b"hello\n");
    }
}

#[test]
fn a_high_s_of_an_openssl_server_is_accepted() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let (_server, port) = openssl.listen("-cert old.pem -key good.key -groups secp256k1 -Verify 1");
    for _ in 0..OFTEN {
        let met = dial(port, Versions::Both, b"olleh\n");
        assert_eq!((met.error, met.peer), (None, Some(openssl.address())));
    }
}

#[test]
fn a_server_that_we_cannot_know_is_never_believed() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    for options in [
        "-cert p256.pem -key p256.key -tls1_2",
        "-cert p256.pem -key p256.key -tls1_3",
        "-cert good.pem -key good.key -tls1_3",
        "-cert good.pem -key good.key -tls1_2 -groups P-256",
    ] {
        let (_server, port) = openssl.listen(options);
        let met = dial(port, Versions::Both, b"x\n");
        let error = met.error.expect(options);
        // Usually it finds nothing in common with us and says so; in TLS 1.3 it
        // goes on with a key that is not for us.
        let other_curve = TlsError::Certificate(CertificateError::OtherCurve);
        assert!(
            matches!(error, TlsError::Refused(_)) || error == other_curve,
            "{options}: {error}"
        );
        assert_eq!((met.peer, &met.plain[..]), (None, &[][..]));
    }
}
