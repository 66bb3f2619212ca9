//! Webhook slots: keeping them, and the open route that takes deliveries.

use super::client::Client;
use super::error::{ApiError, BodyErrors, ErrorBody, Errors, ParameterErrors};
use super::extract::{ApiJson, ApiPath, Parameters, RawBody};
use super::gate::Caller;
use super::sessions::{OK, OkView};
use super::{AppState, PublicUrl};
use crate::domain::agent::Reply;
use crate::domain::agent::waiting::OnReply;
use crate::domain::text::{self, TextRejected};
use crate::domain::webhook::service::{AddWebhook, Delivery, NewWebhook, Refused, Webhooks};
use crate::domain::webhook::signature::ProofHeaders;
use crate::domain::webhook::{
    DESCRIPTION_CHARS, Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookNameRejected,
};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_webhooks))
        .routes(routes!(add_webhook))
        .routes(routes!(remove_webhook))
        .routes(routes!(regenerate_webhook_secret))
}

/// Routes under no prefix.
pub fn root_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(deliver))
}

/// A slot.
#[derive(Serialize, ToSchema)]
struct WebhookView {
    #[schema(example = "github-events")]
    name: String,
    /// What it is for.
    description: String,
    /// In full in the answer that makes it; else `***` and its last four characters.
    #[schema(example = "***GyiA")]
    secret: String,
    /// How long `wait=true` waits, in seconds.
    sync_timeout: u16,
    /// How the sender proves itself: `any`, `github` or `standard`.
    scheme: &'static str,
    /// Where deliveries go: `delivery` (a session each) or `slot` (one session for all).
    session: &'static str,
    /// Where deliveries are sent to.
    #[schema(example = "http://127.0.0.1:8000/webhook/inbound/github-events")]
    url: String,
}

impl WebhookView {
    fn masked(webhook: &Webhook, public_url: &PublicUrl) -> Self {
        let secret = format!("***{}", webhook.secret.hint());
        Self { secret, ..Self::with_secret(webhook, public_url) }
    }

