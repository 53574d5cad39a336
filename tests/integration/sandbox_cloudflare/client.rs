//! A client as plain as can be: one TLS connection, HTTP/1.1, JSON. It shares no code with the product.

use std::sync::Arc;

use cnamed::sandbox::{CLOUDFLARE_TOKENS, Options, Sandbox};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A sandbox and what a client needs to reach its Cloudflare.
pub(crate) struct Api {
    pub(crate) sandbox: Sandbox,
    pub(crate) token: &'static str,
    /// The id of example.com.
    pub(crate) zone: String,
    tls: TlsConnector,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The result of a call that succeeded.
    #[track_caller]
    pub(crate) fn result(&self) -> &Value {
        assert_eq!((self.status, &self.body["success"]), (200, &json!(true)), "{:#}", self.body);
        assert_eq!(self.body["errors"], json!([]));
        &self.body["result"]
    }

    /// The status and first code of a call that failed, in the envelope of failures.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, u64) {
        assert_eq!(self.body["success"], json!(false), "{:#}", self.body);
        assert_eq!(self.body["result"], Value::Null);
        let error = &self.body["errors"][0];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        (self.status, error["code"].as_u64().expect("a code"))
    }

    pub(crate) fn message(&self) -> &str {
        self.body["errors"][0]["message"].as_str().unwrap_or_default()
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.expect("loopback has free ports");
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).expect("PEM");
        roots.add(ca).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let mut api = Self { sandbox, token: CLOUDFLARE_TOKENS.good, zone: String::new(), tls };
        let zones = api.get("/zones?name=example.com").await;
        api.zone = zones.result()[0]["id"].as_str().expect("an id").to_owned();
        api
    }

    /// The path below example.com.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/zones/{}{rest}", self.zone)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// A call on the records of example.com: `rest` is what follows `dns_records`.
    pub(crate) async fn records(&self, method: &str, rest: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        self.call(method, &self.path(&format!("/dns_records{rest}")), body).await
    }

    /// Creates a record that must be accepted, and gives it.
    pub(crate) async fn create(&self, record: Value) -> Value {
        self.records("POST", "", record).await.result().clone()
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let header = format!("authorization: Bearer {}\r\n", self.token);
        self.raw(&mut self.connect().await, method, path, &header, body.map(|body| body.to_string())).await
    }

    pub(crate) async fn connect(&self) -> BufReader<TlsStream<TcpStream>> {
        let base = &self.sandbox.addresses().cloudflare;
        let authority = base.trim_start_matches("https://").split('/').next().expect("host:port");
        let stream = TcpStream::connect(authority).await.expect("the service listens");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        BufReader::new(self.tls.connect(name, stream).await.expect("a certificate for 127.0.0.1"))
    }

    pub(crate) async fn raw(
        &self,
        stream: &mut BufReader<TlsStream<TcpStream>>,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<String>,
    ) -> Answer {
        let body = body.unwrap_or_default();
        let request = format!(
            "{method} /client/v4{path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).await.expect("sent");
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("HTTP/1.1");
        let mut headers: Vec<(String, String)> = Vec::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.expect("a header");
            match line.trim_end().split_once(": ") {
                Some((key, value)) => headers.push((key.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let length = headers.iter().find(|(key, _)| key == "content-length").map(|(_, value)| value.parse());
        let mut octets = vec![0; length.and_then(Result::ok).unwrap_or(0)];
        stream.read_exact(&mut octets).await.expect("the body");
        let body = serde_json::from_slice(&octets)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&octets).into_owned()));
        Answer { status, headers, body }
    }
}
