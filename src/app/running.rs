//! Asking the server that runs on this machine.

use crate::adapters::data_dir::DataDir;
use crate::adapters::data_dir::credential_file::CredentialFile;
use crate::config::Config;
use crate::domain::auth::token::AccessToken;
use crate::ports::credentials::CredentialStore;
use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The server that runs with a data directory.
pub(super) struct RunningServer {
    client: reqwest::Client,
    origin: String,
    token: AccessToken,
    data_dir: PathBuf,
}

impl RunningServer {
    /// The server that runs with the data directory of `config`. Each answer may take as long as `patience`.
    ///
    /// # Errors
    /// If there is none, or its token is not known here.
    pub(super) async fn find(config: &Config, patience: Duration) -> anyhow::Result<Self> {
        let Some(address) = DataDir::address(&config.data_dir)? else { bail!(not_running(&config.data_dir)) };
        let token = match &config.access_token {
            Some(token) => Some(token.clone()),
            None => CredentialFile::new(config.data_dir.join(CredentialFile::NAME)).load().await?,
        };
        let token = token.context(
            "the access token of the server is configured, and this command does not know it; give it the same configuration with --config, PAWPORT_ACCESS_TOKEN_FILE or PAWPORT_ACCESS_TOKEN",
        )?;
        // The token goes to this machine and nowhere else, whatever the environment says about proxies.
        let client = reqwest::Client::builder().no_proxy().timeout(patience).build()?;
        let origin = format!("http://{}", on_this_machine(address));
        Ok(Self { client, origin, token, data_dir: config.data_dir.clone() })
    }

    /// A request to one of its routes, such as `/mcp/status`.
    pub(super) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{route}", self.origin)).bearer_auth(self.token.expose())
    }

    /// Where it listens, as an origin.
    pub(super) fn address(&self) -> &str {
        &self.origin
    }

    /// A request to a route outside of the API, such as `/readyz`.
    pub(super) fn root_request(&self, method: Method, route: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{route}", self.origin))
    }

    /// Sends a request; gives the answer, whatever its status, unless the token is not the server's.
    ///
    /// # Errors
    /// If nobody answers, or the token is refused.
    pub(super) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.send().await;
        let answer = answer.map_err(|error| match error.is_connect() {
            true => anyhow::Error::new(error).context(not_running(&self.data_dir)),
            false => anyhow::Error::new(error).context("the server did not answer"),
        })?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            bail!("the server has another access token; name its configuration with --config or --data-dir");
        }
        Ok(answer)
    }
}

#[derive(Deserialize)]
struct Refused {
    detail: Value,
}

impl RunningServer {
    /// Sends a request; gives what the server answers.
    ///
    /// # Errors
    /// As [`send`](Self::send), or with the server's words if it refuses.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            return answer.json().await.context("the server's answer was cut off");
        }
        let status = answer.status();
        let Ok(Refused { detail }) = answer.json().await else { bail!("the server answered {status}") };
        match detail {
            Value::String(detail) => bail!(detail),
            // The first member that is wrong.
            fields => {
                let place = fields[0]["loc"].as_array().into_iter().flatten().skip(1).filter_map(Value::as_str);
                let place = place.collect::<Vec<_>>().join(".");
                bail!("{place}: {}", fields[0]["msg"].as_str().unwrap_or("it is wrong"))
            }
        }
    }
}

fn not_running(data_dir: &std::path::Path) -> String {
    format!("no server runs with the data directory {}; start one with pawport serve", data_dir.display())
}

/// A server that listens on all addresses is reached on the loopback one.
pub(super) fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
