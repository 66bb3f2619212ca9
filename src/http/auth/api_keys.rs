//! API keys.

use crate::domain::auth::api_key::{ApiKey, ApiKeyId, ApiKeyName};
use crate::domain::auth::scope::Scopes;
use crate::domain::auth::service::keys::{ApiKeys, MadeApiKey, MakeKey, NewApiKey};
use crate::http::AppState;
use crate::http::error::{ApiError, BodyErrors, ErrorBody, Errors};
use crate::http::extract::{ApiJson, ApiPath};
use crate::http::gate::Caller;
use crate::http::sessions::{OK, OkView};
use crate::http::time::{parse_rfc3339, rfc3339};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api/v1`.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_api_keys, create_api_key))
        .routes(routes!(revoke_api_key))
        .routes(routes!(rotate_api_key))
}

/// A key that is there, or was.
#[derive(Serialize, ToSchema)]
struct ApiKeyView {
    #[schema(example = "9f86d081884c7d65")]
    id: String,
    name: String,
    /// The first characters of the key.
    #[schema(example = "pp_3Vx0mKq9a")]
    prefix: String,
    /// What it may be used for.
    scopes: Vec<&'static str>,
    created_at: String,
    /// Some seconds late.
    last_used_at: Option<String>,
    /// When it ends by itself.
    expires_at: Option<String>,
    revoked: bool,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.as_str().to_owned(),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix,
            scopes: key.scopes.names(),
            created_at: rfc3339(key.created),
            last_used_at: key.last_used.map(rfc3339),
            expires_at: key.expires.map(rfc3339),
            revoked: key.revoked.is_some(),
        }
    }
}

/// A key that was made just now.
#[derive(Serialize, ToSchema)]
struct NewApiKeyView {
    /// The key itself. No other answer shows it.
    #[schema(example = "pp_3Vx0mKq9aR1sT2uV3wX4yZ5aB6cD7eF8gH9iJ0kL1mNq1B2c3")]
    key: String,
    #[schema(example = "9f86d081884c7d65")]
    id: String,
    name: String,
    /// The first characters of the key.
    prefix: String,
    /// What it may be used for.
    scopes: Vec<&'static str>,
    created_at: String,
    /// When it ends by itself.
    expires_at: Option<String>,
}

impl From<MadeApiKey> for NewApiKeyView {
    fn from(MadeApiKey { token, key }: MadeApiKey) -> Self {
        Self {
            key: token.expose().to_owned(),
            id: key.id.as_str().to_owned(),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix,
            scopes: key.scopes.names(),
            created_at: rfc3339(key.created),
            expires_at: key.expires.map(rfc3339),
        }
    }
}

/// All keys, revoked ones too, oldest first.
#[utoipa::path(
    get, path = "/auth/api-keys", tag = "auth", responses((status = 200, body = Vec<ApiKeyView>), Errors)
)]
async fn list_api_keys(State(keys): State<Arc<ApiKeys>>) -> Result<Json<Vec<ApiKeyView>>, ApiError> {
    Ok(Json(keys.list().await?.into_iter().map(ApiKeyView::from).collect()))
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
struct NewApiKeyBody {
    /// What it is to be called.
    #[schema(min_length = 1, max_length = 100, example = "Home Assistant")]
    name: String,
    /// What it may be used for; `chat` and `sessions` unless given. An empty list opens only what needs no scope.
    #[schema(example = json!(["chat", "sessions"]))]
    scopes: Option<Vec<String>>,
    /// When it ends by itself: a time in the future, with its zone (RFC 3339).
    #[schema(example = "2027-01-01T00:00:00Z")]
    expires_at: Option<String>,
}

impl TryFrom<NewApiKeyBody> for NewApiKey {
    type Error = ApiError;

    fn try_from(body: NewApiKeyBody) -> Result<Self, ApiError> {
        let name = ApiKeyName::parse(&body.name)
            .map_err(|rejected| ApiError::invalid("string_error", &["body", "name"], rejected.to_string()))?;
        let scopes = match &body.scopes {
            None => Scopes::DEFAULT,
            Some(names) => Scopes::parse(names.iter().map(String::as_str))
                .map_err(|unknown| ApiError::bad_request(unknown.to_string()))?,
        };
        let expires = body.expires_at.as_deref().map(|text| {
            parse_rfc3339(text).ok_or_else(|| {
                let message = "Input should be a time with its zone, such as 2027-01-01T00:00:00Z";
                ApiError::invalid("datetime_error", &["body", "expires_at"], message)
            })
        });
        Ok(Self { name, scopes, expires: expires.transpose()? })
    }
}

fn not_made(refused: MakeKey) -> ApiError {
    match refused {
        MakeKey::AlreadyOver => ApiError::invalid("datetime_error", &["body", "expires_at"], refused.to_string()),
        MakeKey::TooWide => ApiError::new(StatusCode::FORBIDDEN, refused.to_string()),
        MakeKey::Store(error) => error.into(),
    }
}

/// Makes a key. The answer is the only one that shows it.
///
/// A key that is made with an API key that ends, ends no later.
#[utoipa::path(
    post, path = "/auth/api-keys", tag = "auth", request_body = NewApiKeyBody,
    responses((status = 200, body = NewApiKeyView), BodyErrors, Errors)
)]
async fn create_api_key(
    State(keys): State<Arc<ApiKeys>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<NewApiKeyBody>,
) -> Result<Json<NewApiKeyView>, ApiError> {
    Ok(Json(keys.create(&principal, body.try_into()?).await.map_err(not_made)?.into()))
}

const NO_SUCH_KEY: &str = "API key not found or already revoked";

/// Ends a key at once, and the sessions that were got with it.
#[utoipa::path(
    delete, path = "/auth/api-keys/{id}", tag = "auth", params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 200, body = OkView),
        (status = 404, body = ErrorBody, description = "No such key, or it was revoked before"),
        Errors,
    )
)]
async fn revoke_api_key(
    State(keys): State<Arc<ApiKeys>>,
    Caller(principal): Caller,
    ApiPath(id): ApiPath,
) -> Result<Json<OkView>, ApiError> {
    let not_found = || ApiError::not_found(NO_SUCH_KEY);
    let id = ApiKeyId::parse(&id).ok_or_else(not_found)?;
    if keys.revoke(&principal, &id).await? { Ok(OK) } else { Err(not_found()) }
}

/// Ends a key as revoking it does, and makes one with the same name, scopes and end in its place.
#[utoipa::path(
    post, path = "/auth/api-keys/{id}/rotate", tag = "auth",
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 200, body = NewApiKeyView),
        (status = 404, body = ErrorBody, description = "No such key, or it was revoked before, or has ended"),
        Errors,
    )
)]
async fn rotate_api_key(
    State(keys): State<Arc<ApiKeys>>,
    Caller(principal): Caller,
    ApiPath(id): ApiPath,
) -> Result<Json<NewApiKeyView>, ApiError> {
    let not_found = || ApiError::not_found(NO_SUCH_KEY);
    let id = ApiKeyId::parse(&id).ok_or_else(not_found)?;
    let made = keys.rotate(&principal, &id).await.map_err(not_made)?.ok_or_else(not_found)?;
    Ok(Json(made.into()))
}
