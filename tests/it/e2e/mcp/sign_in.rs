//! Signing in to a remote server, from the list of servers over the browser to the first call of a tool.

use super::*;
use crate::e2e::client::Stream;
use crate::e2e::secrets::content_of;
use crate::support::oauth_server::{BroughtBack, OAuthOptions, OAuthWorld};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A program that uses servers which want users to sign in; everything it answers is kept.
struct Signing {
    place: Place,
    world: OAuthWorld,
    answers: Mutex<String>,
    brought: Mutex<Vec<BroughtBack>>,
}

impl Signing {
    async fn new() -> Self {
        let world = OAuthWorld::start(OAuthOptions::default()).await;
        Self { place: Place::new(), world, answers: Mutex::default(), brought: Mutex::default() }
    }

    /// It says everything that it can.
    fn serve(&self) -> Paw {
        Paw::of(&self.place, self.place.serve(&["--log", "trace"]))
    }

    fn settings(&self) -> Value {
        json!({ "name": "remote", "transport": "http", "url": self.world.mcp_url() })
    }

    fn keep(&self, answer: &str) {
        self.answers.lock().unwrap().push_str(answer);
    }

    /// Where the user has to go, once that is known and is not `before`.
    async fn auth_url(&self, paw: &Paw, before: &str) -> String {
        let is_new = |status: &Value| status["auth_url"].as_str().is_some_and(|url| url != before);
        let status = paw.until("remote", "wants another sign-in", is_new).await;
        self.keep(&status.to_string());
        assert_eq!((&status["state"], &status["connected"]), (&json!("needs_auth"), &json!(false)));
        status["auth_url"].as_str().unwrap().to_owned()
    }

    async fn approve(&self, auth_url: &str) -> BroughtBack {
        let brought = self.world.approve(auth_url).await;
        self.brought.lock().unwrap().push(brought.clone());
        brought
    }

    /// The browser goes where it is sent, without any credential of ours. Gives status and page.
    async fn browse(&self, address: &str) -> (u16, String) {
        let browser = reqwest::Client::builder().no_proxy().build().unwrap();
        let page = browser.get(address).timeout(PATIENCE).send().await.unwrap();
        let status = page.status().as_u16();
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        let text = page.text().await.unwrap();
        self.keep(&text);
        (status, text)
    }

    async fn sign_in(&self, paw: &Paw) {
        let url = self.auth_url(paw, "").await;
        let brought = self.approve(&url).await;
        let (status, page) = self.browse(&brought.address).await;
        assert_eq!(status, 200, "{page}");
        self.keep(&paw.connected("remote").await.to_string());
    }

    async fn greet(&self, paw: &Paw) {
        assert_eq!(paw.say("remote", "greet", json!({})).await, "hello");
    }

    /// How often users were sent to the authorization server, and how often tokens were renewed.
    fn visits_and_renewals(&self) -> (usize, usize) {
        let renewals = self.world.requests_to("/token");
        let renewals = renewals.iter().filter(|seen| seen.form["grant_type"] == "refresh_token").count();
        (self.world.requests_to("/authorize").len(), renewals)
    }

    /// Whatever lets somebody in, as the two servers saw it.
    fn secrets(&self) -> BTreeSet<String> {
        let mut secrets = BTreeSet::new();
        for seen in self.world.requests() {
            let header = seen.authorization.as_deref().and_then(|header| header.split_once(' '));
            secrets.extend(header.map(|(_, token)| token.to_owned()));
            let in_form = ["code", "code_verifier", "refresh_token", "token", "client_secret"];
            secrets.extend(in_form.iter().filter_map(|name| seen.form.get(*name).cloned()));
        }
        secrets.extend(self.world.revoked());
        secrets.extend(self.brought.lock().unwrap().iter().filter_map(|brought| brought.query.get("code").cloned()));
        secrets
    }
}

