//! Checking credentials.

use super::{AccessToken, CredentialKind, Principal};
use crate::ports::credentials::{CredentialError, CredentialStore};
use crate::ports::entropy::{Entropy, random};
use std::sync::Arc;

/// Knows which credentials are good.
#[derive(Debug)]
pub struct Tokens {
    master: AccessToken,
    principal: Principal,
}

impl Tokens {
    /// Takes `fixed` as the master token, or the stored one, or makes and stores a new one.
    ///
    /// # Errors
    /// As the credential store's.
    pub async fn open(
        fixed: Option<AccessToken>,
        store: Arc<dyn CredentialStore>,
        entropy: &dyn Entropy,
    ) -> Result<Self, CredentialError> {
        let master = match fixed {
            Some(token) => token,
            None => match store.load().await? {
                Some(token) => token,
                None => {
                    let token = AccessToken::generate(random(entropy));
                    store.replace(&token).await?;
                    token
                }
            },
        };
        let principal = Principal { kind: CredentialKind::MasterToken, id: master.fingerprint() };
        Ok(Self { master, principal })
    }

    /// Who shows `bearer`, if it is a good credential.
    #[must_use]
    pub fn authenticate(&self, bearer: &str) -> Option<&Principal> {
        self.master.matches(bearer).then_some(&self.principal)
    }
}
