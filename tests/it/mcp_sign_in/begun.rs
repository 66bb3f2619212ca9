//! From the first 401 to tokens.

use super::{OAuthOptions, SignInError, Signing, assert_unusable, at, callback, name, server, tools};
use pawport::domain::mcp::sign_in::LIFETIME;
use pawport::ports::mcp::McpAuthorizer;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use url::Url;

#[tokio::test]
async fn who_signs_in_can_use_the_server() {
    let signing = Signing::with(OAuthOptions::default()).await;
    let address = signing.begin().await.unwrap();
    let query: std::collections::BTreeMap<_, _> = Url::parse(&address).unwrap().query_pairs().into_owned().collect();
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["resource"], signing.world.mcp_url());
    assert_eq!(query["scope"], "tools offline_access", "what the server names, and what gives a refresh token");
    assert_eq!(query["redirect_uri"], "http://127.0.0.1:8000/api/mcp/oauth/callback");

    let back = signing.world.approve(&address).await;
    assert!(back.address.starts_with("http://127.0.0.1:8000/api/mcp/oauth/callback?code="), "{}", back.address);
    let signed_in = signing.finish(&back).await.unwrap();
    assert_eq!((signed_in.server, signed_in.url.expose()), (name(), signing.world.mcp_url()));
    signing.store.import(signed_in.grant.expose_secret());
    assert_eq!(tools(signing.client().await, signing.world.mcp_url()).await.unwrap(), ["greet"]);

    let exchange = &signing.world.requests_to("/token")[0];
    assert_eq!(exchange.form["resource"], signing.world.mcp_url());
    assert_eq!(exchange.form["code_verifier"].len(), 43);
    let registration: serde_json::Value =
        serde_json::from_str(&signing.world.requests_to("/register")[0].body).unwrap();
    assert_eq!(
        (&registration["client_name"], &registration["application_type"]),
        (&"Pawport".into(), &"native".into())
    );
    let access = signing.grant().await["tokens"]["access_token"].as_str().unwrap().to_owned();
    let strangers: Vec<_> = signing.world.requests().into_iter().filter(|seen| seen.by != "mcp").collect();
    assert!(strangers.iter().all(|seen| !format!("{seen:?}").contains(&access)), "a token went elsewhere");
}

#[tokio::test]
async fn the_server_is_found_without_a_challenge() {
    let signing = Signing::with(OAuthOptions { challenge: false, ..OAuthOptions::default() }).await;
    let address = signing.sign_ins.begin(&signing.server(), None).await.unwrap();
    signing.finish(&signing.world.approve(&address).await).await.unwrap();
}