    fn with_secret(webhook: &Webhook, public_url: &PublicUrl) -> Self {
        let name = webhook.name.as_str();
        Self {
            name: name.to_owned(),
            description: webhook.description.clone(),
            secret: webhook.secret.expose().to_owned(),
            sync_timeout: webhook.sync_timeout.as_secs(),
            scheme: webhook.scheme.as_str(),
            session: webhook.session.as_str(),
            url: format!("{}/webhook/inbound/{name}", public_url.0),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct WebhooksView {
    webhooks: Vec<WebhookView>,
}

/// All slots, with masked secrets.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", responses((status = 200, body = WebhooksView), Errors))]
async fn list_webhooks(
    State(webhooks): State<Arc<Webhooks>>,
    State(public_url): State<PublicUrl>,
) -> Result<Json<WebhooksView>, ApiError> {
    let webhooks = webhooks.list().await?;
    let webhooks = webhooks.iter().map(|webhook| WebhookView::masked(webhook, &public_url)).collect();
    Ok(Json(WebhooksView { webhooks }))
}

/// A slot to add.
#[derive(Deserialize, ToSchema)]
struct AddWebhookBody {
    /// 1 to 64 letters, digits, hyphens and underscores.
    #[schema(required = true, nullable = false, min_length = 1, max_length = 64, example = "github-events")]
    name: Option<String>,
    /// What it is for; at most 500 characters.
    #[schema(max_length = 500, example = "GitHub repository webhooks")]
    description: Option<String>,
    /// How long `wait=true` waits, in seconds; 30 unless given.
    #[schema(minimum = 1, maximum = 300)]
    sync_timeout: Option<i64>,
    /// How the sender proves itself: `any` (the default), `github` or `standard`.
    scheme: Option<String>,
    /// Where deliveries go: `delivery` (the default; a session each) or `slot` (one session for all).
    session: Option<String>,
}

impl TryFrom<AddWebhookBody> for NewWebhook {
    type Error = ApiError;

    fn try_from(body: AddWebhookBody) -> Result<Self, ApiError> {
        let one_of = |place, names: &[&str]| {
            ApiError::invalid("enum", &["body", place], format!("Input should be one of: {}", names.join(", ")))
        };
        let description = match text::bounded(body.description.as_deref().unwrap_or_default(), DESCRIPTION_CHARS) {
            Ok(description) => description,
            Err(TextRejected::Blank) => String::new(),
            Err(rejected) => {
                return Err(ApiError::invalid("string_error", &["body", "description"], rejected.to_string()));
            }
        };
        let sync_timeout = match body.sync_timeout {
            None => SyncTimeout::default(),
            Some(seconds) => SyncTimeout::from_secs(seconds).ok_or_else(|| {
                ApiError::invalid("out_of_range", &["body", "sync_timeout"], "Input should be from 1 to 300 seconds")
            })?,
        };
        let scheme = body.scheme.as_deref().unwrap_or(Scheme::ALL[0].as_str());
        let session = body.session.as_deref().unwrap_or(SessionMode::ALL[0].as_str());
        Ok(Self {
            name: webhook_name(body.name.as_deref())?,
            description,
            sync_timeout,
            scheme: Scheme::parse(scheme).ok_or_else(|| one_of("scheme", &Scheme::ALL.map(Scheme::as_str)))?,
            session: SessionMode::parse(session)
                .ok_or_else(|| one_of("session", &SessionMode::ALL.map(SessionMode::as_str)))?,
        })
    }
}

fn webhook_name(name: Option<&str>) -> Result<WebhookName, ApiError> {
    WebhookName::parse(name.unwrap_or_default()).map_err(|rejected| ApiError::bad_request(rejected.to_string()))
}

#[derive(Serialize, ToSchema)]
struct AddedWebhookView {
    #[schema(example = "ok")]
    status: &'static str,
    /// The slot; here alone its secret is in clear.
    webhook: WebhookView,
}

/// Adds a slot. The answer is the only one that shows its secret.
#[utoipa::path(
    post, path = "/webhooks/add", tag = "webhooks", request_body = AddWebhookBody,
    responses(
        (status = 200, body = AddedWebhookView),
        (status = 409, body = ErrorBody, description = "There is a slot of that name"),
        BodyErrors, Errors,
    )
)]
async fn add_webhook(
    State(webhooks): State<Arc<Webhooks>>,
    State(public_url): State<PublicUrl>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<AddWebhookBody>,
) -> Result<Json<AddedWebhookView>, ApiError> {
    match webhooks.add(&principal, body.try_into()?).await {
        Ok(webhook) => {
            Ok(Json(AddedWebhookView { status: "ok", webhook: WebhookView::with_secret(&webhook, &public_url) }))
        }
        Err(exists @ AddWebhook::Exists(_)) => Err(ApiError::new(StatusCode::CONFLICT, exists.to_string())),
        Err(AddWebhook::Store(error)) => Err(error.into()),
    }
}

/// The name of a slot.
#[derive(Deserialize, ToSchema)]
struct WebhookNameBody {
    #[schema(required = true, nullable = false, example = "github-events")]
    name: Option<String>,
}

impl WebhookNameBody {
    /// The name, and what to say if no slot has it. A text that can be no name is the name of no slot.
    fn parse(self) -> Result<(WebhookName, ApiError), ApiError> {
        let text = self.name.unwrap_or_default();
        let unknown = || ApiError::not_found(format!("Webhook '{}' not found", text::head(text.trim(), 100)));
        match WebhookName::parse(&text) {
            Ok(name) => Ok((name, unknown())),
            Err(missing @ WebhookNameRejected::Missing) => Err(ApiError::bad_request(missing.to_string())),
            Err(_) => Err(unknown()),
        }
    }
}

/// Removes a slot. What was delivered before is still answered.
#[utoipa::path(
    post, path = "/webhooks/remove", tag = "webhooks", request_body = WebhookNameBody,
    responses(
        (status = 200, body = OkView),
        (status = 404, body = ErrorBody, description = "No such slot"),
        BodyErrors, Errors,
    )
)]
async fn remove_webhook(
    State(webhooks): State<Arc<Webhooks>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<WebhookNameBody>,
) -> Result<Json<OkView>, ApiError> {
    let (name, unknown) = body.parse()?;
    match webhooks.remove(&principal, &name).await? {
        true => Ok(OK),
        false => Err(unknown),
    }
}

#[derive(Serialize, ToSchema)]
struct NewSecretView {
    #[schema(example = "ok")]
    status: &'static str,
    /// The new secret, in clear.
    secret: String,
}

/// Gives a slot a new secret. The old one is refused from then on; the answer is the only one that shows the new one.
#[utoipa::path(
    post, path = "/webhooks/regenerate-secret", tag = "webhooks", request_body = WebhookNameBody,
    responses(
        (status = 200, body = NewSecretView),
        (status = 404, body = ErrorBody, description = "No such slot"),
        BodyErrors, Errors,
    )
)]
async fn regenerate_webhook_secret(
    State(webhooks): State<Arc<Webhooks>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<WebhookNameBody>,
) -> Result<Json<NewSecretView>, ApiError> {
    let (name, unknown) = body.parse()?;
    let secret = webhooks.regenerate_secret(&principal, &name).await?.ok_or(unknown)?;
    Ok(Json(NewSecretView { status: "ok", secret: secret.expose().to_owned() }))
}

