//! Who is at the other end: the address, the name that was called, the page that called it.
//!
//! What a header says counts only if whoever set it is known: `X-Forwarded-…` from the proxies that the owner named,
//! `Origin` and `Sec-Fetch-Site` because browsers set them and pages cannot.

use super::error::ApiError;
use crate::domain::auth::locality::{Facts, NotLocal};
use crate::domain::tunnel::exposure::{Entrance, Exposure};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use std::any::Any;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Origins of the desktop client's pages.
const DESKTOP_ORIGINS: [&str; 3] = ["tauri://localhost", "https://tauri.localhost", "http://localhost:1420"];

/// Headers that say that somebody is in between. Also whatever begins with `x-forwarded-`.
const FORWARDING_HEADERS: [&str; 10] = [
    "forwarded",
    "x-forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "x-original-forwarded-for",
];

/// A connection's two ends, as the system knows them. Set by whoever accepted it.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
}

/// What a connection holds for as long as it is open. Set by whoever accepted it; whoever takes the connection over, such as
/// a WebSocket, takes this along.
#[derive(Clone)]
pub struct Seat(pub Arc<dyn Any + Send + Sync>);

/// What the owner says of names, proxies and pages.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Where others reach the server, if that was configured.
    pub public_url: Option<String>,
    /// Further names under which it may be called; lower case, no ports.
    pub allowed_hosts: HashSet<String>,
    /// Further origins whose pages may use it.
    pub cors_origins: HashSet<String>,
    /// Who may say who the client is.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether requests from this machine need no credential.
    pub localhost_auth_bypass: bool,
    /// Whether tokens are taken from the query where clients cannot send them otherwise.
    pub url_tokens: bool,
    /// Whether strangers come through a tunnel at the moment.
    pub exposure: Exposure,
}

impl Policy {
    fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    fn public_authority(&self) -> Option<&str> {
        self.public_url.as_ref()?.split_once("://").map(|(_, authority)| authority)
    }

    fn is_known_name(&self, host: &str, connection: Option<&Connection>) -> bool {
        let is_public = || self.public_authority().and_then(host_of).is_some_and(|public| public == host);
        is_loopback_name(host)
            || connection.is_some_and(|it| is_address(host, it.local.ip()))
            || is_public()
            || self.allowed_hosts.contains(host)
    }

    /// Whether pages of `origin` may use the API although they come from another origin.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let origin = origin.as_str();
        DESKTOP_ORIGINS.contains(&origin)
            || self.cors_origins.contains(origin)
            || self.public_url.as_deref() == Some(origin)
            || self.exposure.entrance().is_some_and(|entrance| entrance.url.as_str() == origin)
    }
}

/// The page that made a browser send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// None, or one of ours, or one that the owner allows.
    Welcome,
    /// Any other.
    Foreign,
}

/// What is known of the client. Made once for each request.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address; that of its proxy if nobody we trust says more.
    pub address: IpAddr,
    /// Whether it came over https.
    pub https: bool,
    page: Page,
    facts: Facts,
}

impl Client {
    /// Reads it off a request.
    ///
    /// # Errors
    /// If the request names no host, several, or one that is not ours.
    fn of(policy: &Policy, request: &Request) -> Result<Self, ApiError> {
        let headers = request.headers();
        let authority = authority(request)?;
        let host = host_of(&authority).ok_or_else(bad_host)?;
        let connection = request.extensions().get::<Connection>();
        let entrance = policy.exposure.entrance().filter(|entrance| entrance.url.host() == host);
        if entrance.is_none() && !policy.is_known_name(&host, connection) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!(
                    "This server does not go by the name {host}. If it should, add the name to allowed_hosts (PAWPORT_ALLOWED_HOSTS), or set public_url"
                ),
            ));
        }
        let peer = connection.map(|it| it.peer.ip().to_canonical());
        let is_proxy = peer.is_some_and(|peer| policy.is_proxy(peer));
        let public_https = policy.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
            && policy.public_authority().and_then(host_of).as_deref() == Some(host.as_str());
        let https = entrance.is_some() || public_https || (is_proxy && forwarded_proto(headers) == Some("https"));
        let page = page(policy, headers, &authority, https);
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let named = match entrance {
            // A proxy passes on whatever its clients say, and says itself who they are.
            _ if is_proxy => behind_proxies(policy, headers),
            Some(entrance) => connection.and_then(|it| behind_tunnel(&entrance, it, headers)),
            None => None,
        };
        Ok(Self {
            address: named.or(peer).unwrap_or(unknown),
            https,
            page,
            facts: Facts {
                allowed: policy.localhost_auth_bypass,
                tunnelled: policy.exposure.is_open(),
                from_loopback: peer.is_some_and(|peer| peer.is_loopback()),
                from_proxy: is_proxy,
                forwarded: is_forwarded(headers) || request.version() < Version::HTTP_11,
                to_local_name: is_loopback_name(&host) || connection.is_some_and(|it| is_address(&host, it.local.ip())),
                from_foreign_page: page == Page::Foreign,
            },
        })
    }

    /// Whether the request is from this machine and needs no credential.
    ///
    /// # Errors
    /// Why not.
    pub fn check_local(&self) -> Result<(), NotLocal> {
        self.facts.check()
    }

    /// Whether a page of an origin that is neither ours nor allowed sent the request.
    #[must_use]
    pub fn is_foreign_page(&self) -> bool {
        self.page == Page::Foreign
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // Not there only if a route was mounted outside of the layers by mistake: then it stays shut.
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::unauthorized)
    }
}

