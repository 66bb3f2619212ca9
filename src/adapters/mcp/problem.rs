//! What goes wrong with servers, in our words: nothing of an address's query, of headers or of bodies gets in.

use crate::domain::mcp::connect::ConnectError;
use crate::domain::mcp::tool::CallError;
use reqwest::StatusCode;
use rmcp::model::{ErrorCode, ErrorData};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::AuthError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use std::error::Error;
use thiserror::Error;

/// The longest text of a server in an error, in bytes.
const MAX_TEXT: usize = 2000;

/// What went wrong with a remote server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Problem {
    /// No connection.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// 401, with the challenge.
    #[error("401 Unauthorized")]
    Unauthorized(Option<String>),
    /// Any other status that says no.
    #[error("{0}")]
    Status(StatusCode),
    /// It does not speak the protocol.
    #[error("{0}")]
    NotMcp(String),
    /// The tokens cannot be had.
    #[error("its sign-in could not be renewed")]
    SignIn,
    /// An answer is larger than so many bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The server forgot the session.
    #[error("the server ended the session")]
    Expired,
}

impl Problem {
    /// What a status means that is none of success.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized(None),
            status => Self::Status(status),
        }
    }

    pub fn of_request(error: &reqwest::Error) -> Self {
        match error.status() {
            Some(status) => Self::of_status(status),
            // Its own text holds the address; the innermost cause says what happened: "Connection refused".
            None if error.is_connect() || error.is_timeout() => Self::Unreachable(innermost(error)),
            None => Self::Broken(innermost(error)),
        }
    }

    /// What the transport of rmcp reports of its client.
    pub fn of_client(error: &StreamableHttpError<reqwest::Error>) -> Self {
        match error {
            StreamableHttpError::Client(error) => Self::of_request(error),
            StreamableHttpError::AuthRequired(challenge) => {
                Self::Unauthorized(Some(challenge.www_authenticate_header.clone()))
            }
            StreamableHttpError::InsufficientScope(_) => Self::Status(StatusCode::FORBIDDEN),
            StreamableHttpError::Auth(AuthError::AuthorizationRequired) => Self::Unauthorized(None),
            StreamableHttpError::Auth(_) => Self::SignIn,
            StreamableHttpError::HttpStatus(failed) => {
                Self::of_status(StatusCode::from_u16(failed.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
            StreamableHttpError::UnexpectedServerResponse(text) => match status_in(text) {
                Some(status) => Self::of_status(status),
                None => Self::NotMcp("its answer is no message of the protocol".to_owned()),
            },
            StreamableHttpError::UnexpectedContentType(Some(kind)) => {
                Self::NotMcp(format!("the address answered with {}", short(kind)))
            }
            StreamableHttpError::UnexpectedContentType(None) => {
                Self::NotMcp("the address answered without content".to_owned())
            }
            StreamableHttpError::Deserialize(_) => Self::NotMcp("its answer is no message of the protocol".to_owned()),
            StreamableHttpError::ResponseBodyTooLarge { max_size } => Self::TooLarge(*max_size),
            StreamableHttpError::SessionExpired => Self::Expired,
            _ => Self::Broken("the connection broke".to_owned()),
        }
    }

    /// The problem at the bottom of an error of a transport, if one is there.
    pub fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut current = Some(error);
        while let Some(error) = current {
            if let Some(problem) = error.downcast_ref::<Self>() {
                return Some(problem.clone());
            }
            if let Some(error) = error.downcast_ref::<StreamableHttpError<Self>>() {
                return match error {
                    StreamableHttpError::Client(problem) => Some(problem.clone()),
                    StreamableHttpError::AuthRequired(challenge) => {
                        Some(Self::Unauthorized(Some(challenge.www_authenticate_header.clone())))
                    }
                    StreamableHttpError::InsufficientScope(_) => Some(Self::Status(StatusCode::FORBIDDEN)),
                    StreamableHttpError::SessionExpired
                    | StreamableHttpError::SessionRecoveryTimeout
                    | StreamableHttpError::ReinitializationFailed(_) => Some(Self::Expired),
                    _ => None,
                };
            }
            current = error.source();
        }
        None
    }
}

/// rmcp puts the status of such an answer in front of its text: `HTTP 404 Not Found: …`.
fn status_in(text: &str) -> Option<StatusCode> {
    let status = text.strip_prefix("HTTP ")?.get(..3)?;
    StatusCode::from_bytes(status.as_bytes()).ok()
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<reqwest::Error>() { "the request failed".to_owned() } else { short(&innermost.to_string()) }
}

/// The beginning of a text of somebody else, in one line.
pub(super) fn short(text: &str) -> String {
    let mut end = text.floor_char_boundary(MAX_TEXT);
    if end < text.len() {
        // Between two words: secrets are looked for later, and half a one would not be found.
        end = text[..end].rfind(char::is_whitespace).unwrap_or(0);
    }
    let text = &text[..end];
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl From<Problem> for ConnectError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unreachable(reason) => Self::Unreachable(reason),
            Problem::Unauthorized(challenge) => Self::Unauthorized { challenge },
            Problem::Status(StatusCode::FORBIDDEN) => Self::Forbidden,
            Problem::Status(status) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Self::Refused(status.to_string())
            }
            Problem::Status(status) if status.is_redirection() => {
                Self::NotMcp(format!("the address answered {status}; configure the address that it leads to"))
            }
            Problem::Status(status) => Self::NotMcp(format!("the address answered {status}")),
            Problem::NotMcp(reason) => Self::NotMcp(reason),
            Problem::SignIn | Problem::TooLarge(_) => Self::Refused(problem.to_string()),
            Problem::Broken(_) | Problem::Expired => Self::Lost(problem.to_string()),
        }
    }
}