#[tokio::test]
async fn a_sign_in_from_beginning_to_end() {
    let signing = Signing::new().await;
    let paw = signing.serve();
    let mut stream = Stream::open(paw.client.request(Method::GET, "/api/v1/events/stream")).await;
    assert_eq!(stream.next().await.unwrap().name, "connected");
    paw.add(&signing.settings()).await;

    let told = loop {
        let event = stream.next().await.unwrap();
        signing.keep(&event.data.to_string());
        if event.name == "mcp_oauth_redirect" {
            break event.data;
        }
        assert_eq!(event.name, "mcp_status");
    };
    let url = signing.auth_url(&paw, "").await;
    assert_eq!(told, json!({ "event": "mcp_oauth_redirect", "data": { "server": "remote", "url": url } }));
    assert!(url.starts_with(signing.world.issuer()), "{url}");
    let refused = refusal(&paw.call("remote", "greet", json!({})).await, 409);
    assert_eq!(refused, "server 'remote' is not connected: it wants you to sign in first");

    let brought = signing.approve(&url).await;
    let callback = format!("http://{}/api/mcp/oauth/callback?", paw.server.address);
    assert!(brought.address.starts_with(&callback), "{brought:?}");
    let (status, page) = signing.browse(&brought.address).await;
    assert!(status == 200 && page.contains("You are signed in to remote."), "{page}");
    let connected = paw.connected("remote").await;
    assert_eq!((&connected["tool_count"], &connected["auth_url"]), (&json!(1), &json!(null)));
    signing.greet(&paw).await;
    let event = loop {
        let event = stream.next().await.unwrap();
        signing.keep(&event.data.to_string());
        if event.data["data"]["state"] == "connected" {
            break event;
        }
    };
    assert_eq!((event.name.as_str(), &event.data["data"]["name"]), ("mcp_status", &json!("remote")));

    // A state is good once.
    let (status, page) = signing.browse(&brought.address).await;
    assert!(status == 400 && page.contains("OAuth flow expired or not found"), "{page}");
    signing.greet(&paw).await;
    assert_eq!(signing.visits_and_renewals(), (1, 0));

    // A restart, as an update does it: the user is still signed in.
    drop(stream);
    let mut logs = paw.server.stop().stderr;
    let paw = signing.serve();
    paw.connected("remote").await;
    signing.greet(&paw).await;
    assert_eq!(signing.visits_and_renewals(), (1, 0));

    // Access tokens end, and nobody notices.
    signing.world.expire_tokens();
    eventually("it works with a new token", async || {
        let called = paw.call("remote", "greet", json!({})).await;
        (called.status == 200).then_some(())
    })
    .await;
    assert_eq!(signing.visits_and_renewals(), (1, 1));
    assert_eq!(paw.client.audited("mcp_signed_in").await.len(), 1);

    // Signing out.
    let name = json!({ "name": "remote" });
    let out = paw.client.post("/api/v1/mcp/oauth/revoke", &name).await.json();
    assert_eq!(out, json!({ "status": "ok", "signed_out": true }));
    assert_eq!(signing.world.revoked().len(), 2, "both tokens");
    let url = signing.auth_url(&paw, "").await;
    let out = paw.client.post("/api/v1/mcp/oauth/revoke", &name).await.json();
    assert_eq!(out, json!({ "status": "ok", "signed_out": false }));

    // In again, and the server is removed.
    let brought = signing.approve(&url).await;
    assert_eq!(signing.browse(&brought.address).await.0, 200);
    paw.connected("remote").await;
    signing.greet(&paw).await;
    assert_eq!(paw.remove("remote").await.json()["status"], "ok");
    assert_eq!(signing.world.revoked().len(), 4);
    signing.keep(&paw.client.get("/api/v1/audit?limit=1000").await.text);

    // Nobody gets to see what was used.
    let secrets = signing.secrets();
    assert!(secrets.len() >= 10, "{secrets:?}");
    let in_files = content_of(&signing.place.data_dir());
    logs.push_str(&paw.server.stop().stderr);
    let answers = signing.answers.lock().unwrap().clone();
    for secret in &secrets {
        assert!(!answers.contains(secret), "an answer has {secret}");
        let line = logs.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "the log has {secret}: {line:?}");
        for (file, bytes) in in_files.iter().chain(&content_of(&signing.place.data_dir())) {
            let is_there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!is_there, "{file} has {secret}");
        }
    }
}

#[tokio::test]
async fn whoever_refuses_or_comes_with_a_wrong_state_is_not_signed_in_and_may_try_again() {
    let signing = Signing::new().await;
    let paw = signing.serve();
    paw.add(&signing.settings()).await;
    let url = signing.auth_url(&paw, "").await;

    let brought = signing.approve(&url).await;
    let state = &brought.query["state"];
    for wrong in [brought.address.replace(state.as_str(), "somebody-elses-state-0123456789"), {
        let (base, _) = brought.address.split_once('?').unwrap();
        format!("{base}?state={state}")
    }] {
        let (status, page) = signing.browse(&wrong).await;
        assert!(status == 400 && page.contains("Not signed in"), "{page}");
    }
    assert_eq!(paw.status("remote").await["state"], "needs_auth");
    assert!(signing.world.requests_to("/token").is_empty(), "nothing was exchanged");
    // That of the user still works.
    assert_eq!(signing.browse(&brought.address).await.0, 200);
    paw.connected("remote").await;
    paw.client.post("/api/v1/mcp/oauth/revoke", &json!({ "name": "remote" })).await.json();

    let url = signing.auth_url(&paw, &url).await;
    let refused = signing.world.deny(&url).await;
    let (status, page) = signing.browse(&refused.address).await;
    assert!(status == 400 && page.contains("refused") && page.contains("today"), "{page}");
    // The address was good once, so there is another.
    let again = signing.auth_url(&paw, &url).await;
    let brought = signing.approve(&again).await;
    assert_eq!(signing.browse(&brought.address).await.0, 200);
    paw.connected("remote").await;
    signing.greet(&paw).await;
    paw.server.stop();
}

#[tokio::test]
async fn who_is_signed_out_elsewhere_has_to_sign_in_again() {
    let signing = Signing::new().await;
    let paw = signing.serve();
    paw.add(&signing.settings()).await;
    signing.sign_in(&paw).await;
    signing.world.end_sign_ins();
    // The next call finds out.
    let _ = paw.call("remote", "greet", json!({})).await;
    signing.sign_in(&paw).await;
    signing.greet(&paw).await;

    // Another address is another server: nobody is signed in there.
    let other = OAuthWorld::start(OAuthOptions::default()).await;
    paw.add(&json!({ "name": "remote", "transport": "http", "url": other.mcp_url() })).await;
    let url = signing.auth_url(&paw, "").await;
    assert!(url.starts_with(other.issuer()), "{url}");
    let sent: Vec<_> = other.requests().into_iter().filter_map(|seen| seen.authorization).collect();
    assert_eq!(sent, [""; 0]);
    paw.server.stop();
}
