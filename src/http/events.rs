//! What happens, as it happens.

use super::AppState;
use super::error::{ApiError, Errors};
use super::mcp::McpStatusView;
use super::streams::{OpenStream, Streams};
use crate::domain::auth::scope::Scope;
use crate::domain::auth::service::Proven;
use crate::domain::event::Event;
use crate::domain::mcp::McpServerName;
use crate::domain::mcp::service::McpServers;
use crate::domain::mcp::status::McpState;
use crate::ports::events::{EventBus, EventStream, Heard};
use axum::extract::State;
use axum::response::Response;
use axum::response::sse;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How often a quiet stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stream_events))
}

/// What happens, as server-sent events: `connected` at once, then an event for everything that happens. `data` holds
/// `{"event": …, "data": …}`, but for `connected`.
///
/// - `mcp_status`: an MCP server changed; `name`, and the members of its status, or `removed: true`. With the scope `admin`.
/// - `mcp_oauth_redirect`: the user has to sign in to the MCP server `server`, at `url`. With the scope `admin`.
/// - `gap`: so many events (`missed`) came faster than they were read and are lost; ask for the state instead.
///
/// A comment is sent every 30 seconds.
#[utoipa::path(
    get, path = "/events/stream", tag = "events",
    responses((status = 200, content_type = "text/event-stream", body = String), Errors)
)]
async fn stream_events(
    State(events): State<Arc<dyn EventBus>>,
    State(servers): State<Arc<McpServers>>,
    State(streams): State<Streams>,
    proven: Proven,
) -> Result<Response, ApiError> {
    let open = streams.open(&proven)?;
    let follower = Follower {
        events: events.subscribe(),
        servers,
        sees_servers: proven.principal.grant.scopes.allows(Scope::Admin),
        sign_ins: HashSet::new(),
        ready: VecDeque::new(),
        _open: open,
    };
    let connected = sse::Event::default().event("connected").data(r#"{"status":"ok"}"#);
    let rest = stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Some((frame, follower))
    });
    Ok(streams.answer(stream::once(async { connected }).chain(rest), KEEP_ALIVE, proven))
}

/// One client that follows.
struct Follower {
    events: EventStream,
    servers: Arc<McpServers>,
    sees_servers: bool,
    /// The servers at which the user was told to sign in.
    sign_ins: HashSet<McpServerName>,
    /// What is still to be sent.
    ready: VecDeque<sse::Event>,
    _open: OpenStream,
}

impl Follower {
    /// The next frame. `None` if the bus is gone.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            match self.events.next().await? {
                Heard::Event(Event::McpServerChanged(name)) if self.sees_servers => self.tell_of_server(name),
                Heard::Missed(missed) => self.tell("gap", &json!({ "missed": missed })),
                Heard::Event(Event::McpServerChanged(_) | Event::AgentStatusChanged | Event::CredentialsChanged) => {}
            }
        }
    }

    /// What the server is now: it may have changed again since the event.
    fn tell_of_server(&mut self, name: McpServerName) {
        let Some(status) = self.servers.status(&name) else {
            self.sign_ins.remove(&name);
            return self.tell("mcp_status", &json!({ "name": name.as_str(), "removed": true }));
        };
        let url = match &status.state {
            McpState::NeedsAuth { url } => Some(url.clone()),
            _ => None,
        };
        let is_connected = status.state == McpState::Connected;
        let mut data = json!(McpStatusView::from(status));
        data["name"] = name.as_str().into();
        self.tell("mcp_status", &data);
        match url {
            Some(url) if !self.sign_ins.contains(&name) => {
                self.tell("mcp_oauth_redirect", &json!({ "server": name.as_str(), "url": url }));
                self.sign_ins.insert(name);
            }
            None if is_connected => {
                self.sign_ins.remove(&name);
            }
            // It is the same wish until the server is connected, though the address is renewed now and then.
            Some(_) | None => {}
        }
    }

    fn tell(&mut self, event: &'static str, data: &Value) {
        let body = json!({ "event": event, "data": data });
        self.ready.push_back(sse::Event::default().event(event).data(body.to_string()));
    }
}
