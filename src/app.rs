//! The composition root: the only place that names concrete adapters.
//!
//! [`App::build`] puts services and router together from [`Parts`]; the program and the tests call the same function with
//! different parts. There is no global.

mod backup;
mod chat;
mod connections;
mod doctor;
mod import;
mod mcp;
mod memory;
mod migrate;
mod ollama;
mod pair;
mod progress;
mod running;
mod secrets;
mod serve;
mod shutdown;
mod tunnel;
mod workers;

use crate::adapters::mcp_supervision::{self, Supervision};
use crate::adapters::presets;
use crate::adapters::recall::lexical::Lexical;
use crate::adapters::recall::semantic::Semantic;
use crate::adapters::tunnel_supervision::{self, Supervision as TunnelSupervision};
use crate::domain::agent::choice::AgentSettings;
use crate::domain::agent::service::chat::Chats;
use crate::domain::agent::service::{Agent, AgentLimits, AgentParts};
use crate::domain::audit::service::Audit;
use crate::domain::auth::login::SessionTtl;
use crate::domain::auth::rate;
use crate::domain::auth::service::apps::Apps;
use crate::domain::auth::service::keys::ApiKeys;
use crate::domain::auth::service::logins::Logins;
use crate::domain::auth::service::{MasterToken, Tokens, TokensParts};
use crate::domain::auth::token::TokenHash;
use crate::domain::mcp::connect::Budgets;
use crate::domain::mcp::service::{McpAdapters, McpServers};
use crate::domain::memory::service::{Memories, MemoriesParts};
use crate::domain::readiness::service::Readiness;
use crate::domain::session::service::Sessions;
use crate::domain::settings::service::{Settings as RuntimeSettings, SettingsParts};
use crate::domain::tunnel::service::Tunnel;
use crate::domain::webhook::service::Webhooks;
use crate::http::client::Policy;
use crate::http::feed::Feed;
use crate::http::rate_limit::RateLimits;
use crate::http::streams::Streams;
use crate::http::{AppState, PublicUrl};
use crate::ports::agent::Agents;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::events::EventBus;
use crate::ports::mcp::{McpAuthorizer, McpConnector};
use crate::ports::recall::Embedders;
use crate::ports::store::Stores;
use crate::ports::timer::Timer;
use crate::ports::tunnel::TunnelProvider;
use axum::Router;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backup::{RestoreOptions, backup, restore};
pub use chat::{ChatOptions, chat};
pub use doctor::doctor;
pub use import::{ImportOptions, import};
pub use mcp::{McpTarget, call_mcp_tool, list_mcp_servers, list_mcp_tools, test_mcp_server};
pub use memory::{delete_memories, export_memories};
pub use migrate::{migrate, pending};
pub use pair::pair;
pub use secrets::rotate_key;
pub use serve::{RunError, run, serve};
pub use shutdown::Shutdown;
pub use tunnel::{start_tunnel, stop_tunnel, tunnel_status};

/// What an app is made of.
pub struct Parts {
    /// Where everything is kept.
    pub stores: Stores,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told what changes.
    pub events: Arc<dyn EventBus>,
    /// Who can answer.
    pub agents: Arc<dyn Agents>,
    /// What makes vectors of memories.
    pub embedders: Arc<dyn Embedders>,
    /// Lets time pass.
    pub timer: Arc<dyn Timer>,
    /// The master token.
    pub master: MasterToken,
    /// Reaches MCP servers.
    pub mcp_connector: Arc<dyn McpConnector>,
    /// Lets users sign in to them.
    pub mcp_authorizer: Arc<dyn McpAuthorizer>,
    /// Makes the server reachable from elsewhere.
    pub tunnels: Arc<dyn TunnelProvider>,
    /// Where work runs that does not end with a request.
    pub tasks: TaskTracker,
}

/// What an app is told.
pub struct Settings {
    /// The agent's limits.
    pub limits: AgentLimits,
    /// Who answers and how, unless the user chose otherwise.
    pub agent: AgentSettings,
    /// Where the server listens, as it is shown.
    pub address: SocketAddr,
    /// Where others reach the server, without a slash at the end.
    pub public_url: String,
    /// Names, proxies and pages.
    pub policy: Policy,
    /// How often somebody may ask.
    pub rate_limits: rate::RateLimits,
    /// How long login sessions last.
    pub session_ttl: SessionTtl,
    /// How long connecting an MCP server may take.
    pub mcp_budgets: Budgets,
    /// How long testing one may take.
    pub mcp_test_budgets: Budgets,
    /// What opens the agent's status, besides every other credential.
    pub status_key: Option<TokenHash>,
}

