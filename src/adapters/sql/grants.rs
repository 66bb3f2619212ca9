//! What the tables of credentials have in common: hashes of tokens, and what a token opens.

use super::errors::corrupt;
use crate::domain::auth::Grant;
use crate::domain::auth::api_key::ApiKeyId;
use crate::domain::auth::scope::Scopes;
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use crate::ports::store::StoreError;

/// The row that is being read, for the error if it cannot be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'a str,
}

impl Place<'_> {
    /// The hash in the column `hash`.
    pub(super) fn hash(self, bytes: Vec<u8>) -> Result<TokenHash, StoreError> {
        let hash = bytes.try_into().map_err(|_| corrupt(self.table, "hash", self.key, "not 32 bytes"))?;
        Ok(TokenHash(hash))
    }

    /// The scopes in the column `scopes`.
    pub(super) fn scopes(self, names: &str) -> Result<Scopes, StoreError> {
        Scopes::parse(names.split_ascii_whitespace()).map_err(|error| corrupt(self.table, "scopes", self.key, error))
    }

    /// The grant in the columns `scopes`, `grant_until` and `api_key`.
    pub(super) fn grant(self, scopes: &str, until: Option<i64>, api_key: Option<String>) -> Result<Grant, StoreError> {
        let parse = |text: String| {
            ApiKeyId::parse(&text).ok_or_else(|| corrupt(self.table, "api_key", self.key, "not the id of a key"))
        };
        Ok(Grant {
            scopes: self.scopes(scopes)?,
            until: until.map(Timestamp),
            api_key: api_key.map(parse).transpose()?,
        })
    }
}

/// What is stored of scopes.
pub(super) fn names(scopes: Scopes) -> String {
    scopes.names().join(" ")
}

/// What is stored of the key with which something was got.
pub(super) fn key_of(grant: &Grant) -> Option<String> {
    grant.api_key.as_ref().map(|key| key.as_str().to_owned())
}

#[cfg(test)]
mod tests;
