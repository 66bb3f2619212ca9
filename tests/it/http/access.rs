//! Who may do what: every route, called by everybody there is.

mod credentials;
mod names;
mod pages;
mod places;
mod tunnel;

use crate::support::{Call, MASTER_TOKEN, Operation, TestApp, operations};
use axum::http::Method;
use pawport::app::Settings;
use pawport::domain::auth::token::TokenHash;
use pawport::domain::tunnel::Unusable;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a route wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Nothing, or a proof that the handler checks.
    Open,
    /// Any good credential.
    Any,
    /// Any good credential, or the status key.
    Status,
    /// A credential with this scope.
    Scope(&'static str),
}

use Access::{Any, Open, Status};

const ADMIN: Access = Access::Scope("admin");
const CHAT: Access = Access::Scope("chat");
const SESSIONS: Access = Access::Scope("sessions");
const MEMORY: Access = Access::Scope("memory");
const SETTINGS_READ: Access = Access::Scope("settings:read");
const SETTINGS_WRITE: Access = Access::Scope("settings:write");

/// What every operation should want; `*` stands for both prefixes. Written by hand: a change here is a decision, not a detail.
const WANTED: [(Access, &str); 85] = [
    (Open, "GET /healthz"),
    (Open, "GET /readyz"),
    (Open, "POST /webhook/inbound/{name}"),
    (Open, "POST */auth/login"),
    (Open, "POST */auth/logout"),
    (Open, "POST */auth/session"),
    (Any, "GET */version"),
    (Any, "GET /api/v1/openapi.json"),
    (Any, "GET /api/v1/auth/me"),
    (Status, "GET /api/v1/agent/status"),
    (Status, "GET /api/v1/agent/status/stream"),
    (Status, "GET /api/v1/agent/status/poll"),
    (SESSIONS, "GET */sessions"),
    (SESSIONS, "POST */sessions"),
    (SESSIONS, "GET */sessions/search"),
    (SESSIONS, "DELETE */sessions/{id}"),
    (SESSIONS, "POST */sessions/{id}/title"),
    (SESSIONS, "PUT */sessions/{id}/title"),
    (SESSIONS, "GET /api/v1/sessions/{id}/history"),
    (SESSIONS, "GET /api/v1/sessions/{id}/export"),
    (SESSIONS, "GET /api/memory/sessions"),
    (SESSIONS, "GET /api/memory/session"),
    (SESSIONS, "GET /api/memory/session/export"),
    (ADMIN, "GET */qr"),
    (ADMIN, "POST /api/v1/auth/pairing"),
    (ADMIN, "GET /api/v1/auth/sessions"),
    (ADMIN, "DELETE /api/v1/auth/sessions/{id}"),
    (ADMIN, "GET /api/v1/auth/api-keys"),
    (ADMIN, "POST /api/v1/auth/api-keys"),
    (ADMIN, "DELETE /api/v1/auth/api-keys/{id}"),
    (ADMIN, "POST /api/v1/auth/api-keys/{id}/rotate"),
    (ADMIN, "POST */token/regenerate"),
    (ADMIN, "GET */webhooks"),
    (ADMIN, "POST */webhooks/add"),
    (ADMIN, "POST */webhooks/remove"),
    (ADMIN, "POST */webhooks/regenerate-secret"),
    (ADMIN, "GET */audit"),
    (ADMIN, "GET /api/v1/oauth/authorize/request"),
    (ADMIN, "POST /api/v1/oauth/authorize/consent"),
    (Open, "POST /api/v1/oauth/token"),
    (Open, "POST /api/v1/oauth/revoke"),
    (ADMIN, "GET */mcp/status"),
    (ADMIN, "POST */mcp/add"),
    (ADMIN, "POST */mcp/remove"),
    (ADMIN, "POST */mcp/toggle"),
    (ADMIN, "POST */mcp/test"),
    (ADMIN, "GET */mcp/presets"),
    (ADMIN, "POST */mcp/presets/install"),
    (ADMIN, "GET /api/v1/mcp/tools"),
    (ADMIN, "POST /api/v1/mcp/call"),
    (ADMIN, "POST /api/v1/mcp/oauth/revoke"),
    (Open, "GET */mcp/oauth/callback"),
    (Open, "GET /api/v1/mcp/oauth/client.json"),
    (Any, "GET /api/v1/events/stream"),
    (Any, "GET /api/v1/events/poll"),
    (CHAT, "POST /api/v1/chat"),
    (CHAT, "POST /api/v1/chat/stream"),
    (CHAT, "POST /api/v1/chat/stop"),
    (CHAT, "POST /api/v1/plan/approve"),
    (CHAT, "POST /api/v1/plan/reject"),
    (SETTINGS_READ, "GET */settings"),
    (SETTINGS_WRITE, "PUT */settings"),
    (SETTINGS_READ, "GET */backends"),
    (ADMIN, "POST */backends/install"),
    (ADMIN, "POST /api/v1/backends/check"),
    (ADMIN, "GET */backends/ollama-models"),
    (MEMORY, "GET */memory/long_term"),
    (MEMORY, "POST */memory/long_term"),
    (MEMORY, "DELETE */memory/long_term"),
    (MEMORY, "PATCH */memory/long_term/{id}"),
    (MEMORY, "DELETE */memory/long_term/{id}"),
    (MEMORY, "GET */memory/search"),
    (MEMORY, "GET */memory/settings"),
    (MEMORY, "POST */memory/settings"),
    (MEMORY, "GET */memory/stats"),
    (MEMORY, "POST */memory/prune"),
    (MEMORY, "GET */memory/graph"),
    (MEMORY, "GET */memory/graph.svg"),
    (ADMIN, "GET */remote/status"),
    (ADMIN, "POST */remote/start"),
    (ADMIN, "POST */remote/stop"),
    // Not in the document: pages and their files.
    (Open, "GET /"),
    (Open, "GET /favicon.ico"),
    (Open, "GET /static/pawport.js"),
    (Open, "GET /api/v1/oauth/authorize"),
];