/// The services and the router over them.
pub struct App {
    router: Router,
    agent: Arc<Agent>,
    tokens: Arc<Tokens>,
    logins: Arc<Logins>,
    apps: Arc<Apps>,
    mcp: Arc<McpServers>,
    tunnel: Arc<Tunnel>,
    settings: Arc<RuntimeSettings>,
    memories: Arc<Memories>,
    semantic: Arc<Semantic>,
    events: Arc<dyn EventBus>,
    stop: CancellationToken,
    /// Ends the connections to MCP servers and the tunnel: after the work that may use them.
    programs_stop: CancellationToken,
}

impl App {
    /// Puts an app together. Its event streams end when `stop` is cancelled.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a list of what there is, in the order in which one needs the other")]
    pub fn build(settings: Settings, parts: Parts, stop: CancellationToken) -> Self {
        let audit =
            Arc::new(Audit::new(Arc::clone(&parts.stores.audit), Arc::clone(&parts.clock), Arc::clone(&parts.entropy)));
        let chosen = runtime_settings(&settings, &parts, &audit);
        let (memories, semantic) = memories(&parts, &chosen, &audit);
        let programs_stop = CancellationToken::new();
        let mcp = Arc::new(mcp_servers(&settings, &parts, &audit, &programs_stop));
        let tunnel = Arc::new(tunnel_of(&settings, &parts, &audit, &programs_stop));
        let Parts { stores, clock, entropy, events, agents, timer, master, tasks, .. } = parts;
        let tokens = Arc::new(Tokens::new(TokensParts {
            master,
            status_key: settings.status_key,
            exposure: settings.policy.exposure.clone(),
            stores: stores.clone(),
            audit: Arc::clone(&audit),
            events: Arc::clone(&events),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        }));
        let logins = Arc::new(Logins::new(
            Arc::clone(&tokens),
            Arc::clone(&stores.auth_sessions),
            Arc::clone(&audit),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            settings.session_ttl,
        ));
        let apps = Arc::new(Apps::new(
            Arc::clone(&tokens),
            stores.tickets,
            stores.auth_sessions,
            Arc::clone(&audit),
            Arc::clone(&clock),
            Arc::clone(&entropy),
        ));
        let agent = Arc::new(Agent::new(AgentParts {
            turns: stores.turns,
            sessions: Arc::clone(&stores.sessions),
            agents,
            settings: Arc::clone(&chosen),
            mcp: Arc::clone(&mcp),
            memories: Arc::clone(&memories),
            events: Arc::clone(&events),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            timer,
            entropy: Arc::clone(&entropy),
            limits: settings.limits,
        }));
        let sessions =
            Arc::new(Sessions::new(stores.sessions, Arc::clone(&audit), Arc::clone(&clock), Arc::clone(&entropy)));
        let feed = Feed::new(
            Arc::clone(&events),
            Arc::clone(&mcp),
            Arc::clone(&tunnel),
            tasks.clone(),
            stop.clone(),
            clock.now(),
        );
        let chats = Chats::new(Arc::clone(&agent), Arc::clone(&sessions), Arc::clone(&chosen), Arc::clone(&entropy));
        let state = AppState {
            chats: Arc::new(chats),
            apps: Arc::clone(&apps),
            tokens: Arc::clone(&tokens),
            logins: Arc::clone(&logins),
            api_keys: Arc::new(ApiKeys::new(
                Arc::clone(&tokens),
                stores.api_keys,
                Arc::clone(&audit),
                Arc::clone(&clock),
                Arc::clone(&entropy),
            )),
            policy: Arc::new(settings.policy),
            limits: Arc::new(RateLimits::new(&settings.rate_limits)),
            sessions,
            webhooks: Arc::new(Webhooks::new(stores.webhooks, Arc::clone(&agent), Arc::clone(&audit), clock, entropy)),
            mcp: Arc::clone(&mcp),
            settings: Arc::clone(&chosen),
            memories: Arc::clone(&memories),
            tunnel: Arc::clone(&tunnel),
            tasks,
            agent: Arc::clone(&agent),
            audit,
            readiness: Arc::new(Readiness::new(stores.probe)),
            streams: Streams::new(Arc::clone(&tokens), feed.clone(), stop.clone()),
            feed,
            public_url: PublicUrl(settings.public_url.into()),
        };
        let router = crate::http::router(state);
        let settings = chosen;
        Self {
            router,
            agent,
            tokens,
            logins,
            apps,
            mcp,
            tunnel,
            settings,
            memories,
            semantic,
            events,
            stop,
            programs_stop,
        }
    }

    /// The router, for tests that call it without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The MCP servers, to be started once the server runs.
    #[must_use]
    pub fn mcp(&self) -> Arc<McpServers> {
        Arc::clone(&self.mcp)
    }

    /// The tunnel, to be opened once the server runs.
    #[must_use]
    pub fn tunnel(&self) -> Arc<Tunnel> {
        Arc::clone(&self.tunnel)
    }

