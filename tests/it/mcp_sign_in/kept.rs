//! What becomes of tokens later.

use super::{OAuthOptions, SignInError, Signing, assert_unusable, at, name, server, tools};
use crate::support::oauth_server::OAuthWorld;
use crate::support::soon;
use pawport::domain::mcp::RemoteUrl;
use pawport::domain::mcp::connect::ConnectError;
use pawport::ports::mcp::{McpAuthorizer, McpServerStore};
use secrecy::SecretString;
use std::sync::atomic::Ordering;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn refusal(signing: &Signing) -> ConnectError {
    let client = signing.sign_ins.client(&signing.server(), reqwest::Client::new()).await;
    client.expect_err("no client")
}

fn unauthorized() -> ConnectError {
    ConnectError::Unauthorized { challenge: None }
}

#[tokio::test]
async fn nobody_signed_in_is_no_client() {
    let signing = Signing::with(OAuthOptions::default()).await;
    assert!(signing.sign_ins.client(&signing.server(), reqwest::Client::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end_and_after_a_restart() {
    let mut signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let first = signing.grant().await;
    let client = signing.client().await;
    let token = client.get_access_token().await.unwrap();
    signing.clock.advance(Duration::from_secs(3539));
    assert_eq!(client.get_access_token().await.unwrap(), token);
    assert_eq!(signing.renewals(), 0);

    signing.clock.advance(Duration::from_secs(1));
    assert_ne!(client.get_access_token().await.unwrap(), token);
    assert_eq!(signing.renewals(), 1);
    let renewal = signing.world.requests_to("/token").pop().unwrap();
    assert_eq!(renewal.form["resource"], signing.world.mcp_url());
    let second = signing.grant().await;
    assert_ne!(first["tokens"]["refresh_token"], second["tokens"]["refresh_token"]);

    signing.restart();
    signing.clock.advance(HOUR);
    assert_eq!(tools(signing.client().await, signing.world.mcp_url()).await.unwrap(), ["greet"]);
    assert_eq!(signing.renewals(), 2);
}

#[tokio::test]
async fn tokens_that_the_server_refuses_are_renewed() {
    for rotation in [true, false] {
        let signing = Signing::with(OAuthOptions { rotation, ..OAuthOptions::default() }).await;
        signing.sign_in().await;
        let client = signing.client().await;
        signing.world.expire_tokens();
        assert_eq!(tools(client, signing.world.mcp_url()).await.unwrap(), ["greet"]);
        assert_eq!(signing.renewals(), 1);
        assert!(signing.grant().await["tokens"]["refresh_token"].is_string());
    }
}

#[tokio::test]
async fn two_connections_renew_once() {
    for rotation in [true, false] {
        let slow = Duration::from_millis(100);
        let signing = Signing::with(OAuthOptions { rotation, slow, ..OAuthOptions::default() }).await;
        signing.sign_in().await;
        let (live, test) = (signing.client().await, signing.client().await);
        signing.clock.advance(HOUR);
        let (one, other) = tokio::join!(live.get_access_token(), test.get_access_token());
        assert_eq!(one.unwrap(), other.unwrap());
        assert_eq!(signing.renewals(), 1);

        signing.world.expire_tokens();
        let url = signing.world.mcp_url();
        let (one, other) = tokio::join!(tools(live, url), tools(test, url));
        assert_eq!((one.unwrap(), other.unwrap()), (vec!["greet".to_owned()], vec!["greet".to_owned()]));
        assert_eq!(signing.renewals(), 2);
    }
}

#[tokio::test]
async fn a_renewal_that_nobody_waits_for_is_stored() {
    let slow = Duration::from_millis(200);
    let signing = Signing::with(OAuthOptions { slow, ..OAuthOptions::default() }).await;
    signing.sign_in().await;
    let client = signing.client().await;
    signing.clock.advance(HOUR);
    let before = signing.grant().await;
    let given_up = tokio::time::timeout(Duration::from_millis(50), client.get_access_token()).await;
    assert!(given_up.is_err());
    drop(client);
    soon(async {
        while signing.grant().await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(tools(signing.client().await, signing.world.mcp_url()).await.unwrap(), ["greet"]);
    assert_eq!(signing.renewals(), 1);
}

#[tokio::test]
async fn who_was_signed_out_elsewhere_signs_in_again() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let live = signing.client().await;
    signing.world.end_sign_ins();
    signing.clock.advance(HOUR);
    assert_eq!(refusal(&signing).await, unauthorized());
    assert_eq!(refusal(&signing).await, unauthorized());
    assert_eq!(signing.renewals(), 1, "a dead token is not tried again");
    let error = tools(live, signing.world.mcp_url()).await.unwrap_err();
    assert!(error.to_lowercase().contains("auth"), "{error}");
    let grant = signing.grant().await;
    assert!(grant["tokens"].is_null() && grant["client"]["id"].is_string(), "the client is still good");
    signing.sign_in().await;
    assert_eq!(signing.world.requests_to("/register").len(), 1);
    assert_eq!(tools(signing.client().await, signing.world.mcp_url()).await.unwrap(), ["greet"]);
}

#[tokio::test]
async fn a_client_that_was_forgotten_ends_the_sign_in() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    signing.world.forget_clients();
    signing.clock.advance(HOUR);
    assert_eq!(refusal(&signing).await, unauthorized());
    assert!(signing.grant().await["client"].is_null());
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_later() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let client = signing.client().await;
    signing.clock.advance(HOUR);
    for error in [(503, "temporarily_unavailable"), (500, "server_error"), (429, "slow_down")] {
        signing.world.change(|options| options.token_error = Some(error));
        let refused = refusal(&signing).await;
        assert!(matches!(&refused, ConnectError::Lost(words) if words.contains(error.1)), "{refused}");
        assert!(client.get_access_token().await.unwrap_err().to_string().contains(error.1));
    }
    signing.world.change(|options| options.token_error = None);
    client.get_access_token().await.unwrap();
}

#[tokio::test]
async fn a_storage_that_fails_signs_nobody_out() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let client = signing.client().await;
    signing.store.is_down.store(true, Ordering::SeqCst);
    assert!(matches!(refusal(&signing).await, ConnectError::Lost(_)));
    let error = client.get_access_token().await.unwrap_err();
    assert!(error.to_string().contains("storage"), "{error}");
    signing.store.is_down.store(false, Ordering::SeqCst);

    // What it does not take is kept until it does.
    let before = signing.grant().await;
    signing.clock.advance(HOUR);
    signing.store.is_read_only.store(true, Ordering::SeqCst);
    let renewed = client.get_access_token().await.unwrap();
    assert_eq!(signing.client().await.get_access_token().await.unwrap(), renewed);
    signing.clock.advance(HOUR);
    let again = signing.client().await.get_access_token().await.unwrap();
    assert_ne!(again, renewed);
    assert_eq!(signing.grant().await, before);
    signing.store.is_read_only.store(false, Ordering::SeqCst);
    assert_eq!(client.get_access_token().await.unwrap(), again);
    assert_eq!(signing.grant().await["tokens"]["access_token"], again);
    assert_eq!(signing.renewals(), 2);
}

#[tokio::test]
async fn without_a_refresh_token_the_end_is_the_end() {
    let signing = Signing::with(OAuthOptions { refresh_tokens: false, ..OAuthOptions::default() }).await;
    signing.sign_in().await;
    assert_eq!(tools(signing.client().await, signing.world.mcp_url()).await.unwrap(), ["greet"]);
    signing.clock.advance(HOUR);
    assert_eq!(refusal(&signing).await, unauthorized());
}

#[tokio::test]
async fn a_secret_of_the_client_is_kept() {
    for secret_in_body in [true, false] {
        let options = OAuthOptions { confidential: true, secret_in_body, ..OAuthOptions::default() };
        let mut signing = Signing::with(options).await;
        signing.sign_in().await;
        signing.restart();
        signing.clock.advance(HOUR);
        signing.client().await;
        assert_eq!(signing.renewals(), 1);
        signing.sign_in().await;
        assert_eq!(signing.world.requests_to("/register").len(), 1);
        let grant = signing.store.sign_in(&name()).await.unwrap().unwrap();
        signing.sign_ins.revoke(signing.server().transport.url().unwrap(), &grant).await.unwrap();
    }
}

#[tokio::test]
async fn what_another_product_left_goes_on() {
    let signing = Signing::with(OAuthOptions { confidential: true, ..OAuthOptions::default() }).await;
    signing.sign_in().await;
    let grant = signing.grant().await;
    let import = serde_json::json!({
        "tokens": {
            "access_token": grant["tokens"]["access_token"], "token_type": "Bearer", "expires_in": 3600,
            "scope": "tools", "refresh_token": grant["tokens"]["refresh_token"],
        },
        "client_info": {
            "client_id": grant["client"]["id"], "client_secret": grant["client"]["secret"],
            "redirect_uris": ["http://localhost:8888/callback"],
        },
    });
    signing.store.import(&import.to_string());
    signing.clock.advance(10 * HOUR);
    let url = signing.world.mcp_url();
    assert_eq!(tools(signing.client().await, url).await.unwrap(), ["greet"]);
    assert_eq!(signing.renewals(), 0, "it is tried first");
    signing.world.expire_tokens();
    assert_eq!(tools(signing.client().await, url).await.unwrap(), ["greet"]);
    assert_eq!(signing.renewals(), 1);
    assert_eq!(signing.grant().await["issuer"], signing.world.issuer());

    signing.store.import(&import.to_string());
    signing.sign_ins.revoke(&RemoteUrl::parse(url).unwrap(), &SecretString::from(import.to_string())).await.unwrap();
    assert_eq!(signing.world.revoked().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_signed_in_again() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.store.import("scribble");
    assert_eq!(refusal(&signing).await, unauthorized());
    signing.sign_in().await;
    signing.client().await;
}

#[tokio::test]
async fn tokens_go_to_no_other_address() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let grant = signing.grant().await.to_string();
    let live = signing.client().await;
    let other = OAuthWorld::start(OAuthOptions::default()).await;
    // Even if the storage gave what belongs to another address.
    signing.store.replace(server(other.mcp_url()));
    signing.store.import(&grant);
    let client = signing.sign_ins.client(&server(other.mcp_url()), reqwest::Client::new()).await.unwrap();
    assert!(client.is_none());

    // Nor do the new tokens go to the old address, where a connection may still be open.
    let address = signing.sign_ins.begin(&server(other.mcp_url()), None).await.unwrap();
    let signed_in = signing.finish(&other.approve(&address).await).await.unwrap();
    assert!(signing.store.set_sign_in(&signed_in, None).await.unwrap());
    assert!(tools(live, signing.world.mcp_url()).await.is_err());
    assert!(signing.world.requests_to("/mcp").iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn a_server_that_trusts_somebody_else_gets_no_refresh_token() {
    let signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let mut grant = signing.grant().await;
    grant["issuer"] = "https://as.example".into();
    signing.store.import(&grant.to_string());
    signing.clock.advance(HOUR);
    assert_eq!(refusal(&signing).await, unauthorized());
    assert_eq!(signing.renewals(), 0);
}

#[tokio::test]
async fn who_signs_out_during_a_renewal_stays_out() {
    let slow = Duration::from_millis(200);
    let signing = Signing::with(OAuthOptions { slow, ..OAuthOptions::default() }).await;
    signing.sign_in().await;
    let client = signing.client().await;
    signing.clock.advance(HOUR);
    let sign_out = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        signing.store.sign_out();
    };
    let (_, ()) = tokio::join!(client.get_access_token(), sign_out);
    assert!(signing.store.sign_in(&name()).await.unwrap().is_none());
}

#[tokio::test]
async fn tokens_are_given_back() {
    let mut signing = Signing::with(OAuthOptions::default()).await;
    signing.sign_in().await;
    let grant = signing.grant().await;
    let text = SecretString::from(grant.to_string());
    let url = RemoteUrl::parse(signing.world.mcp_url()).unwrap();
    signing.restart();
    signing.sign_ins.revoke(&url, &text).await.unwrap();
    let tokens = &grant["tokens"];
    assert_eq!(
        signing.world.revoked(),
        [tokens["refresh_token"].as_str().unwrap(), tokens["access_token"].as_str().unwrap()]
    );
    assert!(tools(signing.client().await, signing.world.mcp_url()).await.is_err());

    signing.world.change(|options| options.revocation = false);
    assert_unusable(signing.sign_ins.revoke(&url, &text).await, "404");
    assert!(matches!(signing.sign_ins.revoke(&url, &SecretString::from("?")).await, Err(SignInError::Unusable(_))));
    signing.sign_in().await;
    let text = SecretString::from(signing.grant().await.to_string());
    signing.sign_ins.revoke(&url, &text).await.unwrap();
    let limited = at(super::PUBLIC_URL, &signing.store, &signing.clock);
    limited.revoke(&url, &text).await.unwrap();
    assert_eq!(signing.world.revoked().len(), 2, "who does not take them back is not asked");
}
