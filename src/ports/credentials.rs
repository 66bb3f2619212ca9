//! Where the master token is kept.

use crate::domain::auth::token::AccessToken;
use async_trait::async_trait;
use thiserror::Error;

/// The master token could not be read or written. The text names the place and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct CredentialError(pub String);

/// Keeps the master token.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// The token, if one is kept.
    ///
    /// # Errors
    /// If it cannot be read, or what is there is no token.
    async fn load(&self) -> Result<Option<AccessToken>, CredentialError>;

    /// Keeps `token` from now on.
    ///
    /// **Contract:** after an error or a crash the old token is still kept.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn replace(&self, token: &AccessToken) -> Result<(), CredentialError>;
}
