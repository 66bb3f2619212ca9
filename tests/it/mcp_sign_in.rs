//! Signing in to MCP servers, against an authorization server that lets nothing through.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod begun;
mod kept;
mod store;

use crate::support::START;
use crate::support::oauth_server::{BroughtBack, OAuthOptions, OAuthWorld};
use pawport::adapters::fake::ManualClock;
use pawport::adapters::mcp::sign_in::OAuthSignIns;
use pawport::domain::mcp::sign_in::{Callback, SignInError, SignedIn};
use pawport::domain::mcp::tool::ToolFilter;
use pawport::domain::mcp::{CallTimeout, McpServer, McpServerName, McpTransport, RemoteFlavor, RemoteUrl};
use pawport::ports::mcp::{McpAuthorizer, McpServerStore};
use rmcp::ServiceExt;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::AuthClient;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::OneServer;
use tokio_util::task::TaskTracker;

const PUBLIC_URL: &str = "http://127.0.0.1:8000";

/// One MCP server called `work`, and who signs in to it.
struct Signing {
    world: OAuthWorld,
    store: Arc<OneServer>,
    clock: Arc<ManualClock>,
    sign_ins: OAuthSignIns,
}

impl Signing {
    async fn with(options: OAuthOptions) -> Self {
        let world = OAuthWorld::start(options).await;
        let store = Arc::new(OneServer::new(server(world.mcp_url())));
        let clock = Arc::new(ManualClock::at(START));
        let sign_ins = at(PUBLIC_URL, &store, &clock);
        Self { world, store, clock, sign_ins }
    }

    /// As after a new start of the program.
    fn restart(&mut self) {
        self.sign_ins = at(PUBLIC_URL, &self.store, &self.clock);
    }

    fn server(&self) -> McpServer {
        server(self.world.mcp_url())
    }

    async fn begin(&self) -> Result<String, SignInError> {
        self.sign_ins.begin(&self.server(), Some(&self.challenge())).await
    }

    fn challenge(&self) -> String {
        let root = self.world.mcp_url().trim_end_matches("/mcp");
        format!("Bearer resource_metadata=\"{root}/.well-known/oauth-protected-resource/mcp\"")
    }

    async fn finish(&self, back: &BroughtBack) -> Result<SignedIn, SignInError> {
        self.sign_ins.finish(callback(back)).await
    }

    /// All of it, as the program does it.
    async fn sign_in(&self) {
        let back = self.world.approve(&self.begin().await.unwrap()).await;
        let signed_in = self.finish(&back).await.unwrap();
        assert!(self.store.set_sign_in(&signed_in, None).await.unwrap());
    }

    async fn client(&self) -> AuthClient<reqwest::Client> {
        let client = self.sign_ins.client(&self.server(), reqwest::Client::new()).await;
        client.unwrap().expect("somebody is signed in")
    }

    /// What is stored.
    async fn grant(&self) -> Value {
        let text = self.store.sign_in(&name()).await.unwrap().unwrap();
        serde_json::from_str(text.expose_secret()).unwrap()
    }

    /// How often tokens were renewed.
    fn renewals(&self) -> usize {
        self.world.requests_to("/token").iter().filter(|seen| seen.form["grant_type"] == "refresh_token").count()
    }
}

fn at(public_url: &str, store: &Arc<OneServer>, clock: &Arc<ManualClock>) -> OAuthSignIns {
    let redirect_uri = format!("{public_url}/api/mcp/oauth/callback");
    let document = format!("{public_url}/api/v1/mcp/oauth/client.json");
    OAuthSignIns::new(store.clone(), clock.clone(), TaskTracker::new(), redirect_uri, document)
}

fn name() -> McpServerName {
    McpServerName::parse("work").unwrap()
}

fn server(url: &str) -> McpServer {
    McpServer {
        name: name(),
        transport: McpTransport::Remote {
            url: RemoteUrl::parse(url).unwrap(),
            flavor: RemoteFlavor::Streamable,
            headers: BTreeMap::new(),
        },
        enabled: true,
        call_timeout: CallTimeout::default(),
        tools: ToolFilter::default(),
        preset: None,
        created: START,
    }
}

fn callback(back: &BroughtBack) -> Callback {
    let get = |name: &str| back.query.get(name).cloned();
    let error = || get("error_description").or_else(|| get("error")).unwrap();
    Callback {
        state: SecretString::from(get("state").unwrap()),
        outcome: get("code").map(SecretString::from).ok_or_else(error),
        issuer: get("iss"),
    }
}

/// The tools of the MCP server, as its client sees them.
async fn tools(client: AuthClient<reqwest::Client>, url: &str) -> Result<Vec<String>, String> {
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let running = ().serve(transport).await.map_err(|error| error.to_string())?;
    let tools = running.list_all_tools().await.map_err(|error| error.to_string())?;
    running.cancel().await.unwrap();
    Ok(tools.into_iter().map(|tool| tool.name.to_string()).collect())
}

#[track_caller]
fn assert_unusable<T>(result: Result<T, SignInError>, part: &str) {
    match result {
        Err(SignInError::Unusable(words)) => assert!(words.contains(part), "{words}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it went well"),
    }
}
