//! An HTTP/1.1 server on loopback that answers by script, over bare TCP so that it can also misbehave.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnamed::provider::http::{Http, Settings};
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A whole answer: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The head and half of the body; then the connection ends.
    Truncated,
    /// The connection ends without an answer.
    Drop,
    /// No answer, and the connection stays.
    Hang,
}

impl Step {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), "{}".into())
    }

    pub(crate) fn json(body: &serde_json::Value) -> Self {
        Self::Answer(200, vec![("content-type", "application/json".into())], body.to_string())
    }

    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

/// The server and what it was asked.
pub(crate) struct Script {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Script {
    /// A server that takes `steps` in order of arrival; whatever comes after them is answered 599.
    pub(crate) async fn play(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let steps: Arc<Mutex<VecDeque<Step>>> = Arc::new(Mutex::new(steps.into_iter().collect()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&steps), Arc::clone(&log)));
            }
        });
        Self { url, seen, task }
    }

    pub(crate) fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    /// The heads and bodies that arrived, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client with deadlines that a test can wait for.
pub(crate) fn http() -> Arc<Http> {
    let settings =
        Settings { extra_ca: None, attempt: Duration::from_secs(1), deadline: Duration::from_secs(9) };
    Http::new(&settings).unwrap()
}

async fn serve(mut stream: TcpStream, steps: Arc<Mutex<VecDeque<Step>>>, log: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read(&mut stream).await {
        log.lock().unwrap().push(request);
        let step = steps.lock().unwrap().pop_front().unwrap_or_else(|| Step::status(599));
        match step {
            Step::Answer(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
            }
            Step::Truncated => {
                let head = "HTTP/1.1 200 OK\r\ncf-ray: ray-7\r\ncontent-length: 100\r\n\r\n{\"half";
                stream.write_all(head.as_bytes()).await.unwrap();
                return;
            }
            Step::Drop => return,
            Step::Hang => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
