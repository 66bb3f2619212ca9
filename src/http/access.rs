//! The table of who may do what: every route, once.
//!
//! [`ROUTES`] is what the gate asks, what OpenAPI's `security` and the tables of `docs/api.md` are made from, and what the
//! router is compared with when it is built: a route that is not here does not start.

use super::rate_limit::Tier;
use crate::domain::auth::scope::Scope::{self, Admin, Chat, Memory, Sessions, SettingsRead, SettingsWrite};
use axum::http::Method;
use std::collections::{BTreeSet, HashMap};

/// What it takes to be let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing. What there is to prove, the handler checks.
    Open,
    /// Any good credential.
    AnyCredential,
    /// Any good credential, or the status key.
    StatusKey,
    /// A credential with one of these scopes.
    Scopes(&'static [Scope]),
}

/// Under which prefixes a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    None,
    Api,
    ApiV1,
    /// Both of them. One row, so that they cannot differ.
    Twins,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent traits of a row")]
pub struct Route {
    method: &'static str,
    prefix: Prefix,
    path: &'static str,
    /// What it takes to be let through.
    pub access: Access,
    /// What it counts as, besides a request.
    pub tier: Option<Tier>,
    /// Whether a token in the query is looked at: where clients can send it in no other way.
    pub token_in_url: bool,
    /// Whether the sender is a program that proves itself with what it sends: it may say anything about pages and content
    /// types, since nothing that a browser adds by itself counts.
    pub for_servers: bool,
    /// Whether it changes something although it is a `GET`.
    pub changes: bool,
    /// Whether it opens a WebSocket: browsers hide from pages why one was not opened, so who is refused is told after that.
    pub socket: bool,
    /// Whether it is part of the API, and not a page or its files.
    pub documented: bool,
}

const fn route(method: &'static str, prefix: Prefix, path: &'static str, access: Access) -> Route {
    Route {
        method,
        prefix,
        path,
        access,
        tier: None,
        token_in_url: false,
        for_servers: false,
        changes: false,
        socket: false,
        documented: true,
    }
}

const fn twins(method: &'static str, path: &'static str, access: Access) -> Route {
    route(method, Prefix::Twins, path, access)
}

const fn legacy(method: &'static str, path: &'static str, access: Access) -> Route {
    route(method, Prefix::Api, path, access)
}

const fn v1(method: &'static str, path: &'static str, access: Access) -> Route {
    route(method, Prefix::ApiV1, path, access)
}

const fn root(method: &'static str, path: &'static str, access: Access) -> Route {
    route(method, Prefix::None, path, access)
}

impl Route {
    const fn counted_as(self, tier: Tier) -> Self {
        Self { tier: Some(tier), ..self }
    }

    const fn token_in_url(self) -> Self {
        Self { token_in_url: true, ..self }
    }

    const fn for_servers(self) -> Self {
        Self { for_servers: true, ..self }
    }

    const fn changes(self) -> Self {
        Self { changes: true, ..self }
    }

    /// Pages of others could otherwise open one with what the browser sends along. Not described by OpenAPI, which knows no
    /// WebSockets.
    const fn socket(self) -> Self {
        Self { socket: true, changes: true, token_in_url: true, documented: false, tier: Some(Tier::Ws), ..self }
    }

    const fn page(self) -> Self {
        Self { documented: false, ..self }
    }

    /// Its paths, as the router and OpenAPI write them.
    pub fn paths(&self) -> Vec<String> {
        let prefixes: &[&str] = match self.prefix {
            Prefix::None => &[""],
            Prefix::Api => &["/api"],
            Prefix::ApiV1 => &["/api/v1"],
            Prefix::Twins => &["/api", "/api/v1"],
        };
        prefixes.iter().map(|prefix| format!("{prefix}{}", self.path)).collect()
    }

    /// Its method.
    pub fn method(&self) -> &'static str {
        self.method
    }
}

use Access::{AnyCredential, Open, Scopes, StatusKey};

const ADMIN: Access = Scopes(&[Admin]);
const CHAT: Access = Scopes(&[Chat]);
const SESSIONS: Access = Scopes(&[Sessions]);
const MEMORY: Access = Scopes(&[Memory]);
const SETTINGS_READ: Access = Scopes(&[SettingsRead, SettingsWrite]);
const SETTINGS_WRITE: Access = Scopes(&[SettingsWrite]);

