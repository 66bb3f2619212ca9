use super::*;
use crate::adapters::host::OsEntropy;

fn vault(key: u8) -> SealingVault {
    SealingVault::new(&[key; 32], Arc::new(OsEntropy))
}

#[test]
fn what_is_sealed_opens_with_the_same_key_only() {
    let sealed = vault(1).seal(b"secret");
    assert_eq!(vault(1).open(&sealed), Ok(b"secret".to_vec()));
    assert_eq!(vault(2).open(&sealed), Err(NotOurs));
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
}

#[test]
fn two_seals_differ_and_any_changed_bit_is_noticed() {
    let vault = vault(1);
    let sealed = vault.seal(b"secret");
    assert_ne!(sealed, vault.seal(b"secret"));
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert_eq!(vault.open(&changed), Err(NotOurs), "byte {index}");
    }
    for length in 0..sealed.len() {
        assert_eq!(vault.open(&sealed[..length]), Err(NotOurs), "{length} bytes");
    }
}