impl From<Problem> for CallError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::TooLarge(bytes) => Self::TooLarge(bytes),
            Problem::Status(status) => Self::Refused { code: status.as_u16().into(), message: status.to_string() },
            problem => Self::Lost(problem.to_string()),
        }
    }
}

/// Why `initialize` failed. `None`: the connection ended, and rmcp does not say why.
pub(super) fn of_initialize(error: &ClientInitializeError) -> Option<ConnectError> {
    match error {
        ClientInitializeError::TransportError { error, .. } => {
            Problem::within(error.error.as_ref()).map(ConnectError::from)
        }
        ClientInitializeError::JsonRpcError(error) => Some(refused(error)),
        ClientInitializeError::ExpectedInitResponse(_)
        | ClientInitializeError::ExpectedInitResult(_)
        | ClientInitializeError::ConflictInitResponseId(..)
        | ClientInitializeError::UncorrelatedErrorResponse { .. } => {
            Some(ConnectError::NotMcp("its answer to initialize is none".to_owned()))
        }
        _ => None,
    }
}

/// Why the tools could not be listed. `None` as in [`of_initialize`].
pub(super) fn of_listing(error: &ServiceError) -> Option<ConnectError> {
    match error {
        ServiceError::McpError(error) => Some(refused(error)),
        ServiceError::TransportSend(error) => Problem::within(error.error.as_ref()).map(ConnectError::from),
        ServiceError::UnexpectedResponse => {
            Some(ConnectError::NotMcp("its answer to tools/list is no list of tools".to_owned()))
        }
        _ => None,
    }
}

/// Why a call failed. `None`: the connection is lost.
pub(super) fn of_call(error: ServiceError) -> Option<CallError> {
    match error {
        ServiceError::McpError(error) => {
            Some(CallError::Refused { code: error.code.0.into(), message: short(&error.message) })
        }
        ServiceError::TransportSend(error) => Problem::within(error.error.as_ref()).map(CallError::from),
        ServiceError::UnexpectedResponse => Some(CallError::Refused {
            code: ErrorCode::INTERNAL_ERROR.0.into(),
            message: "its answer is no result of a tool".to_owned(),
        }),
        _ => None,
    }
}

fn refused(error: &ErrorData) -> ConnectError {
    ConnectError::Refused(format!("{} (code {})", short(&error.message), error.code.0))
}

#[cfg(test)]
mod tests;
