//! Talks to a running server.

use super::binary::PATIENCE;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::Sha256;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Calls a server with a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
#[must_use]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub text: String,
}

impl Answer {
    pub async fn of(response: Response) -> Result<Self, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let content_type = headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self { status, content_type: content_type.unwrap_or_default(), headers, bytes, text })
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The token in the cookie that is set.
    pub fn cookie(&self) -> Option<&str> {
        self.header("set-cookie").strip_prefix("pocketpaw_session=")?.split(';').next()
    }

    /// The body, of an answer that has to be a success.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Client {
    pub fn new(address: SocketAddr, token: &str) -> Self {
        // The proxy of whoever runs the tests has nothing to do with it.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{address}"), token: token.to_owned() }
    }

    /// The same with another token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.stranger(method, path).bearer_auth(&self.token)
    }

    /// A request that shows nothing.
    pub fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request, and reads the answer to its end. Fails if there is none.
    pub async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        Answer::of(request.timeout(PATIENCE).send().await?).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::try_send(self.request(Method::GET, path)).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::try_send(self.request(Method::POST, path).json(body)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Self::try_send(self.request(Method::DELETE, path)).await.unwrap()
    }

    /// Who the token is, if it is good.
    pub async fn me(&self) -> Option<Value> {
        let answer = self.get("/api/v1/auth/me").await;
        (answer.status != 401).then(|| answer.json())
    }

    /// A session got with the token.
    pub async fn exchange(&self) -> Self {
        let answer = self.post("/api/v1/auth/session", &json!({})).await.json();
        self.with(answer["session_token"].as_str().unwrap())
    }

    /// A new API key with these scopes, and its id.
    pub async fn api_key(&self, scopes: &[&str]) -> (Self, String) {
        let answer = self.post("/api/v1/auth/api-keys", &json!({ "name": "a key", "scopes": scopes })).await.json();
        (self.with(answer["key"].as_str().unwrap()), answer["id"].as_str().unwrap().to_owned())
    }

    /// The entries of the audit log about `action`, newest first.
    pub async fn audited(&self, action: &str) -> Vec<Value> {
        let mut entries = self.get("/api/v1/audit?limit=1000").await.json();
        let mut entries = std::mem::take(entries.as_array_mut().unwrap());
        entries.retain(|entry| entry["action"] == action);
        entries
    }

    /// Adds a webhook slot. `settings` are its members.
    pub async fn add_slot(&self, settings: &Value) -> Slot {
        let webhook = self.post("/api/webhooks/add", settings).await.json()["webhook"].take();
        let text = |member: &str| webhook[member].as_str().unwrap().to_owned();
        Slot { name: text("name"), secret: text("secret") }
    }

    /// Posts a delivery that proves itself with the secret as it is.
    pub async fn deliver(&self, slot: &Slot, query: &str, body: &Value) -> Answer {
        let path = format!("/webhook/inbound/{}{query}", slot.name);
        let request = self.http.post(format!("{}{path}", self.base)).header("X-Webhook-Secret", &slot.secret);
        Self::try_send(request.json(body)).await.unwrap()
    }

    /// The messages of a session.
    pub async fn history(&self, session: &str) -> Vec<Value> {
        let history = self.get(&format!("/api/v1/sessions/{session}/history")).await.json();
        history.as_array().unwrap().clone()
    }

    /// Opens the stream of the agent's status.
    pub async fn status_stream(&self) -> Stream {
        Stream::open(self.request(Method::GET, "/api/v1/agent/status/stream")).await
    }
}

/// A webhook slot.
#[derive(Clone)]
pub struct Slot {
    pub name: String,
    pub secret: String,
}

impl Slot {
    /// The headers of a delivery in the scheme of Standard Webhooks, signed now.
    pub fn standard_headers(&self, id: &str, body: &str) -> [(&'static str, String); 3] {
        let timestamp = now_in_seconds();
        let key = STANDARD.decode(self.secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", format!("v1,{signature}")),
        ]
    }
}

#[expect(clippy::disallowed_methods, reason = "the server under test has the real clock")]
fn now_in_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A stream of server-sent events.
pub struct Stream {
    pub response: Response,
    buffer: String,
}

/// One server-sent event.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

impl Stream {
    pub async fn open(request: RequestBuilder) -> Self {
        let response = tokio::time::timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        Self { response, buffer: String::new() }
    }

    /// The next event. None if the stream has ended in order; comments are left out.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let frame: String = self.buffer.drain(..end + 2).collect();
                let fields: Vec<_> = frame.lines().filter_map(|line| line.split_once(": ")).collect();
                let field = |name| fields.iter().find(|field| field.0 == name).map_or("", |field| field.1);
                let event = Event {
                    name: field("event").to_owned(),
                    id: field("id").to_owned(),
                    data: serde_json::from_str(field("data")).unwrap_or_default(),
                };
                if event.name.is_empty() {
                    continue;
                }
                return Some(event);
            }
            let piece = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let piece = piece.expect("an event or the end of the stream").unwrap();
            self.buffer.push_str(std::str::from_utf8(&piece?).unwrap());
        }
    }
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The settings of a slot that takes the plain secret.
pub fn plain_slot(name: &str) -> Value {
    json!({ "name": name })
}
