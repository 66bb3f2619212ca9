//! The gate: who is calling, and whether they may. It is around every route, and asks the table in [`super::access`].

use super::access::{Access, AccessTable, Route};
use super::client::{Client, Policy};
use super::error::ApiError;
use super::extract::is_json;
use super::rate_limit::{RateLimits, Standing, Tier, TooMany, key_of};
use super::{AppState, cookie};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::service::{Proven, Tokens};
use crate::domain::auth::{CredentialKind, Principal};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What the gate needs to know.
#[derive(Clone)]
pub struct Gate {
    table: Arc<AccessTable>,
    policy: Arc<Policy>,
    limits: Arc<RateLimits>,
    tokens: Arc<Tokens>,
    audit: Arc<Audit>,
}

impl Gate {
    /// A gate with the table.
    pub fn new(state: &AppState) -> Self {
        Self {
            table: Arc::new(AccessTable::new()),
            policy: Arc::clone(&state.policy),
            limits: Arc::clone(&state.limits),
            tokens: Arc::clone(&state.tokens),
            audit: Arc::clone(&state.audit),
        }
    }
}

/// What is meant for one is not for a cache, the browser's own included.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Lets through who may pass, and says to all others why they may not.
pub async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match gate.admit(&mut parts).await {
        Ok(admitted) => {
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if admitted.is_private() {
                let headers = response.headers_mut();
                headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
            }
            if let Admitted::Proven(Some(standing)) = &admitted {
                standing.write_to(response.headers_mut());
            }
            if let Admitted::Server(client) = &admitted
                && response.status() == StatusCode::FORBIDDEN
                && let Err(too_many) = gate.count_failure(client)
            {
                return too_many.into_response();
            }
            response
        }
        Err(Refused(mut response)) => {
            response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
            *response
        }
    }
}

/// How somebody came through.
enum Admitted {
    /// To a page or one of its files.
    Page,
    /// By an open route.
    Open,
    /// By an open route whose handler checks a proof.
    Server(Box<Client>),
    /// By a credential.
    Proven(Option<Standing>),
}

impl Admitted {
    /// Whether the answer is for the one who asked and nobody else.
    fn is_private(&self) -> bool {
        !matches!(self, Self::Page)
    }
}

/// An answer that was ready before there was a request to handle.
struct Refused(Box<Response>);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(Box::new(error.into_response()))
    }
}

impl From<TooMany> for Refused {
    fn from(too_many: TooMany) -> Self {
        Self(Box::new(too_many.into_response()))
    }
}

