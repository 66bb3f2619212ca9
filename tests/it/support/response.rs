//! Answers, whole or piece by piece.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a piece of an answer may take. With the runtime's clock paused this is virtual time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole answer.
#[must_use]
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The answer began, but the connection would have been cut in the middle of it.
#[derive(Debug)]
pub struct Broken {
    pub status: StatusCode,
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of a header that is there once, as text.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        let [value] = values[..] else { panic!("{name} is there {} times: {self:?}", values.len()) };
        value.to_str().expect("a header of text")
    }

    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer of text")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Fails unless this is the status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Fails unless this is the whole answer.
    #[track_caller]
    pub fn assert_json(&self, status: u16, body: &Value) {
        assert_eq!((self.status.as_u16(), &self.json()), (status, body));
    }

    /// Fails unless the answer is this error and nothing else.
    #[track_caller]
    pub fn assert_error(&self, status: u16, detail: &str) {
        self.assert_json(status, &json!({ "detail": detail }));
    }

    /// Fails unless the answer is a 422 about this one place.
    #[track_caller]
    pub fn assert_invalid(&self, kind: &str, place: &[&str], message: &str) {
        self.assert_json(422, &json!({ "detail": [{ "type": kind, "loc": place, "msg": message }] }));
    }
}

/// An answer that is read piece by piece.
#[must_use]
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: BodyDataStream,
}

impl Stream {
    pub fn new(response: axum::http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.into_data_stream() }
    }

    /// The next piece as it was written; `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        let piece = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("a piece in time")?;
        Some(String::from_utf8(piece.expect("a piece").to_vec()).expect("a piece of text"))
    }

    /// The rest of the answer as one.
    pub async fn whole(self) -> Result<Response, Broken> {
        let Self { status, headers, body } = self;
        let body = tokio::time::timeout(PATIENCE, Body::from_stream(body).collect()).await.expect("an end in time");
        let body = body.map_err(|_| Broken { status })?;
        Ok(Response { status, headers, body: body.to_bytes() })
    }
}
