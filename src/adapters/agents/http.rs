//! Asking a provider over HTTP, and what its refusals mean. The key goes to the configured address and into no text.

use super::answer::Answering;
use super::stream::{Events, Lost, bytes_of, innermost, read_all};
use crate::domain::agent::choice::{AgentChoice, AgentKind};
use crate::domain::agent::model::ModelError;
use crate::domain::text;
use crate::ports::agent::AgentError;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// How long is waited for the first piece of an answer, and between two pieces.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// How long is waited for the count of tokens after the model has stopped. The answer is complete without it.
const AFTER_END: Duration = Duration::from_secs(10);

/// How long a list of models, or the text of a refusal, may take.
const QUICK: Duration = Duration::from_secs(30);

/// How much is read of a refusal, in bytes.
const MAX_REFUSAL: usize = 64 * 1024;

/// How large a list of models may be, in bytes.
const MAX_LIST: usize = 8 * 1024 * 1024;

/// How many models are listed.
const MAX_MODELS: usize = 1000;

/// How much of what a provider says is shown, in characters.
const SAID_CHARS: usize = 500;

/// How much of an answer that was not understood is shown, in characters.
const BEGINNING_CHARS: usize = 100;

/// The longest name of a model, in bytes.
const MAX_MODEL_NAME: usize = 200;

/// How to ask one provider. `Debug` shows no key.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    http: Client,
    kind: AgentKind,
    base: String,
    origin: String,
    headers: HeaderMap,
    key: Option<SecretString>,
}

/// An answer that began well.
pub(super) enum Body {
    /// It comes in pieces.
    Events(Events),
    /// It came at once.
    Whole(Value),
}

/// Why there is no answer.
pub(super) enum Problem {
    /// The provider answered with another status than one of success.
    Refused(Refusal),
    /// Anything else.
    Failed(ModelError),
}

/// An answer that says no.
pub(super) struct Refusal {
    pub status: StatusCode,
    /// What the provider said, fit to be shown.
    pub said: String,
    /// Its short words for the cause, such as `insufficient_quota`.
    codes: Vec<String>,
    retry_after: Option<Duration>,
    /// Where a redirect leads: scheme, host and port.
    leads_to: Option<String>,
}

