//! Somebody who calls the API.

use super::promises;
use super::response::{Broken, Response, Stream};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Version, header};
use pawport::http::client::Connection;
use serde_json::Value;
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tower::ServiceExt;

/// How long an answer may take to begin: longer than any slot lets its sender wait. With the runtime's clock paused this is
/// virtual time.
const PATIENCE: Duration = Duration::from_secs(310);

/// What callers call the server, unless they say otherwise.
pub const HOST: &str = "paw.example.org";

/// Where callers are, unless they say otherwise: on another machine.
pub const ELSEWHERE: Connection = connection([203, 0, 113, 7], [192, 0, 2, 10]);

/// On the machine of the server.
pub const HERE: Connection = connection([127, 0, 0, 1], [127, 0, 0, 1]);

/// From one address to another.
pub const fn connection(peer: [u8; 4], local: [u8; 4]) -> Connection {
    const fn socket([a, b, c, d]: [u8; 4], port: u16) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
    }
    Connection { peer: socket(peer, 50_000), local: socket(local, 8000) }
}

/// A caller with or without a token.
#[derive(Clone)]
pub struct User {
    router: Router,
    token: Option<Cow<'static, str>>,
}

impl User {
    pub fn new(router: Router, token: Option<Cow<'static, str>>) -> Self {
        Self { router, token }
    }

    /// A call that can be given headers and a body before it is made.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_else(|error| panic!("{path} is no path: {error}"));
        request.headers_mut().insert(header::HOST, HeaderValue::from_static(HOST));
        request.extensions_mut().insert(ELSEWHERE);
        let call = Call { router: self.router.clone(), path: path.to_owned(), request };
        match &self.token {
            Some(token) => call.header("authorization", format!("Bearer {token}").as_bytes()),
            None => call,
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path).send().await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.call(Method::DELETE, path).send().await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.call(Method::POST, path).json(&body).send().await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Response {
        self.call(Method::PUT, path).json(&body).send().await
    }

    /// An answer that is read piece by piece.
    pub async fn open(&self, path: &str) -> Stream {
        self.call(Method::GET, path).open().await
    }
}

/// A call that was not made yet.
pub struct Call {
    router: Router,
    path: String,
    request: Request<Body>,
}

impl Call {
    /// Adds a header, beside what there is under that name.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().unwrap_or_else(|error| panic!("{name} is no header: {error}"));
        let value = HeaderValue::from_bytes(value.as_ref()).expect("bytes that a header may have");
        self.request.headers_mut().append(name, value);
        self
    }

    /// Another header in place of what there is under that name.
    pub fn instead(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.headers_mut().remove(name);
        self.header(name, value)
    }

    /// Nothing under that name.
    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    /// From elsewhere than usual.
    pub fn from(mut self, connection: Connection) -> Self {
        self.request.extensions_mut().insert(connection);
        self
    }

    /// From the machine of the server, by one of its own names.
    #[expect(clippy::wrong_self_convention, reason = "it reads as a sentence")]
    pub fn from_here(self) -> Self {
        self.from(HERE).instead("host", "127.0.0.1:8000")
    }

    /// In another version of HTTP.
    pub fn version(mut self, version: Version) -> Self {
        *self.request.version_mut() = version;
        self
    }

    /// The body, without saying what it is.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.raw_json(body.to_string())
    }

    /// A body that claims to be JSON.
    pub fn raw_json(self, body: impl Into<Body>) -> Self {
        self.header(header::CONTENT_TYPE.as_str(), "application/json").body(body)
    }

    /// The whole answer.
    pub async fn send(self) -> Response {
        let what = format!("{} {}", self.request.method(), self.path);
        self.try_send().await.unwrap_or_else(|broken| panic!("{what}: the answer broke off: {broken:?}"))
    }

    /// The whole answer, unless it breaks off.
    pub async fn try_send(self) -> Result<Response, Broken> {
        let (method, path) = (self.request.method().clone(), self.path.clone());
        let response = self.open().await.whole().await?;
        promises::hold_body(&method, &path, &response);
        Ok(response)
    }

    /// The answer, to be read piece by piece.
    pub async fn open(self) -> Stream {
        let Self { router, path, request } = self;
        let method = request.method().clone();
        // The router cannot fail: its error type has no values.
        let response = tokio::time::timeout(PATIENCE, router.oneshot(request)).await.expect("an answer in time");
        let response = response.unwrap_or_else(|never| match never {});
        promises::hold_head(&method, &path, response.status(), response.headers());
        Stream::new(response)
    }
}