/// How many of them are in the document.
const DOCUMENTED: usize = WANTED.len() - 4;

/// Pages that are closed.
const CLOSED_PAGES: [&str; 3] = ["/api/v1/docs", "/api/v1/docs/", "/api/v1/docs/index.html"];

/// A route, with something in every place of its path.
#[derive(Debug, Clone)]
struct Route {
    method: Method,
    path: String,
    access: Access,
}

impl Route {
    fn new(method: &str, path: String, access: Access) -> Self {
        Self { method: method.parse().expect("a method"), path, access }
    }

    fn of(operation: &Operation) -> Self {
        Self::new(&operation.method, operation.path_with("websocket_a"), access_of(operation))
    }

    fn is_stream(&self) -> bool {
        ["/api/v1/agent/status/stream", "/api/v1/events/stream"].contains(&&*self.path)
    }
}

/// What the document says that the operation wants.
fn access_of(operation: &Operation) -> Access {
    let alternatives = operation.description["security"].as_array().expect("a list");
    let scopes_of = |scheme| alternatives.iter().find_map(|it| it[scheme].as_array());
    if operation.is_open() {
        return Open;
    }
    assert_eq!(scopes_of("bearer"), scopes_of("cookie"), "{} takes both in the same way", operation.id);
    match (scopes_of("bearer").expect("closed means that a token opens it")[..].first(), alternatives.len()) {
        (None, 2) => Any,
        (None, 3) if scopes_of("status_key").is_some() => Status,
        (Some(scope), 2) if scope == "admin" => ADMIN,
        (Some(scope), 2) if scope == "sessions" => SESSIONS,
        (Some(scope), 2) if scope == "chat" => CHAT,
        (Some(scope), 2) if scope == "memory" => MEMORY,
        (Some(scope), 4) if scope == "settings:read" => SETTINGS_READ,
        (Some(scope), 2) if scope == "settings:write" => SETTINGS_WRITE,
        _ => panic!("{}: {alternatives:?}", operation.id),
    }
}

/// Every route there is: the documented ones and the pages. Those that end sessions or use codes up come last.
fn routes() -> Vec<Route> {
    let mut routes: Vec<_> = operations().iter().map(Route::of).collect();
    let pages = WANTED.iter().skip(DOCUMENTED).map(|(access, name)| (*access, name.trim_start_matches("GET ")));
    let closed = CLOSED_PAGES.map(|path| (Any, path));
    routes.extend(pages.chain(closed).map(|(access, path)| Route::new("GET", path.to_owned(), access)));
    routes.sort_by_key(|route| route.path.ends_with("/logout") || route.path.ends_with("/auth/session"));
    routes
}

