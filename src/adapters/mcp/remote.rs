//! Servers at an address.

use super::fate::Fate;
use super::problem::{self, Problem};
use super::session::{Opened, Session};
use super::sse::EventStream;
use super::watched::{Watch, Watched};
use crate::domain::mcp::connect::{Budgets, ConnectError};
use crate::domain::mcp::{HeaderName as OurHeaderName, RemoteFlavor, RemoteUrl, SecretText};
use crate::domain::output::Masks;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rmcp::RoleClient;
use rmcp::transport::streamable_http_client::{StreamableHttpClient, StreamableHttpClientTransportConfig};
use rmcp::transport::{AuthClient, AuthError, IntoTransport, StreamableHttpClientTransport};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use url::Url;

/// How long finding out that nobody is there may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection may be silent before the other side is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

const MAX_REDIRECTS: usize = 5;

/// The client of all remote servers. It has no time limit for answers, since streams stay open; those who ask have.
///
/// # Errors
/// If the system gives no random numbers, or TLS cannot be set up.
pub fn http_client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("pawport/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tcp_keepalive(KEEPALIVE)
        .redirect(Policy::custom(|attempt| {
            let from = attempt.previous().last().map(Url::origin);
            // Headers hold secrets, which belong to the origin that was configured. Other statuses would turn a POST
            // into a GET.
            let is_safe = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
                && from.as_ref() == Some(&attempt.url().origin());
            if is_safe && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
        }))
        .build()
}

/// A configured address, and how to ask it.
#[derive(Clone)]
pub(super) struct Place {
    pub url: Url,
    headers: HeaderMap,
    http: Client,
    signed: Option<AuthClient<Client>>,
}

impl Place {
    /// Tokens win over a configured `Authorization`: somebody signed in after that did not do.
    pub fn new(
        url: &RemoteUrl,
        configured: &BTreeMap<OurHeaderName, SecretText>,
        http: Client,
        signed: Option<AuthClient<Client>>,
    ) -> Result<Self, ConnectError> {
        let unusable = |what: &str| ConnectError::NotMcp(format!("{what} cannot be sent"));
        let mut headers = HeaderMap::new();
        for (name, value) in configured {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| unusable("a configured header"))?;
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| unusable("a configured header"))?;
            value.set_sensitive(true);
            if name != AUTHORIZATION || signed.is_none() {
                headers.insert(name, value);
            }
        }
        let url = Url::parse(url.expose()).map_err(|_| unusable("the url"))?;
        Ok(Self { url, headers, http, signed })
    }

    /// A request with headers and token.
    pub async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Problem> {
        let request = self.http.request(method, url).headers(self.headers.clone());
        let Some(signed) = &self.signed else { return Ok(request) };
        match signed.get_access_token().await {
            Ok(token) => Ok(request.bearer_auth(token)),
            // The server says what it wants then.
            Err(AuthError::AuthorizationRequired) => Ok(request),
            Err(_) => Err(Problem::SignIn),
        }
    }
}

/// The answer, if its status is one of success.
pub(super) fn accepted(response: reqwest::Result<Response>) -> Result<Response, Problem> {
    let response = response.map_err(|error| Problem::of_request(&error))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED => {
            let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            Err(Problem::Unauthorized(challenge.map(str::to_owned)))
        }
        status => Err(Problem::of_status(status)),
    }
}

/// What it takes to reach an address.
pub(super) struct Approach<'a> {
    pub place: Place,
    pub budgets: Budgets,
    /// When the first answer must be there.
    pub deadline: Instant,
    pub masks: Masks,
    pub tasks: &'a TaskTracker,
}

impl Approach<'_> {
    /// Connects, over the protocol of that flavor.
    pub async fn connect(&self, flavor: RemoteFlavor) -> Result<Session, ConnectError> {
        match flavor {
            RemoteFlavor::Streamable => self.streamable().await,
            RemoteFlavor::Sse => self.sse().await,
            RemoteFlavor::Detect => match self.streamable().await {
                Err(first @ ConnectError::NotMcp(_)) => match self.sse().await {
                    // It is neither. What it said first was an answer to what newer servers speak.
                    Err(ConnectError::NotMcp(_) | ConnectError::Unreachable(_) | ConnectError::Lost(_)) => Err(first),
                    other => other,
                },
                other => other,
            },
        }
    }

    async fn streamable(&self) -> Result<Session, ConnectError> {
        let fate = Arc::new(Fate::new(self.masks.clone()));
        match self.place.signed.clone() {
            Some(signed) => self.stream(signed, fate).await,
            None => self.stream(self.place.http.clone(), fate).await,
        }
    }

    async fn stream<C>(&self, client: C, fate: Arc<Fate>) -> Result<Session, ConnectError>
    where
        C: StreamableHttpClient<Error = reqwest::Error> + Sync,
    {
        let headers = self.place.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let config = StreamableHttpClientTransportConfig::with_uri(self.place.url.as_str()).custom_headers(headers);
        let watch = Watch::new(Arc::clone(&fate));
        let client = Watched { inner: client, watch: watch.clone() };
        self.open(StreamableHttpClientTransport::with_client(client, config), fate, &watch).await
    }

    async fn sse(&self) -> Result<Session, ConnectError> {
        let fate = Arc::new(Fate::new(self.masks.clone()));
        let watch = Watch::new(Arc::clone(&fate));
        let opening = timeout_at(self.deadline, EventStream::open(&self.place, watch.clone(), self.tasks)).await;
        let stream = opening.map_err(|_| self.silent())??;
        self.open(stream, fate, &watch).await
    }

    async fn open<T, E, A>(&self, transport: T, fate: Arc<Fate>, watch: &Watch) -> Result<Session, ConnectError>
    where
        T: IntoTransport<RoleClient, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let lost = || match watch.last() {
            Some(problem) => problem.into(),
            None => ConnectError::Lost("the server closed it".to_owned()),
        };
        let opening = timeout_at(self.deadline, Opened::open(transport, fate)).await;
        let opened = opening.map_err(|_| self.silent())?;
        let opened = opened.map_err(|error| problem::of_initialize(&error).unwrap_or_else(lost))?;
        let tools = opened.tools(self.budgets.handshake).await.map_err(|error| error.unwrap_or_else(lost))?;
        Ok(opened.into_session(tools, None, self.tasks))
    }

    fn silent(&self) -> ConnectError {
        ConnectError::Unreachable(format!("it did not answer within {} seconds", self.budgets.start.as_secs()))
    }
}
