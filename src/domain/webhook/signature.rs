//! Proving that a delivery comes from who knows the secret.
//!
//! Every comparison is constant-time, and every failure is the same value: nobody learns from an answer whether the
//! slot, the secret, the time or the body was wrong.

use super::{Scheme, WebhookSecret};
use crate::domain::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// How far the time of a Standard Webhooks delivery may be from ours, either way (section "Verifying signatures").
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The longest `webhook-id` we remember.
pub const MAX_ID_LEN: usize = 256;

/// The headers of a delivery that can hold a proof, as they came. `None` if absent or not text.
///
/// Has no `Debug`: it holds secrets.
#[derive(Clone, Copy, Default)]
pub struct ProofHeaders<'a> {
    /// `X-Webhook-Secret`
    pub secret: Option<&'a str>,
    /// `X-Webhook-Signature`
    pub signature: Option<&'a str>,
    /// `X-Hub-Signature-256`
    pub hub_signature: Option<&'a str>,
    /// `webhook-id`
    pub standard_id: Option<&'a str>,
    /// `webhook-timestamp`
    pub standard_timestamp: Option<&'a str>,
    /// `webhook-signature`
    pub standard_signature: Option<&'a str>,
}

/// What a good proof tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// An id under the signature: the same id again is the same delivery again.
    pub signed_id: Option<String>,
}

/// The delivery is not proven to come from who knows the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Invalid webhook secret or signature")]
pub struct ProofRejected;

/// Checks a delivery against a secret.
///
/// Everything that the sender shows is checked, whatever the scheme, so that the work says nothing about the slot.
///
/// # Errors
/// [`ProofRejected`], whatever the reason.
pub fn verify(
    scheme: Scheme,
    secret: &WebhookSecret,
    headers: &ProofHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Proof, ProofRejected> {
    let secret_matches = headers.secret.is_some_and(|given| equal_secrets(given, secret.expose()));
    let signature_matches = headers.signature.is_some_and(|claimed| hex_hmac_matches(claimed, secret, body));
    let hub_signature_matches = headers.hub_signature.is_some_and(|claimed| hex_hmac_matches(claimed, secret, body));
    let standard = standard(secret, headers, body, now);
    let unsigned_id = |matches: bool| matches.then_some(Proof { signed_id: None }).ok_or(ProofRejected);
    match scheme {
        Scheme::Any => unsigned_id(secret_matches || signature_matches || hub_signature_matches),
        Scheme::GitHub => unsigned_id(hub_signature_matches),
        Scheme::Standard => standard,
    }
}

/// Compares digests, so that not even the length of the secret shows in the time taken.
fn equal_secrets(given: &str, expected: &str) -> bool {
    Sha256::digest(given.trim()).ct_eq(&Sha256::digest(expected)).into()
}

fn hex_hmac_matches(signature: &str, secret: &WebhookSecret, body: &[u8]) -> bool {
    let Some(digits) = signature.trim().strip_prefix("sha256=") else { return false };
    let Ok(claimed) = hex::decode(digits) else { return false };
    hmac_over(secret.expose().as_bytes(), &[body]).verify_slice(&claimed).is_ok()
}

fn standard(
    secret: &WebhookSecret,
    headers: &ProofHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Proof, ProofRejected> {
    let (Some(id), Some(timestamp), Some(signatures)) =
        (headers.standard_id, headers.standard_timestamp, headers.standard_signature)
    else {
        return Err(ProofRejected);
    };
    let seconds: i64 = timestamp.parse().map_err(|_| ProofRejected)?;
    let sent = Timestamp(seconds.saturating_mul(1_000));
    if id.is_empty() || id.len() > MAX_ID_LEN || sent.since(now).max(now.since(sent)) > TOLERANCE {
        return Err(ProofRejected);
    }
    let key = standard_key(secret);
    // `timestamp` is signed as it was written, not as we would write the number.
    let signed = hmac_over(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    let good = signatures
        .split_ascii_whitespace()
        .filter_map(|entry| STANDARD.decode(entry.strip_prefix("v1,")?).ok())
        .any(|claimed| signed.clone().verify_slice(&claimed).is_ok());
    good.then(|| Proof { signed_id: Some(id.to_owned()) }).ok_or(ProofRejected)
}

/// The key that the secret stands for. A secret of another scheme is used as it is: it proves nothing here, but takes as long.
fn standard_key(secret: &WebhookSecret) -> Vec<u8> {
    let text = secret.expose();
    STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).unwrap_or_else(|_| text.into())
}

fn hmac_over(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    for part in parts {
        mac.update(part);
    }
    mac
}
