//! Reading requests, with every refusal in our envelope.

use super::error::ApiError;
use super::gate::Admission;
use crate::domain::text::PageLimit;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use std::convert::Infallible;
use std::time::Duration;

/// The largest body, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A body byte for byte: at most [`BODY_LIMIT`] bytes, arrived within [`BODY_TIME`].
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let too_large = || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 1 MiB");
        // Said before the body comes, if the client announced its length.
        if request.body().size_hint().lower() > BODY_LIMIT as u64 {
            return Err(too_large());
        }
        let admission = request.extensions().get::<Admission>().cloned();
        let body = tokio::time::timeout(BODY_TIME, Bytes::from_request(request, state)).await;
        let body = body.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive"))?;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => ApiError::bad_request("The body could not be read"),
        })?;
        // What was good when the request began may have been revoked while its body came.
        if let Some(admission) = admission {
            admission.check().await?;
        }
        Ok(Self(body))
    }
}

/// A JSON body. Unknown members are ignored, as clients expect.
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::unsupported_media_type());
        }
        let RawBody(body) = RawBody::from_request(request, state).await?;
        parse_json(&body).map(Self)
    }
}

/// `application/json` or `application/…+json`, whatever parameters follow.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads a JSON object.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Checked here because the parser passes over text that it does not keep.
    let body = std::str::from_utf8(body).map_err(|_| ApiError::bad_request("Invalid JSON body"))?;
    // serde also makes a struct of a list, which no client means.
    if !body.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(body).is_ok() {
        return Err(ApiError::invalid("dict_type", &["body"], "Input should be an object"));
    }
    let mut reader = serde_json::Deserializer::from_str(body);
    let parsed = serde_path_to_error::deserialize(&mut reader);
    let value = parsed.map_err(|error| match error.inner().classify() {
        Category::Data => wrong_member(&error),
        Category::Io | Category::Syntax | Category::Eof => ApiError::bad_request("Invalid JSON body"),
    })?;
    reader.end().map_err(|_| ApiError::bad_request("Invalid JSON body"))?;
    Ok(value)
}

fn wrong_member(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let mut place = vec!["body"];
    place.extend(path.split('.').filter(|part| !part.is_empty()));
    let message = error.inner().to_string();
    // serde_json adds the place in the text, which is of no use to somebody who sent JSON with a program.
    let message = message.split(" at line ").next().unwrap_or_default();
    ApiError::invalid("type_error", &place, message)
}

/// A parameter in the path, as text.
pub struct ApiPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ApiPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        // What cannot be decoded cannot be the name of anything.
        path.map(|Path(text)| Self(text)).map_err(|_| ApiError::not_found("Not Found"))
    }
}

/// The number, or the nearest one that fits if it is too long; `None` if it is no whole number.
fn whole_number(text: &str) -> Option<i64> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => match error.kind() {
            PosOverflow => Some(i64::MAX),
            NegOverflow => Some(i64::MIN),
            _ => None,
        },
    }
}

/// Under which of the two prefixes a route was called. Both answer the same; `/api/v1` refuses what the older prefix cuts
/// into bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `/api/…`
    Legacy,
    /// `/api/v1/…`
    V1,
}

impl<S: Send + Sync> FromRequestParts<S> for Family {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(uri) = OriginalUri::from_request_parts(parts, state).await?;
        Ok(if uri.path().starts_with("/api/v1/") { Self::V1 } else { Self::Legacy })
    }
}

/// The parameters of the query string. Unknown ones are ignored; of one given twice, the last counts.
pub struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) =
            query.map_err(|_| ApiError::invalid("query_parsing", &["query"], "unreadable query string"))?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    /// The parameter as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// `limit`: how many items at most.
    pub fn limit(&self, default: i64, max: i64, family: Family) -> Result<PageLimit, ApiError> {
        self.bounded("limit", default, 1, max, family).map(PageLimit::clamped)
    }

    /// A number within bounds: outside of them `/api/v1` refuses, and the older prefix takes the nearest.
    pub fn bounded(&self, name: &str, default: i64, min: i64, max: i64, family: Family) -> Result<i64, ApiError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let place = ["query", name];
        let number = whole_number(text.trim())
            .ok_or_else(|| ApiError::invalid("int_parsing", &place, "Input should be a valid integer"))?;
        match family {
            Family::Legacy => Ok(number.clamp(min, max)),
            Family::V1 if number < min => {
                let message = format!("Input should be greater than or equal to {min}");
                Err(ApiError::invalid("greater_than_equal", &place, message))
            }
            Family::V1 if number > max => {
                let message = format!("Input should be less than or equal to {max}");
                Err(ApiError::invalid("less_than_equal", &place, message))
            }
            Family::V1 => Ok(number),
        }
    }

    /// `wait`: how long the client wants to wait for something to happen. Less than the 100 seconds after which Cloudflare
    /// gives a request up.
    pub fn wait(&self) -> Result<Duration, ApiError> {
        let seconds = self.bounded("wait", 25, 0, 60, Family::V1)?;
        Ok(Duration::from_secs(seconds.unsigned_abs()))
    }

    /// Yes or no, in the words that clients use; no if it is not given.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        let text = self.text(name).unwrap_or("false").to_ascii_lowercase();
        match text.as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
            _ => Err(ApiError::invalid("bool_parsing", &["query", name], "Input should be a valid boolean")),
        }
    }
}