/// Every route.
pub const ROUTES: &[Route] = &[
    // Pages and their files: they hold no data.
    root("GET", "/", Open).page(),
    root("GET", "/favicon.ico", Open).page(),
    root("GET", "/static/{*path}", Open).page(),
    v1("GET", "/docs", AnyCredential).page(),
    v1("GET", "/docs/", AnyCredential).page(),
    v1("GET", "/docs/{*rest}", AnyCredential).page(),
    // Health.
    root("GET", "/healthz", Open),
    root("GET", "/readyz", Open).counted_as(Tier::Api),
    twins("GET", "/version", AnyCredential),
    v1("GET", "/openapi.json", AnyCredential),
    // Getting in.
    twins("POST", "/auth/login", Open).counted_as(Tier::Auth),
    twins("POST", "/auth/session", Open).counted_as(Tier::Auth),
    twins("POST", "/auth/logout", Open).counted_as(Tier::Api),
    twins("GET", "/qr", ADMIN).counted_as(Tier::Auth).changes(),
    v1("POST", "/auth/pairing", ADMIN).counted_as(Tier::Auth),
    v1("GET", "/auth/me", AnyCredential),
    v1("GET", "/auth/sessions", ADMIN),
    v1("DELETE", "/auth/sessions/{id}", ADMIN),
    v1("GET", "/auth/api-keys", ADMIN),
    v1("POST", "/auth/api-keys", ADMIN),
    v1("DELETE", "/auth/api-keys/{id}", ADMIN),
    v1("POST", "/auth/api-keys/{id}/rotate", ADMIN),
    twins("POST", "/token/regenerate", ADMIN),
    // Native apps. The page holds no data; the others that are open take what proves itself.
    v1("GET", "/oauth/authorize", Open).page(),
    v1("GET", "/oauth/authorize/request", ADMIN),
    v1("POST", "/oauth/authorize/consent", ADMIN),
    v1("POST", "/oauth/token", Open).counted_as(Tier::Auth).for_servers(),
    v1("POST", "/oauth/revoke", Open).counted_as(Tier::Auth).for_servers(),
    // Sessions.
    twins("GET", "/sessions", SESSIONS),
    twins("POST", "/sessions", SESSIONS),
    twins("GET", "/sessions/search", SESSIONS),
    twins("DELETE", "/sessions/{id}", SESSIONS),
    twins("POST", "/sessions/{id}/title", SESSIONS),
    twins("PUT", "/sessions/{id}/title", SESSIONS),
    v1("GET", "/sessions/{id}/history", SESSIONS),
    v1("GET", "/sessions/{id}/export", SESSIONS),
    legacy("GET", "/memory/sessions", SESSIONS),
    legacy("GET", "/memory/session", SESSIONS),
    legacy("GET", "/memory/session/export", SESSIONS),
    // Chats.
    v1("POST", "/chat", CHAT),
    v1("POST", "/chat/stream", CHAT),
    v1("POST", "/chat/stop", CHAT),
    v1("POST", "/plan/approve", CHAT),
    v1("POST", "/plan/reject", CHAT),
    root("GET", "/ws", CHAT).socket(),
    root("GET", "/v1/ws", CHAT).socket(),
    v1("GET", "/ws", CHAT).socket(),
    // Webhooks.
    twins("GET", "/webhooks", ADMIN),
    twins("POST", "/webhooks/add", ADMIN),
    twins("POST", "/webhooks/remove", ADMIN),
    twins("POST", "/webhooks/regenerate-secret", ADMIN),
    root("POST", "/webhook/inbound/{name}", Open).for_servers(),
    // MCP servers. What is open serves strangers: the browser that comes back with a good state, and authorization servers.
    twins("GET", "/mcp/status", ADMIN),
    twins("POST", "/mcp/add", ADMIN),
    twins("POST", "/mcp/remove", ADMIN),
    twins("POST", "/mcp/toggle", ADMIN),
    twins("POST", "/mcp/test", ADMIN),
    twins("GET", "/mcp/presets", ADMIN),
    twins("POST", "/mcp/presets/install", ADMIN),
    v1("GET", "/mcp/tools", ADMIN),
    v1("POST", "/mcp/call", ADMIN),
    v1("POST", "/mcp/oauth/revoke", ADMIN),
    twins("GET", "/mcp/oauth/callback", Open).counted_as(Tier::Auth),
    v1("GET", "/mcp/oauth/client.json", Open).counted_as(Tier::Api),
    // What happens.
    v1("GET", "/events/poll", AnyCredential),
    v1("GET", "/events/stream", AnyCredential).counted_as(Tier::Ws).token_in_url(),
    // The agent.
    v1("GET", "/agent/status", StatusKey),
    v1("GET", "/agent/status/poll", StatusKey),
    v1("GET", "/agent/status/stream", StatusKey).counted_as(Tier::Ws).token_in_url(),
    // Settings.
    twins("GET", "/settings", SETTINGS_READ),
    twins("PUT", "/settings", SETTINGS_WRITE),
    twins("GET", "/backends", SETTINGS_READ),
    twins("POST", "/backends/install", ADMIN),
    v1("POST", "/backends/check", ADMIN),
    twins("GET", "/backends/ollama-models", ADMIN),
    // Memory.
    twins("GET", "/memory/long_term", MEMORY),
    twins("POST", "/memory/long_term", MEMORY),
    twins("DELETE", "/memory/long_term", MEMORY),
    twins("PATCH", "/memory/long_term/{id}", MEMORY),
    twins("DELETE", "/memory/long_term/{id}", MEMORY),
    twins("GET", "/memory/search", MEMORY),
    twins("GET", "/memory/settings", MEMORY),
    twins("POST", "/memory/settings", MEMORY),
    twins("GET", "/memory/stats", MEMORY),
    twins("POST", "/memory/prune", MEMORY),
    twins("GET", "/memory/graph", MEMORY),
    twins("GET", "/memory/graph.svg", MEMORY),
    // The tunnel.
    twins("GET", "/remote/status", ADMIN),
    twins("POST", "/remote/start", ADMIN),
    twins("POST", "/remote/stop", ADMIN),
    // Security.
    twins("GET", "/audit", ADMIN),
];

