//! A plain HTTPS client that shares no code with the product: one connection a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cnamed::sandbox::{AZURE_IDENTITY, Options, Sandbox};
use hyper::body::{Body, Frame, SizeHint};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// A running sandbox and a client that has signed in.
pub(crate) struct Azure {
    pub(crate) sandbox: Sandbox,
    pub(crate) tls: TlsConnector,
    pub(crate) token: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) text: String,
    pub(crate) headers: hyper::HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `error.code`, or `code` where the service puts it at the top.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().or_else(|| self.body["code"].as_str()).unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().or_else(|| self.body["message"].as_str()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{self:#?}");
    }

    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// A request that is being put together.
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json")
    }
}

impl Azure {
    /// Operations take no time unless a test asks for it.
    pub(crate) async fn start() -> Self {
        Self::with(Options { operation_delay: Duration::ZERO, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let tls = connector(&sandbox);
        let mut azure = Self { sandbox, tls, token: String::new() };
        azure.become_principal(AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret).await;
        azure
    }

    pub(crate) async fn become_principal(&mut self, id: &str, secret: &str) {
        let answer = self.sign_in(id, secret).await.ok(200);
        self.token = answer.body["access_token"].as_str().unwrap().to_owned();
    }

    pub(crate) async fn sign_in(&self, id: &str, secret: &str) -> Answer {
        let scope = format!("{}/.default", self.sandbox.addresses().resource_manager);
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", &scope),
        ];
        self.ask_token(AZURE_IDENTITY.tenant, &fields).await
    }

    pub(crate) async fn ask_token(&self, tenant: &str, fields: &[(&str, &str)]) -> Answer {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.sandbox.addresses().authority);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut ask = Ask::new("POST", url).header("content-type", "application/x-www-form-urlencoded");
        ask.body = body.into_bytes();
        self.send(ask).await
    }

    /// A request below the subscription, with a token and a version.
    pub(crate) fn ask(&self, method: &'static str, path: &str) -> Ask {
        let mark = if path.contains('?') { '&' } else { '?' };
        let (base, id) = (&self.sandbox.addresses().resource_manager, AZURE_IDENTITY.subscription);
        Ask::new(method, format!("{base}/subscriptions/{id}{path}{mark}api-version=2024-01-01"))
            .header("authorization", format!("Bearer {}", self.token))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.ask("GET", path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.ask("PUT", path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.ask("DELETE", path)).await
    }

    /// An absolute URL that an answer gave.
    pub(crate) async fn follow(&self, url: &str) -> Answer {
        self.send(Ask::new("GET", url).header("authorization", format!("Bearer {}", self.token))).await
    }

    /// Follows `Azure-AsyncOperation` to its end, and gives the status document.
    pub(crate) async fn settled(&self, answer: &Answer) -> Value {
        let url = answer.header("azure-asyncoperation").unwrap_or_else(|| panic!("{answer:#?}")).to_owned();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let status = self.follow(&url).await.ok(200);
            if status.body["status"] != "InProgress" {
                return status.body;
            }
            assert!(Instant::now() < deadline, "the operation does not end: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// PUT, followed until it has succeeded; gives what GET says then.
    pub(crate) async fn made(&self, path: &str, body: &Value) -> Value {
        let answer = self.put(path, body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:#?}");
        assert_eq!(self.settled(&answer).await["status"], "Succeeded");
        self.get(path).await.ok(200).body
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        self.try_send(ask).await.unwrap()
    }

    pub(crate) async fn try_send(&self, ask: Ask) -> Result<Answer, hyper::Error> {
        let url = url::Url::parse(&ask.url).unwrap();
        let stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).await.unwrap();
        let mut builder = hyper::Request::builder()
            .method(ask.method)
            .uri(&ask.url[url[..url::Position::BeforePath].len()..]);
        builder = builder.header("host", format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()));
        for (name, value) in ask.headers {
            builder = builder.header(name, value);
        }
        let request = builder.body(Whole(Some(ask.body.into()))).unwrap();
        if url.scheme() == "http" {
            return exchange(TokioIo::new(stream), request).await;
        }
        let host = ServerName::try_from("127.0.0.1").unwrap();
        let stream = self.tls.connect(host, stream).await.unwrap();
        exchange(TokioIo::new(stream), request).await
    }
}

async fn exchange<T>(io: T, request: hyper::Request<Whole>) -> Result<Answer, hyper::Error>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let answer = match sender.send_request(request).await {
        Ok(response) => read(response).await,
        Err(cause) => Err(cause),
    };
    connection.abort();
    answer
}

async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Answer, hyper::Error> {
    let (parts, mut incoming) = response.into_parts();
    let mut octets = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            octets.extend_from_slice(&data);
        }
    }
    let text = String::from_utf8(octets).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status: parts.status.as_u16(), body, text, headers: parts.headers })
}

/// TLS that trusts the sandbox's authority and nobody else.
pub(crate) fn connector(sandbox: &Sandbox) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).unwrap()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(tls))
}

pub(crate) fn network(kind: &str, name: &str) -> String {
    format!("/resourceGroups/rg-mgmt/providers/Microsoft.Network/{kind}/{name}")
}

pub(crate) fn public_ip(name: &str) -> String {
    network("publicIPAddresses", name)
}

/// The body of a Standard static public IP.
pub(crate) fn standard(label: Option<&str>) -> Value {
    let mut body = json!({
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    });
    if let Some(label) = label {
        body["properties"]["dnsSettings"] = json!({"domainNameLabel": label});
    }
    body
}

/// A request body in one piece.
pub(crate) struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().filter(|octets| !octets.is_empty()).map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |octets| octets.len() as u64))
    }
}
