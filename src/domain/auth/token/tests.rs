use super::*;
use proptest::prelude::*;

const MASTER: &str = "6fee2431-f6f4-4b32-be46-18eccaa43bde";

#[test]
fn a_master_token_matches_itself_only() {
    let token = AccessToken::parse(&SecretString::from(format!(" {MASTER}\n"))).unwrap();
    assert!(token.hash().matches(&TokenHash::of(MASTER)));
    for other in ["", "6fee2431", "6FEE2431-F6F4-4B32-BE46-18ECCAA43BDE", "6fee2431-f6f4-4b32-be46-18eccaa43bdé"] {
        assert!(!token.hash().matches(&TokenHash::of(other)), "{other}");
    }
}

#[test]
fn weak_or_odd_master_tokens_are_refused() {
    for text in
        ["", "short", &"x".repeat(31), &"x".repeat(257), &"é".repeat(40), &format!("{} {}", "x".repeat(20), "y")]
    {
        assert_eq!(AccessToken::parse(&SecretString::from(text)).err(), Some(AccessTokenRejected), "{text:?}");
    }
}

#[test]
fn nothing_prints_a_token() {
    let master = AccessToken::parse(&SecretString::from(MASTER)).unwrap();
    assert_eq!(format!("{master:?}"), "[redacted]");
    let fingerprint = master.hash().fingerprint();
    assert_eq!(fingerprint.len(), 12);
    assert!(!MASTER.contains(&fingerprint));
    let key = NewToken::api_key([7; 32]);
    assert!(!format!("{key:?}").contains(key.expose()));
}

#[test]
fn a_generated_master_token_is_a_random_uuid() {
    let token = AccessToken::generate([0xab; 16]);
    assert_eq!(token.expose(), "abababab-abab-4bab-abab-abababababab");
}

#[test]
fn tokens_have_the_forms_that_clients_and_scanners_know() {
    let session = NewToken::session(Timestamp(1_795_411_199_999), [0xcd; 32]);
    assert_eq!(session.expose(), format!("1795411199:{}", "cd".repeat(32)));
    // Both checksums were computed with zlib.crc32 over the 43 characters between.
    let key = NewToken::api_key([0; 32]);
    assert_eq!(key.expose(), format!("pp_{}{}", "A".repeat(43), API_KEY_CHECKSUM));
    let pairing = NewToken::pairing([0; 32]);
    assert_eq!(pairing.expose(), format!("ppair_{}{}", "A".repeat(43), API_KEY_CHECKSUM));
}

const API_KEY_CHECKSUM: &str = "DCtZhg";

#[test]
fn a_form_is_recognised_and_nothing_else_is() {
    let hex = "a".repeat(64);
    for (text, form) in [
        (NewToken::session(Timestamp(0), [1; 32]).expose(), TokenForm::Session),
        (NewToken::api_key([1; 32]).expose(), TokenForm::ApiKey),
        (NewToken::pairing([1; 32]).expose(), TokenForm::Pairing),
        // A key that another program made has no checksum.
        (&format!("pp_{}", "x".repeat(43)), TokenForm::ApiKey),
        (MASTER, TokenForm::Other),
        ("", TokenForm::Other),
        (":", TokenForm::Other),
        (&format!("1x:{hex}"), TokenForm::Other),
        (&format!("1:{hex}a"), TokenForm::Other),
        (&format!("pp_{}", "x".repeat(42)), TokenForm::Other),
        (&format!("pp_{}", "x".repeat(300)), TokenForm::Other),
        (&format!("pp_{} ", "x".repeat(43)), TokenForm::Other),
        (&format!("ppair_{}", "é".repeat(49)), TokenForm::Other),
    ] {
        assert_eq!(TokenForm::of(text), form, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_looked_at(text in any::<String>()) {
        let _ = TokenForm::of(&text);
    }
}
