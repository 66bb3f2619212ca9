//! The master token in a variable.

use crate::domain::auth::token::AccessToken;
use crate::ports::credentials::{CredentialError, CredentialStore};
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};

/// Keeps the master token for as long as the program runs.
#[derive(Default)]
pub struct InMemoryCredentials {
    token: Mutex<Option<AccessToken>>,
}

impl InMemoryCredentials {
    /// Nothing is kept yet, as at the very first start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `token` is kept already.
    #[must_use]
    pub fn with(token: AccessToken) -> Self {
        Self { token: Mutex::new(Some(token)) }
    }
}

#[async_trait]
impl CredentialStore for InMemoryCredentials {
    async fn load(&self) -> Result<Option<AccessToken>, CredentialError> {
        Ok(self.token.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn replace(&self, token: &AccessToken) -> Result<(), CredentialError> {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(())
    }
}
