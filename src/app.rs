//! The composition root: the only place that names concrete adapters.
//!
//! [`App::build`] puts services and router together from [`Parts`]; the program and the tests call the same function with
//! different parts. There is no global.

mod connections;
mod serve;
mod shutdown;
mod workers;

use crate::domain::agent::service::{Agent, AgentLimits};
use crate::domain::audit::service::Audit;
use crate::domain::auth::service::Tokens;
use crate::domain::readiness::service::Readiness;
use crate::domain::session::service::Sessions;
use crate::domain::webhook::service::Webhooks;
use crate::http::{AppState, PublicUrl, Streams};
use crate::ports::agent::AgentRunner;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::events::EventBus;
use crate::ports::store::Stores;
use axum::Router;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub use serve::{RunError, run, serve};
pub use shutdown::Shutdown;

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
    /// Who answers.
    pub runner: Arc<dyn AgentRunner>,
    /// Who may come in.
    pub tokens: Arc<Tokens>,
}

/// What an app is told.
pub struct Settings {
    /// The agent's limits.
    pub limits: AgentLimits,
    /// Where others reach the server, without a slash at the end.
    pub public_url: String,
}

/// The services and the router over them.
pub struct App {
    router: Router,
    agent: Arc<Agent>,
    stop: CancellationToken,
}

impl App {
    /// Puts an app together. Its event streams end when `stop` is cancelled.
    #[must_use]
    pub fn build(settings: Settings, parts: Parts, stop: CancellationToken) -> Self {
        let Parts { stores, clock, entropy, events, runner, tokens } = parts;
        let audit = Arc::new(Audit::new(stores.audit, Arc::clone(&clock), Arc::clone(&entropy)));
        let agent = Arc::new(Agent::new(
            stores.turns,
            runner,
            Arc::clone(&events),
            Arc::clone(&audit),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            settings.limits,
        ));
        let state = AppState {
            tokens,
            sessions: Arc::new(Sessions::new(
                stores.sessions,
                Arc::clone(&audit),
                Arc::clone(&clock),
                Arc::clone(&entropy),
            )),
            webhooks: Arc::new(Webhooks::new(stores.webhooks, Arc::clone(&agent), Arc::clone(&audit), clock, entropy)),
            agent: Arc::clone(&agent),
            audit,
            readiness: Arc::new(Readiness::new(stores.probe)),
            events,
            streams: Streams::new(stop.clone()),
            public_url: PublicUrl(settings.public_url.into()),
        };
        Self { router: crate::http::router(state), agent, stop }
    }

    /// The router, for tests that call it without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The agent, for tests that answer turns by hand.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent)
    }
}
