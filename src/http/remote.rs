//! Being reached from elsewhere.

use super::error::{ApiError, Errors};
use super::gate::Caller;
use super::streams::Streams;
use super::work::to_the_end;
use super::{AppState, time};
use crate::domain::tunnel::service::{StartRefused, Tunnel};
use crate::domain::tunnel::{Program, TunnelState, TunnelStatus, Unusable};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read_tunnel)).routes(routes!(start_tunnel)).routes(routes!(stop_tunnel))
}

/// The tunnel at this moment.
#[derive(Serialize, ToSchema)]
pub struct TunnelView {
    /// Whether others reach the server at `url`.
    active: bool,
    /// Where; null if they do not.
    #[schema(example = "https://steep-mountain-abc123.trycloudflare.com")]
    url: Option<String>,
    /// `down`, `connecting`, `up`, `degraded` (lately not connected to its provider), `backing_off` (is opened again by
    /// itself), `failed` (somebody has to do something) or `stopping`.
    #[schema(example = "up")]
    state: &'static str,
    /// Since when, as RFC 3339 says.
    since: String,
    /// When it is opened again, in the state `backing_off`.
    retry_at: Option<String>,
    /// Why it failed last; null if it did not, or came up since.
    error: Option<String>,
    /// The last lines that its program wrote, oldest first.
    lines: Vec<String>,
    /// How often it came up again since it was started.
    restarts: u32,
}

impl From<TunnelStatus> for TunnelView {
    fn from(status: TunnelStatus) -> Self {
        Self {
            active: status.is_active(),
            url: status.url.as_ref().map(|url| url.as_str().to_owned()),
            state: status.state.as_str(),
            since: time::rfc3339(status.since),
            retry_at: match status.state {
                TunnelState::BackingOff { until } => Some(time::rfc3339(until)),
                _ => None,
            },
            error: Some(status.error).filter(|error| !error.is_empty()),
            lines: status.lines,
            restarts: status.restarts,
        }
    }
}

/// The tunnel, and what makes it.
#[derive(Serialize, ToSchema)]
struct RemoteView {
    #[serde(flatten)]
    tunnel: TunnelView,
    /// Whether the program that makes it can be used.
    installed: bool,
    program: TunnelProgramView,
}

/// The program that makes tunnels. It is never installed by Pawport.
#[derive(Serialize, ToSchema)]
struct TunnelProgramView {
    #[schema(example = "cloudflared")]
    name: &'static str,
    #[schema(example = "/usr/local/bin/cloudflared")]
    path: Option<String>,
    #[schema(example = "2026.1.2")]
    version: Option<String>,
    /// Why it cannot be used, and what to do on this system.
    problem: Option<String>,
}

impl TunnelProgramView {
    fn of(name: &'static str, program: Result<Program, Unusable>) -> Self {
        match program {
            Ok(Program { path, version }) => Self { name, path: Some(path), version: Some(version), problem: None },
            Err(problem) => Self { name, path: None, version: None, problem: Some(problem.to_string()) },
        }
    }
}

/// Whether the server can be reached from elsewhere, and where.
#[utoipa::path(get, path = "/remote/status", tag = "remote", responses((status = 200, body = RemoteView), Errors))]
async fn read_tunnel(State(tunnel): State<Arc<Tunnel>>) -> Json<RemoteView> {
    let program = tunnel.program().await;
    Json(RemoteView {
        installed: program.is_ok(),
        program: TunnelProgramView::of(tunnel.provider(), program),
        tunnel: tunnel.status().into(),
    })
}

/// What came of starting it.
#[derive(Serialize, ToSchema)]
struct StartedTunnelView {
    active: bool,
    /// Where others reach the server.
    #[schema(example = "https://steep-mountain-abc123.trycloudflare.com")]
    url: Option<String>,
    /// Why they do not, and what to do.
    error: Option<String>,
}

/// Makes the server reachable from elsewhere; answers once it is, within 30 seconds.
///
/// If it is already, the answer is its address. If it cannot be, that is no error of the request: `active` is false, and
/// `error` says why. From now on until the tunnel has ended every request needs a credential, also from this machine.
#[utoipa::path(
    post, path = "/remote/start", tag = "remote", responses((status = 200, body = StartedTunnelView), Errors)
)]
async fn start_tunnel(
    State(tunnel): State<Arc<Tunnel>>,
    State(streams): State<Streams>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
) -> Result<Json<StartedTunnelView>, ApiError> {
    let starting = to_the_end(&tasks, async move { tunnel.start(&principal).await });
    let (url, error) = tokio::select! {
        started = starting => match started? {
            Ok(url) => (Some(url.as_str().to_owned()), None),
            Err(StartRefused::NotUp(reason)) => (None, Some(reason)),
            Err(StartRefused::Store(error)) => return Err(error.into()),
        },
        // A server that stops waits for its open requests.
        () = streams.stopping() => (None, Some("the server is being stopped, and its tunnel with it".to_owned())),
    };
    Ok(Json(StartedTunnelView { active: url.is_some(), url, error }))
}

/// What came of stopping it.
#[derive(Serialize, ToSchema)]
struct StoppedTunnelView {
    /// Always false.
    active: bool,
    /// Always null.
    url: Option<String>,
}

/// Ends the tunnel; answers once its program is gone. If there is none, that is fine.
#[utoipa::path(
    post, path = "/remote/stop", tag = "remote", responses((status = 200, body = StoppedTunnelView), Errors)
)]
async fn stop_tunnel(
    State(tunnel): State<Arc<Tunnel>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
) -> Result<Json<StoppedTunnelView>, ApiError> {
    to_the_end(&tasks, async move { tunnel.stop(&principal).await }).await??;
    Ok(Json(StoppedTunnelView { active: false, url: None }))
}
