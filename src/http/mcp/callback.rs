//! Signing in to remote servers: where the browser comes back, and what authorization servers may know of Pawport.

use super::body::NameBody;
use super::{BothView, Refusal, no_server};
use crate::domain::mcp::service::{McpServers, SignInRefused};
use crate::domain::mcp::sign_in::{Callback, SignInError};
use crate::domain::text::head;
use crate::http::error::{ApiError, BodyErrors, Errors, Faults, ParameterErrors};
use crate::http::extract::{ApiJson, Parameters};
use crate::http::gate::Caller;
use crate::http::work::to_the_end;
use crate::http::{AppState, PublicUrl, landing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Serialize;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest text that is taken from an authorization server, in characters.
const MAX_REASON: usize = 300;

/// Where browsers come back to: below the public address, and the same for all servers.
pub const CALLBACK: &str = "/api/mcp/oauth/callback";

/// Where authorization servers read about Pawport.
pub const CLIENT_DOCUMENT: &str = "/api/v1/mcp/oauth/client.json";

/// Routes under `/api` and `/api/v1`.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(finish_mcp_sign_in))
}

/// Routes under `/api/v1` only.
pub(super) fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sign_out_of_mcp_server)).routes(routes!(describe_mcp_client))
}

/// Where the browser comes back to after the user signed in to a server: a page that says what came of it.
///
/// What proves that it belongs to a sign-in begun here is `state`, which is good once.
#[utoipa::path(
    get, path = "/mcp/oauth/callback", tag = "mcp",
    params(
        ("code" = Option<String>, Query, description = "What the tokens are got with"),
        ("state" = Option<String>, Query, description = "Which sign-in it belongs to"),
        ("error" = Option<String>, Query, description = "Why there is no code"),
        ("error_description" = Option<String>, Query, description = "The same in words"),
        ("iss" = Option<String>, Query, description = "The authorization server (RFC 9207)"),
    ),
    responses(
        (status = 200, description = "Signed in", content_type = "text/html", body = String),
        (status = 400, description = "Not signed in; the page says why", content_type = "text/html", body = String),
        ParameterErrors, Faults
    )
)]
async fn finish_mcp_sign_in(
    State(servers): State<Arc<McpServers>>,
    State(tasks): State<TaskTracker>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let text = |name| parameters.text(name).filter(|text| !text.is_empty());
    let outcome = match (text("code"), text("error")) {
        (_, Some(error)) => {
            let reason = text("error_description").unwrap_or(error);
            Some(Err(head(reason, MAX_REASON).to_owned()))
        }
        (Some(code), None) => Some(Ok(SecretString::from(code))),
        (None, None) => None,
    };
    let (Some(state), Some(outcome)) = (text("state"), outcome) else {
        return Ok(failed("Missing code or state parameter."));
    };
    let callback = Callback { state: SecretString::from(state), outcome, issuer: text("iss").map(str::to_owned) };
    match to_the_end(&tasks, async move { servers.finish_sign_in(callback).await }).await? {
        Ok(name) => {
            let text = format!("You are signed in to {}. You can close this window.", name.as_str());
            Ok(landing::note(StatusCode::OK, "Signed in", &text))
        }
        Err(SignInRefused::SignIn(SignInError::UnknownState)) => {
            Ok(failed("OAuth flow expired or not found. Begin again from the list of MCP servers."))
        }
        Err(SignInRefused::SignIn(error)) => Ok(failed(&format!("{error}."))),
        Err(SignInRefused::Store(error)) => Err(error.into()),
    }
}

fn failed(text: &str) -> Response {
    landing::note(StatusCode::BAD_REQUEST, "Not signed in", text)
}

#[derive(Serialize, ToSchema)]
struct SignedOutView {
    /// Always `ok`.
    status: &'static str,
    /// Whether somebody was signed in.
    signed_out: bool,
}

/// Signs out of a server: its tokens are revoked as far as the authorization server takes part, and removed here.
#[utoipa::path(
    post, path = "/mcp/oauth/revoke", tag = "mcp", request_body = NameBody,
    responses(
        (status = 200, body = SignedOutView), (status = 404, body = BothView, description = "No such server"),
        BodyErrors, Errors
    )
)]
async fn sign_out_of_mcp_server(
    State(servers): State<Arc<McpServers>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<NameBody>,
) -> Result<Json<SignedOutView>, Refusal> {
    let (name, given) = body.name()?;
    let name = name.filter(|name| servers.status(name).is_some()).ok_or_else(|| no_server(&given))?;
    let signed_out = to_the_end(&tasks, async move { servers.sign_out(&principal, &name).await }).await??;
    Ok(Json(SignedOutView { status: "ok", signed_out }))
}

/// What authorization servers may know of Pawport.
#[derive(Serialize, ToSchema)]
struct ClientView {
    client_id: String,
    client_name: &'static str,
    redirect_uris: [String; 1],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    application_type: &'static str,
}

/// The client-id metadata document: what an authorization server that was never told of Pawport reads instead
/// (draft-ietf-oauth-client-id-metadata-document). Of use only where `public_url` begins with `https://`.
#[utoipa::path(get, path = "/mcp/oauth/client.json", tag = "mcp", responses((status = 200, body = ClientView)))]
async fn describe_mcp_client(State(public_url): State<PublicUrl>) -> Response {
    let base = &public_url.0;
    let view = ClientView {
        client_id: format!("{base}{CLIENT_DOCUMENT}"),
        client_name: "Pawport",
        redirect_uris: [format!("{base}{CALLBACK}")],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: "none",
        application_type: "web",
    };
    Json(view).into_response()
}
