//! What authorization servers say, made fit for users and logs.

use crate::domain::mcp::sign_in::SignInError;
use crate::domain::text;
use rmcp::transport::auth::AuthError;
use std::error::Error;
use url::Url;

/// How much of a stranger's text is shown, in characters.
const SHOWN: usize = 300;

/// What `oauth2` puts before an error that the authorization server sent (RFC 6749 §5.2).
const ANSWERED: &str = "Server returned error response: ";

/// One line of text that a stranger wrote: without control characters, without what turns the direction of writing around,
/// without `secrets` if the stranger repeats them, and not too long.
pub(super) fn cleaned(words: &str, secrets: &[&str]) -> String {
    let mut words = words.to_owned();
    // Shorter ones are no secrets, and would make holes in words.
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        words = words.replace(secret, "***");
    }
    let turns =
        |character| matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let spaced = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = spaced.chars().filter(|&character| !character.is_control() && !turns(character)).collect();
    text::head(&plain, SHOWN).to_owned()
}

/// The error that the authorization server sent, by its name and as it is, if it is one.
pub(super) fn answered(words: &str) -> Option<(&str, &str)> {
    let answer = words.strip_prefix(ANSWERED)?;
    Some((answer.split([':', ' ']).next().unwrap_or_default(), answer))
}

pub(super) fn unusable(words: impl Into<String>) -> SignInError {
    SignInError::Unusable(words.into())
}

/// Why looking for the authorization server failed. The library's own words are not used where they hold addresses: that of
/// the MCP server may have a secret in its query.
pub(super) fn undiscovered(error: AuthError) -> String {
    match error {
        AuthError::DiscoveryRequestFailed { url, source } => {
            format!("{} did not answer when asked for its metadata{}", origin(&url), why(source.as_ref()))
        }
        AuthError::ProtectedResourceMetadataInvalid { url, .. } => {
            format!("the metadata at {} is not that of this MCP server", origin(&url))
        }
        AuthError::AuthorizationServersUnavailable { authorization_servers, .. } => {
            let names = cleaned(&authorization_servers.join(", "), &[]);
            format!("none of those that the MCP server names can be asked for its metadata: {names}")
        }
        AuthError::AuthorizationServerMismatch { expected_issuer, received_issuer } => {
            let (expected, received) = (cleaned(&expected_issuer, &[]), cleaned(&received_issuer, &[]));
            format!("its metadata should be that of {expected}, and is that of {received}")
        }
        AuthError::AuthorizationServerMissingIssuer { .. } => "its metadata does not say whose it is".to_owned(),
        _ => "its metadata is not what the specification wants".to_owned(),
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn why(error: &(dyn Error + 'static)) -> String {
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return format!(": {error}");
        }
        let words = error.to_string();
        if words.contains("not allowed for") || words.contains("is allowed for") {
            return ": its address is a private one, and that of the MCP server is not".to_owned();
        }
        if words.contains("non-same-origin") {
            return ": it redirects to somewhere else".to_owned();
        }
    }
    String::new()
}

/// Why a client could not be registered (RFC 7591).
pub(super) fn unregistered(error: &AuthError) -> String {
    match error {
        // An answer with another status than 201 has no secret in it yet; a damaged one might.
        AuthError::RegistrationFailed(words) if words.starts_with("HTTP ") && !words.starts_with("HTTP request") => {
            format!("it does not register Pawport: {}", cleaned(words, &[]))
        }
        _ => "it does not register Pawport".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_strangers_become_one_harmless_line() {
        assert_eq!(cleaned("  no\r\n\tway\u{1b}[31m \u{202e}ho ", &[]), "no way[31m ho");
        assert_eq!(cleaned(&"ä".repeat(1000), &[]), "ä".repeat(SHOWN));
        assert_eq!(cleaned("token secret-12345 is bad", &["secret-12345", "is"]), "token *** is bad");
    }

    #[test]
    fn an_error_of_the_authorization_server_is_told_from_others() {
        let words = format!("{ANSWERED}invalid_grant: gone");
        assert_eq!(answered(&words), Some(("invalid_grant", "invalid_grant: gone")));
        assert_eq!(answered(&format!("{ANSWERED}invalid_client")), Some(("invalid_client", "invalid_client")));
        assert_eq!(answered("Request failed"), None);
    }

    #[test]
    fn addresses_with_secrets_are_not_repeated() {
        let url = Url::parse("https://mcp.example.com/mcp?key=hush").unwrap();
        let source = Box::new(std::io::Error::other("refused"));
        assert_eq!(
            undiscovered(AuthError::DiscoveryRequestFailed { url, source }),
            "https://mcp.example.com did not answer when asked for its metadata: refused"
        );
    }
}