#[tokio::test]
async fn what_the_specification_forbids_is_refused() {
    let default = OAuthOptions::default;
    for (options, words) in [
        (OAuthOptions { pkce: None, ..default() }, "S256"),
        (OAuthOptions { pkce: Some("plain"), ..default() }, "S256"),
        (OAuthOptions { metadata: false, ..default() }, "none of those that the MCP server names"),
        (OAuthOptions { metadata: false, resource_metadata: false, ..default() }, "publishes no metadata"),
        (OAuthOptions { wrong_issuer: Some("https://evil.example"), ..default() }, "is that of https://evil.example"),
        (OAuthOptions { registration: false, ..default() }, "does not let clients register"),
    ] {
        let signing = Signing::with(options).await;
        assert_unusable(signing.begin().await, words);
        assert!(signing.world.requests_to("/register").is_empty());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_slow_is_not_waited_for() {
    let mut signing = Signing::with(OAuthOptions { slow: Duration::from_secs(60), ..OAuthOptions::default() }).await;
    signing.sign_ins = at(super::PUBLIC_URL, &signing.store, &signing.clock).limited_to(Duration::from_millis(300));
    assert_unusable(signing.begin().await, "did not answer within");
    let gone = server("http://127.0.0.1:9/mcp?key=hush");
    let error = signing.sign_ins.begin(&gone, None).await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:9 did not answer") && !error.contains("hush"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_told_in_one_line() {
    let signing = Signing::with(OAuthOptions::default()).await;
    let back = signing.world.deny(&signing.begin().await.unwrap()).await;
    let error = signing.finish(&back).await.unwrap_err();
    assert_eq!(error, SignInError::Denied { server: "work".into(), reason: "not today".into() });
    assert_eq!(signing.finish(&back).await.unwrap_err(), SignInError::UnknownState);
}

#[tokio::test]
async fn a_state_is_good_once_and_for_a_while() {
    let signing = Signing::with(OAuthOptions::default()).await;
    let back = signing.world.approve(&signing.begin().await.unwrap()).await;
    let mut guessed = callback(&back);
    guessed.state = SecretString::from("guessed");
    assert_eq!(signing.sign_ins.finish(guessed).await.unwrap_err(), SignInError::UnknownState);
    signing.finish(&back).await.unwrap();
    assert_eq!(signing.finish(&back).await.unwrap_err(), SignInError::UnknownState, "a second time");

    let late = signing.world.approve(&signing.begin().await.unwrap()).await;
    signing.clock.advance(LIFETIME);
    assert_eq!(signing.finish(&late).await.unwrap_err(), SignInError::UnknownState, "too late");

    let replaced = signing.world.approve(&signing.begin().await.unwrap()).await;
    // Somebody may be typing a password here while the next one is begun.
    let slow = signing.begin().await.unwrap();
    signing.begin().await.unwrap();
    assert_eq!(signing.finish(&replaced).await.unwrap_err(), SignInError::UnknownState, "begun again twice");
    signing.finish(&signing.world.approve(&slow).await).await.unwrap();
    assert_eq!(signing.world.requests_to("/token").len(), 2, "what is refused asks nobody");
}

#[tokio::test]
async fn an_answer_in_another_name_is_refused() {
    let wrong = Some("https://evil.example");
    for iss in [true, false] {
        let signing = Signing::with(OAuthOptions { wrong_iss: wrong, iss, ..OAuthOptions::default() }).await;
        let back = signing.world.approve(&signing.begin().await.unwrap()).await;
        assert_unusable(signing.finish(&back).await, "does not come from");
        let back = signing.world.deny(&signing.begin().await.unwrap()).await;
        assert_unusable(signing.finish(&back).await, "does not come from");
        assert!(signing.world.requests_to("/token").is_empty());
    }
    // Announced, and left out.
    let signing = Signing::with(OAuthOptions::default()).await;
    let mut back = signing.world.approve(&signing.begin().await.unwrap()).await;
    back.query.remove("iss");
    assert_unusable(signing.finish(&back).await, "does not come from");
    // Not announced, and left out.
    let signing = Signing::with(OAuthOptions { iss: false, ..OAuthOptions::default() }).await;
    signing.sign_in().await;
}

#[tokio::test]
async fn a_code_that_is_not_taken_gives_no_tokens() {
    let signing = Signing::with(OAuthOptions::default()).await;
    let mut back = signing.world.approve(&signing.begin().await.unwrap()).await;
    back.query.insert("code".into(), "another".into());
    let error = signing.finish(&back).await.unwrap_err();
    assert_eq!(error.to_string(), "work: the sign-in was refused: invalid_grant: invalid_grant of the test");
}

#[tokio::test]
async fn a_client_is_registered_once() {
    let mut signing = Signing::with(OAuthOptions::default()).await;
    signing.begin().await.unwrap();
    signing.sign_in().await;
    signing.restart();
    signing.sign_in().await;
    assert_eq!(signing.world.requests_to("/register").len(), 1);

    // The program has moved, and the old address would be refused.
    signing.sign_ins = at("http://127.0.0.1:9000", &signing.store, &signing.clock);
    signing.begin().await.unwrap();
    assert_eq!(signing.world.requests_to("/register").len(), 2);
}

#[tokio::test]
async fn a_client_that_was_forgotten_is_registered_again() {
    let mut signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    signing.restart();
    let back = signing.world.approve(&signing.begin().await.unwrap()).await;
    signing.world.forget_clients();
    assert!(matches!(signing.finish(&back).await, Err(SignInError::Denied { .. })));
    signing.sign_in().await;
    assert_eq!(signing.world.requests_to("/register").len(), 2);
}

#[tokio::test]
async fn a_document_is_used_if_it_is_at_an_https_address() {
    let mut signing = Signing::with(OAuthOptions { documents: true, ..OAuthOptions::default() }).await;
    signing.begin().await.unwrap();
    assert_eq!(signing.world.requests_to("/register").len(), 1, "not over http");

    signing.sign_ins = at("https://paw.example.org", &signing.store, &signing.clock);
    signing.sign_in().await;
    assert_eq!(signing.world.requests_to("/register").len(), 1);
    let exchange = signing.world.requests_to("/token").pop().unwrap();
    assert_eq!(exchange.form["client_id"], "https://paw.example.org/api/v1/mcp/oauth/client.json");

    // If they are no longer taken, it registers as what such an address is.
    signing.world.change(|options| options.documents = false);
    signing.begin().await.unwrap();
    let registration = signing.world.requests_to("/register").pop().unwrap();
    assert!(registration.body.contains(r#""application_type":"web""#), "{}", registration.body);
}
