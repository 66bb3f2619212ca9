//! The REST API: from requests to use cases and back.
//!
//! A handler extracts, parses into values of the domain, calls one service, and makes a view of the result. It never touches
//! a store, a clock or an id. What is on the wire is in the group's file and nowhere else.

mod access;
mod agent;
mod audit;
mod auth;
mod backends;
mod chat;
pub mod client;
mod cookie;
mod error;
mod events;
mod extract;
pub mod feed;
mod gate;
mod health;
mod landing;
pub mod mcp;
mod memory;
pub mod openapi;
mod qr;
pub mod rate_limit;
pub mod remote;
mod sessions;
pub mod settings;
pub mod streams;
pub mod tally;
mod time;
mod webhooks;
mod work;
mod ws;

use crate::domain::agent::service::Agent;
use crate::domain::agent::service::chat::Chats;
use crate::domain::audit::service::Audit;
use crate::domain::auth::service::Tokens;
use crate::domain::auth::service::apps::Apps;
use crate::domain::auth::service::keys::ApiKeys;
use crate::domain::auth::service::logins::Logins;
use crate::domain::mcp::service::McpServers;
use crate::domain::memory::service::Memories;
use crate::domain::readiness::service::Readiness;
use crate::domain::session::service::Sessions;
use crate::domain::settings::service::Settings;
use crate::domain::tunnel::service::Tunnel;
use crate::domain::webhook::service::Webhooks;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use client::Policy;
use error::{ApiError, INTERNAL};
use feed::Feed;
use gate::Gate;
use rate_limit::RateLimits;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use streams::Streams;
use tokio_util::task::TaskTracker;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestId, RequestId};
use tower_http::trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer};
use utoipa_axum::router::OpenApiRouter;

/// What handlers can ask for. Each names what it uses, so its signature says what it can touch.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// Checks credentials.
    pub tokens: Arc<Tokens>,
    /// The login sessions.
    pub logins: Arc<Logins>,
    /// The API keys.
    pub api_keys: Arc<ApiKeys>,
    /// The native apps.
    pub apps: Arc<Apps>,
    /// What the owner says of names, proxies and pages.
    pub policy: Arc<Policy>,
    /// How often somebody may ask.
    pub limits: Arc<RateLimits>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The webhook slots.
    pub webhooks: Arc<Webhooks>,
    /// The MCP servers.
    pub mcp: Arc<McpServers>,
    /// What the user chose.
    pub settings: Arc<Settings>,
    /// What is remembered.
    pub memories: Arc<Memories>,
    /// The tunnel.
    pub tunnel: Arc<Tunnel>,
    /// Where work runs that does not end with its request.
    pub tasks: TaskTracker,
    /// The agent.
    pub agent: Arc<Agent>,
    /// The chats with it.
    pub chats: Arc<Chats>,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// What happens.
    pub feed: Feed,
    /// The open event streams.
    pub streams: Streams,
    /// Where others reach this server.
    pub public_url: PublicUrl,
}

/// The origin under which others reach this server, without a slash at its end.
#[derive(Debug, Clone)]
pub struct PublicUrl(pub Arc<str>);

/// The documented routes.
fn routes() -> OpenApiRouter<AppState> {
    let both = || {
        OpenApiRouter::new()
            .merge(sessions::routes())
            .merge(webhooks::routes())
            .merge(mcp::routes())
            .merge(settings::routes())
            .merge(memory::routes())
            .merge(backends::routes())
            .merge(remote::routes())
            .merge(audit::routes())
            .merge(auth::routes())
            .merge(qr::routes())
            .merge(health::routes())
    };
    let v1 = both()
        .merge(sessions::v1_routes())
        .merge(mcp::v1_routes())
        .merge(events::v1_routes())
        .merge(agent::v1_routes())
        .merge(backends::v1_routes())
        .merge(chat::v1_routes())
        .merge(auth::v1_routes())
        .merge(qr::v1_routes())
        .merge(openapi::v1_routes());
    OpenApiRouter::new()
        .merge(webhooks::root_routes())
        .merge(health::root_routes())
        .nest("/api", both().merge(sessions::legacy_routes()))
        .nest("/api/v1", v1)
}

