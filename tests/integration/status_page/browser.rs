//! The page in a real browser: Chromium, driven by WebDriver (W3C), in both themes, on a desk and on a phone.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::scenes;
use super::wire::Served;

/// A browser, gone when dropped.
struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
}

impl Browser {
    /// `chromedriver` on a port that it chooses itself.
    async fn open() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver: apt-get install chromium chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("a line that names the port");
            if let Some((_, rest)) = line.split_once("successfully on port ") {
                break rest.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}/session"), http };
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.post("", wanted).await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let sent = self.http.post(url).body(body.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    async fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    async fn show(&self, served: &Served) {
        self.post("/url", json!({"url": format!("http://{}/", served.address)})).await;
    }

    async fn screen(&self, width: u32, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
        let phone = width < 600;
        let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What the browser had to complain about since it was last asked.
    async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"})).await;
        let lines = log.as_array().into_iter().flatten();
        lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until `script` gives true.
    async fn until(&self, what: &str, script: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.script(script).await != json!(true) {
            assert!(Instant::now() < deadline, "not within 30 s: {what}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn close(self) {
        let _ = self.http.delete(&self.session).send().await;
    }
}

impl Drop for Browser {
    /// The driver and the browsers that it began are one group; also after a failed assertion none stays.
    fn drop(&mut self) {
        if let Some(id) = self.driver.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
    }
}

#[tokio::test]
#[ignore = "needs Chromium and its driver; .ci/run page installs both"]
async fn every_scene_fits_every_screen_and_nothing_is_complained_about() {
    let browser = Browser::open().await;
    for (name, snapshot) in scenes::all() {
        let served = Served::of(snapshot).await;
        for width in [1280, 768, 360] {
            for scheme in ["light", "dark"] {
                let at = format!("{name}, {width} px, {scheme}");
                browser.screen(width, scheme).await;
                browser.show(&served).await;
                assert_eq!(browser.complaints().await, Vec::<String>::new(), "{at}");
                let open = "document.querySelectorAll('details').forEach((d) => d.open = true);";
                let wide =
                    browser.script(&format!("{open} const page = document.documentElement; return page.scrollWidth - page.clientWidth")).await;
                assert_eq!(wide, json!(0), "{at}: no scrolling sideways");
                // Whatever is cut off or lies upon something else is no picture.
                let script = "return [...document.querySelectorAll('main *:not(.unseen, .unseen *, b)')].filter((e) => {
                    const box = e.getBoundingClientRect();
                    return box.width > 0 && (box.left < 0 || box.right > innerWidth + 1);
                }).map((e) => e.outerHTML)";
                assert_eq!(browser.script(script).await, json!([]), "{at}");
                let ran =
                    browser.script("return document.querySelectorAll('img, script:not([src])').length").await;
                assert_eq!(ran, json!(0), "{at}: nothing from outside became an element");
                let background =
                    browser.script("return getComputedStyle(document.body).backgroundColor").await;
                let expected = if scheme == "dark" { "rgb(21, 23, 26)" } else { "rgb(250, 249, 246)" };
                assert_eq!(background, json!(expected), "{at}: the style sheet was taken");
            }
        }
    }
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver; .ci/run page installs both"]
async fn the_page_follows_the_service_keeps_what_is_open_and_says_when_nobody_answers() {
    let browser = Browser::open().await;
    let served = Served::of(scenes::two_hundred()).await;
    browser.screen(1280, "light").await;
    browser.show(&served).await;
    let prepare = "document.querySelector('details').open = true; scrollTo(0, 400); return scrollY";
    assert_eq!(browser.script(prepare).await, json!(400));
    let mut later = scenes::two_hundred();
    later.troubles.clear();
    later.next = Some(scenes::now() + Duration::from_secs(7));
    served.snapshots.send_replace(Arc::new(later));
    browser.until("what was published is shown", "return document.body.textContent.includes('in 7 s')").await;
    let kept = "return [document.querySelector('details').open, scrollY]";
    assert_eq!(browser.script(kept).await, json!([true, 400]));
    // Whoever does not look is not served: nothing is asked for while the page is hidden, at once when it is shown.
    let hidden = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange')); globalThis.since = performance.now()"
        )
    };
    browser.script(&hidden(true)).await;
    served.snapshots.send_replace(Arc::new(scenes::healthy()));
    browser.until("its time for a look has come", "return performance.now() > globalThis.since + 6500").await;
    assert_ne!(
        browser.script("return document.querySelector('h1').textContent.trim()").await,
        json!("In sync")
    );
    browser.script(&hidden(false)).await;
    let title = "return document.title.startsWith('In sync') && document.querySelector('#told').textContent.startsWith('In sync')";
    browser.until("the new outcome is told", title).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    let address = served.address;
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
    let gone = "return !document.querySelector('#gone').hidden";
    browser.until("it says that nobody answers", gone).await;
    let text = browser.script("return document.querySelector('#gone').textContent").await;
    assert!(
        text.as_str().unwrap().starts_with("The service does not answer. What is shown is of "),
        "{text}"
    );
    let again = Served::at(address, scenes::released()).await;
    browser.until("it comes back by itself", "return document.querySelector('#gone').hidden").await;
    assert_eq!(browser.script("return document.querySelector('h1').textContent").await, json!("Waiting"));
    drop(again);
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver; .ci/run page installs both"]
async fn without_a_script_the_page_is_whole_and_asks_to_be_read_again() {
    let browser = Browser::open().await;
    let served = Served::of(scenes::broken_link()).await;
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.show(&served).await;
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": false})).await;
    let script = "return [document.querySelectorAll('article').length, document.querySelector('h1').textContent, \
                  document.querySelector('noscript meta, meta[http-equiv=refresh]') !== null]";
    assert_eq!(browser.script(script).await, json!([2, "Not verified", true]));
    browser.close().await;
}