#[test]
fn every_operation_wants_what_it_should() {
    let name = |operation: &Operation| format!("{} {}", operation.method, operation.path);
    let described: BTreeMap<_, _> = operations().iter().map(|it| (name(it), format!("{:?}", access_of(it)))).collect();
    let families = |name: &str| ["/api", "/api/v1"].map(|family| name.replace('*', family));
    let wanted =
        WANTED.iter().take(DOCUMENTED).flat_map(|(access, it)| families(it).map(|name| (name, format!("{access:?}"))));
    assert_eq!(described, wanted.collect());
}

/// How a call ended at the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// What came then is the handler's affair.
    Passed,
    Refused(u16, String),
}

fn refused(status: u16, detail: &str) -> Outcome {
    Outcome::Refused(status, detail.to_owned())
}

const FOREIGN_PAGE: &str = "A page of another origin sent this. If it should be allowed to, add its origin to \
     cors_origins (PAWPORT_CORS_ORIGINS)";

/// What only the gate says.
fn is_from_the_gate(route: &Route, detail: &str) -> bool {
    // The exchange says so too, to whoever brings nothing to exchange.
    (detail == "Unauthorized" && !route.path.ends_with("/auth/session"))
        || ["required scope", "status API key", "A page of another origin", "go by the name", "one Host header"]
            .iter()
            .any(|text| detail.contains(text))
}

/// Somebody who calls routes.
struct Visitor {
    name: String,
    query: String,
    dress: Box<dyn Fn(Call) -> Call>,
    rights: Rights,
}

/// What somebody is to be let do.
#[derive(Clone)]
enum Rights {
    /// What is open.
    Stranger,
    /// What these scopes open; the text is the beginning of the refusal of everything else.
    Scopes(Vec<&'static str>, &'static str),
    StatusKey,
    WrongStatusKey,
    /// What takes a token in the query.
    InUrl,
    /// What the inner ones are, but for changes.
    ForeignPage(Box<Rights>),
    /// Nothing at all.
    Nothing(u16, String),
}

fn owner() -> Rights {
    Rights::Scopes(vec!["admin"], "Missing")
}

impl Rights {
    fn at(&self, route: &Route) -> Outcome {
        match self {
            Self::Nothing(status, detail) => refused(*status, detail),
            Self::ForeignPage(inner) => {
                // What proves itself with what is sent, and nothing that a browser adds.
                let proofs = ["/webhook/inbound/", "/api/v1/oauth/token", "/api/v1/oauth/revoke"];
                let is_for_servers = proofs.iter().any(|path| route.path.starts_with(path));
                let is_change = !route.method.is_safe() || route.path.ends_with("/qr");
                let is_refused = is_change && !is_for_servers;
                if is_refused { refused(403, FOREIGN_PAGE) } else { inner.at(route) }
            }
            _ if route.access == Open => Outcome::Passed,
            Self::Scopes(scopes, subject) => match route.access {
                Access::Scope(wanted) => {
                    // Who may change settings may read them.
                    let enough: &[&str] =
                        if wanted == "settings:read" { &["settings:read", "settings:write"] } else { &[wanted] };
                    let is_enough = scopes.iter().any(|scope| *scope == "admin" || enough.contains(scope));
                    let refusal = || format!("{subject} required scope: {}", enough.join(" or "));
                    if is_enough { Outcome::Passed } else { Outcome::Refused(403, refusal()) }
                }
                _ => Outcome::Passed,
            },
            Self::StatusKey if route.access == Status => Outcome::Passed,
            Self::WrongStatusKey if route.access == Status => refused(403, "Invalid or missing status API key"),
            Self::InUrl if route.is_stream() => Outcome::Passed,
            Self::Stranger | Self::StatusKey | Self::WrongStatusKey | Self::InUrl => refused(401, "Unauthorized"),
        }
    }
}

impl Visitor {
    fn new(name: impl Into<String>, rights: Rights, dress: impl Fn(Call) -> Call + 'static) -> Self {
        Self { name: name.into(), query: String::new(), dress: Box::new(dress), rights }
    }

