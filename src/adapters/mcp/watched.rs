//! An HTTP client for rmcp that tells what happens, and keeps addresses and bodies out of errors.
//!
//! rmcp goes on in the background when the stream of a session breaks, and logs errors with all that is in them.

use super::fate::Fate;
use super::problem::Problem;
use futures_util::stream::BoxStream;
use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
};
use sse_stream::Sse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Headers = HashMap<HeaderName, HeaderValue>;
type Outcome<T> = Result<T, StreamableHttpError<Problem>>;

/// Hears of all that goes wrong with a remote server.
#[derive(Clone)]
pub(super) struct Watch {
    fate: Arc<Fate>,
    last: Arc<Mutex<Option<Problem>>>,
}

impl Watch {
    pub fn new(fate: Arc<Fate>) -> Self {
        Self { fate, last: Arc::default() }
    }

    /// Takes what went wrong, and does what has to be done.
    pub fn heard(&self, problem: &Problem) {
        match problem {
            Problem::Unauthorized(_) => {
                self.fate.lose("the server answered 401 Unauthorized: it does not take what was sent any more");
            }
            Problem::Unreachable(reason) => self.fate.lose(&format!("the server cannot be reached: {reason}")),
            // rmcp begins a new session with the next request. There may be other tools then.
            Problem::Expired => self.fate.ask_again(),
            _ => {}
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem.clone());
    }

    /// What went wrong last, for where rmcp does not say.
    pub fn last(&self) -> Option<Problem> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client.
#[derive(Clone)]
pub(super) struct Watched<C> {
    pub inner: C,
    pub watch: Watch,
}

impl<C> Watched<C> {
    fn told<T>(&self, outcome: Result<T, StreamableHttpError<reqwest::Error>>) -> Outcome<T> {
        outcome.map_err(|error| {
            let problem = Problem::of_client(&error);
            self.watch.heard(&problem);
            match error {
                // Those that rmcp itself reacts to.
                StreamableHttpError::AuthRequired(error) => StreamableHttpError::AuthRequired(error),
                StreamableHttpError::InsufficientScope(error) => StreamableHttpError::InsufficientScope(error),
                StreamableHttpError::SessionExpired => StreamableHttpError::SessionExpired,
                StreamableHttpError::ServerDoesNotSupportSse => StreamableHttpError::ServerDoesNotSupportSse,
                _ => StreamableHttpError::Client(problem),
            }
        })
    }
}

impl<C> StreamableHttpClient for Watched<C>
where
    C: StreamableHttpClient<Error = reqwest::Error> + Sync,
{
    type Error = Problem;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Outcome<StreamableHttpPostResponse> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session, token, headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Outcome<StreamableHttpPostResponse> {
        let is_first = matches!(
            &message,
            ClientJsonRpcMessage::Request(request) if matches!(request.request, ClientRequest::InitializeRequest(_))
        );
        let posted = self.inner.post_message_with_response_limits(uri, message, session, token, headers, limits);
        match self.told(posted.await)? {
            StreamableHttpPostResponse::Accepted if is_first => {
                let problem = Problem::NotMcp("the address took the request and did not answer it".to_owned());
                self.watch.heard(&problem);
                Err(StreamableHttpError::Client(problem))
            }
            response => Ok(response),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: Headers,
    ) -> Outcome<()> {
        // The connection is over, so nobody needs to hear of it.
        let deleted = self.inner.delete_session(uri, session, token, headers).await;
        deleted.map_err(|error| StreamableHttpError::Client(Problem::of_client(&error)))
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
    ) -> Outcome<BoxStream<'static, Result<Sse, SseError>>> {
        let limit = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(uri, session, last_event, token, headers, limit).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Outcome<BoxStream<'static, Result<Sse, SseError>>> {
        let has_session = session.is_some();
        let got = self.inner.get_stream_with_max_sse_event_size(uri, session, last_event, token, headers, limit);
        let got = self.told(got.await);
        // What a server says that was started anew. The next request finds out.
        if has_session && matches!(got, Err(StreamableHttpError::Client(Problem::Status(StatusCode::NOT_FOUND)))) {
            self.watch.heard(&Problem::Expired);
        }
        got
    }
}
