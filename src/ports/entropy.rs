//! Randomness that cannot be guessed.

/// A source of random bytes fit for secrets.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes`.
    ///
    /// **Contract:** never returns without having filled them; a system without randomness is a panic, since no secret
    /// made without it would be one.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` random bytes.
#[must_use]
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
