//! Keeping secrets that must be recoverable.

use thiserror::Error;

/// What was sealed cannot be opened: another key, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a stored secret cannot be opened: it was sealed with another key, or is damaged")]
pub struct NotOurs;

/// Encrypts what is stored and must be read again. Stores seal secrets with it before they write them.
pub trait Vault: Send + Sync {
    /// `secret` in a form that says nothing about it but its length. Two seals of one secret differ.
    fn seal(&self, secret: &[u8]) -> Vec<u8>;

    /// What was sealed.
    ///
    /// # Errors
    /// [`NotOurs`] if any bit was changed or the key is another.
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, NotOurs>;
}
