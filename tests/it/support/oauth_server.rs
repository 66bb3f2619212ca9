//! An authorization server and an MCP server that trusts it, on two sockets of this machine.
//!
//! A test reads: `let world = OAuthWorld::start(OAuthOptions::default()).await`, gives `world.mcp_url()` to the program,
//! and what the program says where the user should go on to `world.approve(…)`, which gives what the browser brings back.
//! Nothing is waved through: codes and refresh tokens are good once, a second use of a refresh token ends the whole sign-in,
//! verifiers, clients, secrets, resources and redirect URIs are checked.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod authorization;
mod resource;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

/// What the two servers do. May be changed while they run: [`OAuthWorld::change`].
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches, each by itself")]
pub struct OAuthOptions {
    /// Whether the MCP server says where its metadata are when it refuses.
    pub challenge: bool,
    /// Whether the MCP server publishes whom it trusts.
    pub resource_metadata: bool,
    /// Whether the authorization server publishes metadata.
    pub metadata: bool,
    /// What it says it can do of PKCE. `None`: it does not say.
    pub pkce: Option<&'static str>,
    /// Whether clients can register.
    pub registration: bool,
    /// Whether the address of a document will do for a client.
    pub documents: bool,
    /// Whether clients get a secret, and must send it.
    pub confidential: bool,
    /// Whether that secret is wanted in the body, not in a header.
    pub secret_in_body: bool,
    /// Whether there are refresh tokens.
    pub refresh_tokens: bool,
    /// Whether each renewal gives another refresh token.
    pub rotation: bool,
    /// Whether tokens can be given back.
    pub revocation: bool,
    /// Whether it says who it is when the browser goes back, and announces that.
    pub iss: bool,
    /// Who it says it is then, if not who it is.
    pub wrong_iss: Option<&'static str>,
    /// Who its metadata say it is, if not who it is.
    pub wrong_issuer: Option<&'static str>,
    /// How long access tokens are good, in seconds.
    pub expires_in: u64,
    /// With what error and status the token endpoint answers, if with one.
    pub token_error: Option<(u16, &'static str)>,
    /// How long it takes to answer.
    pub slow: Duration,
}

impl Default for OAuthOptions {
    fn default() -> Self {
        Self {
            challenge: true,
            resource_metadata: true,
            metadata: true,
            pkce: Some("S256"),
            registration: true,
            documents: false,
            confidential: false,
            secret_in_body: false,
            refresh_tokens: true,
            rotation: true,
            revocation: true,
            iss: true,
            wrong_iss: None,
            wrong_issuer: None,
            expires_in: 3600,
            token_error: None,
            slow: Duration::ZERO,
        }
    }
}

/// A request that one of the two got.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which one: `authorization` or `mcp`.
    pub by: &'static str,
    pub method: String,
    pub path: String,
    /// What was in the query.
    pub query: BTreeMap<String, String>,
    /// What was in a form.
    pub form: BTreeMap<String, String>,
    pub authorization: Option<String>,
    pub body: String,
}

/// What the browser brings back to the program.
#[derive(Debug, Clone)]
pub struct BroughtBack {
    /// Where it goes, with the query.
    pub address: String,
    /// What is in the query: `code` or `error`, `state`, `iss`.
    pub query: BTreeMap<String, String>,
}

/// The two servers. They end when this is dropped.
pub struct OAuthWorld {
    state: World,
    _servers: JoinSet<()>,
}

/// What both servers know.
#[derive(Clone)]
struct World {
    issuer: String,
    mcp: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    options: OAuthOptions,
    clients: HashMap<String, Client>,
    codes: HashMap<String, Code>,
    refresh_tokens: HashMap<String, Refresh>,
    access_tokens: HashMap<String, Access>,
    /// The tokens that were given back.
    revoked: Vec<String>,
    seen: Vec<Seen>,
    /// How many sign-ins there were; each has a number.
    families: u64,
}

