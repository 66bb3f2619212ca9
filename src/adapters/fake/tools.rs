//! Connected MCP servers with tools, without any connection.

use crate::domain::mcp::status::{McpState, McpStatus};
use crate::domain::mcp::tool::{CallError, Tool, ToolResult};
use crate::domain::mcp::{McpServer, McpServerName};
use crate::domain::time::Timestamp;
use crate::ports::mcp::McpSupervision;
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::any::Any;
use std::sync::{Mutex, PoisonError};

/// The server `files` with the tools `read`, which says that it changes nothing, `write`, and `hang`, which never answers.
/// Each gives its arguments back as text; `write` fails if they hold `"fail": true`.
#[derive(Default)]
pub struct FakeTools {
    called: Mutex<Vec<String>>,
}

impl FakeTools {
    /// What was called, with its arguments, in order.
    #[must_use]
    pub fn called(&self) -> Vec<String> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn tool(name: &str, read_only: bool) -> Tool {
    let schema = json!({ "type": "object" });
    Tool {
        name: name.to_owned(),
        description: format!("Does {name}"),
        schema: schema.as_object().cloned().unwrap_or_default(),
        read_only,
    }
}

#[async_trait]
impl McpSupervision for FakeTools {
    async fn turn(&self, _name: &McpServerName) -> Box<dyn Any + Send> {
        Box::new(())
    }

    async fn supervise(&self, _server: McpServer) {}

    async fn forget(&self, _name: &McpServerName) -> bool {
        false
    }

    fn retry(&self, _name: &McpServerName) {}

    fn reconnect(&self, _name: &McpServerName) {}

    fn statuses(&self) -> Vec<McpStatus> {
        let Ok(name) = McpServerName::parse("files") else { return Vec::new() };
        vec![McpStatus {
            name,
            transport: "stdio",
            preset: None,
            state: McpState::Connected,
            since: Timestamp(0),
            tools: [tool("read", true), tool("write", false), tool("hang", true)].into(),
            error: String::new(),
            stderr: Vec::new(),
            restarts: 0,
        }]
    }

    fn status(&self, name: &McpServerName) -> Option<McpStatus> {
        self.statuses().into_iter().find(|status| status.name == *name)
    }

    async fn call(
        &self,
        _server: &McpServerName,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolResult, CallError> {
        let is_error = arguments.get("fail") == Some(&Value::Bool(true));
        let arguments = Value::Object(arguments).to_string();
        self.called.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{tool} {arguments}"));
        if tool == "hang" {
            std::future::pending::<()>().await;
        }
        let text = format!("{tool}: {arguments}");
        Ok(ToolResult { content: vec![json!({ "type": "text", "text": text })], structured: None, is_error })
    }
}
