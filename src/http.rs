//! The REST API: from requests to use cases and back.
//!
//! A handler extracts, parses into values of the domain, calls one service, and makes a view of the result. It never touches
//! a store, a clock or an id. What is on the wire is in the group's file and nowhere else.

mod agent;
mod audit;
mod error;
mod extract;
mod gate;
mod health;
mod landing;
pub mod openapi;
mod sessions;
mod time;
mod webhooks;

use crate::domain::agent::service::Agent;
use crate::domain::audit::service::Audit;
use crate::domain::auth::service::Tokens;
use crate::domain::readiness::service::Readiness;
use crate::domain::session::service::Sessions;
use crate::domain::webhook::service::Webhooks;
use crate::ports::events::EventBus;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use error::{ApiError, INTERNAL};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestId, RequestId};
use tower_http::trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer};
use utoipa_axum::router::OpenApiRouter;

/// How many event streams may be open at once.
const MAX_STREAMS: usize = 64;

/// What handlers can ask for. Each names what it uses, so its signature says what it can touch.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// Checks credentials.
    pub tokens: Arc<Tokens>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The webhook slots.
    pub webhooks: Arc<Webhooks>,
    /// The agent.
    pub agent: Arc<Agent>,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// What changes.
    pub events: Arc<dyn EventBus>,
    /// The open event streams.
    pub streams: Streams,
    /// Where others reach this server.
    pub public_url: PublicUrl,
}

/// The origin under which others reach this server, without a slash at its end.
#[derive(Debug, Clone)]
pub struct PublicUrl(pub Arc<str>);

/// The open event streams: not too many, and not for longer than the server runs.
#[derive(Debug, Clone)]
pub struct Streams {
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// Streams that end with `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_STREAMS)), stop }
    }

    fn open(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

/// Everything behind the gate.
fn closed_routes() -> OpenApiRouter<AppState> {
    let both = || {
        OpenApiRouter::new()
            .merge(sessions::routes())
            .merge(webhooks::routes())
            .merge(audit::routes())
            .merge(health::routes())
    };
    OpenApiRouter::new()
        .nest("/api", both().merge(sessions::legacy_routes()))
        .nest("/api/v1", both().merge(sessions::v1_routes()).merge(agent::v1_routes()).merge(openapi::v1_routes()))
}

/// The one list of what needs no credentials. A path that is listed here and has no handler yet is answered with 404.
fn open_routes() -> OpenApiRouter<AppState> {
    let nothing_yet = || axum::routing::any(|| async { not_found() });
    webhooks::open_routes()
        .merge(health::open_routes())
        .route("/", axum::routing::get(landing::page))
        .route("/webhook/{*rest}", nothing_yet())
        .route("/oauth/callback", nothing_yet())
        .route("/static/{*path}", nothing_yet())
        .route("/favicon.ico", nothing_yet())
}

fn not_found() -> ApiError {
    ApiError::not_found("Not Found")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// The whole API.
pub fn router(state: AppState) -> Router {
    let (closed, _) = closed_routes().split_for_parts();
    let (open, _) = open_routes().split_for_parts();
    let closed = closed
        .merge(openapi::docs_page())
        .fallback(|| async { not_found() })
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state.clone());
    // The gate is around the router, not around its routes: who has no credentials does not learn which paths exist, nor by
    // an `Allow` header which methods they have.
    let closed = Router::new().fallback_service(closed).layer(from_fn_with_state(state.clone(), gate::gate));
    let open = open.method_not_allowed_fallback(method_not_allowed).with_state(state);

    let request_id = HeaderName::from_static("x-request-id");
    let layers = ServiceBuilder::new()
        // Outermost, so that every line of the log, and every answer, has it.
        .set_request_id(request_id.clone(), NumberedRequests::default())
        // Around everything that can fail, so that a failure is logged within the span of its request.
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(request_span)
                .on_request(DefaultOnRequest::new().level(tracing::Level::TRACE))
                .on_response(DefaultOnResponse::new().level(tracing::Level::DEBUG))
                .on_failure(()),
        )
        .propagate_request_id(request_id)
        // Outside of the panic guard, so that an answer to a panic has them too.
        .map_response(with_security_headers)
        .layer(CatchPanicLayer::custom(panicked))
        // Innermost: what the extractors read.
        .layer(DefaultBodyLimit::max(extract::BODY_LIMIT));
    open.fallback_service(closed).layer(layers)
}

/// The span of a request, at a level at which every line of the log has it. Holds the path without the query, which may hold a token.
fn request_span(request: &Request) -> tracing::Span {
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    tracing::error_span!("request", id, method = %request.method(), path = request.uri().path())
}

/// Numbers requests. An id that the client sent is kept.
#[derive(Debug, Clone, Default)]
struct NumberedRequests(Arc<AtomicU64>);

impl MakeRequestId for NumberedRequests {
    fn make_request_id<B>(&mut self, _request: &axum::http::Request<B>) -> Option<RequestId> {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        HeaderValue::from_str(&number.to_string()).ok().map(RequestId::new)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the middleware hands it over like this")]
fn panicked(panic: Box<dyn Any + Send>) -> axum::response::Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without a text"), "a request panicked");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL).into_response()
}

/// What browsers should not do with any of our answers.
fn with_security_headers<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    let policy = HeaderValue::from_static("camera=(), microphone=(), geolocation=()");
    headers.insert(HeaderName::from_static("permissions-policy"), policy);
    response
}
