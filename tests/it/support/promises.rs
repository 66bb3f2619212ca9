//! What every answer promises, whatever the question was.

use super::response::Response;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// An operation of the OpenAPI document.
pub struct Operation {
    pub method: String,
    pub path: String,
    pub id: String,
    /// The statuses that it documents.
    pub statuses: BTreeSet<u16>,
    /// The operation as it is described.
    pub description: Value,
}

impl Operation {
    /// A path of this operation, with `value` in every place that wants one.
    pub fn path_with(&self, value: &str) -> String {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { value } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Whether the gate lets everybody through to it.
    pub fn is_open(&self) -> bool {
        const PROOFS_OF_THEIR_OWN: [&str; 2] = ["/api/auth/session", "/api/v1/auth/session"];
        self.description["security"] == serde_json::json!([{}]) || PROOFS_OF_THEIR_OWN.contains(&&*self.path)
    }

    fn is_called_by(&self, method: &Method, path: &str) -> bool {
        let (ours, theirs): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        let fits = |(ours, theirs): (&&str, &&str)| ours == theirs || (ours.starts_with('{') && !theirs.is_empty());
        self.method == method.as_str() && ours.len() == theirs.len() && ours.iter().zip(&theirs).all(fits)
    }
}

/// Every operation of the document that the program makes from its handlers.
pub fn operations() -> &'static [Operation] {
    static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        let document = serde_json::to_value(pawport::http::openapi::document()).expect("a document in JSON");
        let paths: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_value(document["paths"].clone()).expect("paths with their methods");
        let operation = |method: String, path: &str, description: Value| Operation {
            method: method.to_uppercase(),
            path: path.to_owned(),
            id: description["operationId"].as_str().expect("an id").to_owned(),
            statuses: statuses(&description["responses"]),
            description,
        };
        paths
            .into_iter()
            .flat_map(|(path, methods)| methods.into_iter().map(move |(method, it)| operation(method, &path, it)))
            .collect()
    });
    &OPERATIONS
}

fn statuses(responses: &Value) -> BTreeSet<u16> {
    responses.as_object().into_iter().flatten().map(|(status, _)| status.parse().expect("a status")).collect()
}

/// Fails if what stands before the answer's body breaks a promise.
pub fn hold_head(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap) {
    let what = format!("{method} {path}: {status} {headers:?}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ] {
        assert!(headers.get(name).is_some_and(|it| it == value), "{name} is not {value}: {what}");
    }
    assert!(headers.contains_key("x-request-id"), "no request id: {what}");
    let is_for_later = matches!(status.as_u16(), 429 | 503);
    assert_eq!(is_for_later, headers.contains_key("retry-after"), "429 and 503 go with Retry-After: {what}");
    let policy = headers.get("content-security-policy").and_then(|policy| policy.to_str().ok()).unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "no strict policy: {what}");

    let path = path.split('?').next().unwrap_or_default();
    let is_exact = |operation: &&Operation| operation.path == path;
    let called: Vec<_> = operations().iter().filter(|operation| operation.is_called_by(method, path)).collect();
    // As in the router, a path without parameters goes before one with parameters.
    if let Some(operation) = called.iter().copied().find(is_exact).or(called.first().copied()) {
        assert!(operation.statuses.contains(&status.as_u16()), "{} does not document this: {what}", operation.id);
    }
}

/// Fails if the answer's body breaks a promise.
pub fn hold_body(method: &Method, path: &str, response: &Response) {
    let what = format!("{method} {path}: {response:?}");
    // An answer to HEAD has no body.
    if response.status().as_u16() >= 400 && method != Method::HEAD {
        let path = path.split('?').next().unwrap_or_default();
        if response.status() == StatusCode::BAD_REQUEST && path.ends_with("/mcp/oauth/callback") {
            // Where a browser comes back to it is told so in a page.
            assert_eq!(response.header("content-type"), "text/html; charset=utf-8", "{what}");
            return;
        }
        let body: Value = serde_json::from_slice(response.bytes()).unwrap_or_else(|error| panic!("{error}: {what}"));
        let body = without_twin(path, body);
        assert!(is_envelope(&body), "an error that is not in the envelope: {what}");
    }
}

/// The body without `error`, which is what clients of these routes read, and says the same.
fn without_twin(path: &str, mut body: Value) -> Value {
    if path.contains("/mcp/") && body["error"].is_string() && body["error"] == body["detail"] {
        body.as_object_mut().expect("members").remove("error");
    }
    body
}

/// `{"detail": "…"}`, or `{"detail": [{"type": …, "loc": […], "msg": …}]}`.
fn is_envelope(body: &Value) -> bool {
    let is_field_error =
        |error: &Value| error["type"].is_string() && error["loc"].is_array() && error["msg"].is_string();
    match body.as_object().filter(|members| members.len() == 1).and_then(|members| members.get("detail")) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(errors)) => !errors.is_empty() && errors.iter().all(is_field_error),
        _ => false,
    }
}