/// Finds out who the client is, refuses those who call us by a name that is not ours, and gives every answer the headers
/// that tell browsers what not to do with it.
pub async fn identify(State(policy): State<Arc<Policy>>, mut request: Request, next: Next) -> Response {
    let client = Client::of(&policy, &request);
    let https = client.as_ref().is_ok_and(|client| client.https);
    let response = match client {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    };
    with_security_headers(response, https)
}

/// Nothing from elsewhere, nothing inline, no frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn with_security_headers(mut response: Response, https: bool) -> Response {
    // The router names the methods of a path whoever asks; only who may know that it exists is told.
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    let headers = response.headers_mut();
    let mut set = |name, value| drop(headers.insert(name, HeaderValue::from_static(value)));
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "strict-origin-when-cross-origin");
    set(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    if https {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    }
    response
}

/// The name and port that the request was sent to (RFC 9112 §3.2 and §3.3).
fn authority(request: &Request) -> Result<String, ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, None) = (hosts.next(), hosts.next()) else { return Err(bad_host()) };
    let named = match (request.uri().authority(), host) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| bad_host())?,
        (None, None) => return Err(bad_host()),
    };
    Ok(named.to_ascii_lowercase())
}

fn bad_host() -> ApiError {
    ApiError::bad_request("The request needs exactly one Host header, with a name and perhaps a port")
}

/// The name without the port, without the brackets of an IPv6 address and without the dot of a complete name.
fn host_of(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok()?;
    let host = parsed.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    (!host.is_empty() && !authority.contains('@')).then(|| host.to_ascii_lowercase())
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_address(host: &str, address: IpAddr) -> bool {
    host.parse::<IpAddr>().is_ok_and(|named| named.to_canonical() == address.to_canonical())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("x-forwarded-") || FORWARDING_HEADERS.contains(&name)
    })
}

/// The last address in `X-Forwarded-For` that is not a proxy's own: each proxy adds who it was called by at the end, so what
/// stands before that is only what the client says.
fn behind_proxies(policy: &Policy, headers: &HeaderMap) -> Option<IpAddr> {
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or_default()).collect();
    let mut client = None;
    for named in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(address) = address_of(named.trim()) else { break };
        client = Some(address);
        if !policy.is_proxy(address) {
            break;
        }
    }
    client
}

/// The address that the tunnel's provider names: the last one, as some add theirs to what the client says. Only programs on
/// this machine can say it, as the tunnel's does.
fn behind_tunnel(entrance: &Entrance, connection: &Connection, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = connection.peer.ip().to_canonical();
    let is_here = peer.is_loopback() || peer == connection.local.ip().to_canonical();
    let named = headers.get_all(entrance.client_header).iter().next_back().filter(|_| is_here)?;
    address_of(named.to_str().ok()?.rsplit(',').next()?.trim())
}

/// An address with or without a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let address: Option<IpAddr> = bare().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

fn forwarded_proto(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-forwarded-proto")?.to_str().ok()?.split(',').next().map(str::trim)
}

/// Browsers name the origin of the page with every request that may change something, and most say how near it is with all.
fn page(policy: &Policy, headers: &HeaderMap, authority: &str, https: bool) -> Page {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("null"));
    let is_welcome = match (text(header::ORIGIN), text(HeaderName::from_static("sec-fetch-site"))) {
        (Some(origin), _) => {
            let origin = origin.to_ascii_lowercase();
            let is_own = origin.split_once("://").is_some_and(|(scheme, named)| {
                (scheme == "https" || (scheme == "http" && !https)) && named == authority
            });
            is_own || policy.allows_origin(&origin)
        }
        (None, Some(site)) => matches!(site, "same-origin" | "none"),
        (None, None) => true,
    };
    if is_welcome { Page::Welcome } else { Page::Foreign }
}

#[cfg(test)]
mod tests;
