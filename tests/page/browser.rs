//! A browser: Debian's Chromium by its driver, which speaks HTTP (W3C WebDriver,
//! and Chromium's own commands behind `goog/cdp`).

use super::common::tools::find_or_skip;
use serde_json::{json, Value};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// One browser at a time: two take more memory and time than a small machine has.
static TURN: Mutex<()> = Mutex::new(());

/// A page that a person looks at.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// A fresh one; `None` (said aloud) where it is not installed. Nothing of it but the page
    /// itself may want the network.
    pub fn open(scripts: bool) -> Option<Browser> {
        let chromium = find_or_skip("chromium")?;
        let driver = find_or_skip("chromedriver")?;
        let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.rsplit_once("successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver names its port");
        std::thread::spawn(move || said.for_each(drop));
        let mut browser = Browser {
            driver,
            port,
            session: String::new(),
            _turn: turn,
            _profile: profile,
        };
        let folder = browser._profile.path().join("profile");
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-domain-reliability",
            "--disable-sync",
            "--no-first-run",
            "--no-pings",
            "--hide-scrollbars",
            // Whatever still looks for a name finds none.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ];
        let mut args: Vec<String> = args.map(ToOwned::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", folder.display()));
        args.push("about:blank".to_owned());
        let javascript = if scripts { 1 } else { 2 };
        let answer = browser.command(
            "POST",
            "/session",
            json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": {
                    "binary": chromium,
                    "args": args,
                    "prefs": { "profile.managed_default_content_settings.javascript": javascript },
                },
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            }}}),
        );
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn command(&self, method: &str, path: &str, body: Value) -> Value {
        let (head, body) = self.exchange(method, path, &body).unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(head.contains(" 200 "), "{method} {path}: {answer}");
        answer["value"].clone()
    }

    /// Head and body of the driver's answer.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> io::Result<(String, Vec<u8>)> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(90)))?;
        write!(
            stream,
            "{method} {}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.session,
            body.len()
        )?;
        // The driver keeps the connection whatever it is told, so the length decides.
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let at = head.len();
            if stream.read_line(&mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = head[at..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok((head, body))
    }

    /// Opens a page and waits until it is loaded.
    pub fn go(&self, url: &str) {
        self.command("POST", "/url", json!({ "url": url }));
    }

    /// The result of a script with a `return`.
    pub fn run(&self, script: &str) -> Value {
        self.command(
            "POST",
            "/execute/sync",
            json!({ "script": script, "args": [] }),
        )
    }

    /// The text of the first element that this selects.
    pub fn text(&self, selector: &str) -> String {
        let text = self.run(&format!(
            "return document.querySelector({selector:?}).textContent"
        ));
        text.as_str().expect(selector).to_owned()
    }

    /// Presses the first element that this selects, as a person does: scripts may not do all that a press may.
    pub fn press(&self, selector: &str) {
        let find = json!({ "using": "css selector", "value": selector });
        let found = self.command("POST", "/element", find);
        let id = found.as_object().unwrap().values().next().unwrap();
        let path = format!("/element/{}/click", id.as_str().unwrap());
        self.command("POST", &path, json!({}));
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, params: Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.command("POST", "/goog/cdp/execute", body)
    }

    /// Size and colours of the screen.
    pub fn screen(&self, (width, height): (u32, u32), dark: bool) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Writes what is seen to `target/screenshots/NAME.png`: the screen, or all of the page.
    pub fn shoot(&self, name: &str, all: bool) {
        let mut params = json!({ "format": "png" });
        if all {
            let size = self.devtools("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
            params["captureBeyondViewport"] = true.into();
            params["clip"] = json!({
                "x": 0, "y": 0, "scale": 1, "width": size["width"], "height": size["height"],
            });
        }
        let shot = self.devtools("Page.captureScreenshot", params);
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = from_base64(shot["data"].as_str().unwrap());
        assert!(bytes.starts_with(b"\x89PNG"));
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.command("POST", "/se/log", json!({ "type": kind }));
        log.as_array().unwrap().clone()
    }

    /// What the page complained about since it was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.log("browser");
        log.iter().map(ToString::to_string).collect()
    }

    /// All addresses that were asked for since it was asked last.
    pub fn requests(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for entry in self.log("performance") {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let message = &message["message"];
            let url = match message["method"].as_str().unwrap() {
                "Network.requestWillBeSent" => &message["params"]["request"]["url"],
                "Network.webSocketCreated" => &message["params"]["url"],
                _ => continue,
            };
            urls.push(url.as_str().unwrap().to_owned());
        }
        urls
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.exchange("DELETE", "", &json!({}));
        }
        // It ends with its session; a driver that is killed before would leave it behind.
        let pid = self.driver.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.driver.wait();
    }
}

/// RFC 4648; line breaks and padding are passed over.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bits, mut have, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
        }
    }
    bytes
}
