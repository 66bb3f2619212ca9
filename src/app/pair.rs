//! Letting a phone in from the terminal.

use super::running::RunningServer;
use crate::config::Config;
use anyhow::{Context, bail};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
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
    let server = RunningServer::find(config, PATIENCE).await?;
    let answer = server.send(server.request(Method::POST, "/auth/pairing")).await?;
    let answer = match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => bail!("too many codes were asked for; wait some seconds"),
        _ => answer.error_for_status().context("the server gave no code")?,
    };
    let Pairing { url, expires_in } = answer.json().await.context("the server gave no code")?;
    // Drawn for light characters on a dark ground, as most terminals have it; cameras read the inverse as well.
    let picture = QrCode::new(&url)?.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(format!("{picture}\n\nScan this within {expires_in} seconds, or open it there:\n{url}\n{}", hint(config, &url)))
}

fn hint(config: &Config, url: &str) -> String {
    let is_local = ["http://127.", "http://[::1]", "http://localhost"].iter().any(|start| url.starts_with(start));
    if !is_local {
        return String::new();
    }
    format!(
        "\nOnly this machine reaches that address. For a phone, open a tunnel with {}, or start the server with --host 0.0.0.0 or --public-url.",
        config.command("tunnel start")
    )
}
