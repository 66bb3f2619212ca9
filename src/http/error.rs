//! What a client is told when something is wrong: one envelope, `{"detail": …}`, for everything.

use crate::ports::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// How long a client that was told "not now" should wait, in seconds.
const RETRY_AFTER: &str = "1";

/// Why a request was not served. The cause is for the log and never reaches the client.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: Detail,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Detail {
    Text(String),
    Fields(Vec<FieldError>),
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong, in words for the user.
    #[schema(example = "Session not found")]
    pub detail: String,
}

/// The body of a 422: which members or parameters are wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationBody {
    /// An entry for the first thing that is wrong.
    pub detail: Vec<FieldError>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    /// A name for the kind of error.
    #[serde(rename = "type")]
    #[schema(example = "string_too_long")]
    pub kind: String,
    /// Where: `body`, `query` or `path`, then the names of the members on the way.
    pub loc: Vec<String>,
    /// What is wrong, in words for the user.
    pub msg: String,
}

impl ApiError {
    /// An error with a text.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: Detail::Text(detail.into()), cause: None }
    }

    /// 400
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized")
    }

    /// 404
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 415
    pub fn unsupported_media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
    }

    /// 500, with a cause for the log.
    pub fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL);
        error.cause = Some(Box::new(cause));
        error
    }

    /// 422 for one member or parameter.
    pub fn invalid(kind: &str, place: &[&str], message: impl Into<String>) -> Self {
        let loc = place.iter().map(|part| (*part).to_owned()).collect();
        let field = FieldError { kind: kind.to_owned(), loc, msg: message.into() };
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: Detail::Fields(vec![field]), cause: None }
    }

    /// What a client is told, for those that are told in another way than by an answer.
    pub fn text(&self) -> String {
        if let Some(cause) = &self.cause {
            tracing::error!(error = &**cause as &dyn std::error::Error, "a request over a WebSocket failed");
        }
        match &self.detail {
            Detail::Text(text) => text.clone(),
            Detail::Fields(fields) => {
                let named = |field: &FieldError| match field.loc.last() {
                    Some(name) => format!("{name}: {}", field.msg),
                    None => field.msg.clone(),
                };
                fields.iter().map(named).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// 503, to be tried again soon.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, detail) = match error {
            StoreError::Conflict => (StatusCode::CONFLICT, "There is one of that name already"),
            StoreError::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "The storage cannot be reached at the moment; try again later")
            }
            StoreError::Corrupt { .. } | StoreError::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL),
        };
        Self { status, detail: Detail::Text(detail.to_owned()), cause: Some(Box::new(error)) }
    }
}

/// All that a client learns of a fault of ours.
pub const INTERNAL: &str = "Internal server error; the log of the server has the reason";

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            // The span of the request, which has its id, is around this line.
            tracing::error!(
                status = self.status.as_u16(),
                error = &**cause as &dyn std::error::Error,
                "request failed"
            );
        }
        let mut response = (self.status, Json(serde_json::json!({ "detail": self.detail }))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

/// What any route behind the gate may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub enum Errors {
    /// No credentials, or bad ones.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// A fault of the server's.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The server is too busy or cannot reach its storage; `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What any open route that uses the storage may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub enum Faults {
    /// A fault of the server's.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The server is too busy or cannot reach its storage; `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What a route that takes a JSON body may answer beside that.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub enum BodyErrors {
    /// The body is not JSON, or a member breaks a rule.
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// The body is larger than 1 MiB.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The `Content-Type` is not `application/json`.
    #[response(status = 415)]
    UnsupportedMediaType(ErrorBody),
    /// A member is missing or has another type.
    #[response(status = 422)]
    Invalid(ValidationBody),
}

/// What a route that takes parameters may answer beside that.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub enum ParameterErrors {
    /// A parameter is not what it has to be.
    #[response(status = 422)]
    Invalid(ValidationBody),
}
