//! The description of the API, made from the handlers.

use super::AppState;
use super::error::{ErrorBody, Errors, FieldError, ValidationBody};
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use std::collections::HashMap;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, RefOr};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(describe_api))
}

/// The readable page. Its scripts and styles are in the binary.
pub fn docs_page<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page: Router<S> = SwaggerUi::new("/api/v1/docs").config(Config::from("/api/v1/openapi.json")).into();
    page.layer(map_response(async |response: Response| match response.status() {
        StatusCode::NOT_FOUND => super::not_found().into_response(),
        _ => response,
    }))
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health",
    responses((status = 200, body = Object, description = "The description in OpenAPI 3.1"), Errors)
)]
async fn describe_api() -> Json<OpenApi> {
    Json(document())
}

/// The description of the whole API.
#[must_use]
pub fn document() -> OpenApi {
    let (_, closed) = super::closed_routes().split_for_parts();
    let (_, open) = super::open_routes().split_for_parts();
    let mut api = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Pawport")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("The control plane of a self-hosted AI agent. See docs/api.md for conventions."))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                // Named by errors, which are described apart from the handlers.
                .schema(ErrorBody::name(), ErrorBody::schema())
                .schema(ValidationBody::name(), ValidationBody::schema())
                .schema(FieldError::name(), FieldError::schema())
                .security_scheme(
                    "bearer",
                    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
                )
                .build(),
        ))
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new())]))
        .build();
    api.merge(closed);
    api.merge(open);
    describe_each_success(&mut api.paths);
    give_each_operation_its_own_id(&mut api.paths);
    api
}

/// The description as text.
///
/// # Errors
/// Never in practice: everything in it can be written as JSON.
pub fn document_json() -> Result<String, serde_json::Error> {
    document().to_pretty_json()
}

/// The format wants a description of every response; what a success holds is said by its schema.
fn describe_each_success(paths: &mut Paths) {
    for operation in paths.paths.values_mut().flat_map(operations) {
        if let Some(RefOr::T(success)) = operation.responses.responses.get_mut("200")
            && success.description.is_empty()
        {
            "Success".clone_into(&mut success.description);
        }
    }
}

/// A handler that is mounted under both prefixes describes itself once, but ids must be unique in the document.
fn give_each_operation_its_own_id(paths: &mut Paths) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for id in paths.paths.values_mut().flat_map(operations).filter_map(|operation| operation.operation_id.clone()) {
        *uses.entry(id).or_default() += 1;
    }
    let v1 = paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/api/v1/"));
    for id in v1.flat_map(|(_, item)| operations(item)).filter_map(|operation| operation.operation_id.as_mut()) {
        if uses[id] > 1 {
            id.push_str("_v1");
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}
