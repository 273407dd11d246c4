//! A real browser without a screen, driven through its DevTools pipe, where there is one. Knows nothing of what it shows.

use crate::play::soon;
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// It talks on descriptors 3 and 4, a null byte after each word.
const SPEAKS_BY_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// One window with one page.
pub(crate) struct Browser {
    _process: Child,
    _profile: TempDir,
    says: ChildStdin,
    hears: BufReader<ChildStdout>,
    session: Option<String>,
    asked: u64,
    /// What went wrong in the page, as the browser words it.
    complaints: Vec<String>,
}

impl Browser {
    /// `None`, with a message, where there is no browser.
    pub(crate) async fn opens(url: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = |name: &&str| -> Option<PathBuf> {
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
        };
        let Some(program) = NAMES.iter().find_map(in_path) else {
            eprintln!("skipped: no browser ({}); apt install chromium", NAMES.join(", "));
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SPEAKS_BY_PIPE]).arg(program).args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let (says, hears) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let (session, complaints) = (None, Vec::new());
        let mut browser = Self { _process: process, _profile: profile, says, hears, session, asked: 0, complaints };
        let target = browser.asks("Target.createTarget", json!({ "url": "about:blank" })).await["targetId"].clone();
        let attached = browser.asks("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.asks(&format!("{domain}.enable"), json!({})).await;
        }
        browser.asks("Page.navigate", json!({ "url": url })).await;
        browser.sees("location.href !== 'about:blank' && document.readyState === 'complete'").await;
        Some(browser)
    }

    pub(crate) async fn asks(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut word = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            word["sessionId"] = session.clone().into();
        }
        self.says.write_all(format!("{word}\0").as_bytes()).await.unwrap();
        soon(method, async {
            loop {
                let mut bytes = Vec::new();
                self.hears.read_until(0, &mut bytes).await.unwrap();
                assert_eq!(bytes.pop(), Some(0), "the browser ended");
                let heard: Value = serde_json::from_slice(&bytes).unwrap();
                if heard["id"] == self.asked {
                    assert!(heard["error"].is_null(), "{method}: {heard}");
                    return heard["result"].clone();
                }
                self.complaints.extend(complaint(&heard));
            }
        })
        .await
    }

    /// What an expression is in the page; a promise is waited for.
    pub(crate) async fn finds(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let found = self.asks("Runtime.evaluate", params).await;
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Until this is so in the page.
    pub(crate) async fn sees(&mut self, condition: &str) {
        let seen = format!(
            "new Promise((seen) => {{ const began = performance.now(); const look = () => ({condition}) ? seen(true) : \
             performance.now() - began > 15000 ? seen(document.body.innerText) : requestAnimationFrame(look); look(); }})"
        );
        let found = self.finds(&seen).await;
        assert_eq!(found, true, "never so: {condition}\n{}", found.as_str().unwrap_or_default());
    }

    pub(crate) async fn presses(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            " " => 32,
            "l" => 76,
            other => panic!("what is the number of {other}?"),
        };
        let text = match key {
            "Enter" => "\r",
            letter if letter.len() == 1 => letter,
            _ => "",
        };
        let press = json!({ "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
        self.asks("Input.dispatchKeyEvent", press.clone()).await;
        self.asks("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code }))
            .await;
    }

    /// Goes on with the tabulator until this is so of the focused element `at`.
    pub(crate) async fn tabs_to(&mut self, condition: &str) {
        for _ in 0..80 {
            self.presses("Tab").await;
            if self.finds(&format!("((at) => ({condition}))(document.activeElement)")).await == true {
                return;
            }
        }
        panic!("the keyboard does not reach where {condition}");
    }

    pub(crate) async fn is_wide(&mut self, width: u32, height: u32) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.asks("Emulation.setDeviceMetricsOverride", params).await;
    }

    pub(crate) async fn prefers(&mut self, feature: &str, value: &str) {
        let params = json!({ "features": [{ "name": feature, "value": value }] });
        self.asks("Emulation.setEmulatedMedia", params).await;
    }

    /// Nothing may have gone wrong so far.
    pub(crate) fn has_no_complaints(&self) {
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
    }
}

fn complaint(heard: &Value) -> Option<String> {
    let params = &heard["params"];
    let is_bad = match heard["method"].as_str()? {
        "Runtime.exceptionThrown" => true,
        "Runtime.consoleAPICalled" => matches!(params["type"].as_str(), Some("error" | "warning" | "assert")),
        "Log.entryAdded" => matches!(params["entry"]["level"].as_str(), Some("error" | "warning")),
        _ => false,
    };
    is_bad.then(|| params.to_string())
}