impl Gate {
    async fn admit(&self, request: &mut Parts) -> Result<Admitted, Refused> {
        let client = request.extensions.get::<Client>().cloned().ok_or_else(ApiError::unauthorized)?;
        let matched = request.extensions.get::<MatchedPath>();
        // What the router does not know is closed like everything else: a stranger does not learn what there is.
        let route = matched.and_then(|path| self.table.find(&request.method, path.as_str()));
        tracing::Span::current().record("route", target(request));
        if !route.is_some_and(|route| route.for_servers) {
            self.check_page(&client, route, request).await?;
        }
        if let Some(Route { access: Access::Open, tier, documented, for_servers, .. }) = route {
            if let Some(tier) = tier {
                self.count_attempt(*tier, &client).await?;
            }
            return Ok(match (documented, for_servers) {
                (false, _) => Admitted::Page,
                (true, false) => Admitted::Open,
                (true, true) => Admitted::Server(Box::new(client)),
            });
        }
        let opens_socket = route.is_some_and(|route| route.socket) && is_upgrade(&request.headers);
        match self.pass(&client, route, request).await {
            Ok((proven, standing)) => {
                request.extensions.insert(Admission { tokens: Arc::clone(&self.tokens), proven });
                Ok(Admitted::Proven(standing))
            }
            Err(Refused(response)) if opens_socket => {
                // Without an admission the handler can do nothing but tell.
                let why = match response.status() {
                    StatusCode::UNAUTHORIZED => "Unauthorized",
                    StatusCode::FORBIDDEN => "This needs a credential with the scope chat",
                    _ => return Err(Refused(response)),
                };
                request.extensions.insert(NotAdmitted(why));
                Ok(Admitted::Open)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Finds out who is calling, and whether they may.
    async fn pass(
        &self,
        client: &Client,
        route: Option<&Route>,
        request: &Parts,
    ) -> Result<(Proven, Option<Standing>), Refused> {
        let proven = self.prove(client, route, request).await?;
        // Whoever is known is counted before they are told what they may not do.
        let standing = self.count(&proven.principal, route)?;
        self.check_scope(&proven.principal, route, request).await?;
        Ok((proven, standing))
    }

    /// Pages of others change nothing here, whatever a browser sends along with their requests.
    async fn check_page(&self, client: &Client, route: Option<&Route>, request: &Parts) -> Result<(), ApiError> {
        if request.method.is_safe() && !route.is_some_and(|route| route.changes) {
            return Ok(());
        }
        if client.is_foreign_page() {
            let address = client.address.to_string();
            let happening = Happening::refused("browser", "foreign_page_refused", &target(request))
                .with("address", address.as_str());
            self.audit.record_refusal(&address, happening).await;
            return Err(foreign_page());
        }
        // What forms send needs no permission of ours; JSON does.
        if request.headers.contains_key(header::CONTENT_TYPE) && !is_json(&request.headers) {
            return Err(ApiError::unsupported_media_type());
        }
        Ok(())
    }

    /// Finds who is calling: the first of what they show that is good, or this machine.
    async fn prove(&self, client: &Client, route: Option<&Route>, request: &Parts) -> Result<Proven, Refused> {
        let presented = self.presented(client, route, request);
        for (place, token) in presented.tokens() {
            let proven = self.tokens.authenticate(token).await.map_err(ApiError::from)?;
            if let Some(proven) = proven.filter(|proven| place.takes(proven.principal.kind)) {
                return Ok(proven);
            }
        }
        for key in &presented.status_keys {
            if let Some(proven) = self.tokens.authenticate_status_key(key) {
                return Ok(proven);
            }
        }
        let is_bad_proof = !presented.status_keys.is_empty() || presented.tokens().next().is_some();
        if is_bad_proof {
            let address = client.address.to_string();
            let happening = Happening::refused("stranger", "credential_refused", &target(request))
                .with("address", address.as_str());
            self.audit.record_refusal(&address, happening).await;
        }
        match client.check_local() {
            Ok(()) => return Ok(self.tokens.on_this_machine()),
            Err(reason) => tracing::debug!(%reason, "not let in as a request from this machine"),
        }
        match is_bad_proof {
            true => self.count_failure(client)?,
            false => drop(self.limits.count(Tier::Api, &key_of(client.address))?),
        }
        Err(match presented.status_keys.is_empty() {
            false => ApiError::new(StatusCode::FORBIDDEN, "Invalid or missing status API key"),
            true => ApiError::unauthorized(),
        }
        .into())
    }

    fn presented<'a>(&self, client: &Client, route: Option<&Route>, request: &'a Parts) -> Presented<'a> {
        // A page of others can make a browser ask for any address, so what stands in one says nothing then.
        let reads_query = self.policy.url_tokens && !client.is_foreign_page();
        let in_query = |name| if reads_query { query_parameter(&request.uri, name) } else { None };
        let in_header = request.headers.get_all("x-status-key").iter().filter_map(|value| value.to_str().ok());
        let takes_status_key = route.is_some_and(|route| route.access == Access::StatusKey);
        Presented {
            bearer: bearer(&request.headers),
            cookies: cookie::session_tokens(&request.headers),
            protocols: match route.is_some_and(|route| route.socket) {
                true => socket_protocols(&request.headers).map(str::to_owned).collect(),
                false => Vec::new(),
            },
            url: route.filter(|route| route.token_in_url).and_then(|_| in_query("token")),
            status_keys: match takes_status_key {
                true => in_header.map(str::to_owned).chain(in_query("key")).collect(),
                false => Vec::new(),
            },
        }
    }

    async fn check_scope(&self, principal: &Principal, route: Option<&Route>, request: &Parts) -> Result<(), ApiError> {
        // Where there is no route, the router will say so.
        let Some(Route { access: Access::Scopes(wanted), .. }) = route else { return Ok(()) };
        if wanted.iter().any(|scope| principal.grant.scopes.allows(*scope)) {
            return Ok(());
        }
        let names: Vec<&str> = wanted.iter().map(|scope| scope.as_str()).collect();
        let names = names.join(" or ");
        let happening = Happening::denied(principal, "scope_denied", &target(request)).with("needed", names.as_str());
        self.audit.record_refusal(&principal.id, happening).await;
        let subject = match principal.kind {
            CredentialKind::ApiKey => "API key missing",
            CredentialKind::App => "OAuth token missing",
            _ => "Missing",
        };
        Err(ApiError::new(StatusCode::FORBIDDEN, format!("{subject} required scope: {names}")))
    }

    /// Counts a request of somebody who is known.
    fn count(&self, principal: &Principal, route: Option<&Route>) -> Result<Option<Standing>, TooMany> {
        let who = principal.key();
        let standing = self.limits.count(Tier::Api, &who)?;
        if let Some(key) = &principal.grant.api_key {
            self.limits.count(Tier::Key, key.as_str())?;
        }
        if let Some(tier) = route.and_then(|route| route.tier) {
            self.limits.count(tier, &who)?;
        }
        Ok(standing)
    }

    /// Counts a failed proof: apart from attempts to log in, so that a script with an old token keeps nobody from that.
    fn count_failure(&self, client: &Client) -> Result<(), TooMany> {
        self.limits.count(Tier::Auth, &format!("failures of {}", key_of(client.address))).map(drop)
    }

    /// Counts a request to an open route.
    async fn count_attempt(&self, tier: Tier, client: &Client) -> Result<(), TooMany> {
        let counted = self.limits.count(tier, &key_of(client.address));
        if counted.is_err() && tier == Tier::Auth {
            let address = client.address.to_string();
            let happening = Happening::refused("dashboard_user", "brute_force_blocked", &address);
            self.audit.record_refusal(&address, happening).await;
        }
        counted.map(drop)
    }
}

/// What somebody wanted, for the logs: the path as the router has it. What they wrote themselves may be a token.
fn target(request: &Parts) -> String {
    request.extensions.get::<MatchedPath>().map_or("(no such route)", MatchedPath::as_str).to_owned()
}

/// Where a token was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Cookie,
    Url,
    /// Among the protocols that a WebSocket offers, since pages can set no header of it but that.
    Protocol,
}

