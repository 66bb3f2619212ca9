//! The MCP server, with one tool: `greet`.

use super::{Seen, World, json, seen};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json as value};

pub(super) fn routes(world: World) -> Router {
    Router::new().fallback(answer).with_state(world)
}

async fn answer(State(world): State<World>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let seen = seen("mcp", &parts, &body);
    let options = world.options();
    world.inner().seen.push(seen.clone());
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    if seen.path == metadata && options.resource_metadata {
        return json(
            200,
            &value!({
                "resource": world.mcp, "authorization_servers": [world.issuer], "scopes_supported": ["tools"],
            }),
        );
    }
    if seen.path != "/mcp" {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !is_signed_in(&world, &seen) {
        let challenge = if options.challenge {
            format!("Bearer resource_metadata=\"{}{metadata}\"", world.mcp.trim_end_matches("/mcp"))
        } else {
            "Bearer".to_owned()
        };
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    if seen.method == "POST" { call(&seen) } else { StatusCode::METHOD_NOT_ALLOWED.into_response() }
}

fn is_signed_in(world: &World, seen: &Seen) -> bool {
    let token = seen.authorization.as_deref().and_then(|header| header.strip_prefix("Bearer "));
    let inner = world.inner();
    token
        .and_then(|token| inner.access_tokens.get(token))
        .is_some_and(|access| access.is_live && access.resource == world.mcp)
}

fn call(seen: &Seen) -> Response {
    let message: Value = serde_json::from_str(&seen.body).unwrap();
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => value!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "oauth", "version": "1" },
        }),
        "tools/list" => value!({
            "tools": [{ "name": "greet", "description": "Greets", "inputSchema": { "type": "object" } }],
        }),
        "tools/call" => value!({ "content": [{ "type": "text", "text": "hello" }], "isError": false }),
        "ping" => value!({}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    json(200, &value!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}
