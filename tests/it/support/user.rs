//! Somebody who calls the API.

use super::promises;
use super::response::{Broken, Response, Stream};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use serde_json::Value;
use std::time::Duration;
use tower::ServiceExt;

/// How long an answer may take to begin: longer than any slot lets its sender wait. With the runtime's clock paused this is
/// virtual time.
const PATIENCE: Duration = Duration::from_secs(310);

/// A caller with or without a token.
#[derive(Clone)]
pub struct User {
    router: Router,
    token: Option<&'static str>,
}

impl User {
    pub fn new(router: Router, token: Option<&'static str>) -> Self {
        Self { router, token }
    }

    /// A call that can be given headers and a body before it is made.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_else(|error| panic!("{path} is no path: {error}"));
        let call = Call { router: self.router.clone(), path: path.to_owned(), request };
        match self.token {
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