/// The pages and their files.
fn pages() -> [(&'static str, MethodRouter<AppState>); 4] {
    [
        ("/", get(landing::page)),
        ("/favicon.ico", get(landing::icon)),
        ("/static/{*path}", get(landing::file)),
        ("/api/v1/oauth/authorize", get(auth::oauth::consent_page)),
    ]
}

fn not_found() -> ApiError {
    ApiError::not_found("Not Found")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// The whole API.
///
/// # Panics
/// If a route is not in the table of `access.rs`, or one of the table is no route: the program is wrong, and does not start.
pub fn router(state: AppState) -> Router {
    let (documented, description) = routes().split_for_parts();
    access::hold(&openapi::operations_of(&description));
    let routes = pages().into_iter().fold(documented, |router, (path, page)| router.route(path, page));
    let policy = Arc::clone(&state.policy);
    let routes = ws::PATHS.into_iter().fold(routes, |router, path| router.route(path, get(ws::open_socket)));
    let routes = routes
        .merge(openapi::docs_page())
        .fallback(|| async { not_found() })
        .method_not_allowed_fallback(method_not_allowed)
        // Inside of the router, which says what was asked for, and around everything in it, its "not found" included: who
        // has no credentials does not learn which paths exist, nor by an `Allow` header which methods they have.
        .layer(from_fn_with_state(Gate::new(&state), gate::gate))
        .with_state(state);

    let layers = ServiceBuilder::new()
        // Outermost, so that every line of the log, and every answer, has it.
        .map_request(without_odd_request_id)
        .set_request_id(REQUEST_ID, NumberedRequests::default())
        // Around everything that can fail, so that a failure is logged within the span of its request.
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(request_span)
                .on_request(DefaultOnRequest::new().level(tracing::Level::TRACE))
                .on_response(DefaultOnResponse::new().level(tracing::Level::DEBUG))
                .on_failure(()),
        )
        .propagate_request_id(REQUEST_ID)
        // Outside of the panic guard, so that an answer to a panic has the security headers too.
        .layer(from_fn_with_state(Arc::clone(&policy), client::identify))
        .layer(CatchPanicLayer::custom(panicked))
        // Innermost: what the extractors read.
        .layer(DefaultBodyLimit::max(extract::BODY_LIMIT));
    Router::new().fallback_service(with_cors(routes, policy)).layer(layers)
}

/// Answers browsers that ask what a page of another origin may do, and tells them which pages may read what. Asking is not
/// using, so it needs no credential; whatever else comes as `OPTIONS` is a request like any other.
fn with_cors(routes: Router, policy: Arc<Policy>) -> Router {
    let allowed = Arc::clone(&policy);
    let is_allowed = move |origin: &HeaderValue, _: &Parts| origin.to_str().is_ok_and(|it| allowed.allows_origin(it));
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_allowed))
        .allow_credentials(true)
        .allow_methods([&[Method::GET], &CHANGING[..]].concat())
        .allow_headers(["authorization", "content-type", "last-event-id", "x-status-key"].map(HeaderName::from_static))
        .expose_headers(
            ["content-disposition", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
                .map(HeaderName::from_static),
        );
    let answering = routes.clone().layer(cors);
    Router::new().fallback(async move |request: Request| {
        let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
        if gate::is_preflight(request.method(), request.headers()) {
            if !origin.is_some_and(|origin| policy.allows_origin(origin)) {
                return gate::foreign_page().into_response();
            }
        } else if request.method() == Method::OPTIONS {
            return routes.oneshot(request).await.into_response();
        }
        answering.oneshot(request).await.into_response()
    })
}

/// The span of a request, at a level at which every line of the log has it. The gate says what was asked for: what is in
/// the address itself may be a token.
fn request_span(request: &Request) -> tracing::Span {
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    // A method that is none of ours is the client's text.
    let method =
        if request.method().is_safe() || CHANGING.contains(request.method()) { request.method().as_str() } else { "?" };
    tracing::error_span!("request", id, method, route = tracing::field::Empty)
}

/// Methods that change something.
const CHANGING: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The id of a request that a client gives stands in every line of the log about it, so it has to look like one.
fn without_odd_request_id(mut request: Request) -> Request {
    let is_plain =
        |id: &[u8]| id.len() <= 64 && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    if request.headers().get(REQUEST_ID).is_some_and(|id| !is_plain(id.as_bytes())) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without a text"), "a request panicked");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL).into_response()
}
