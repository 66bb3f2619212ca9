//! Signing a native app in: the owner's consent, codes, access tokens, refresh tokens.

mod endings;

use super::{assert_unwritten, code as pairing_code, credential, is_good, key, log, me, session, text, with_cookie};
use crate::support::{MASTER_TOKEN, Response, TestApp, User};
use axum::http::Method;
use endings::assert_over;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CLIENT: &str = "pocketpaw-desktop";
const REDIRECT: &str = "http://localhost:53682";
const STATE: &str = "a+b/c= &é";

const PAGE: &str = "/api/v1/oauth/authorize";
const DESCRIPTION: &str = "/api/v1/oauth/authorize/request";
const CONSENT: &str = "/api/v1/oauth/authorize/consent";
const TOKEN: &str = "/api/v1/oauth/token";
const REVOKE: &str = "/api/v1/oauth/revoke";

const INVALID: &str = "Invalid authorization request";
const STALE: &str = "the page is out of date; start signing in from the app again";

const ALL_BUT_ADMIN: [&str; 6] = ["channels", "chat", "memory", "sessions", "settings:read", "settings:write"];

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

/// The parameters of a request.
#[derive(Debug, Clone)]
struct Asked(BTreeMap<&'static str, String>);

/// What the desktop client asks for.
fn asked() -> Asked {
    let members = [
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "admin"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", STATE),
    ];
    Asked(members.map(|(name, value)| (name, value.to_owned())).into())
}

impl Asked {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.insert(name, value.to_owned());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    fn at(&self, path: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        format!("{path}?{query}")
    }

    async fn description(&self, user: &User) -> Value {
        user.get(&self.at(DESCRIPTION)).await.assert_status(200).json()
    }

    fn answer(&self, form_token: &str, decision: &str) -> Value {
        let mut body = json!(self.0);
        body["form_token"] = json!(form_token);
        body["decision"] = json!(decision);
        body
    }

    /// What the script of the page does when a button is pressed.
    async fn decide(&self, user: &User, decision: &str, admin: bool) -> Response {
        let form_token = text(&self.description(user).await["form_token"]);
        let mut body = self.answer(&form_token, decision);
        body["admin"] = json!(admin);
        user.post(CONSENT, body).await
    }

    async fn code(&self, user: &User) -> String {
        arrived(self.decide(user, "allow", false).await.assert_status(200)).remove("code").expect("a code")
    }
}

/// What the app's address is called with.
#[track_caller]
fn arrived(answer: &Response) -> BTreeMap<String, String> {
    let redirect = text(&answer.json()["redirect"]);
    let (address, query) = redirect.split_once('?').expect("a query");
    assert_eq!(address, REDIRECT);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[derive(Debug, Clone)]
struct Pair {
    access: String,
    refresh: String,
}

#[track_caller]
fn pair(answer: &Response) -> Pair {
    let pair = answer.assert_status(200).json();
    Pair { access: text(&pair["access_token"]), refresh: text(&pair["refresh_token"]) }
}

fn exchange_of(code: &str) -> Value {
    json!({
        "grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "client_id": CLIENT,
        "redirect_uri": REDIRECT,
    })
}

fn refresh_of(token: &str) -> Value {
    json!({ "grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT })
}

async fn post(app: &TestApp, path: &str, body: Value) -> Response {
    app.anonymous().post(path, body).await
}

async fn exchanged(app: &TestApp, code: &str) -> Response {
    post(app, TOKEN, exchange_of(code)).await
}

async fn refreshed(app: &TestApp, token: &str) -> Response {
    post(app, TOKEN, refresh_of(token)).await
}

/// An app that was allowed, and its code, which is spent.
async fn signed_in(app: &TestApp, user: &User) -> (String, Pair) {
    let code = asked().code(user).await;
    let pair = pair(&exchanged(app, &code).await);
    (code, pair)
}

/// The entries of the audit log about this, newest first.
async fn entries(app: &TestApp, action: &str) -> Vec<Value> {
    log(app).await.into_iter().filter(|entry| entry["action"] == action).collect()
}

#[tokio::test]
async fn the_desktop_client_signs_in() {
    let app = TestApp::new();
    let owner = app.token_user();
    let page = app.anonymous().get(&asked().at(PAGE)).await;
    assert!(page.assert_status(200).header("content-type").starts_with("text/html"));
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(!page.text().contains(REDIRECT) && !page.text().contains(CHALLENGE), "a page without data");
    app.anonymous().get("/static/consent.js").await.assert_status(200);

    let answer = owner.get(&asked().at(DESCRIPTION)).await;
    let form_token = text(&answer.json()["form_token"]);
    answer.assert_json(
        200,
        &json!({
            "client_id": CLIENT, "redirect_uri": REDIRECT, "scopes": ALL_BUT_ADMIN, "wants_admin": true,
            "form_token": form_token,
        }),
    );
    let allowed = owner.post(CONSENT, asked().answer(&form_token, "allow")).await;
    let mut given = arrived(allowed.assert_status(200));
    let code = given.remove("code").expect("a code");
    assert_eq!(given, BTreeMap::from([("state".to_owned(), STATE.to_owned())]));

    let answer = exchanged(&app, &code).await;
    let first = pair(&answer);
    let fields = |pair: &Pair| {
        json!({
            "access_token": pair.access, "refresh_token": pair.refresh, "token_type": "Bearer", "expires_in": 3600,
            "scope": ALL_BUT_ADMIN.join(" "),
        })
    };
    answer.assert_json(200, &fields(&first));
    assert!(first.access.starts_with("ppat_") && first.refresh.starts_with("pprt_"), "{first:?}");
    let shown = me(&app, &first.access).await;
    assert_eq!((&shown["kind"], &shown["scopes"]), (&json!("app"), &json!(ALL_BUT_ADMIN)));
    let user = app.user_with(&first.access);
    user.get("/api/v1/sessions").await.assert_status(200);
    let refused = user.get("/api/v1/audit").await;
    assert!(refused.assert_status(403).text().contains("issing required scope: admin"), "{refused:?}");

    app.pass(55 * MINUTE);
    let answer = refreshed(&app, &first.refresh).await;
    let second = pair(&answer);
    answer.assert_json(200, &fields(&second));
    assert!(second.access != first.access && second.refresh != first.refresh);
    assert!(!is_good(&app, &first.access).await, "the next one takes its place");
    app.pass((60 * MINUTE).saturating_sub(MOMENT));
    assert!(is_good(&app, &second.access).await);
    app.pass(MOMENT);
    assert!(!is_good(&app, &second.access).await);
    // What gets tokens opens nothing.
    for token in [&code, &second.refresh, &form_token] {
        assert!(!is_good(&app, token).await);
        post(&app, "/api/v1/auth/login", json!({ "token": token })).await.assert_status(401);
    }
}

/// As RFC 6749 has it.
#[tokio::test]
async fn tokens_are_got_and_ended_with_forms_too() {
    let app = TestApp::new();
    let form = async |path: &str, members: Value| {
        let members = members.as_object().expect("members").clone().into_iter();
        let members = members.map(|(name, value)| (name, text(&value)));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
        let call = app.anonymous().call(Method::POST, path);
        call.header("content-type", "application/x-www-form-urlencoded; charset=UTF-8").body(body).send().await
    };
    let code = asked().code(&app.token_user()).await;
    let first = pair(&form(TOKEN, exchange_of(&code)).await);
    let second = pair(&form(TOKEN, refresh_of(&first.refresh)).await);
    assert!(is_good(&app, &second.access).await);
    form(TOKEN, json!({ "grant_type": "refresh_token" })).await.assert_status(422);
    form(REVOKE, json!({ "token": second.refresh })).await.assert_json(200, &json!({ "revoked": true }));
    assert_over(&app, &second).await;
    let text = app.anonymous().call(Method::POST, TOKEN).header("content-type", "text/plain").body("x");
    text.send().await.assert_status(415);
}

#[tokio::test]
async fn a_denial_is_told_to_the_app() {
    let app = TestApp::new();
    let answer = asked().decide(&app.token_user(), "deny", true).await;
    let wanted = [("error", "access_denied"), ("state", STATE)].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(arrived(answer.assert_status(200)), BTreeMap::from(wanted));
    let entry = log(&app).await.remove(0);
    assert_eq!((&entry["action"], &entry["target"]), (&json!("app_denied"), &json!(CLIENT)));
    asked().decide(&app.token_user(), "perhaps", false).await.assert_status(422);
}

#[tokio::test]
async fn an_app_gets_admin_only_if_the_owner_says_so() {
    let app = TestApp::new();
    let owner = app.token_user();
    for (scope, admin, given) in [
        ("admin", true, vec!["admin"]),
        ("admin", false, ALL_BUT_ADMIN.to_vec()),
        ("admin chat", false, ALL_BUT_ADMIN.to_vec()),
        ("chat memory", true, vec!["chat", "memory"]),
        ("", true, vec!["chat", "sessions"]),
    ] {
        let asked = asked().with("scope", scope);
        assert_eq!(asked.description(&owner).await["wants_admin"], json!(scope.starts_with("admin")));
        let code = arrived(&asked.decide(&owner, "allow", admin).await).remove("code").expect("a code");
        let answer = exchanged(&app, &code).await;
        assert_eq!(answer.json()["scope"], json!(given.join(" ")), "{scope}");
        // Refreshing gives no more.
        let answer = refreshed(&app, &pair(&answer).refresh).await;
        let access = pair(&answer).access;
        assert_eq!(me(&app, &access).await["scopes"], json!(given));
        let status = app.user_with(&access).get("/api/v1/audit").await.status();
        assert_eq!(status == 200, given == ["admin"], "{scope}: {status}");
    }
    let asked = asked().without("scope").without("state").without("response_type").without("code_challenge_method");
    assert_eq!(asked.description(&owner).await["scopes"], json!(["chat", "sessions"]));
}

/// Neither the page nor the answer sends anybody anywhere, whatever the decision.
#[tokio::test]
async fn a_request_that_is_not_in_order_goes_nowhere() {
    let app = TestApp::new();
    let owner = app.token_user();
    let form_token = text(&asked().description(&owner).await["form_token"]);
    let mut wrong = vec![
        asked().with("client_id", "someone"),
        asked().with("client_id", ""),
        asked().without("client_id"),
        asked().without("redirect_uri"),
        asked().without("code_challenge"),
        asked().with("code_challenge", "x"),
        asked().with("code_challenge", &format!("{CHALLENGE}A")),
        asked().with("code_challenge", &CHALLENGE.replace('-', "+")),
        asked().with("code_challenge_method", "plain"),
        asked().with("code_challenge_method", ""),
        asked().with("response_type", "token"),
        asked().with("scope", "root"),
        asked().with("state", &"x".repeat(513)),
    ];
    wrong.extend(
        [
            "",
            "https://evil.example",
            "http://evil.example:53682",
            "http://localhost",
            "http://localhost:",
            "http://localhost:0",
            "http://localhost:65536",
            "http://localhost:+80",
            "http://localhost:80/callback",
            "http://localhost:80//",
            "http://localhost:80/?x=1",
            "http://localhost:80?x=1",
            "http://localhost:80#x",
            "http://localhost:80@evil.example",
            "http://localhost:80@evil.example:80",
            "http://localhost.evil.example:80",
            "http://evil.example#localhost:80",
            "http://evil.example/localhost:80",
            "http://evil.example\\@localhost:80",
            "http://LOCALHOST:80",
            "https://localhost:80",
            "javascript://localhost:80",
            "http://127.0.0.2:80",
            "http://localhost:80\r\nx: y",
            " http://localhost:80",
            "tauri://oauth-callback/x",
            "tauri://oauth-callback?x",
            "http://localhost:1420/oauth-callback/",
        ]
        .map(|redirect| asked().with("redirect_uri", redirect)),
    );
    for asked in wrong {
        for user in [app.anonymous(), app.token_user()] {
            let page = user.get(&asked.at(PAGE)).await;
            page.assert_error(400, INVALID);
            assert!(!page.headers().contains_key("location"));
        }
        owner.get(&asked.at(DESCRIPTION)).await.assert_error(400, INVALID);
        for decision in ["allow", "deny"] {
            let answer = owner.post(CONSENT, asked.answer(&form_token, decision)).await;
            assert!(matches!(answer.status().as_u16(), 400 | 422), "{asked:?}: {answer:?}");
            assert!(!answer.headers().contains_key("location") && !answer.text().contains("redirect\":"));
        }
    }
    for redirect in [
        "tauri://oauth-callback",
        "http://localhost:1420/oauth-callback",
        "http://localhost:1/",
        "http://127.0.0.1:65535",
        "http://[::1]:8000/",
    ] {
        let asked = asked().with("redirect_uri", redirect);
        assert_eq!(asked.description(&owner).await["redirect_uri"], redirect);
        let answer = asked.decide(&owner, "deny", false).await.assert_status(200).json();
        assert!(text(&answer["redirect"]).starts_with(&format!("{redirect}?error=access_denied&")), "{answer}");
    }
}

#[tokio::test]
async fn consent_is_given_by_an_owner_on_our_page_for_this_request() {
    let app = TestApp::new();
    let (owner, other) = (app.token_user(), key(&app, &["admin"]).await);
    let weak = key(&app, &["chat", "sessions"]).await;
    let form_token = text(&asked().description(&owner).await["form_token"]);
    let of_other = text(&asked().description(&app.user_with(&other.token)).await["form_token"]);
    let elsewhere = asked().with("redirect_uri", "http://localhost:53683");
    let of_elsewhere = text(&elsewhere.description(&owner).await["form_token"]);
    for decision in ["allow", "deny"] {
        let body = asked().answer(&form_token, decision);
        app.anonymous().post(CONSENT, body.clone()).await.assert_error(401, "Unauthorized");
        let answer = app.user_with(&weak.token).post(CONSENT, body.clone()).await;
        answer.assert_error(403, "API key missing required scope: admin");
        let cookie = session(&app, MASTER_TOKEN).await;
        for foreign in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
            let call = with_cookie(app.anonymous().call(Method::POST, CONSENT), &cookie).header(foreign.0, foreign.1);
            let answer = call.json(&body).send().await;
            assert!(answer.assert_status(403).text().contains("A page of another origin"));
        }
        app.user_with(&other.token).post(CONSENT, body).await.assert_error(403, STALE);
        for wrong in ["", "x", "é", &of_other, &of_elsewhere, &form_token[1..], MASTER_TOKEN] {
            owner.post(CONSENT, asked().answer(wrong, decision)).await.assert_error(403, STALE);
        }
        let changes = [
            ("scope", "chat"),
            ("state", "x"),
            ("redirect_uri", "http://localhost:53682/"),
            ("code_challenge", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ];
        for (name, value) in changes {
            let body = asked().with(name, value).answer(&form_token, decision);
            owner.post(CONSENT, body).await.assert_error(403, STALE);
        }
    }
    app.anonymous().get(&asked().at(DESCRIPTION)).await.assert_error(401, "Unauthorized");
    app.user_with(&weak.token).get(&asked().at(DESCRIPTION)).await.assert_status(403);
    assert_eq!((entries(&app, "app_allowed").await.len(), entries(&app, "app_denied").await.len()), (0, 0));
}

#[tokio::test]
async fn what_gets_no_tokens_is_told_why() {
    let app = TestApp::new();
    let code = asked().code(&app.token_user()).await;
    let (_, pair) = signed_in(&app, &app.token_user()).await;
    let pairing = pairing_code(&app.token_user()).await;
    let with = |mut body: Value, name: &str, value: &str| {
        body[name] = json!(value);
        body
    };
    let exchange = |name, value| with(exchange_of(&code), name, value);
    let refresh = |name, value| with(refresh_of(&pair.refresh), name, value);
    let long = "x".repeat(64 * 1024);
    let cases = [
        (exchange("code", "x"), "invalid_code"),
        (exchange("code", ""), "invalid_code"),
        (exchange("code", &pair.refresh), "invalid_code"),
        (exchange("code", &pair.access), "invalid_code"),
        (exchange("code", &pairing), "invalid_code"),
        (exchange("code", MASTER_TOKEN), "invalid_code"),
        (exchange("code", &long), "invalid_code"),
        (exchange("client_id", "someone"), "client_mismatch"),
        (exchange("redirect_uri", "http://localhost:53683"), "redirect_uri_mismatch"),
        (exchange("redirect_uri", "http://localhost:53682/"), "redirect_uri_mismatch"),
        (exchange("redirect_uri", ""), "redirect_uri_mismatch"),
        (exchange("code_verifier", CHALLENGE), "invalid_code_verifier"),
        (exchange("code_verifier", ""), "invalid_code_verifier"),
        (exchange("code_verifier", &long), "invalid_code_verifier"),
        (exchange("grant_type", "password"), "unsupported_grant_type"),
        (exchange("grant_type", ""), "unsupported_grant_type"),
        (exchange("grant_type", "refresh_token"), "invalid_refresh_token"),
        (refresh("refresh_token", "x"), "invalid_refresh_token"),
        (refresh("refresh_token", &code), "invalid_refresh_token"),
        (refresh("refresh_token", &pair.access), "invalid_refresh_token"),
        (refresh("client_id", "someone"), "invalid_refresh_token"),
    ];
    for (body, detail) in cases {
        app.pass(Duration::from_secs(4));
        post(&app, TOKEN, body).await.assert_error(400, detail);
        if detail != "unsupported_grant_type" {
            let entry = log(&app).await.remove(0);
            let shown = (&entry["action"], &entry["context"]["reason"], &entry["status"]);
            assert_eq!(shown, (&json!("app_token_refused"), &json!(detail), &json!("block")));
        }
    }
    // None of that has used anything up.
    assert!(is_good(&app, &pair.access).await);
    exchanged(&app, &code).await.assert_status(200);
    refreshed(&app, &pair.refresh).await.assert_status(200);
    assert_unwritten(&app, &[&code, &pair.access, &pair.refresh, VERIFIER, MASTER_TOKEN, &long]).await;
}

#[tokio::test]
async fn who_allowed_what_is_written_down() {
    let app = TestApp::new();
    let shown = credential(&app, MASTER_TOKEN).await;
    let (code, pair) = signed_in(&app, &app.token_user()).await;
    let entry = entries(&app, "app_allowed").await.remove(0);
    assert_eq!((&entry["actor"], &entry["target"]), (&json!("dashboard_user"), &json!(CLIENT)));
    assert_eq!(entry["context"], json!({ "credential": shown, "scopes": ALL_BUT_ADMIN }));
    let entry = entries(&app, "app_token_issued").await.remove(0);
    let by = credential(&app, &pair.access).await;
    let context = json!({ "credential": by, "address": "203.0.113.7", "family": entry["context"]["family"] });
    assert_eq!((&entry["actor"], &entry["context"]), (&json!("api_client"), &context));
    assert_unwritten(&app, &[&code, &pair.access, &pair.refresh]).await;
}

#[tokio::test]
async fn the_desktop_page_may_ask_for_tokens() {
    let app = TestApp::new();
    let call = app.anonymous().call(Method::OPTIONS, TOKEN).header("origin", "tauri://localhost");
    let call = call.header("access-control-request-method", "POST");
    let answer = call.header("access-control-request-headers", "content-type").send().await;
    assert_eq!(answer.assert_status(200).header("access-control-allow-origin"), "tauri://localhost");
    let code = asked().code(&app.token_user()).await;
    let call = app.anonymous().call(Method::POST, TOKEN).header("origin", "tauri://localhost");
    let answer = call.json(&exchange_of(&code)).send().await;
    assert_eq!(answer.assert_status(200).header("access-control-allow-origin"), "tauri://localhost");
}