    /// What the user chose. To be loaded before the server runs.
    #[must_use]
    pub fn settings(&self) -> Arc<RuntimeSettings> {
        Arc::clone(&self.settings)
    }

    /// The memories, for tests that look at them without a request.
    #[must_use]
    pub fn memories(&self) -> Arc<Memories> {
        Arc::clone(&self.memories)
    }

    /// What finds memories by their meaning, for tests that make vectors by hand.
    #[must_use]
    pub fn semantic(&self) -> Arc<Semantic> {
        Arc::clone(&self.semantic)
    }

    /// The agent, for tests that answer turns by hand.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent)
    }
}

/// What the user chooses, over what configuration says.
fn runtime_settings(settings: &Settings, parts: &Parts, audit: &Arc<Audit>) -> Arc<RuntimeSettings> {
    Arc::new(RuntimeSettings::over(SettingsParts {
        configured: settings.agent.clone(),
        server: server_settings(settings),
        store: Arc::clone(&parts.stores.settings),
        agents: Arc::clone(&parts.agents),
        events: Arc::clone(&parts.events),
        audit: Arc::clone(audit),
    }))
}

/// The memories, and what finds them by their meaning.
fn memories(parts: &Parts, chosen: &Arc<RuntimeSettings>, audit: &Arc<Audit>) -> (Arc<Memories>, Arc<Semantic>) {
    let stores = &parts.stores;
    let (kept, vectors) = (Arc::clone(&stores.memories), Arc::clone(&stores.vectors));
    let semantic = Arc::new(Semantic::new(kept, vectors, Arc::clone(&parts.embedders)));
    let memories = Memories::new(MemoriesParts {
        store: Arc::clone(&stores.memories),
        lexical: Arc::new(Lexical::new(Arc::clone(&stores.memories))),
        semantic: Arc::clone(&semantic) as _,
        embedders: Arc::clone(&parts.embedders),
        settings: Arc::clone(chosen),
        audit: Arc::clone(audit),
        clock: Arc::clone(&parts.clock),
        timer: Arc::clone(&parts.timer),
        entropy: Arc::clone(&parts.entropy),
    });
    (Arc::new(memories), semantic)
}

/// The MCP servers. Their connections end when `stop` is cancelled.
fn mcp_servers(settings: &Settings, parts: &Parts, audit: &Arc<Audit>, stop: &CancellationToken) -> McpServers {
    let watched = mcp_supervision::World {
        connector: Arc::clone(&parts.mcp_connector),
        authorizer: Arc::clone(&parts.mcp_authorizer),
        events: Arc::clone(&parts.events),
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
        budgets: settings.mcp_budgets,
    };
    let adapters = McpAdapters {
        connector: Arc::clone(&parts.mcp_connector),
        authorizer: Arc::clone(&parts.mcp_authorizer),
        supervision: Arc::new(Supervision::new(watched, parts.tasks.clone(), stop.clone())),
    };
    let store = Arc::clone(&parts.stores.mcp_servers);
    let (audit, clock) = (Arc::clone(audit), Arc::clone(&parts.clock));
    McpServers::new(store, adapters, audit, clock, presets::all(), settings.mcp_test_budgets)
}

/// The tunnel. It ends when `stop` is cancelled.
fn tunnel_of(settings: &Settings, parts: &Parts, audit: &Arc<Audit>, stop: &CancellationToken) -> Tunnel {
    let world = tunnel_supervision::World {
        provider: Arc::clone(&parts.tunnels),
        exposure: settings.policy.exposure.clone(),
        events: Arc::clone(&parts.events),
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
    };
    let supervision = Arc::new(TunnelSupervision::new(world, parts.tasks.clone(), stop.clone()));
    Tunnel::new(Arc::clone(&parts.tunnels), supervision, Arc::clone(audit), Arc::clone(&parts.timer))
}

/// What configuration says of the server, by the names that settings have.
fn server_settings(settings: &Settings) -> Map<String, Value> {
    let Settings { policy, limits, address, .. } = settings;
    // A burst is what a client may ask in the first minute.
    let per_key = settings.rate_limits.key.map_or(0, |limit| limit.burst.get());
    let value = json!({
        "web_host": address.ip().to_string(),
        "web_port": address.port(),
        "api_cors_allowed_origins": policy.cors_origins.iter().collect::<BTreeSet<_>>(),
        "session_token_ttl_hours": settings.session_ttl.duration().as_secs() / 3600,
        "api_rate_limit_per_key": per_key,
        "max_concurrent_conversations": limits.max_concurrent,
        "localhost_auth_bypass": policy.localhost_auth_bypass,
    });
    value.as_object().cloned().unwrap_or_default()
}