#[derive(Clone)]
struct Client {
    secret: Option<String>,
    redirect_uris: Vec<String>,
}

struct Code {
    client: String,
    challenge: String,
    redirect_uri: String,
    resource: String,
    scope: String,
}

#[derive(Clone)]
struct Refresh {
    family: u64,
    client: String,
    resource: String,
    scope: String,
    is_used: bool,
}

struct Access {
    family: u64,
    resource: String,
    is_live: bool,
}

impl OAuthWorld {
    /// Starts both.
    pub async fn start(options: OAuthOptions) -> Self {
        let authorization = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            options,
            clients: HashMap::new(),
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            access_tokens: HashMap::new(),
            revoked: Vec::new(),
            seen: Vec::new(),
            families: 0,
        };
        let state = World {
            issuer: format!("http://{}", authorization.local_addr().unwrap()),
            mcp: format!("http://{}/mcp", mcp.local_addr().unwrap()),
            inner: Arc::new(Mutex::new(inner)),
        };
        let mut servers = JoinSet::new();
        let (one, other) = (authorization::routes(state.clone()), resource::routes(state.clone()));
        servers.spawn(async move { axum::serve(authorization, one).await.unwrap() });
        servers.spawn(async move { axum::serve(mcp, other).await.unwrap() });
        Self { state, _servers: servers }
    }

    /// The address of the MCP server.
    pub fn mcp_url(&self) -> &str {
        &self.state.mcp
    }

    /// Who the authorization server is.
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Changes what they do from now on.
    pub fn change(&self, change: impl FnOnce(&mut OAuthOptions)) {
        change(&mut self.state.inner().options);
    }

    /// The user goes to `address`, and agrees.
    pub async fn approve(&self, address: &str) -> BroughtBack {
        self.visit(address, "approve").await
    }

    /// The user goes to `address`, and refuses.
    pub async fn deny(&self, address: &str) -> BroughtBack {
        self.visit(address, "deny").await
    }

    async fn visit(&self, address: &str, decision: &str) -> BroughtBack {
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let page = browser.get(address).header("x-decision", decision).send().await.unwrap();
        let Some(location) = page.headers().get("location") else {
            panic!("the browser shows an error: {}", page.text().await.unwrap());
        };
        let address = location.to_str().unwrap().to_owned();
        let query = Url::parse(&address).unwrap().query_pairs().into_owned().collect();
        BroughtBack { address, query }
    }

    /// No access token of now is good any more; refresh tokens are.
    pub fn expire_tokens(&self) {
        self.state.inner().access_tokens.values_mut().for_each(|access| access.is_live = false);
    }

    /// No token of now is good any more, as if the user had said so at the authorization server.
    pub fn end_sign_ins(&self) {
        let mut inner = self.state.inner();
        inner.access_tokens.clear();
        inner.refresh_tokens.clear();
    }

    /// The authorization server has never heard of any client.
    pub fn forget_clients(&self) {
        self.state.inner().clients.clear();
    }

    /// The tokens that were given back.
    pub fn revoked(&self) -> Vec<String> {
        self.state.inner().revoked.clone()
    }

    /// What both were asked so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.inner().seen.clone()
    }

    /// What was asked at the path.
    pub fn requests_to(&self, path: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.path == path).collect()
    }
}

impl World {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn options(&self) -> OAuthOptions {
        self.inner().options.clone()
    }
}

/// Keeps what a request said.
fn seen(by: &'static str, parts: &axum::http::request::Parts, body: &[u8]) -> Seen {
    let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let is_form = header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    Seen {
        by,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
        form: if is_form { pairs(body) } else { BTreeMap::new() },
        authorization: header("authorization"),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

/// A text that was never there before.
fn unguessable(prefix: &str) -> String {
    format!("{prefix}-{}", URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 16]>()))
}

fn json(status: u16, body: &Value) -> axum::response::Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    axum::response::IntoResponse::into_response((status, axum::Json(body.clone())))
}
