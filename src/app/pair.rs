//! Letting a phone in from the terminal.

use crate::adapters::data_dir::DataDir;
use crate::adapters::data_dir::credential_file::CredentialFile;
use crate::config::Config;
use crate::ports::credentials::CredentialStore;
use anyhow::{Context, bail};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use reqwest::StatusCode;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long the server on this machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Pairing {
    url: String,
    expires_in: u64,
}

/// Asks the running server for a pairing code; gives it as a picture made of characters, with the address below.
///
/// # Errors
/// If no server runs here, or it refuses.
pub async fn pair(config: &Config) -> anyhow::Result<String> {
    let not_running = || {
        format!("no server runs with the data directory {}; start one with pawport serve", config.data_dir.display())
    };
    let Some(address) = DataDir::address(&config.data_dir)? else { bail!(not_running()) };
    let token = match &config.access_token {
        Some(token) => Some(token.clone()),
        None => CredentialFile::new(config.data_dir.join(CredentialFile::NAME)).load().await?,
    };
    let token = token.context(
        "the access token of the server is configured, and this command does not know it; give it the same configuration with --config, PAWPORT_ACCESS_TOKEN_FILE or PAWPORT_ACCESS_TOKEN",
    )?;
    // The token goes to this machine and nowhere else, whatever the environment says about proxies.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let request = client.post(format!("http://{}/api/v1/auth/pairing", on_this_machine(address)));
    let answer = request.bearer_auth(token.expose()).send().await.with_context(not_running)?;
    let answer = match answer.status() {
        StatusCode::UNAUTHORIZED => {
            bail!("the server has another access token; name its configuration with --config or --data-dir")
        }
        StatusCode::TOO_MANY_REQUESTS => bail!("too many codes were asked for; wait some seconds"),
        _ => answer.error_for_status().context("the server gave no code")?,
    };
    let Pairing { url, expires_in } = answer.json().await.context("the server gave no code")?;
    // Drawn for light characters on a dark ground, as most terminals have it; cameras read the inverse as well.
    let picture = QrCode::new(&url)?.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(format!("{picture}\n\nScan this within {expires_in} seconds, or open it there:\n{url}\n{}", hint(&url)))
}

/// A server that listens on all addresses is asked on the loopback one.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn hint(url: &str) -> &'static str {
    let is_local = ["http://127.", "http://[::1]", "http://localhost"].iter().any(|start| url.starts_with(start));
    if is_local {
        "\nOnly this machine reaches that address. For a phone, start the server with --host 0.0.0.0 or --public-url."
    } else {
        ""
    }
}
