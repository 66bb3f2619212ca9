use super::*;

const TOKEN: &str = "6fee2431-f6f4-4b32-be46-18eccaa43bde";

#[test]
fn a_token_matches_itself_only() {
    let token = AccessToken::parse(&SecretString::from(format!(" {TOKEN}\n"))).unwrap();
    assert!(token.matches(TOKEN));
    for other in ["", "6fee2431", "6FEE2431-F6F4-4B32-BE46-18ECCAA43BDE", "6fee2431-f6f4-4b32-be46-18eccaa43bdé"] {
        assert!(!token.matches(other), "{other}");
    }
}

#[test]
fn weak_or_odd_tokens_are_refused() {
    for text in
        ["", "short", &"x".repeat(31), &"x".repeat(257), &"é".repeat(40), &format!("{} {}", "x".repeat(20), "y")]
    {
        assert_eq!(AccessToken::parse(&SecretString::from(text)).err(), Some(AccessTokenRejected), "{text:?}");
    }
}

#[test]
fn a_token_does_not_print() {
    let token = AccessToken::parse(&SecretString::from(TOKEN)).unwrap();
    assert_eq!(format!("{token:?}"), "[redacted]");
    assert_eq!(token.fingerprint().len(), 12);
    assert!(!TOKEN.contains(&token.fingerprint()));
}

#[test]
fn a_generated_token_is_a_random_uuid() {
    let token = AccessToken::generate([0xab; 16]);
    assert_eq!(token.expose(), "abababab-abab-4bab-abab-abababababab");
}
