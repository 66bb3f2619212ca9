use super::*;
use rmcp::transport::streamable_http_client::AuthRequiredError;

fn told(error: &StreamableHttpError<reqwest::Error>) -> String {
    ConnectError::from(Problem::of_client(error)).to_string()
}

#[test]
fn bodies_do_not_get_into_errors() {
    let body = |text: &'static str| StreamableHttpError::UnexpectedServerResponse(text.into());
    assert_eq!(
        told(&body("HTTP 404 Not Found: s3cret")),
        "this is not an MCP server: the address answered 404 Not Found"
    );
    for text in ["HTTP 4", "HTTP abc", "HTTP ä", "could not parse JSON response: s3cret"] {
        assert_eq!(told(&body(text)), "this is not an MCP server: its answer is no message of the protocol");
    }
    let failed = told(&StreamableHttpError::Auth(AuthError::TokenRefreshFailed("s3cret".to_owned())));
    assert_eq!(failed, "the server answered with an error: its sign-in could not be renewed");
}

#[test]
fn a_problem_is_found_below_other_errors() {
    #[derive(Debug, Error)]
    #[error("wrapped")]
    struct Wrapped(#[source] StreamableHttpError<Problem>);
    let within = |error| Problem::within(&Wrapped(error));
    assert_eq!(within(StreamableHttpError::Client(Problem::SignIn)), Some(Problem::SignIn));
    let required = StreamableHttpError::AuthRequired(AuthRequiredError::new("Basic".to_owned()));
    assert_eq!(within(required), Some(Problem::Unauthorized(Some("Basic".to_owned()))));
    assert_eq!(within(StreamableHttpError::SessionExpired), Some(Problem::Expired));
    assert_eq!(within(StreamableHttpError::TransportChannelClosed), None);
}

#[test]
fn texts_of_others_are_short_and_in_one_line() {
    assert_eq!(short("a\n\u{1b}[31mb"), "a  [31mb");
    let words = short(&"äh ".repeat(5000));
    assert!(words.len() <= MAX_TEXT && words.len() > MAX_TEXT - 4 && words.ends_with("äh"), "{}", words.len());
    // One word, of which a part could be the part of a secret.
    assert_eq!(short(&"ä".repeat(5000)), "");
}
