//! Signing in native apps: OAuth 2.0 with PKCE. See [`crate::domain::auth::oauth`].
//!
//! `GET /oauth/authorize` is a page without data. Its script asks for the request's description, which needs a credential,
//! shows it, and sends the owner's answer back with the form token from the description.

use crate::domain::auth::oauth::{AuthorizationRequest, Challenge, DESKTOP_CLIENT, RedirectUri};
use crate::domain::auth::scope::Scopes;
use crate::domain::auth::service::apps::{AppTokens, Apps, ConsentRefused, ExchangeRefused};
use crate::http::AppState;
use crate::http::auth::device;
use crate::http::client::Client;
use crate::http::error::{ApiError, BodyErrors, Errors, Faults, ParameterErrors};
use crate::http::extract::{ApiJson, Parameters, RawBody, is_json, parse_json};
use crate::http::gate::Caller;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest `state` that an app may want back, in bytes.
const STATE_BYTES: usize = 512;

/// Routes under `/api/v1`.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(describe_authorization))
        .routes(routes!(answer_authorization))
        .routes(routes!(issue_app_tokens))
        .routes(routes!(revoke_app_tokens))
}

/// What an app asks for, as it stands in the address (RFC 6749 §4.1.1, RFC 7636 §4.3).
#[derive(Deserialize, ToSchema)]
struct AuthorizationParameters {
    /// The app: `pocketpaw-desktop`.
    client_id: String,
    /// Where the browser is sent with the answer: an address of the app on this machine.
    redirect_uri: String,
    /// `code`, which is also what it is if it is not given.
    response_type: Option<String>,
    /// What the app wants, with spaces between; `chat sessions` unless given.
    scope: Option<String>,
    /// The SHA-256 of what the app will prove, in URL-safe base64.
    code_challenge: String,
    /// `S256`, which is also what it is if it is not given.
    code_challenge_method: Option<String>,
    /// Comes back with the answer.
    state: Option<String>,
}

impl AuthorizationParameters {
    fn of(parameters: &Parameters) -> Self {
        let text = |name| parameters.text(name).map(str::to_owned);
        Self {
            client_id: text("client_id").unwrap_or_default(),
            redirect_uri: text("redirect_uri").unwrap_or_default(),
            response_type: text("response_type"),
            scope: text("scope"),
            code_challenge: text("code_challenge").unwrap_or_default(),
            code_challenge_method: text("code_challenge_method"),
            state: text("state"),
        }
    }

    /// Nothing is sent anywhere, and nobody is redirected, before all of it was checked (RFC 6749 §4.1.2.1).
    fn check(self) -> Result<AuthorizationRequest, ApiError> {
        let invalid = || ApiError::bad_request("Invalid authorization request");
        let is = |given: &Option<String>, wanted: &str| given.as_deref().is_none_or(|given| given == wanted);
        let is_ours = self.client_id == DESKTOP_CLIENT
            && is(&self.response_type, "code")
            && is(&self.code_challenge_method, "S256")
            && self.state.as_ref().is_none_or(|state| state.len() <= STATE_BYTES);
        let scopes = match self.scope.as_deref() {
            None | Some("") => Ok(Scopes::DEFAULT),
            Some(names) => Scopes::parse(names.split(' ').filter(|name| !name.is_empty())),
        };
        Ok(AuthorizationRequest {
            redirect_uri: RedirectUri::parse(&self.redirect_uri).filter(|_| is_ours).ok_or_else(invalid)?,
            scopes: scopes.map_err(|_| invalid())?,
            challenge: Challenge::parse(&self.code_challenge).ok_or_else(invalid)?,
            state: self.state.unwrap_or_default(),
        })
    }
}

/// The page on which the owner allows an app, or does not. A request that is not in order gets no page.
pub async fn consent_page(parameters: Parameters) -> Result<Response, ApiError> {
    AuthorizationParameters::of(&parameters).check()?;
    let page = Html(include_str!("../landing/consent.html"));
    Ok(([(header::CACHE_CONTROL, "no-store")], page).into_response())
}

