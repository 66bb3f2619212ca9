//! Getting in: logging in and out, exchanging credentials, and who is logged in.

mod api_keys;
pub mod oauth;

use super::client::Client;
use super::error::{ApiError, BodyErrors, ErrorBody, Errors, Faults};
use super::extract::{ApiJson, ApiPath};
use super::gate::{self, Caller};
use super::sessions::{OK, OkView};
use super::time::rfc3339;
use super::{AppState, cookie};
use crate::domain::auth::login::{AuthSession, DEVICE_CHARS, Device, Origin};
use crate::domain::auth::service::logins::{LoginRefused, Logins, NewLogin};
use crate::domain::auth::service::{Regenerate, Tokens};
use crate::domain::text::{self, PageLimit};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The most sessions in a list.
const LISTED: i64 = 500;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(exchange_credential))
        .routes(routes!(regenerate_token))
}

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(read_caller))
        .routes(routes!(list_auth_sessions))
        .routes(routes!(revoke_auth_session))
        .merge(api_keys::v1_routes())
        .merge(oauth::v1_routes())
}

/// What is known of the client that asks for a session.
fn device(client: &Client, headers: &HeaderMap) -> Device {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Device { label: text::head(agent.trim(), DEVICE_CHARS).to_owned(), address: client.address.to_string() }
}

fn set_cookie(response: &mut Response, login: &NewLogin, client: &Client) {
    let lasts = login.session.expires.since(login.session.created);
    response.headers_mut().append(header::SET_COOKIE, cookie::keep(login.token.expose(), lasts, client.https));
}

fn refused(refused: LoginRefused, detail: &str) -> ApiError {
    match refused {
        LoginRefused::Credential => ApiError::new(StatusCode::UNAUTHORIZED, detail),
        LoginRefused::Store(error) => error.into(),
    }
}

/// What to log in with.
#[derive(Deserialize, ToSchema)]
struct LoginBody {
    /// The access token, an API key, or the code of a scanned QR picture.
    token: String,
}

#[derive(Serialize, ToSchema)]
struct LoggedInView {
    #[schema(example = true)]
    ok: bool,
}

/// Logs a browser in: the answer sets the cookie `pocketpaw_session`.
///
/// The session that begins opens no more and lasts no longer than what it was got with. A pairing code is used up.
#[utoipa::path(
    post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses(
        (status = 200, body = LoggedInView),
        (status = 401, body = ErrorBody, description = "Not a credential that one can log in with"),
        BodyErrors, Faults,
    )
)]
async fn log_in(
    State(logins): State<Arc<Logins>>,
    client: Client,
    headers: HeaderMap,
    body: Result<ApiJson<LoginBody>, ApiError>,
) -> Result<Response, ApiError> {
    let ApiJson(body) = match body {
        Ok(body) => body,
        Err(unreadable) => {
            logins.note_refusal(Origin::Login, &device(&client, &headers)).await;
            return Err(unreadable);
        }
    };
    let login = logins.begin(&body.token, Origin::Login, device(&client, &headers)).await;
    let login = login.map_err(|error| refused(error, "Invalid access token"))?;
    let mut response = Json(LoggedInView { ok: true }).into_response();
    set_cookie(&mut response, &login, &client);
    Ok(response)
}

/// Logs out: the session of the cookie, or of the token in the header, ends at once. Without one there is nothing to do.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 200, body = LoggedInView), Faults))]
async fn log_out(State(logins): State<Arc<Logins>>, client: Client, headers: HeaderMap) -> Result<Response, ApiError> {
    let cookies = cookie::session_tokens(&headers);
    for token in cookies.iter().map(String::as_str).chain(gate::bearer(&headers)) {
        logins.log_out(token).await?;
    }
    let mut response = Json(LoggedInView { ok: true }).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie::forget(client.https));
    Ok(response)
}

#[derive(Serialize, ToSchema)]
struct SessionTokenView {
    /// The token of the session: `EXPIRY:HEX`.
    #[schema(example = "1795495221:4d14a2b6e17089c5953343e298defb108cae473b2b934a02481265bd276ba2c5")]
    session_token: String,
    /// How long it lasts, in hours, rounded up.
    expires_in_hours: u64,
}

/// Exchanges the credential in the header for a session: the access token, an API key, or a pairing code.
///
/// The session that begins opens no more and lasts no longer than what it was got with. A pairing code is used up, and the
/// answer sets the cookie too.
#[utoipa::path(
    post, path = "/auth/session", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, body = SessionTokenView),
        (status = 401, body = ErrorBody, description = "No credential, or none that gets a session"),
        Faults,
    )
)]
async fn exchange_credential(
    State(logins): State<Arc<Logins>>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let credential = gate::bearer(&headers).ok_or_else(ApiError::unauthorized)?;
    let login = logins.begin(credential, Origin::Exchange, device(&client, &headers)).await;
    let login = login.map_err(|error| refused(error, "Invalid master token"))?;
    let view = SessionTokenView {
        session_token: login.token.expose().to_owned(),
        expires_in_hours: logins.hours_left(&login.session),
    };
    let mut response = Json(view).into_response();
    if login.session.origin == Origin::Pairing {
        set_cookie(&mut response, &login, &client);
    }
    Ok(response)
}

