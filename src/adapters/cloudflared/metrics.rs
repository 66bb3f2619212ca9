//! What a `cloudflared` tells of itself, on a loopback port.

use crate::domain::tunnel::PublicUrl;
use reqwest::StatusCode;
use serde::Deserialize;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use thiserror::Error;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is read.
const MOST: usize = 4_096;

/// The endpoints beside the metrics.
#[derive(Clone)]
pub(super) struct Metrics {
    http: reqwest::Client,
    address: SocketAddr,
}

/// Why it is not known to be connected. For users.
#[derive(Debug, Error)]
pub(super) enum NotReady {
    /// It says that it is not.
    #[error("cloudflared is not connected to Cloudflare (its /ready says {0})")]
    Disconnected(StatusCode),
    /// It takes its time.
    #[error("cloudflared does not say how it is within {} seconds", PATIENCE.as_secs())]
    Slow,
    /// It says nothing.
    #[error("cloudflared does not say how it is: nothing answers at its metrics address")]
    Silent,
}

/// The answer of `/quicktunnel`.
#[derive(Deserialize)]
struct QuickTunnel {
    hostname: String,
}

/// For requests to this machine, whatever the environment says about proxies.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    // A connection of its own for each request: there are few, and the program may have been started anew.
    client.redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0).build()
}

/// A loopback address at which nobody listens at the moment. If somebody does before `cloudflared` does, that ends at once
/// and is started again with another.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Metrics {
    pub fn new(http: reqwest::Client, address: SocketAddr) -> Self {
        Self { http, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name of a quick tunnel, once it has one.
    pub async fn hostname(&self) -> Option<PublicUrl> {
        let (status, body) = self.get("/quicktunnel").await.ok()?;
        let QuickTunnel { hostname } = serde_json::from_slice(&body).ok()?;
        let url = PublicUrl::of_host(&hostname).ok()?;
        (status == StatusCode::OK && super::log::is_quick(&url)).then_some(url)
    }

    /// Whether it is connected to Cloudflare.
    pub async fn ready(&self) -> Result<(), NotReady> {
        match self.get("/ready").await {
            Ok((StatusCode::OK, _)) => Ok(()),
            Ok((status, _)) => Err(NotReady::Disconnected(status)),
            Err(error) if error.is_timeout() => Err(NotReady::Slow),
            Err(_) => Err(NotReady::Silent),
        }
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
        let mut answer = self.http.get(format!("http://{}{path}", self.address)).send().await?;
        let mut body = Vec::new();
        while body.len() < MOST {
            let Some(part) = answer.chunk().await? else { break };
            body.extend_from_slice(&part[..part.len().min(MOST - body.len())]);
        }
        Ok((answer.status(), body))
    }
}
