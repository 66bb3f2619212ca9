//! The gate: who is calling. Everything is behind it but the routes that `http.rs` lists as open.

use super::error::ApiError;
use crate::domain::auth::Principal;
use crate::domain::auth::service::Tokens;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

/// Lets a request with a good credential through, with its [`Principal`], and answers all others with 401.
pub async fn gate(State(tokens): State<Arc<Tokens>>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let principal = bearer(request.headers()).and_then(|token| tokens.authenticate(token)).cloned();
    let principal = principal.ok_or_else(ApiError::unauthorized)?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

/// The token of `Authorization: Bearer …`. The name of the scheme may be written in any case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Who is calling, for handlers behind the gate.
pub struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // Not there only if a route was mounted outside of the gate by mistake: then it stays shut.
        parts.extensions.get::<Principal>().cloned().map(Self).ok_or_else(ApiError::unauthorized)
    }
}
