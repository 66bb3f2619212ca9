//! Saying what is wrong, and what to do about it.

use super::migrate::pending;
use super::running::RunningServer;
use super::tunnel::{self, Remote};
use crate::adapters::agents::{self, AllAgents};
use crate::adapters::cloudflared;
use crate::adapters::data_dir::DataDir;
use crate::adapters::host::SystemTimer;
use crate::adapters::process::Processes;
use crate::config::{Config, DatabaseUrl, inherited_by_children};
use crate::domain::agent::service::check::{AgentCheck, check};
use anyhow::ensure;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// How long a model may take, and some more: see [`crate::domain::agent::service::check`].
const PATIENCE: Duration = Duration::from_secs(150);

/// What one look found.
enum Finding {
    /// It is as it should be.
    Fine(String),
    /// It works, and could be better.
    Hint(String),
    /// It does not work.
    Wrong(String),
}

/// What was looked at, and what was found.
struct Report(Vec<(&'static str, Finding)>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, finding) in &self.0 {
            let (mark, text) = match finding {
                Finding::Fine(text) => ("ok   ", text),
                Finding::Hint(text) => ("hint ", text),
                Finding::Wrong(text) => ("WRONG", text),
            };
            writeln!(f, "{mark}  {what:13}  {text}")?;
        }
        Ok(())
    }
}

/// Looks at everything that has to work, and gives what was found.
///
/// # Errors
/// If something is wrong; the text says what, beside what is right.
pub async fn doctor(config: &Config) -> anyhow::Result<String> {
    let mut report = Report(vec![("configuration", Finding::Fine("is valid".to_owned()))]);
    let mut add = |what, finding| report.0.push((what, finding));
    let server = match DataDir::address(&config.data_dir) {
        Ok(Some(_)) => RunningServer::find(config, PATIENCE).await,
        Ok(None) => Err(anyhow::anyhow!("does not run; start it with {}", config.command("serve"))),
        Err(error) => Err(error),
    };
    match server {
        Err(why) => {
            add("server", Finding::Hint(format!("{why:#}")));
            add("storage", storage_at_rest(config).await);
            add("agent", agent_of_configuration(config).await?);
            add("MCP servers", Finding::Hint("are only known while the server runs".to_owned()));
            add("tunnel", tunnel_at_rest(config));
        }
        Ok(server) => {
            let health = server.send(server.request(Method::GET, "/version")).await;
            add(
                "server",
                match &health {
                    Ok(_) => Finding::Fine(format!("runs at {}", server.address())),
                    Err(error) => Finding::Wrong(format!("{error:#}")),
                },
            );
            if health.is_ok() {
                add("storage", storage_in_use(&server).await);
                add("agent", agent_in_use(&server).await);
                add("MCP servers", mcp_servers(&server).await);
                add("memory", memory(&server).await);
                add("tunnel", tunnel_in_use(&server).await);
            }
        }
    }
    let is_wrong = report.0.iter().any(|(_, finding)| matches!(finding, Finding::Wrong(_)));
    ensure!(!is_wrong, "not everything works\n{report}");
    Ok(report.to_string())
}

async fn storage_at_rest(config: &Config) -> Finding {
    match &config.database_url {
        DatabaseUrl::Memory => Finding::Hint("is in memory: everything is lost when the server stops".to_owned()),
        DatabaseUrl::Sqlite(path) if !path.is_file() => {
            Finding::Fine(format!("will be made at {} by the first start", path.display()))
        }
        _ => match pending(config).await {
            Ok((_, 0)) => Finding::Fine(format!("{} is up to date", config.database_url)),
            Ok((_, count)) => {
                Finding::Hint(format!("{count} changes of the schema are to be made; the next start makes them"))
            }
            Err(error) => Finding::Wrong(format!("{error:#}")),
        },
    }
}

async fn storage_in_use(server: &RunningServer) -> Finding {
    let answer = match server.send(server.root_request(Method::GET, "/readyz")).await {
        Ok(answer) => answer,
        Err(error) => return Finding::Wrong(format!("{error:#}")),
    };
    let is_ready = answer.status() == StatusCode::OK;
    let said: Value = answer.json().await.unwrap_or_default();
    match is_ready {
        true => {
            let text = |member: &str| said[member].as_str().unwrap_or("?").to_owned();
            Finding::Fine(format!("{} answers; texts are searched with {}", text("storage"), text("search")))
        }
        false => Finding::Wrong(said["detail"].as_str().unwrap_or("is not ready").to_owned()),
    }
}

/// What the server that runs found out about its agent.
#[derive(Deserialize)]
struct Checked {
    agent: String,
    model: String,
    problem: Option<String>,
    calls_tools: Option<bool>,
}

async fn agent_in_use(server: &RunningServer) -> Finding {
    let asked = server.send(server.request(Method::POST, "/backends/check")).await;
    let checked = match asked {
        Ok(answer) => answer.json::<Checked>().await.map_err(anyhow::Error::new),
        Err(error) => Err(error),
    };
    match checked {
        Ok(checked) => found(&checked),
        Err(error) => Finding::Wrong(format!("{error:#}")),
    }
}