impl Provider {
    /// `key_header` carries the key, which has `key_prefix` before it.
    pub fn new(
        http: Client,
        choice: &AgentChoice,
        key_header: HeaderName,
        key_prefix: &str,
    ) -> Result<Self, AgentError> {
        let base = choice.base_url.as_ref().map(|url| url.as_str().to_owned());
        let base = base.or_else(|| choice.kind.default_base_url().map(str::to_owned)).unwrap_or_default();
        let origin = origin_of(&base).unwrap_or_default();
        let key = choice.api_key.as_ref().map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty());
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value = HeaderValue::try_from(format!("{key_prefix}{key}")).map_err(|_| {
                AgentError(format!("The key has characters that no key has. Check {}.", key_of(choice.kind)))
            })?;
            value.set_sensitive(true);
            headers.insert(key_header, value);
        }
        Ok(Self { http, kind: choice.kind, base, origin, headers, key: key.map(SecretString::from) })
    }

    /// Adds a header to every request.
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The address before the paths of the API.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether a key was given.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Asks for an answer.
    pub async fn ask(&self, path: &str, body: &Value) -> Result<Body, Problem> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let response = self.send(request, PATIENCE).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        if kind.contains("html") {
            return Err(Problem::Failed(ModelError::Refused(format!(
                "{} answered with a web page. {}",
                self.origin,
                self.where_it_ends()
            ))));
        }
        if !kind.contains("json") {
            return Ok(Body::Events(Events::new(bytes_of(response))));
        }
        let bytes = self.read(response, super::stream::MAX_EVENT, PATIENCE).await.map_err(Problem::Failed)?;
        let whole = serde_json::from_slice(&bytes);
        whole.map(Body::Whole).map_err(|_| Problem::Failed(self.not_understood(&String::from_utf8_lossy(&bytes))))
    }

    /// The next piece of a stream; `None` at its end. `answer` is what was taken of it until now.
    pub async fn next(&self, events: &mut Events, answer: &Answering<'_>) -> Result<Option<Value>, ModelError> {
        let is_complete = answer.end.is_some();
        let lost = |why: &str| Err(answer.lost(&self.origin, why));
        let data = match events.next(if is_complete { AFTER_END } else { PATIENCE }).await {
            Ok(Some(data)) if data.trim() == "[DONE]" => return Ok(None),
            Ok(Some(data)) => data,
            Err(Lost::TooLarge) => return Err(ModelError::TooLarge),
            // It had said everything.
            Ok(None) | Err(_) if is_complete => return Ok(None),
            Ok(None) => return lost("it ended too early"),
            Err(Lost::Connection(why)) => return lost(&why),
        };
        match serde_json::from_str(&data) {
            Ok(piece) => Ok(Some(piece)),
            Err(_) if events.at_end() => lost("it ended too early"),
            Err(_) if answer.has_told() => Err(ModelError::BrokeOff("a piece of it was not understood".to_owned())),
            Err(_) => Err(self.not_understood(&data)),
        }
    }

    /// The names in the list of models at that path.
    pub async fn models(&self, path: &str) -> Result<Vec<String>, ModelError> {
        let request = self.http.get(format!("{}{path}", self.base));
        let response = match self.send(request, QUICK).await {
            Ok(response) => response,
            Err(Problem::Refused(refusal)) => return Err(self.explain(&refusal, None)),
            Err(Problem::Failed(error)) => return Err(error),
        };
        let bytes = self.read(response, MAX_LIST, QUICK).await?;
        let list: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let entries = [&list["data"], &list["models"], &list].into_iter().find_map(Value::as_array);
        let Some(entries) = entries else {
            return Err(ModelError::Refused(format!(
                "{} does not list its models. {}",
                self.origin,
                self.where_it_ends()
            )));
        };
        let names = entries.iter().filter_map(|entry| entry["id"].as_str().or_else(|| entry["name"].as_str()));
        let is_name =
            |name: &&str| !name.is_empty() && name.len() <= MAX_MODEL_NAME && !name.contains(char::is_control);
        Ok(names.filter(is_name).take(MAX_MODELS).map(str::to_owned).collect())
    }

    async fn read(&self, response: Response, most: usize, limit: Duration) -> Result<Vec<u8>, ModelError> {
        read_all(bytes_of(response), most, limit).await.map_err(|lost| match lost {
            Lost::TooLarge => ModelError::TooLarge,
            Lost::Connection(why) => self.unreachable(why),
        })
    }

    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Response, Problem> {
        let sent = timeout(limit, request.headers(self.headers.clone()).send()).await;
        let failed = |why: String| Problem::Failed(self.unreachable(why));
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_timeout() => return Err(failed("it took too long to connect".to_owned())),
            Ok(Err(error)) => return Err(failed(self.clean(&innermost(&error)))),
            Err(_) => return Err(failed(format!("it did not answer within {} seconds", limit.as_secs()))),
        };
        if response.status().is_success() { Ok(response) } else { Err(Problem::Refused(self.refusal(response).await)) }
    }

    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let location = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let leads_to = location.and_then(|place| {
            let base = Url::parse(&self.base).ok()?;
            origin_of(base.join(place).ok()?.as_str())
        });
        // What cannot be read is not said; the status says enough.
        let bytes = timeout(QUICK, first_bytes(response)).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&bytes);
        let json: Option<Value> = serde_json::from_str(&body).ok();
        let said = match &json {
            Some(json) => Fault::find(json).map_or_else(|| json.to_string(), |fault| fault.message),
            None if body.trim_start().starts_with('<') => String::new(),
            None => body.into_owned(),
        };
        let codes = json.as_ref().and_then(Fault::find).map(|fault| fault.codes).unwrap_or_default();
        Refusal { status, said: self.clean(&said), codes, retry_after, leads_to }
    }

    /// What a refusal means for the user, who asked for `model`.
    pub fn explain(&self, refusal: &Refusal, model: Option<&str>) -> ModelError {
        let Refusal { status, said, .. } = refusal;
        let origin = &self.origin;
        let said = if said.is_empty() { String::new() } else { format!(" It said: “{said}”") };
        let is_poor = refusal.codes.iter().any(|code| code == "insufficient_quota");
        if is_busy(*status) && !is_poor {
            let message = format!("{origin} cannot answer now ({status}).{said}");
            return ModelError::Busy { message, retry_after: refusal.retry_after };
        }
        let key = key_of(self.kind);
        let names_model = said.contains("model") || model.is_some_and(|model| said.contains(model));
        let text = match (status.as_u16(), model) {
            (300..=399, _) => {
                let place = refusal.leads_to.as_deref().unwrap_or("another address");
                format!(
                    "{origin} redirects to {place}. Redirects are not followed, since the key is for {origin} alone: \
                     configure the address where the API is."
                )
            }
            (401, _) if self.has_key() => format!("{origin} refused the key. Check {key}.{said}"),
            (401, _) => format!("{origin} wants a key. Set {key}.{said}"),
            (402 | 429, _) => format!("{origin} wants to be paid. Check your plan there ({status}).{said}"),
            (403, _) => format!("{origin} does not allow this. Check {key}, and what that key may be used for.{said}"),
            (404, Some(model)) if names_model => {
                let model = self.clean(model);
                format!("{origin} has no model “{model}”. Choose another one, or load it there.{said}")
            }
            (404 | 405, _) => format!("{origin} has no such API ({status}). {}{said}", self.where_it_ends()),
            (413, _) => format!("{origin} says that the conversation is too large ({status}).{said}"),
            _ => format!("{origin} did not understand or did not accept the request ({status}).{said}"),
        };
        ModelError::Refused(text)
    }

    /// An answer of success that is not what was asked for.
    pub fn not_understood(&self, body: &str) -> ModelError {
        // Masked before it is cut, since half a key is one, too.
        let masked = self.clean(body);
        ModelError::Refused(format!(
            "The answer of {} was not understood. {} It began: “{}”",
            self.origin,
            self.where_it_ends(),
            text::head(&masked, BEGINNING_CHARS)
        ))
    }

    /// Where the configured address is to end.
    fn where_it_ends(&self) -> String {
        let path = Url::parse(&self.base).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        match self.kind {
            AgentKind::Anthropic if path.ends_with("/v1") => {
                "The address must end before /v1, which is added to it: try it without.".to_owned()
            }
            AgentKind::Anthropic => "Check the address: it must end before /v1/messages.".to_owned(),
            _ if path.is_empty() => format!("The address may lack its path: try {}/v1.", self.origin),
            _ => "Check the address: it must end before /chat/completions.".to_owned(),
        }
    }

    /// An error that the provider reports within its answer. `has_told`: whether a part of that was told.
    pub fn fault(&self, fault: &Fault, has_told: bool) -> ModelError {
        let message = self.clean(&fault.message);
        if has_told {
            return ModelError::BrokeOff(message);
        }
        let said = format!("{} gave no answer. It said: “{message}”", self.origin);
        if fault.may_pass() {
            return ModelError::Busy { message: said, retry_after: None };
        }
        ModelError::Refused(said)
    }

    /// The connection was lost before anything was said.
    fn unreachable(&self, why: String) -> ModelError {
        ModelError::Unreachable { address: self.origin.clone(), why }
    }

    /// A text of the provider as it can be shown: without the key, without control characters, and not too long.
    pub fn clean(&self, text: &str) -> String {
        let masked = match &self.key {
            Some(key) => text.replace(key.expose_secret(), "***"),
            None => text.to_owned(),
        };
        let plain: String = masked.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        let words: Vec<&str> = plain.split_whitespace().collect();
        text::head(&words.join(" "), SAID_CHARS).to_owned()
    }
}