#[derive(Serialize, ToSchema)]
struct NewTokenView {
    /// The new access token.
    token: String,
}

/// Makes a new access token. The old one, all sessions, cookies and pairing codes end at once; API keys stay.
#[utoipa::path(
    post, path = "/token/regenerate", tag = "auth",
    responses(
        (status = 200, body = NewTokenView),
        (status = 409, body = ErrorBody, description = "The token is set in the configuration, or is being regenerated"),
        Errors,
    )
)]
async fn regenerate_token(
    State(tokens): State<Arc<Tokens>>,
    Caller(principal): Caller,
) -> Result<Json<NewTokenView>, ApiError> {
    match tokens.regenerate(&principal).await {
        Ok(token) => Ok(Json(NewTokenView { token: token.expose().to_owned() })),
        Err(refused @ (Regenerate::Configured | Regenerate::InProgress)) => {
            Err(ApiError::new(StatusCode::CONFLICT, refused.to_string()))
        }
        Err(refused @ Regenerate::TooShortLived) => Err(ApiError::new(StatusCode::FORBIDDEN, refused.to_string())),
        Err(Regenerate::Store(error)) => Err(error.into()),
        Err(Regenerate::Credential(error)) => Err(ApiError::internal(error)),
    }
}

/// Who is calling.
#[derive(Serialize, ToSchema)]
struct CallerView {
    /// What was shown: `master_token`, `session`, `api_key`, `status_key` or `loopback`.
    kind: &'static str,
    /// Which one: a fingerprint or an id, never the credential.
    id: String,
    /// What it opens. `admin` is everything.
    scopes: Vec<&'static str>,
    /// When it ends by itself.
    expires_at: Option<String>,
}

/// Who is calling, and what they may do.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses((status = 200, body = CallerView), Errors))]
async fn read_caller(Caller(principal): Caller) -> Json<CallerView> {
    Json(CallerView {
        kind: principal.kind.as_str(),
        id: principal.id,
        scopes: principal.grant.scopes.names(),
        expires_at: principal.grant.until.map(rfc3339),
    })
}

/// A login session.
#[derive(Serialize, ToSchema)]
struct AuthSessionView {
    id: String,
    /// How it was got: `exchange`, `login` or `pairing`.
    origin: &'static str,
    /// What the client said it is.
    device: String,
    /// Where it came from.
    address: String,
    /// What it opens.
    scopes: Vec<&'static str>,
    /// The API key it was got with, if it was.
    api_key: Option<String>,
    created_at: String,
    /// Some seconds late.
    last_used_at: String,
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

impl AuthSessionView {
    fn of(session: AuthSession, current: &str) -> Self {
        Self {
            current: session.id == current,
            origin: session.origin.as_str(),
            device: session.device.label,
            address: session.device.address,
            scopes: session.grant.scopes.names(),
            api_key: session.grant.api_key.map(|key| key.as_str().to_owned()),
            created_at: rfc3339(session.created),
            last_used_at: rfc3339(session.last_used),
            expires_at: rfc3339(session.expires),
            id: session.id,
        }
    }
}

/// Who is logged in: the 500 newest sessions that have not ended, newest first.
#[utoipa::path(
    get, path = "/auth/sessions", tag = "auth", responses((status = 200, body = Vec<AuthSessionView>), Errors)
)]
async fn list_auth_sessions(
    State(logins): State<Arc<Logins>>,
    Caller(principal): Caller,
) -> Result<Json<Vec<AuthSessionView>>, ApiError> {
    let sessions = logins.list(PageLimit::clamped(LISTED)).await?;
    Ok(Json(sessions.into_iter().map(|session| AuthSessionView::of(session, &principal.id)).collect()))
}

/// Ends a login session at once, with everything it holds open.
#[utoipa::path(
    delete, path = "/auth/sessions/{id}", tag = "auth", params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, body = OkView),
        (status = 404, body = ErrorBody, description = "No such session, or it has ended"),
        Errors,
    )
)]
async fn revoke_auth_session(
    State(logins): State<Arc<Logins>>,
    Caller(principal): Caller,
    ApiPath(id): ApiPath,
) -> Result<Json<OkView>, ApiError> {
    match logins.revoke(&principal, &id).await? {
        true => Ok(OK),
        false => Err(ApiError::not_found("Session not found or already ended")),
    }
}