/// Settings that were changed while a server ran are in its database; here is what the configuration says.
async fn agent_of_configuration(config: &Config) -> anyhow::Result<Finding> {
    // Nothing is started here that would have to be noted, and what a server noted is not for us.
    let ledger = tempfile::tempdir()?;
    let processes = Processes::new(ledger.path().to_owned(), inherited_by_children())?;
    let agents = AllAgents::new(agents::http_client()?, processes);
    let AgentCheck { agent, model, problem, calls_tools } =
        check(&agents, &SystemTimer, &config.agent.settings().choice).await;
    Ok(found(&Checked { agent: agent.to_owned(), model, problem, calls_tools }))
}

fn found(checked: &Checked) -> Finding {
    let Checked { agent, model, problem, calls_tools } = checked;
    let with = if model.is_empty() { String::new() } else { format!(" with the model {model}") };
    match (problem, calls_tools) {
        (Some(problem), _) => Finding::Wrong(format!("{agent}{with}: {problem}")),
        (None, Some(true)) => Finding::Fine(format!("{agent}{with} answers, and calls tools")),
        (None, Some(false)) => Finding::Hint(format!(
            "{agent}{with} answers, but did not call a tool when it was asked to: tools of MCP servers may not be used. Choose a model that is made for tools"
        )),
        (None, None) if agent == "builtin" => {
            Finding::Hint("no language model is connected; docs/agents.md says how to connect one".to_owned())
        }
        (None, None) => Finding::Fine(format!("{agent}{with} is ready")),
    }
}

async fn mcp_servers(server: &RunningServer) -> Finding {
    let statuses = match server.send(server.request(Method::GET, "/mcp/status")).await {
        Ok(answer) => answer.json::<BTreeMap<String, Value>>().await.map_err(anyhow::Error::new),
        Err(error) => Err(error),
    };
    let statuses = match statuses {
        Ok(statuses) => statuses,
        Err(error) => return Finding::Wrong(format!("{error:#}")),
    };
    let mut wrong = String::new();
    let mut connected = 0;
    for (name, status) in statuses.iter().filter(|(_, status)| status["enabled"] == true) {
        match status["connected"] == true {
            true => connected += 1,
            false => {
                let state = status["state"].as_str().unwrap_or("?");
                let error = status["error"].as_str().unwrap_or_default();
                let _ = write!(wrong, "\n                        {name} is {state}: {error}");
            }
        }
    }
    match (statuses.is_empty(), wrong.is_empty()) {
        (true, _) => Finding::Fine("there are none; docs/mcp.md says how to add one".to_owned()),
        (_, true) => Finding::Fine(format!("{connected} of {} are connected, the others switched off", statuses.len())),
        _ => Finding::Wrong(format!("{connected} of {} are connected{wrong}", statuses.len())),
    }
}

async fn memory(server: &RunningServer) -> Finding {
    let stats = match server.send(server.request(Method::GET, "/memory/stats")).await {
        Ok(answer) => answer.json::<Value>().await.map_err(anyhow::Error::new),
        Err(error) => Err(error),
    };
    let stats = match stats {
        Ok(stats) => stats,
        Err(error) => return Finding::Wrong(format!("{error:#}")),
    };
    let (total, embedding) = (&stats["total_memories"], &stats["embedding"]);
    if let Some(problem) = embedding["problem"].as_str() {
        return Finding::Wrong(format!("{total} memories, found by their words only: {problem}"));
    }
    match embedding["model"].as_str() {
        None => Finding::Fine(format!(
            "{total} memories, found by their words; docs/memory.md says how to find them by meaning, too"
        )),
        Some(model) => Finding::Fine(format!(
            "{total} memories, found by words and meaning; {} have vectors of {model}",
            embedding["done"]
        )),
    }
}

/// The tunnel of the server that runs.
async fn tunnel_in_use(server: &RunningServer) -> Finding {
    match tunnel::remote(server).await {
        Err(error) => Finding::Wrong(format!("{error:#}")),
        Ok(Remote { url: Some(url), program, .. }) => Finding::Fine(format!("open at {url}; made by {program}")),
        Ok(Remote { state, error: Some(error), .. }) => Finding::Wrong(format!("{state}: {error}")),
        Ok(Remote { program, .. }) if program.problem.is_some() => not_needed(&program.to_string()),
        Ok(Remote { state, program, .. }) => Finding::Fine(format!("{state}; {program} can make one")),
    }
}

/// The program that would make one.
fn tunnel_at_rest(config: &Config) -> Finding {
    match cloudflared::locate(config.tunnel.cloudflared.as_deref(), tunnel::search_path().as_deref()) {
        Ok(path) => Finding::Fine(format!("cloudflared is at {path}")),
        Err(problem) => not_needed(&problem.to_string()),
    }
}

fn not_needed(problem: &str) -> Finding {
    Finding::Hint(format!("is needed only to reach this server from elsewhere: {problem}"))
}
