//! Sealing secrets with XChaCha20-Poly1305 (RFC 8439 with the 192-bit nonce of draft-irtf-cfrg-xchacha).
//!
//! A sealed secret is one byte of version, 24 bytes of nonce, and the ciphertext with its tag. The nonce is long enough to
//! be random for every seal.

use crate::ports::entropy::{Entropy, random};
use crate::ports::vault::{NotOurs, Vault};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use std::sync::Arc;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;

/// A vault with one key.
pub struct SealingVault {
    cipher: XChaCha20Poly1305,
    entropy: Arc<dyn Entropy>,
}

impl SealingVault {
    /// A vault that opens what was sealed with `key`.
    #[must_use]
    pub fn new(key: &[u8; 32], entropy: Arc<dyn Entropy>) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), entropy }
    }
}

impl Vault for SealingVault {
    #[expect(clippy::expect_used, reason = "encryption fails only for texts of hundreds of gigabytes")]
    fn seal(&self, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random(&*self.entropy);
        let payload = Payload { msg: secret, aad: &[VERSION] };
        let ciphertext = self.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret of sane length");
        [&[VERSION], &nonce[..], &ciphertext].concat()
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (version, rest) = sealed.split_first().ok_or(NotOurs)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(NotOurs)?;
        let payload = Payload { msg: ciphertext, aad: &[*version] };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| NotOurs)
    }
}

#[cfg(test)]
mod tests;
