//! Servers as clients describe them.

use crate::domain::mcp::parts::{PartRejected, Parts};
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{CallTimeout, McpServer, McpServerName, McpTransport, Rejected, RemoteFlavor, TRANSPORTS};
use crate::domain::time::Timestamp;
use crate::http::error::ApiError;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A server. Values in `env` and `headers` are secrets: they are encrypted where they are stored, and never shown.
#[derive(Deserialize, ToSchema, Default)]
pub struct McpServerBody {
    /// 1 to 64 letters, digits, hyphens, dots and underscores. A test needs none.
    #[schema(max_length = 64, example = "filesystem")]
    name: Option<String>,
    /// `stdio` (the default), `http` (finds out what the address speaks), `streamable-http` or `sse`.
    #[schema(example = "stdio")]
    transport: Option<String>,
    /// The program, with `stdio`.
    #[schema(example = "npx")]
    command: Option<String>,
    /// Its arguments, at most 128.
    #[schema(example = json!(["-y", "@modelcontextprotocol/server-filesystem", "/srv/files"]))]
    args: Option<Vec<String>>,
    /// The address, with the other transports: `http://` or `https://`.
    #[schema(example = "")]
    url: Option<String>,
    /// The program's environment, beside `PATH`, `HOME` and a few others.
    env: Option<BTreeMap<String, String>>,
    /// Headers for every request to an address, such as `Authorization`.
    headers: Option<BTreeMap<String, String>>,
    /// Whether it is connected; it is unless this is `false`.
    enabled: Option<bool>,
    /// How long a call of a tool may take, in seconds; 30 unless given.
    #[schema(minimum = 1, maximum = 600)]
    timeout: Option<i64>,
    /// If given, only these tools may be called.
    allowed_tools: Option<Vec<String>>,
    /// These tools may not be called.
    denied_tools: Option<Vec<String>>,
    /// The preset that the server comes from, if any.
    registry_ref: Option<String>,
}

fn filled(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

fn rejected(place: &[&str], rejected: Rejected) -> ApiError {
    let kind = match rejected {
        Rejected::NameMissing | Rejected::CommandMissing | Rejected::UrlMissing => "missing",
        Rejected::TooLong(_) | Rejected::TooMany(_) => "too_long",
        Rejected::Timeout => "out_of_range",
        _ => "value_error",
    };
    let place: Vec<&str> = ["body"].into_iter().chain(place.iter().copied()).collect();
    ApiError::invalid(kind, &place, rejected.to_string())
}

/// A name that has to be given.
pub(super) fn server_name(name: &str) -> Result<McpServerName, ApiError> {
    McpServerName::parse(name).map_err(|reason| match reason {
        // What clients know.
        Rejected::NameMissing => ApiError::bad_request(reason.to_string()),
        reason => rejected(&["name"], reason),
    })
}

impl McpServerBody {
    /// The name, if there is nothing that would say which server is meant otherwise.
    pub(super) fn only_a_name(&self) -> Option<String> {
        let says_more = filled(self.command.as_ref()) || filled(self.url.as_ref()) || self.transport.is_some();
        self.name.clone().filter(|name| !says_more && !name.trim().is_empty())
    }

    /// With that name unless it has one.
    pub(super) fn named(mut self, name: &str) -> Self {
        if !filled(self.name.as_ref()) {
            self.name = Some(name.to_owned());
        }
        self
    }

    fn transport(&mut self) -> Result<McpTransport, ApiError> {
        let text = |text: &mut Option<String>| text.take().unwrap_or_default();
        let parts = Parts {
            transport: self.transport.as_deref().map_or(TRANSPORTS[0], str::trim).to_owned(),
            command: text(&mut self.command),
            arguments: self.args.take().unwrap_or_default(),
            environment: self.env.take().unwrap_or_default(),
            url: text(&mut self.url),
            headers: self.headers.take().unwrap_or_default(),
        };
        // Secrets must not be passed over in silence.
        let unused = |member, message: &str| Err(ApiError::invalid("value_error", &["body", member], message));
        let is_program = parts.transport == TRANSPORTS[0];
        if is_program && !parts.headers.is_empty() {
            return unused("headers", "only an address takes headers; give a program its secrets in env");
        }
        if RemoteFlavor::parse(&parts.transport).is_some() && !parts.environment.is_empty() {
            return unused("env", "only a program has an environment; give an address its secrets in headers");
        }
        parts.check_counts().and_then(|()| parts.check()).map_err(part_rejected)
    }
}

fn part_rejected(part: PartRejected) -> ApiError {
    let within = |member: &str, name: Option<String>, reason| match name {
        Some(name) => rejected(&[member, &name], reason),
        None => rejected(&[member], reason),
    };
    match part {
        PartRejected::Transport => {
            let message = format!("Input should be one of: {}", TRANSPORTS.join(", "));
            ApiError::invalid("enum", &["body", "transport"], message)
        }
        PartRejected::Command(reason) => rejected(&["command"], reason),
        PartRejected::Arguments(reason) => rejected(&["args"], reason),
        PartRejected::Url(reason) => rejected(&["url"], reason),
        PartRejected::Environment(name, reason) => within("env", name, reason),
        PartRejected::Headers(name, reason) => within("headers", name, reason),
    }
}

impl TryFrom<McpServerBody> for McpServer {
    type Error = ApiError;

    fn try_from(mut body: McpServerBody) -> Result<Self, ApiError> {
        let name = server_name(body.name.as_deref().unwrap_or_default())?;
        let transport = body.transport()?;
        let call_timeout = match body.timeout {
            None => CallTimeout::default(),
            Some(seconds) => CallTimeout::from_secs(seconds).map_err(|reason| rejected(&["timeout"], reason))?,
        };
        let names = |member, names: Option<Vec<String>>| {
            names.map(ToolFilter::names).transpose().map_err(|reason| rejected(&[member], reason))
        };
        let tools = ToolFilter {
            allowed: names("allowed_tools", body.allowed_tools)?,
            denied: names("denied_tools", body.denied_tools)?.unwrap_or_default(),
        };
        let preset = body.registry_ref.filter(|preset| !preset.is_empty());
        if preset.as_ref().is_some_and(|preset| McpServerName::parse(preset).is_err()) {
            return Err(rejected(&["registry_ref"], Rejected::Name));
        }
        let enabled = body.enabled.unwrap_or(true);
        // When it was added is for the service to say.
        Ok(Self { name, transport, enabled, call_timeout, tools, preset, created: Timestamp(0) })
    }
}

/// Which server.
#[derive(Deserialize, ToSchema)]
pub struct NameBody {
    /// Its name.
    #[schema(required = true, nullable = false, example = "filesystem")]
    pub(super) name: Option<String>,
}

impl NameBody {
    /// The name, if it may be one, and the text that was given.
    pub(super) fn name(self) -> Result<(Option<McpServerName>, String), ApiError> {
        let given = self.name.unwrap_or_default();
        match McpServerName::parse(&given) {
            Ok(name) => Ok((Some(name), given)),
            Err(reason @ Rejected::NameMissing) => Err(ApiError::bad_request(reason.to_string())),
            // What cannot be a name is the name of no server.
            Err(_) => Ok((None, given)),
        }
    }
}
