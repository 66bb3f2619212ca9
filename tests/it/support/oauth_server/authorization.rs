//! The authorization server.

use super::{Access, Client, Code, Inner, OAuthOptions, Refresh, Seen, World, json, seen, unguessable};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json as value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use url::Url;

pub(super) fn routes(world: World) -> Router {
    Router::new().fallback(answer).with_state(world)
}

async fn answer(State(world): State<World>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let seen = seen("authorization", &parts, &body);
    let options = world.options();
    world.inner().seen.push(seen.clone());
    tokio::time::sleep(options.slow).await;
    let is_denied = parts.headers.get("x-decision").is_some_and(|decision| decision == "deny");
    match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/.well-known/oauth-authorization-server") if options.metadata => {
            json(200, &metadata(&world, &options))
        }
        ("POST", "/register") if options.registration => register(&mut world.inner(), &options, &seen),
        ("GET", "/authorize") => authorize(&world, &options, &seen.query, is_denied),
        ("POST", "/token") => token(&mut world.inner(), &options, &seen),
        ("POST", "/revoke") if options.revocation => revoke(&mut world.inner(), &options, &seen),
        _ => json(404, &value!({})),
    }
}

fn metadata(world: &World, options: &OAuthOptions) -> Value {
    let issuer = &world.issuer;
    let mut metadata = value!({
        "issuer": options.wrong_issuer.unwrap_or(issuer),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["code"],
        "scopes_supported": ["tools", "offline_access"],
        "authorization_response_iss_parameter_supported": options.iss,
        "client_id_metadata_document_supported": options.documents,
        "token_endpoint_auth_methods_supported":
            if options.secret_in_body { value!(["none", "client_secret_post"]) } else { value!(["none", "client_secret_basic"]) },
    });
    if let Some(pkce) = options.pkce {
        metadata["code_challenge_methods_supported"] = value!([pkce]);
    }
    if options.registration {
        metadata["registration_endpoint"] = value!(format!("{issuer}/register"));
    }
    if options.revocation {
        metadata["revocation_endpoint"] = value!(format!("{issuer}/revoke"));
    }
    metadata
}

fn register(inner: &mut Inner, options: &OAuthOptions, seen: &Seen) -> Response {
    let asked: Value = serde_json::from_str(&seen.body).unwrap();
    let uris: Vec<String> = serde_json::from_value(asked["redirect_uris"].clone()).unwrap();
    assert_eq!(asked["token_endpoint_auth_method"], "none", "a public client");
    let id = unguessable("client");
    let secret = options.confidential.then(|| unguessable("secret:/ä"));
    let mut answer = value!({ "client_id": id, "redirect_uris": uris });
    if let Some(secret) = &secret {
        answer["client_secret"] = value!(secret);
    }
    inner.clients.insert(id, Client { secret, redirect_uris: uris });
    json(201, &answer)
}

fn authorize(world: &World, options: &OAuthOptions, query: &BTreeMap<String, String>, is_denied: bool) -> Response {
    let get = |name: &str| query.get(name).cloned().unwrap_or_default();
    let (client, redirect_uri, resource) = (get("client_id"), get("redirect_uri"), get("resource"));
    let is_document = options.documents && client.starts_with("https://");
    let known = world.inner().clients.get(&client).cloned();
    // In doubt about the client, the browser must not be sent anywhere.
    if !is_document && !known.is_some_and(|client| client.redirect_uris.contains(&redirect_uri)) {
        return json(
            400,
            &value!({ "error": "invalid_request", "error_description": "unknown client or redirect_uri" }),
        );
    }
    let mut back = Url::parse(&redirect_uri).unwrap();
    let is_complete = get("response_type") == "code" && get("code_challenge_method") == "S256";
    if is_denied {
        back.query_pairs_mut().append_pair("error", "access_denied").append_pair("error_description", "not\ntoday");
    } else if resource != world.mcp {
        back.query_pairs_mut().append_pair("error", "invalid_target");
    } else if !is_complete || get("code_challenge").len() != 43 || get("state").len() < 22 {
        back.query_pairs_mut().append_pair("error", "invalid_request");
    } else {
        let code = unguessable("code");
        back.query_pairs_mut().append_pair("code", &code);
        let (challenge, scope) = (get("code_challenge"), get("scope"));
        world.inner().codes.insert(code, Code { client, challenge, redirect_uri, resource, scope });
    }
    back.query_pairs_mut().append_pair("state", &get("state"));
    if options.iss || options.wrong_iss.is_some() {
        back.query_pairs_mut().append_pair("iss", options.wrong_iss.unwrap_or(&world.issuer));
    }
    (axum::http::StatusCode::FOUND, [("location", back.to_string())]).into_response()
}

