//! Asking a server, and what it answers.

use super::catalog::Listed;
use crate::domain::mcp::tool::{CallError, MAX_RESULT, Tool, ToolResult};
use futures_util::FutureExt;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientRequest,
    CustomResult, ErrorCode, ListToolsRequest, PaginatedRequestParams, RequestId, ServerResult,
};
use rmcp::service::{PeerRequestOptions, ServiceError};
use rmcp::{Peer, RoleClient};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io;

/// The most pages that are asked for. Those who list one tool a page come from other worlds.
const MAX_PAGES: usize = 200;

/// Sends a request and waits for its answer. If the future is dropped, the server is told.
///
/// It is told as well when the time of a call is over, since that drops the future. rmcp's own time limit would then wait
/// until the message is sent, which a server that reads no more can put off for ever.
async fn ask(peer: &Peer<RoleClient>, request: ClientRequest) -> Result<ServerResult, ServiceError> {
    let handle = peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
    let mut asked = Asked { peer, id: Some(handle.id.clone()) };
    let answer = handle.await_response().await;
    asked.id = None;
    answer
}

/// A request that is not answered yet.
struct Asked<'a> {
    peer: &'a Peer<RoleClient>,
    id: Option<RequestId>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let reason = "nobody waits for the answer any more".to_owned();
        let params = CancelledNotificationParam::new(Some(id), Some(reason));
        let telling = self.peer.send_notification(CancelledNotification::new(params).into());
        // The first poll puts it into the queue of the connection, and needs no runtime. Nobody waits for the rest.
        let _ = tokio::task::unconstrained(telling).now_or_never();
    }
}

/// All tools, page by page.
pub(super) async fn list(peer: &Peer<RoleClient>) -> Result<Vec<Tool>, ServiceError> {
    let (mut listed, mut cursor) = (Listed::default(), None);
    for _ in 0..MAX_PAGES {
        let params = cursor.is_some().then(|| PaginatedRequestParams::default().with_cursor(cursor.clone()));
        let request = ListToolsRequest { params, ..ListToolsRequest::default() };
        let answer = match ask(peer, ClientRequest::ListToolsRequest(request)).await {
            // It offers other things than tools.
            Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => break,
            answer => answer?,
        };
        let next = take_page(answer, &mut listed)?;
        if listed.is_full() || next.is_none() || next == cursor {
            break;
        }
        cursor = next;
    }
    Ok(listed.into_tools())
}

/// Takes the tools of a page, and gives what the next one is called.
fn take_page(answer: ServerResult, listed: &mut Listed) -> Result<Option<String>, ServiceError> {
    let next = match answer {
        ServerResult::ListToolsResult(page) => {
            for tool in page.tools {
                let schema = std::sync::Arc::unwrap_or_clone(tool.input_schema);
                let read_only = tool.annotations.as_ref().is_some_and(|it| it.read_only_hint == Some(true));
                listed.add(&tool.name, tool.description.as_deref().unwrap_or_default(), schema, read_only);
            }
            page.next_cursor
        }
        // One tool that is not quite right must not hide the others.
        ServerResult::CustomResult(CustomResult(mut page)) => {
            let tools = page.get_mut("tools").and_then(Value::as_array_mut);
            tools.ok_or(ServiceError::UnexpectedResponse)?.iter_mut().for_each(|tool| listed.add_raw(tool));
            page["nextCursor"].as_str().map(str::to_owned)
        }
        _ => return Err(ServiceError::UnexpectedResponse),
    };
    // Some say so instead of leaving it out.
    Ok(next.filter(|cursor| !cursor.is_empty()))
}

/// Calls a tool. `None` instead of an error: the connection is lost.
pub(super) async fn call(
    peer: &Peer<RoleClient>,
    tool: &str,
    arguments: Map<String, Value>,
) -> Result<ToolResult, Option<CallError>> {
    let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    let answer = ask(peer, ClientRequest::CallToolRequest(CallToolRequest::new(params))).await;
    let result = answer.and_then(result_of).map_err(super::problem::of_call)?;
    match size_of(&result.content) + result.structured.as_ref().map_or(0, size_of) {
        ..=MAX_RESULT => Ok(result),
        bytes => Err(Some(CallError::TooLarge(bytes))),
    }
}

fn result_of(answer: ServerResult) -> Result<ToolResult, ServiceError> {
    let none = ToolResult { content: Vec::new(), structured: None, is_error: false };
    match answer {
        ServerResult::CallToolResult(result) => {
            let content = result.content.iter().map(serde_json::to_value).collect::<Result<_, _>>();
            Ok(ToolResult {
                content: content.map_err(|_| ServiceError::UnexpectedResponse)?,
                structured: result.structured_content,
                is_error: result.is_error.unwrap_or_default(),
            })
        }
        // Nothing to say.
        ServerResult::EmptyResult(_) | ServerResult::TaskAckResult(_) => Ok(none),
        // Blocks of a kind that rmcp does not know.
        ServerResult::CustomResult(CustomResult(mut result)) => {
            let Some(Value::Array(content)) = result.get_mut("content").map(Value::take) else {
                return Err(ServiceError::UnexpectedResponse);
            };
            let structured = result.get_mut("structuredContent").map(Value::take);
            Ok(ToolResult { content, structured, is_error: result["isError"].as_bool().unwrap_or_default() })
        }
        _ => Err(ServiceError::UnexpectedResponse),
    }
}

/// How large it is as JSON.
fn size_of(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither counting nor values that came as JSON can fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests;