/// The table, to be asked for one route.
pub struct AccessTable(HashMap<String, Vec<&'static Route>>);

impl AccessTable {
    /// The table, by path.
    pub fn new() -> Self {
        let mut by_path: HashMap<String, Vec<&'static Route>> = HashMap::new();
        for route in ROUTES {
            for path in route.paths() {
                by_path.entry(path).or_default().push(route);
            }
        }
        Self(by_path)
    }

    /// The row of a path as the router knows it. `None`: nobody is let through.
    pub fn find(&self, method: &Method, path: &str) -> Option<&'static Route> {
        // The router answers HEAD with what GET does.
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        self.0.get(path)?.iter().copied().find(|route| route.method == method)
    }
}

/// Compares the table with the documented operations, method and path.
///
/// # Panics
/// If one is not in the other.
pub fn hold(operations: &[(String, String)]) {
    let listed = ROUTES
        .iter()
        .filter(|route| route.documented)
        .flat_map(|route| route.paths().into_iter().map(|path| (route.method.to_owned(), path)));
    let listed: BTreeSet<(String, String)> = listed.collect();
    let mounted: BTreeSet<(String, String)> = operations.iter().cloned().collect();
    let forgotten: Vec<_> = mounted.difference(&listed).collect();
    let mistaken: Vec<_> = listed.difference(&mounted).collect();
    assert!(forgotten.is_empty(), "routes that are not in the table of who may do what: {forgotten:?}");
    assert!(mistaken.is_empty(), "rows of the table of who may do what that are no routes: {mistaken:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documented() -> Vec<(String, String)> {
        let routes = ROUTES.iter().filter(|route| route.documented);
        routes.flat_map(|route| route.paths().into_iter().map(|path| (route.method.to_owned(), path))).collect()
    }

    #[test]
    fn the_routes_of_the_table_start() {
        hold(&documented());
    }

    #[test]
    #[should_panic(expected = r#"not in the table of who may do what: [("GET", "/api/v1/forgotten")]"#)]
    fn a_route_that_is_not_in_the_table_does_not_start() {
        let forgotten = ("GET".to_owned(), "/api/v1/forgotten".to_owned());
        hold(&[documented(), vec![forgotten]].concat());
    }

    #[test]
    #[should_panic(expected = r#"that are no routes: [("GET", "/healthz")]"#)]
    fn a_row_that_is_no_route_does_not_start() {
        let mut routes = documented();
        routes.retain(|(method, path)| (method.as_str(), path.as_str()) != ("GET", "/healthz"));
        hold(&routes);
    }

    #[test]
    fn no_route_is_listed_twice() {
        let all: Vec<_> =
            ROUTES.iter().flat_map(|route| route.paths().into_iter().map(|path| (route.method, path))).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