fn refused(error: &str) -> Response {
    json(400, &value!({ "error": error, "error_description": format!("{error}\u{7} of the test") }))
}

/// The client that asks, if it proves to be one.
fn client_of(inner: &Inner, options: &OAuthOptions, seen: &Seen) -> Option<String> {
    let basic = seen.authorization.as_deref().and_then(|header| header.strip_prefix("Basic "));
    let (id, secret) = match basic {
        Some(basic) => {
            let pair = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
            let (id, secret) = pair.split_once(':').unwrap();
            let plain = |text: &str| form_urlencoded::parse(text.as_bytes()).next().unwrap().0.into_owned();
            (plain(id), Some(plain(secret)))
        }
        None => (seen.form.get("client_id")?.clone(), seen.form.get("client_secret").cloned()),
    };
    if options.documents && id.starts_with("https://") {
        return Some(id);
    }
    let is_right_place = secret.is_none() || options.secret_in_body == basic.is_none();
    let known = inner.clients.get(&id)?;
    (known.secret == secret && is_right_place).then_some(id)
}

fn token(inner: &mut Inner, options: &OAuthOptions, seen: &Seen) -> Response {
    if let Some((status, error)) = options.token_error {
        return json(status, &value!({ "error": error }));
    }
    let Some(client) = client_of(inner, options, seen) else {
        return json(401, &value!({ "error": "invalid_client" }));
    };
    let get = |name: &str| seen.form.get(name).cloned().unwrap_or_default();
    match get("grant_type").as_str() {
        "authorization_code" => {
            let Some(code) = inner.codes.remove(&get("code")) else { return refused("invalid_grant") };
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(get("code_verifier")));
            let is_same = code.client == client && code.redirect_uri == get("redirect_uri");
            if challenge != code.challenge || !is_same || code.resource != get("resource") {
                return refused("invalid_grant");
            }
            inner.families += 1;
            let family = inner.families;
            give(
                inner,
                options,
                Refresh { family, client, resource: code.resource, scope: code.scope, is_used: false },
                false,
            )
        }
        "refresh_token" => {
            let asked = get("refresh_token");
            let Some(refresh) = inner.refresh_tokens.get(&asked).cloned() else { return refused("invalid_grant") };
            if refresh.is_used {
                // Somebody has stolen it: the sign-in is over for both.
                inner.refresh_tokens.retain(|_, other| other.family != refresh.family);
                inner.access_tokens.retain(|_, other| other.family != refresh.family);
            }
            if refresh.is_used || refresh.client != client || refresh.resource != get("resource") {
                return refused("invalid_grant");
            }
            if options.rotation {
                inner.refresh_tokens.get_mut(&asked).unwrap().is_used = true;
            }
            give(inner, options, refresh, !options.rotation)
        }
        _ => refused("unsupported_grant_type"),
    }
}

fn give(inner: &mut Inner, options: &OAuthOptions, refresh: Refresh, keeps: bool) -> Response {
    let access = unguessable("access");
    let resource = refresh.resource.clone();
    inner.access_tokens.insert(access.clone(), Access { family: refresh.family, resource, is_live: true });
    let mut answer = value!({
        "access_token": access, "token_type": "Bearer", "expires_in": options.expires_in, "scope": refresh.scope,
    });
    if options.refresh_tokens && !keeps {
        let token = unguessable("refresh");
        answer["refresh_token"] = value!(token);
        inner.refresh_tokens.insert(token, refresh);
    }
    json(200, &answer)
}

fn revoke(inner: &mut Inner, options: &OAuthOptions, seen: &Seen) -> Response {
    if client_of(inner, options, seen).is_none() {
        return json(401, &value!({ "error": "invalid_client" }));
    }
    let token = seen.form["token"].clone();
    inner.refresh_tokens.remove(&token);
    inner.access_tokens.remove(&token);
    inner.revoked.push(token);
    json(200, &value!({}))
}
