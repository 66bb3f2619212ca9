//! The description of the API, made from the handlers.

use super::access::{self, Access, Route};
use super::error::{ErrorBody, Errors, FieldError, ValidationBody};
use super::{AppState, cookie};
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use std::collections::HashMap;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, ResponseBuilder,
};
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
    // Without the bar at the top, whose picture wants an inline style, which our pages do not allow.
    let config = Config::from("/api/v1/openapi.json").use_base_layout();
    let page: Router<S> = SwaggerUi::new("/api/v1/docs").config(config).into();
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
    let (_, described) = super::routes().split_for_parts();
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
                    BEARER,
                    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
                )
                .security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookie::NAME))))
                .security_scheme(STATUS_KEY, SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Status-Key"))))
                .build(),
        ))
        .security(Some([SecurityRequirement::new(BEARER, Vec::<String>::new())]))
        .build();
    api.merge(described);
    say_what_each_needs(&mut api.paths);
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

const BEARER: &str = "bearer";
const COOKIE: &str = "cookie";
const STATUS_KEY: &str = "status_key";

/// Method and path of every operation of a description.
#[must_use]
pub fn operations_of(api: &OpenApi) -> Vec<(String, String)> {
    let operations = api.paths.paths.iter().flat_map(|(path, item)| {
        let methods = [
            ("GET", item.get.is_some()),
            ("PUT", item.put.is_some()),
            ("POST", item.post.is_some()),
            ("DELETE", item.delete.is_some()),
            ("PATCH", item.patch.is_some()),
        ];
        let is_there = |(method, is_there): (&str, bool)| is_there.then(|| (method.to_owned(), path.clone()));
        methods.into_iter().filter_map(is_there).collect::<Vec<_>>()
    });
    operations.collect()
}

/// Takes what each operation needs, and what it answers to who lacks it, from the table that the gate asks.
fn say_what_each_needs(paths: &mut Paths) {
    for route in access::ROUTES {
        for path in route.paths() {
            let Some(item) = paths.paths.get_mut(&path) else { continue };
            let operation = match route.method() {
                "GET" => &mut item.get,
                "PUT" => &mut item.put,
                "POST" => &mut item.post,
                "DELETE" => &mut item.delete,
                _ => &mut item.patch,
            };
            // A handler that checks a proof of its own says so itself.
            let Some(operation) = operation else { continue };
            if route.access != Access::Open || operation.security.is_none() {
                operation.security = Some(requirements(route.access));
            }
            for (status, why) in refusals(route) {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(refusal(why)));
            }
        }
    }
}

/// What the layers around the handlers answer.
fn refusals(route: &Route) -> impl Iterator<Item = (&'static str, &'static str)> {
    let always = [
        ("400", "The request does not name exactly one host"),
        ("403", "The host is not one of ours, a page of another origin sent this, or the credential lacks the scope"),
    ];
    let is_checked = route.method() != "GET" && !route.for_servers;
    let changes = is_checked.then_some(("415", "The `Content-Type` is not `application/json`"));
    let is_counted = route.access != Access::Open || route.tier.is_some() || route.for_servers;
    let counted = is_counted.then_some(("429", "Too many requests; `Retry-After` says when to try again"));
    always.into_iter().chain(changes).chain(counted)
}

fn refusal(why: &str) -> utoipa::openapi::Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
    ResponseBuilder::new().description(why).content("application/json", body).build()
}

/// The alternatives. The scopes are listed as the roles that OpenAPI 3.1 provides for.
fn requirements(access: Access) -> Vec<SecurityRequirement> {
    let with = |roles: &[&str]| [BEARER, COOKIE].map(|scheme| SecurityRequirement::new(scheme, roles.to_vec()));
    match access {
        Access::Open => vec![SecurityRequirement::default()],
        Access::AnyCredential => with(&[]).to_vec(),
        Access::StatusKey => [&with(&[])[..], &[SecurityRequirement::new(STATUS_KEY, Vec::<String>::new())]].concat(),
        Access::Scopes(scopes) => scopes.iter().flat_map(|scope| with(&[scope.as_str()])).collect(),
    }
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
