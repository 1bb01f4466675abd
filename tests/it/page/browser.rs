//! Debian's Chromium, headless, driven through its `DevTools` pipe.
//!
//! Owns the process and the protocol: numbered calls, and the events between them, of which it keeps what a console would
//! show. No port is opened: the browser ends when the pipe does. Knows nothing of the page.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Long enough for the slowest machine; a hang fails the test.
const PATIENCE: Duration = Duration::from_mins(2);
/// Events that wait to be read.
const QUEUE_LEN: usize = 4_096;

/// A window's size.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
}

/// The panel PC at the line.
pub const PANEL: Screen = Screen { width: 1280, height: 800 };
/// A phone.
pub const PHONE: Screen = Screen { width: 390, height: 844 };
/// A desktop.
pub const DESKTOP: Screen = Screen { width: 1920, height: 1080 };

/// A browser with one page.
pub struct Browser {
    child: Child,
    sent: ChildStdin,
    heard: Receiver<Value>,
    calls: u64,
    session: Value,
    /// What a console would show: errors, warnings, refusals by the content security policy.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it with an empty page of that size.
    pub fn start(screen: Screen) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The pipe is read at descriptor 3 and written at 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null", "sh"])
            .args(["chromium", "--headless=new", "--remote-debugging-pipe", "--no-first-run"])
            // Root may not use the sandbox; the only site it sees is the one under test.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let sent = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (told, heard) = sync_channel(QUEUE_LEN);
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|len| len > 1) {
                let Ok(value) = serde_json::from_slice(&message[..message.len() - 1]) else {
                    return;
                };
                message.clear();
                if told.send(value).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            sent,
            heard,
            calls: 0,
            session: Value::Null,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", &attach)["sessionId"].clone();
        for domain in ["Log.enable", "Runtime.enable", "Page.enable"] {
            browser.call(domain, &json!({}));
        }
        browser.resize(screen);
        browser
    }

    /// Another size.
    pub fn resize(&mut self, Screen { width, height }: Screen) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the system prefers.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Has a script run before those of every page.
    pub fn before_pages(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// Opens an address.
    pub fn open(&mut self, address: &str) {
        let went = self.call("Page.navigate", &json!({ "url": address }));
        assert!(went["errorText"].is_null(), "{went}");
    }

    /// The value of an expression, which may be a promise. What it throws fails the test.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != Value::Bool(true) {
            if began.elapsed() > PATIENCE {
                let seen = self.value("document.body.innerText");
                panic!("never: {expression}\n{seen}\n{:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks in the middle of an element, as a finger would: what lies above it is hit instead, and fails the test.
    pub fn click(&mut self, selector: &str) {
        let at = self.value(&format!(
            "(() => {{ const element = document.querySelector({selector:?}); if (!element) return null;\
             element.scrollIntoView({{ block: 'nearest' }}); const box = element.getBoundingClientRect();\
             const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];\
             const hit = document.elementFromPoint(x, y);\
             return [x, y, element.contains(hit) || Boolean(hit?.contains(element) && hit.closest('label')),\
             hit?.outerHTML.slice(0, 120)]; }})()"
        ));
        assert!(at[2] == true, "{selector} cannot be clicked: {at}");
        for kind in ["mousePressed", "mouseReleased"] {
            let mouse = json!({
                "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", &mouse);
        }
    }

    /// Presses a key: a letter, or `Tab`, `Enter`, `Escape`, `ArrowRight`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowRight" => 39,
            letter => u32::from(letter.to_ascii_uppercase().as_bytes()[0]),
        };
        let text = match key {
            "Enter" => "\r",
            letter if letter.len() == 1 => letter,
            _ => "",
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", &up);
    }

    /// Types a text.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Writes a picture of the page; what the name ends in is its kind.
    pub fn picture(&mut self, into: &Path) {
        let kind = if into.extension().is_some_and(|end| end == "png") { "png" } else { "jpeg" };
        let mut wanted = json!({ "format": kind });
        if kind == "jpeg" {
            wanted["quality"] = 66.into();
        }
        let picture = self.call("Page.captureScreenshot", &wanted);
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(into, bytes).unwrap();
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.sent.write_all(&bytes).unwrap();
        let began = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let answer = match self.heard.recv_timeout(left) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => panic!("{method} is not answered"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("Chromium has ended; is it installed? apt-get install chromium")
                }
            };
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.keep(&answer);
        }
    }

    fn keep(&mut self, event: &Value) {
        let told = &event["params"];
        let complaint = match event["method"].as_str() {
            Some("Log.entryAdded") => {
                let entry = &told["entry"];
                let is_bad = entry["level"] == "error" || entry["level"] == "warning";
                is_bad.then(|| format!("{} {}", entry["text"], entry["url"]))
            }
            Some("Runtime.consoleAPICalled") => {
                let is_bad =
                    ["error", "warning", "assert"].iter().any(|kind| told["type"] == *kind);
                is_bad.then(|| told["args"].to_string())
            }
            Some("Runtime.exceptionThrown") => Some(told["exceptionDetails"].to_string()),
            _ => None,
        };
        self.complaints.extend(complaint);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
