//! A real browser, driven over its debugging protocol: keys are pressed, not imagined. Needs a Chromium and `mkfifo`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    next: u64,
    session: Option<String>,
    _folder: TempDir,
}

impl Browser {
    /// Starts one; `None`, said aloud, where none is installed.
    pub fn start(what: &str) -> Option<Self> {
        let installed = |name: &&&str| {
            let run = Command::new(name).arg("--version").output();
            run.is_ok_and(|run| run.status.success())
        };
        let Some(program) = PROGRAMS.iter().find(installed) else {
            crate::shared::say_skipped(what, "no Chromium is installed");
            return None;
        };
        let folder = tempfile::tempdir().expect("temporary folder");
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
            assert!(made.success(), "mkfifo {}", path.display());
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        let options = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking \
             --disable-component-update --disable-sync --no-first-run --remote-debugging-pipe";
        // The shell gives it the pipes as the descriptors that it looks for.
        let script =
            format!("exec {program} {options} --user-data-dir=\"$1/profile\" 3<\"$1/to\" 4>\"$1/from\"");
        let child = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("bash");
        // In the order in which the shell opens them.
        let to = File::options().write(true).open(to).expect("a pipe");
        let from = BufReader::new(File::open(from).expect("a pipe"));
        let mut browser = Self {
            child,
            to,
            from,
            next: 0,
            session: None,
            _folder: folder,
        };
        let page = browser.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.ask("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(String::from);
        Some(browser)
    }

    /// Calls a method and waits for its result.
    pub fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to
            .write_all(message.to_string().as_bytes())
            .expect("the browser listens");
        self.to.write_all(&[0]).expect("the browser listens");
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).expect("the browser answers");
            assert_eq!(answer.pop(), Some(0), "the browser went away");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            // All else are events.
            if answer["id"] == json!(self.next) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Opens a file and waits until its script ran to its end; the milliseconds that took, as the page tells.
    pub fn open(&mut self, file: &Path) -> f64 {
        self.ask(
            "Page.navigate",
            &json!({"url": format!("file://{}", file.display())}),
        );
        for _ in 0..600 {
            let ready = self.value("Number(document.documentElement?.dataset.ready ?? -1)");
            if let Some(ready) = ready.as_f64().filter(|ready| *ready >= 0.0) {
                return ready;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the page's script did not run to its end");
    }

    /// What an expression is in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let run = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", &run);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The same, of text.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{expression} is {value}"))
            .to_string()
    }

    /// Presses a key; what is one character is typed.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        match key {
            "Enter" => down["text"] = json!("\r"),
            _ if key.chars().count() == 1 => down["text"] = json!(key),
            _ => {}
        }
        self.ask("Input.dispatchKeyEvent", &down);
        let up = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.ask("Input.dispatchKeyEvent", &up);
    }

    /// Goes on by the tabulator until the expression is true.
    pub fn tab_until(&mut self, expression: &str) {
        for _ in 0..100 {
            if self.value(expression) == json!(true) {
                return;
            }
            self.press("Tab");
        }
        panic!("no step leads to where {expression}");
    }

    /// Types a text.
    pub fn write(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(&c.to_string()));
    }

    /// Sets the width of the window and the scheme of colours, `light` or `dark`.
    pub fn show(&mut self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", &media);
    }

    /// Writes a picture of what is seen, where `TEST_SCREENSHOTS` names a folder.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("TEST_SCREENSHOTS") else {
            return;
        };
        let shot = self.ask("Page.captureScreenshot", &json!({"format": "png"}));
        let path = Path::new(&folder).join(format!("{name}.png"));
        let base64 = shot["data"].as_str().expect("a picture");
        let run = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(File::create(path).expect("a file"))
            .spawn();
        let mut run = run.expect("base64");
        run.stdin
            .take()
            .expect("a pipe")
            .write_all(base64.as_bytes())
            .expect("written");
        run.wait().expect("base64");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers share its group.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
