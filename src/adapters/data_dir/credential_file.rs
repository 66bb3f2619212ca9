//! The master token in a file.

use super::private_file::{read_private, replace_private};
use crate::domain::auth::token::AccessToken;
use crate::ports::credentials::{CredentialError, CredentialStore};
use async_trait::async_trait;
use secrecy::SecretString;
use std::path::PathBuf;

/// Keeps the master token in a file of mode 0600.
#[derive(Debug)]
pub struct CredentialFile {
    path: PathBuf,
}

impl CredentialFile {
    /// The name of the file in the data directory.
    pub const NAME: &str = "access_token";

    /// The token in the file at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

fn failed(error: &anyhow::Error) -> CredentialError {
    CredentialError(format!("{error:#}"))
}

#[async_trait]
impl CredentialStore for CredentialFile {
    async fn load(&self) -> Result<Option<AccessToken>, CredentialError> {
        let Some(text) = read_private(&self.path).map_err(|error| failed(&error))? else { return Ok(None) };
        let token = AccessToken::parse(&SecretString::from(text)).map_err(|rejected| {
            CredentialError(format!(
                "{} does not hold an access token ({rejected}); remove the file to get a new one",
                self.path.display()
            ))
        })?;
        Ok(Some(token))
    }

    async fn replace(&self, token: &AccessToken) -> Result<(), CredentialError> {
        replace_private(&self.path, token.expose().as_bytes()).map_err(|error| failed(&error))
    }
}