/// What an app asks for, and what the answer needs.
#[derive(Serialize, ToSchema)]
struct AuthorizationView {
    /// The app.
    client_id: String,
    /// Where the browser will be sent.
    redirect_uri: String,
    /// What it gets if it is allowed.
    scopes: Vec<&'static str>,
    /// Whether it asked for everything, which it gets only if the owner says so.
    wants_admin: bool,
    /// Has to come back with the answer.
    form_token: String,
}

/// What an app asks the owner for.
#[utoipa::path(
    get, path = "/oauth/authorize/request", tag = "auth",
    params(
        ("client_id" = String, Query, description = "The app: `pocketpaw-desktop`"),
        ("redirect_uri" = String, Query, description = "Where the browser is sent with the answer: an address of the app on this machine"),
        ("response_type" = Option<String>, Query, description = "`code`"),
        ("scope" = Option<String>, Query, description = "What the app wants, with spaces between; `chat sessions` unless given"),
        ("code_challenge" = String, Query, description = "The SHA-256 of what the app will prove, in URL-safe base64"),
        ("code_challenge_method" = Option<String>, Query, description = "`S256`"),
        ("state" = Option<String>, Query, description = "Comes back with the answer"),
    ),
    responses((status = 200, body = AuthorizationView), ParameterErrors, Errors)
)]
async fn describe_authorization(
    State(apps): State<Arc<Apps>>,
    Caller(principal): Caller,
    parameters: Parameters,
) -> Result<Json<AuthorizationView>, ApiError> {
    let request = AuthorizationParameters::of(&parameters).check()?;
    Ok(Json(AuthorizationView {
        client_id: DESKTOP_CLIENT.to_owned(),
        redirect_uri: request.redirect_uri.as_str().to_owned(),
        scopes: Apps::allowed(&principal, &request, false).names(),
        wants_admin: Apps::allowed(&principal, &request, true) == Scopes::ALL,
        form_token: apps.form_token(&principal, &request),
    }))
}

/// The owner's answer.
#[derive(Deserialize, ToSchema)]
struct ConsentBody {
    /// What the app asked for.
    #[serde(flatten)]
    request: AuthorizationParameters,
    /// From the description of the request.
    form_token: String,
    /// `allow` or `deny`.
    decision: String,
    /// Whether the app gets everything it asked for, `admin` included.
    #[serde(default)]
    admin: bool,
}

/// Where the browser goes next.
#[derive(Serialize, ToSchema)]
struct ConsentView {
    /// The app's address, with `code` or `error`, and `state`.
    redirect: String,
}