/// An error as providers describe it in JSON.
pub(super) struct Fault {
    message: String,
    codes: Vec<String>,
}

impl Fault {
    /// The error in an object, if there is one: `{"error": {…}}`, `{"error": "…"}`, `{"object": "error", …}`,
    /// `{"detail": …}`.
    pub fn find(json: &Value) -> Option<Self> {
        let error = match json.get("error").filter(|error| !error.is_null()) {
            Some(error) => error,
            None if json["object"] == "error" => json,
            None => json.get("detail").or_else(|| json.get("message"))?,
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let message = text(&error["message"]).or_else(|| text(error)).unwrap_or_else(|| error.to_string());
        let codes = [&error["type"], &error["code"], &error["status"]].into_iter();
        let codes = codes.filter_map(|code| text(code).or_else(|| code.as_u64().map(|number| number.to_string())));
        Some(Self { message, codes: codes.collect() })
    }

    /// Whether asking again may help.
    fn may_pass(&self) -> bool {
        const PASSING: [&str; 9] = [
            "api_error",
            "engine_overloaded",
            "overloaded",
            "overloaded_error",
            "rate_limit_error",
            "rate_limit_exceeded",
            "server_error",
            "service_unavailable",
            "timeout_error",
        ];
        let passes = |code: &String| {
            let status = code.parse().ok().and_then(|number: u16| StatusCode::from_u16(number).ok());
            PASSING.contains(&code.as_str()) || status.is_some_and(is_busy)
        };
        self.codes.iter().any(passes)
    }
}

/// Where the key of a kind is given.
fn key_of(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Anthropic => "anthropic_api_key in the settings, or PAWPORT_MODEL_API_KEY",
        _ => "openai_compatible_api_key in the settings, or PAWPORT_MODEL_API_KEY",
    }
}

/// No model was chosen.
pub(super) fn no_model() -> ModelError {
    ModelError::Refused("No model was chosen. Choose one in the settings, or with PAWPORT_MODEL.".to_owned())
}

/// Whether a status means that the same request may do later.
fn is_busy(status: StatusCode) -> bool {
    match status.as_u16() {
        501 | 505 => false,
        number => matches!(number, 408 | 409 | 425 | 429) || status.is_server_error(),
    }
}

/// When a provider wants to be asked again. A date is held against the provider's own clock, which is in the same answer.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|millis| millis.parse::<f64>().ok()).map(|millis| millis / 1000.0);
    if let Some(pause) = millis.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        return Some(pause);
    }
    let after = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let then = httpdate::parse_http_date(after).ok()?;
    let now = httpdate::parse_http_date(text(DATE.as_str())?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// As much of a body as is looked at.
async fn first_bytes(response: Response) -> Vec<u8> {
    use futures_util::StreamExt;
    let mut chunks = std::pin::pin!(bytes_of(response));
    let mut all = Vec::new();
    while all.len() < MAX_REFUSAL
        && let Some(Ok(chunk)) = chunks.next().await
    {
        all.extend_from_slice(&chunk[..chunk.len().min(MAX_REFUSAL - all.len())]);
    }
    all
}

fn origin_of(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}
