//! The tunnel, as far as configuration says.

use super::keys::{self, Key};
use super::{ConfigError, Given, values};
use crate::domain::tunnel::PublicUrl;
use secrecy::SecretString;
use std::path::PathBuf;

/// The tunnel.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// Whether it is wanted whenever the server runs.
    pub keep_open: bool,
    /// The program that makes it, if it is not the one in `PATH`.
    pub cloudflared: Option<PathBuf>,
    /// What lets a named tunnel run. Comes with its address.
    pub token: Option<SecretString>,
    /// The address of a named tunnel.
    pub url: Option<PublicUrl>,
}

impl TunnelConfig {
    /// Takes what is given. The file with the token is only noted.
    pub(super) fn resolve(given: &mut Given<'_>) -> Result<Self, ConfigError> {
        let tunnel = Self {
            keep_open: given.required(&keys::TUNNEL, values::switch)?,
            cloudflared: given.optional(&keys::CLOUDFLARED, values::path)?,
            token: given.secret(&keys::TUNNEL_TOKEN, &keys::TUNNEL_TOKEN_FILE, values::provider_key)?,
            url: given.optional(&keys::TUNNEL_HOSTNAME, |text| PublicUrl::of_host(text.trim()).ok())?,
        };
        let from = |key: &Key| given.find(key).map(|(_, source)| format!("{} (from {source})", key.name));
        let token = from(&keys::TUNNEL_TOKEN).or_else(|| from(&keys::TUNNEL_TOKEN_FILE));
        match (token, from(&keys::TUNNEL_HOSTNAME)) {
            (Some(_), Some(_)) | (None, None) => Ok(tunnel),
            (Some(token), None) => Err(ConfigError(format!(
                "{token} is given without the public hostname of that tunnel: give --tunnel-hostname or PAWPORT_TUNNEL_HOSTNAME"
            ))),
            (None, Some(hostname)) => Err(ConfigError(format!(
                "{hostname} is given without the token of that tunnel: give PAWPORT_TUNNEL_TOKEN_FILE or PAWPORT_TUNNEL_TOKEN"
            ))),
        }
    }
}