/// What became of a delivery.
#[derive(Serialize, ToSchema)]
struct DeliveryView {
    /// `accepted` without `wait`; with it `ok`, or `timeout` if the answer was not there in time (it will be in the
    /// session).
    status: &'static str,
    /// Names the delivery. The same again if it was repeated.
    request_id: String,
    /// The agent's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    response: Option<String>,
}

/// Takes a delivery. Once this answers 200, the delivery is stored and will be answered, whatever happens to the server.
///
/// The body is any JSON object, whatever its `Content-Type`: `content` is the message, or else the whole body is; `sender`,
/// `metadata` and `media_urls` are kept with it. The sender proves itself as the slot's scheme says.
#[utoipa::path(
    post, path = "/webhook/inbound/{name}", tag = "webhooks", security(()),
    params(
        ("name" = String, Path, description = "The slot"),
        ("wait" = Option<bool>, Query, description = "Whether to wait for the agent's answer"),
        ("X-Webhook-Secret" = Option<String>, Header, description = "The secret (scheme `any`)"),
        ("X-Webhook-Signature" = Option<String>, Header, description = "`sha256=` and the hexadecimal HMAC-SHA256 of the body (scheme `any`)"),
        ("X-Hub-Signature-256" = Option<String>, Header, description = "The same as GitHub sends it (schemes `any` and `github`)"),
        ("webhook-id" = Option<String>, Header, description = "Scheme `standard`"),
        ("webhook-timestamp" = Option<String>, Header, description = "Scheme `standard`"),
        ("webhook-signature" = Option<String>, Header, description = "Scheme `standard`"),
    ),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, body = DeliveryView),
        (status = 400, body = ErrorBody, description = "The body is not JSON"),
        (status = 403, body = ErrorBody, description = "No such slot, or no valid proof"),
        (status = 408, body = ErrorBody, description = "The body did not arrive in time"),
        (status = 413, body = ErrorBody, description = "The body is larger than 1 MiB"),
        (status = 500, body = ErrorBody, description = "A fault of the server's"),
        (status = 503, body = ErrorBody, description = "Too many deliveries are waiting; `Retry-After` says when to try again"),
        ParameterErrors,
    )
)]
async fn deliver(
    State(webhooks): State<Arc<Webhooks>>,
    slot: Result<ApiPath, ApiError>,
    parameters: Parameters,
    client: Client,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<DeliveryView>, ApiError> {
    let wait = parameters.flag("wait")?;
    // A name that is not text is the name of no slot, and refused like any other.
    let slot = slot.map_or(String::new(), |ApiPath(slot)| slot);
    let delivery = Delivery { from: client.address, slot: &slot, headers: proof_headers(&headers), body: &body };
    let (sender, reply) = oneshot::channel::<Reply>();
    // Whoever waited may be gone by the time of the answer.
    let on_reply = wait.then(|| Box::new(move |reply| drop(sender.send(reply))) as OnReply);
    let accepted = webhooks.accept(delivery, on_reply).await.map_err(refusal)?;
    let request_id = accepted.request_id.to_string();
    if !wait {
        return Ok(Json(DeliveryView { status: "accepted", request_id, response: None }));
    }
    let view = match tokio::time::timeout(accepted.sync_timeout.duration(), reply).await {
        Ok(Ok(reply)) => DeliveryView { status: "ok", request_id, response: Some(reply.text) },
        Ok(Err(_)) | Err(_) => DeliveryView { status: "timeout", request_id, response: None },
    };
    Ok(Json(view))
}

fn proof_headers(headers: &HeaderMap) -> ProofHeaders<'_> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    ProofHeaders {
        secret: text("x-webhook-secret"),
        signature: text("x-webhook-signature"),
        hub_signature: text("x-hub-signature-256"),
        standard_id: text("webhook-id"),
        standard_timestamp: text("webhook-timestamp"),
        standard_signature: text("webhook-signature"),
    }
}

fn refusal(refused: Refused) -> ApiError {
    use crate::domain::webhook::payload::PayloadRejected;
    match refused {
        Refused::Proof => ApiError::new(StatusCode::FORBIDDEN, refused.to_string()),
        Refused::Payload(PayloadRejected::NotJson) => ApiError::bad_request(refused.to_string()),
        Refused::Payload(PayloadRejected::NotAnObject) => {
            ApiError::invalid("dict_type", &["body"], refused.to_string())
        }
        Refused::Payload(PayloadRejected::Content) => {
            ApiError::invalid("string_error", &["body", "content"], refused.to_string())
        }
        Refused::QueueFull => ApiError::busy(refused.to_string()),
        Refused::Store(error) => error.into(),
    }
}