/// Allows or denies what an app asked for.
#[utoipa::path(
    post, path = "/oauth/authorize/consent", tag = "auth", request_body = ConsentBody,
    responses((status = 200, body = ConsentView), BodyErrors, Errors)
)]
async fn answer_authorization(
    State(apps): State<Arc<Apps>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<ConsentBody>,
) -> Result<Json<ConsentView>, ApiError> {
    let request = body.request.check()?;
    let (address, state) = (request.redirect_uri.as_str().to_owned(), request.state.clone());
    let (name, value) = match body.decision.as_str() {
        "allow" => {
            let code = apps.allow(&principal, request, &body.form_token, body.admin).await.map_err(no_consent)?;
            ("code", code.expose().to_owned())
        }
        "deny" => {
            apps.deny(&principal, &request, &body.form_token).await.map_err(no_consent)?;
            ("error", "access_denied".to_owned())
        }
        _ => return Err(ApiError::invalid("enum", &["body", "decision"], "Input should be one of: allow, deny")),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(name, &value);
    if !state.is_empty() {
        query.append_pair("state", &state);
    }
    let query = query.finish();
    Ok(Json(ConsentView { redirect: format!("{address}?{query}") }))
}

fn no_consent(refused: ConsentRefused) -> ApiError {
    match refused {
        ConsentRefused::Form => ApiError::new(StatusCode::FORBIDDEN, refused.to_string()),
        ConsentRefused::Store(error) => error.into(),
    }
}

/// What is exchanged for tokens (RFC 6749 §4.1.3 and §6), as JSON or as a form.
#[derive(Deserialize, ToSchema)]
struct AppTokenBody {
    /// `authorization_code` or `refresh_token`.
    grant_type: String,
    /// The app.
    client_id: String,
    /// The code that the browser brought.
    code: Option<String>,
    /// What the code's challenge was made from.
    code_verifier: Option<String>,
    /// Where the code was sent.
    redirect_uri: Option<String>,
    /// The refresh token.
    refresh_token: Option<String>,
}

/// What an app gets (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
struct AppTokenView {
    access_token: String,
    /// Good once, for 30 days.
    refresh_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    #[schema(example = 3600)]
    expires_in: u64,
    /// What was allowed, with spaces between.
    scope: String,
}

impl From<AppTokens> for AppTokenView {
    fn from(tokens: AppTokens) -> Self {
        Self {
            access_token: tokens.access.expose().to_owned(),
            refresh_token: tokens.refresh.expose().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.lasts.as_secs(),
            scope: tokens.scopes.names().join(" "),
        }
    }
}

/// Exchanges a code or a refresh token for an access token and the next refresh token.
///
/// A code or refresh token is good once; one that is shown again ends everything that the owner's consent gave.
#[utoipa::path(
    post, path = "/oauth/token", tag = "auth",
    request_body(content((AppTokenBody = "application/json"), (AppTokenBody = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = AppTokenView), BodyErrors, Faults)
)]
async fn issue_app_tokens(
    State(apps): State<Arc<Apps>>,
    client: Client,
    headers: HeaderMap,
    raw: RawBody,
) -> Result<Json<AppTokenView>, ApiError> {
    let body: AppTokenBody = json_or_form(&headers, &raw)?;
    let device = device(&client, &headers);
    let given = |text: Option<String>| text.unwrap_or_default();
    let tokens = match body.grant_type.as_str() {
        "authorization_code" => {
            let (code, redirect_uri, verifier) =
                (given(body.code), given(body.redirect_uri), given(body.code_verifier));
            apps.exchange_code(&body.client_id, &code, &redirect_uri, &verifier, device).await
        }
        "refresh_token" => apps.refresh(&body.client_id, &given(body.refresh_token), device).await,
        _ => return Err(ApiError::bad_request("unsupported_grant_type")),
    };
    match tokens {
        Ok(tokens) => Ok(Json(tokens.into())),
        Err(ExchangeRefused::Rejected(rejected)) => Err(ApiError::bad_request(rejected.to_string())),
        Err(ExchangeRefused::Store(error)) => Err(error.into()),
    }
}

/// What is to end.
#[derive(Deserialize, ToSchema)]
struct RevokeBody {
    /// An access or refresh token.
    token: String,
}

#[derive(Serialize, ToSchema)]
struct RevokedView {
    /// Whether there was such a token.
    revoked: bool,
}

/// Ends the consent that an access or refresh token descends from, and everything got with it (RFC 7009).
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "auth",
    request_body(content((RevokeBody = "application/json"), (RevokeBody = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = RevokedView), BodyErrors, Faults)
)]
async fn revoke_app_tokens(
    State(apps): State<Arc<Apps>>,
    headers: HeaderMap,
    raw: RawBody,
) -> Result<Json<RevokedView>, ApiError> {
    let body: RevokeBody = json_or_form(&headers, &raw)?;
    Ok(Json(RevokedView { revoked: apps.revoke(&body.token).await? }))
}

fn json_or_form<T: DeserializeOwned>(headers: &HeaderMap, RawBody(body): &RawBody) -> Result<T, ApiError> {
    if is_json(headers) {
        return parse_json(body);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(ApiError::unsupported_media_type());
    }
    let members = form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned().into()));
    let members = serde_json::Value::Object(members.collect());
    serde_json::from_value(members).map_err(|error| ApiError::invalid("type_error", &["body"], error.to_string()))
}