    /// With headers.
    fn showing(name: impl Into<String>, rights: Rights, headers: &[(&'static str, &[u8])]) -> Self {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.to_vec())).collect();
        Self::new(name, rights, move |call| headers.iter().fold(call, |call, (name, value)| call.header(name, value)))
    }

    fn bearer(name: impl Into<String>, rights: Rights, token: &str) -> Self {
        Self::showing(name, rights, &[("authorization", format!("Bearer {token}").as_bytes())])
    }

    fn cookie(name: impl Into<String>, rights: Rights, token: &str) -> Self {
        Self::showing(name, rights, &[("cookie", format!("pocketpaw_session={token}").as_bytes())])
    }

    fn asking(query: impl Into<String>, rights: Rights) -> Self {
        let query = query.into();
        Self { query: query.clone(), ..Self::new(query, rights, |call| call) }
    }

    async fn calls(&self, app: &TestApp, route: &Route) -> Outcome {
        let call = app.anonymous().call(route.method.clone(), &format!("{}{}", route.path, self.query));
        // Read in two steps, since an event stream that is open does not end.
        let answer = (self.dress)(call).open().await;
        let status = answer.status.as_u16();
        assert!(status < 500, "{} {} by {}: {status}", route.method, route.path, self.name);
        if !matches!(status, 400 | 401 | 403) {
            return Outcome::Passed;
        }
        let answer = answer.whole().await.expect("a whole answer");
        if answer.header("content-type").starts_with("text/html") {
            // A page of a handler: the gate has none.
            return Outcome::Passed;
        }
        let detail = answer.json()["detail"].clone();
        match detail {
            Value::String(detail) if is_from_the_gate(route, &detail) => Outcome::Refused(status, detail),
            _ => Outcome::Passed,
        }
    }
}

/// Lets every visitor call every route.
async fn hold(app: &TestApp, visitors: &[Visitor]) {
    let routes = routes();
    let mut wrong = Vec::new();
    for visitor in visitors {
        for route in &routes {
            let (outcome, wanted) = (visitor.calls(app, route).await, visitor.rights.at(route));
            if outcome != wanted {
                wrong.push(format!("{} {} by {}: {outcome:?}, not {wanted:?}", route.method, route.path, visitor.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), visitors.len() * routes.len());
}

const STATUS_KEY: &str = "a-key-for-whoever-watches-the-status";

/// An app whose access token cannot be changed and that cannot open tunnels, so that the routes can be called in any order.
fn app_told(change: impl FnOnce(&mut Settings)) -> TestApp {
    let app = TestApp::configured(|settings| {
        settings.status_key = Some(TokenHash::of(STATUS_KEY));
        settings.policy.allowed_hosts.insert("paw.lan".to_owned());
        settings.policy.cors_origins.insert("https://app.example".to_owned());
        settings.policy.trusted_proxies = vec!["127.0.0.9/32".parse().expect("a network")];
        change(settings);
    });
    let how_to_install = "Not in this test".to_owned();
    app.tunnels().miss(Some(Unusable::NotInstalled { program: "faketunnel", how_to_install }));
    app
}

#[tokio::test]
async fn head_is_let_in_as_get_is() {
    let app = app_told(|_| {});
    for route in routes().iter().filter(|route| route.method == Method::GET && !route.is_stream()) {
        let status = app.anonymous().call(Method::HEAD, &route.path).send().await.status().as_u16();
        assert_eq!(status == 401, route.access != Open, "{}: {status}", route.path);
        let status = app.token_user().call(Method::HEAD, &route.path).send().await.status().as_u16();
        assert!(!matches!(status, 401 | 403 | 405), "{}: {status}", route.path);
    }
}

/// The operations that the matrix cannot see change something, because it calls them for nothing.
#[tokio::test]
async fn who_lacks_the_scope_changes_nothing() {
    let app = TestApp::new();
    let key = crate::http::auth::key(&app, &["sessions"]).await;
    let user = app.user_with(&key.token);
    user.post("/api/webhooks/add", json!({ "name": "ci" })).await.assert_status(403);
    user.post("/api/v1/auth/api-keys", json!({ "name": "x", "scopes": ["admin"] })).await.assert_status(403);
    user.post("/api/mcp/add", json!({ "name": "x", "command": "works" })).await.assert_status(403);
    user.call(Method::POST, "/api/token/regenerate").send().await.assert_status(403);
    let owner = app.user_with(MASTER_TOKEN);
    owner.get("/api/webhooks").await.assert_json(200, &json!({ "webhooks": [] }));
    assert_eq!(owner.get("/api/v1/auth/api-keys").await.json().as_array().map(Vec::len), Some(1));
}
