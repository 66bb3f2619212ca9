//! MCP servers in the terminal. The running server does the work, so that what is seen here is what clients see.

use super::running::RunningServer;
use crate::config::Config;
use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How long an answer may take that needs no MCP server.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a tool may take at most, and a test: see [`crate::domain::mcp::CallTimeout`] and the key `mcp_test_timeout`. The
/// server ends both by itself.
const LONG_PATIENCE: Duration = Duration::from_secs(700);

/// How much of an error or description is in a line, in characters.
const SHOWN: usize = 100;

#[derive(Deserialize)]
struct Status {
    state: String,
    transport: String,
    tool_count: usize,
    error: String,
    auth_url: Option<String>,
}

#[derive(Deserialize)]
struct Tools {
    tools: Vec<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    description: String,
    input_schema: Option<Value>,
}

#[derive(Deserialize)]
struct Tested {
    error: Option<String>,
    tools: Vec<Tool>,
    stderr: Vec<String>,
}

#[derive(Deserialize)]
struct Called {
    content: Vec<Value>,
    is_error: bool,
}

/// What to test.
pub enum McpTarget {
    /// A server that is configured.
    Stored(String),
    /// An address.
    Url(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// A table of the servers.
///
/// # Errors
/// If no server runs here, or it refuses.
pub async fn list_mcp_servers(config: &Config) -> anyhow::Result<String> {
    let server = RunningServer::find(config, PATIENCE).await?;
    let statuses: BTreeMap<String, Status> = server.ask(server.request(Method::GET, "/mcp/status")).await?;
    if statuses.is_empty() {
        return Ok("There are no MCP servers. Add one in the dashboard, or see docs/mcp.md.".to_owned());
    }
    let width = statuses.keys().map(String::len).max().unwrap_or_default().max(4);
    let mut table = format!("{:width$}  {:12}  {:15}  TOOLS  ERROR", "NAME", "STATE", "TRANSPORT");
    for (name, status) in &statuses {
        let Status { state, transport, tool_count, error, auth_url } = status;
        let error = in_a_line(error);
        let row = format!("{name:width$}  {state:12}  {transport:15}  {tool_count:5}  {error}");
        write!(table, "\n{}", row.trim_end())?;
        if let Some(url) = auth_url {
            write!(table, "\n{:width$}  sign in at {url}", "")?;
        }
    }
    Ok(table)
}

/// The tools of a server, each with the members that it takes.
///
/// # Errors
/// If no server runs here, or it refuses.
pub async fn list_mcp_tools(config: &Config, name: &str) -> anyhow::Result<String> {
    let server = RunningServer::find(config, PATIENCE).await?;
    let request = server.request(Method::GET, &format!("/mcp/tools?{}", query("server", name)));
    let Tools { tools } = server.ask(request).await?;
    Ok(if tools.is_empty() {
        "It has no tools at the moment. Its state is in: pawport mcp list".to_owned()
    } else {
        described(&tools)
    })
}

/// Tests a server, and gives its tools.
///
/// # Errors
/// If it does not work; the text says what to do.
pub async fn test_mcp_server(config: &Config, target: McpTarget) -> anyhow::Result<String> {
    let server = RunningServer::find(config, LONG_PATIENCE).await?;
    let body = match target {
        McpTarget::Stored(name) => json!({ "name": name }),
        McpTarget::Url(url) => json!({ "transport": "http", "url": url }),
        McpTarget::Program(words) => {
            let (command, arguments) = words.split_first().context("there is no command to test")?;
            json!({ "transport": "stdio", "command": command, "args": arguments })
        }
    };
    let tested: Tested = server.ask(server.request(Method::POST, "/mcp/test").json(&body)).await?;
    if let Some(error) = tested.error {
        ensure!(!tested.stderr.is_empty(), error);
        bail!("{error}\nit wrote:\n  {}", tested.stderr.join("\n  "));
    }
    Ok(format!("It works, and has {} tools:\n{}", tested.tools.len(), described(&tested.tools)))
}

/// Calls a tool with arguments that are a JSON object; gives its texts, and everything else as JSON.
///
/// # Errors
/// If the tool fails, or cannot be called.
pub async fn call_mcp_tool(config: &Config, server: &str, tool: &str, arguments: &str) -> anyhow::Result<String> {
    let arguments: Map<String, Value> =
        serde_json::from_str(arguments).context("the arguments are no JSON object such as '{\"path\": \"/srv\"}'")?;
    let running = RunningServer::find(config, LONG_PATIENCE).await?;
    let body = json!({ "server": server, "tool": tool, "arguments": arguments });
    let called: Called = running.ask(running.request(Method::POST, "/mcp/call").json(&body)).await?;
    let blocks = called.content.iter().map(|block| match (&block["type"], &block["text"]) {
        (Value::String(kind), Value::String(text)) if kind == "text" => text.clone(),
        _ => block.to_string(),
    });
    // What a tool says must not paint the terminal.
    let is_plain = |character: &char| matches!(character, '\n' | '\t') || !character.is_control();
    let said: String = blocks.collect::<Vec<_>>().join("\n").chars().filter(is_plain).collect();
    ensure!(!called.is_error, "the tool says that it failed: {said}");
    Ok(said)
}

fn described(tools: &[Tool]) -> String {
    let tools = tools.iter().map(|tool| {
        let members = tool.input_schema.as_ref().and_then(|schema| schema["properties"].as_object());
        let members: Vec<&str> = members.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let members = if members.is_empty() { String::new() } else { format!(" ({})", members.join(", ")) };
        format!("  {}\n      {}", in_a_line(&format!("{}{members}", tool.name)), in_a_line(&tool.description))
    });
    tools.collect::<Vec<_>>().join("\n")
}

fn query(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

/// The beginning of a text, without what would move a terminal's cursor.
fn in_a_line(text: &str) -> String {
    let line: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let line = line.trim();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
