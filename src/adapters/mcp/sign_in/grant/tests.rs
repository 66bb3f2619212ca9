use super::*;
use secrecy::ExposeSecret;

fn tokens(expires_in: Option<u64>, received_at: Option<i64>) -> Tokens {
    Tokens { access_token: "a".into(), refresh_token: None, expires_in, received_at, scopes: vec![] }
}

fn response(json: Value) -> OAuthTokenResponse {
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_grant_comes_back_as_it_was_stored() {
    let client = Client {
        id: "pawport".into(),
        secret: Some("hush".into()),
        redirect_uri: Some("https://pawport.example/back".into()),
        secret_in_body: true,
    };
    let grant = Grant {
        url: Some("https://mcp.example/".into()),
        issuer: Some("https://as.example".into()),
        challenge: Some("Bearer".into()),
        revocation_endpoint: Some("https://as.example/revoke".into()),
        client: Some(client),
        tokens: Some(Tokens { scopes: vec!["read".into()], ..tokens(Some(60), Some(7)) }),
    };
    let text = grant.to_text();
    let read = Grant::parse(text.expose_secret()).ok().unwrap();
    assert_eq!(read.to_text().expose_secret(), text.expose_secret());
    assert_eq!(read.secrets(), ["hush", "a"]);
    assert!(read.is_for(&RemoteUrl::parse("https://mcp.example/").unwrap()));
    assert!(!read.is_for(&RemoteUrl::parse("https://mcp.example/other").unwrap()));
    assert!(read.without_tokens().client.is_some());
}

#[test]
fn what_another_product_stored_is_read() {
    let text = r#"{
        "tokens": {"access_token": "at", "token_type": "Bearer", "expires_in": 3600, "scope": "read write", "refresh_token": "rt"},
        "client_info": {"client_id": "id", "client_secret": null, "redirect_uris": ["http://localhost:8888/back"]}
    }"#;
    let grant = Grant::parse(text).ok().unwrap();
    let (client, tokens) = (grant.client.unwrap(), grant.tokens.unwrap());
    assert!(grant.url.is_none() && grant.issuer.is_none());
    assert_eq!((client.id.as_str(), client.secret), ("id", None));
    assert_eq!((tokens.access_token.as_str(), tokens.refresh_token.as_deref()), ("at", Some("rt")));
    assert_eq!(tokens.scopes, ["read", "write"]);
    assert!(!tokens.is_over(Timestamp(i64::MAX)), "nobody knows when it began, so it is tried");
    assert!(Grant::parse(r#"{"tokens": {"access_token": "at"}, "client_info": null}"#).ok().unwrap().client.is_none());
}

#[test]
fn what_is_neither_is_refused() {
    for text in ["", "[]", "{}", r#"{"tokens": null}"#, r#"{"url": 5}"#, r#"{"tokens": {"access_token": "a b"}}"#] {
        assert!(Grant::parse(text).is_err(), "{text}");
    }
}

#[test]
fn tokens_are_over_a_little_before_their_end() {
    for (expires_in, passed, over) in [
        (3600, 3539, false),
        (3600, 3540, true),
        (10, 4, false),
        (10, 5, true),
        (1, 0, false),
        (1, 1, true),
        (0, 0, true),
    ] {
        let now = Timestamp(1_000_000 + passed * 1000);
        assert_eq!(tokens(Some(expires_in), Some(1_000_000)).is_over(now), over, "{expires_in} after {passed}");
    }
    assert!(!tokens(None, Some(0)).is_over(Timestamp(i64::MAX)));
}

#[test]
fn tokens_that_cannot_be_sent_are_refused() {
    let received = |json| Tokens::received(&response(json), vec!["asked".into()], Timestamp(5));
    let good = received(json!({"access_token": "at", "token_type": "BEARER", "expires_in": 9})).ok().unwrap();
    assert_eq!((good.scopes, good.received_at, good.expires_in), (vec!["asked".to_owned()], Some(5), Some(9)));
    let told = received(json!({"access_token": "at", "token_type": "bearer", "scope": "less"})).ok().unwrap();
    assert_eq!(told.scopes, ["less"]);
    assert!(received(json!({"access_token": "at", "token_type": "mac"})).is_err());
    assert!(received(json!({"access_token": "a\r\nt", "token_type": "bearer"})).is_err());
    assert!(received(json!({"access_token": "", "token_type": "bearer"})).is_err());
}