impl Place {
    /// A cookie holds what logging in put there; programs with API keys send headers.
    fn takes(self, kind: CredentialKind) -> bool {
        self != Self::Cookie || matches!(kind, CredentialKind::MasterToken | CredentialKind::Session)
    }
}

/// What somebody shows. Has no `Debug`: it holds secrets.
struct Presented<'a> {
    bearer: Option<&'a str>,
    cookies: Vec<String>,
    url: Option<String>,
    protocols: Vec<String>,
    status_keys: Vec<String>,
}

impl Presented<'_> {
    fn tokens(&self) -> impl Iterator<Item = (Place, &str)> {
        let bearer = self.bearer.map(|token| (Place::Header, token));
        let cookies = self.cookies.iter().map(|token| (Place::Cookie, token.as_str()));
        let url = self.url.as_deref().map(|token| (Place::Url, token));
        let protocols = self.protocols.iter().map(|token| (Place::Protocol, token.as_str()));
        bearer.into_iter().chain(cookies).chain(url).chain(protocols).filter(|(_, token)| !token.is_empty())
    }
}

/// The token of `Authorization: Bearer …`. The name of the scheme may be written in any case (RFC 9110 §11.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    // What is not ASCII is a token all the same, and a wrong one.
    let value = std::str::from_utf8(headers.get(header::AUTHORIZATION)?.as_bytes()).unwrap_or("Bearer ?");
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn query_parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().filter(|(given, _)| given == name).last().map(|(_, value)| value.into_owned())
}

/// The protocols that a WebSocket offers.
pub fn socket_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let protocol = headers.get(header::UPGRADE).and_then(|protocol| protocol.to_str().ok());
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Why a WebSocket is to be closed as soon as it is open.
#[derive(Debug, Clone, Copy)]
pub struct NotAdmitted(pub &'static str);

/// How somebody came through, to be asked again.
#[derive(Clone)]
pub struct Admission {
    tokens: Arc<Tokens>,
    proven: Proven,
}

impl Admission {
    /// Asks whether what was shown is still good.
    ///
    /// # Errors
    /// 401 if it is not.
    pub async fn check(&self) -> Result<(), ApiError> {
        if self.tokens.still_holds(&self.proven).await? { Ok(()) } else { Err(ApiError::unauthorized()) }
    }
}

/// Who is calling, for handlers behind the gate.
pub struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Proven::from_request_parts(parts, state).await.map(|proven| Self(proven.principal))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Proven {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // Not there only if a route was mounted outside of the gate by mistake: then it stays shut.
        let admission = parts.extensions.get::<Admission>();
        admission.map(|admission| admission.proven.clone()).ok_or_else(ApiError::unauthorized)
    }
}

/// What a page of an origin that is not allowed is told.
pub fn foreign_page() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "A page of another origin sent this. If it should be allowed to, add its origin to cors_origins (PAWPORT_CORS_ORIGINS)",
    )
}

/// Whether a request only asks what a page may do.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
