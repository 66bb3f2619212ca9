//! WebSockets, over real connections.

mod clients;
mod doors;
mod hostile;
mod idle;

use crate::support::{MASTER_TOKEN, Served, TestApp, soon};
use futures_util::{SinkExt, StreamExt};
use pawport::adapters::fake::{Script, ScriptedAgent};
use pawport::app::Settings;
use pawport::domain::agent::{AgentEvent, News, TurnId, TurnNews};
use pawport::domain::event::Event;
use pawport::domain::session::SessionId;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::http::header::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// An app whose agent follows the scripts, served on a port. Nothing is let in for being on this machine.
async fn served(scripts: impl IntoIterator<Item = Script>) -> (Served, Arc<ScriptedAgent>) {
    served_told(scripts, |_| {}).await
}

async fn served_told(
    scripts: impl IntoIterator<Item = Script>,
    change: impl FnOnce(&mut Settings),
) -> (Served, Arc<ScriptedAgent>) {
    let agent = Arc::new(ScriptedAgent::following(scripts));
    let app = TestApp::with_agent_told(Arc::clone(&agent) as _, |settings| {
        settings.policy.localhost_auth_bypass = false;
        change(settings);
    });
    (app.serve().await, agent)
}

/// A client with a socket.
struct Client {
    socket: WebSocketStream<TcpStream>,
    headers: HeaderMap,
}

impl Client {
    /// Opens a socket at a path, with these headers.
    async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
        }
        let stream = TcpStream::connect(address).await.map_err(Error::Io)?;
        let (socket, answer) = soon(client_async(request, stream)).await?;
        Ok(Self { socket, headers: answer.headers().clone() })
    }

    /// One with the master token, after its first message, and the id of its session.
    async fn greeted(served: &Served) -> (Self, String) {
        let mut client = Self::open(served.address, &format!("/ws?token={MASTER_TOKEN}"), &[]).await.expect("a socket");
        let greeting = client.next().await;
        assert_eq!(greeting["type"], "connection_info");
        (client, greeting["id"].as_str().expect("an id").to_owned())
    }

    async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    async fn send_text(&mut self, text: String) {
        soon(self.socket.send(Message::text(text))).await.expect("a socket that takes it");
    }

    /// The next message, pings aside.
    async fn next(&mut self) -> Value {
        loop {
            match soon(self.socket.next()).await.expect("a message").expect("a good message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) => {}
                other => panic!("not a message: {other:?}"),
            }
        }
    }

    /// The messages up to the first of that type.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.next().await);
            if messages.last().is_some_and(|message| message["type"] == kind) {
                return messages;
            }
        }
    }

    /// The answer to a message.
    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }

    /// With which code and reason the server closes, whatever comes before.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match soon(self.socket.next()).await.expect("an end with a reason") {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(_) => {}
                Err(error) => panic!("not closed, but: {error}"),
            }
        }
    }
}

/// The types of messages; of system events, their own types.
fn kinds(messages: &[Value]) -> Vec<&str> {
    let kind = |message: &'_ Value| if message["type"] == "system_event" { "event_type" } else { "type" };
    messages.iter().map(|message| message[kind(message)].as_str().expect("a type")).collect()
}

/// A piece of an answer that nobody gave.
fn piece(session: &str, text: String) -> Event {
    let session = SessionId::parse(session).expect("an id");
    let turn = TurnId::from_stored("turn".to_owned());
    Event::Turn(Arc::new(TurnNews { session, turn, news: News::Agent(AgentEvent::Text(text)) }))
}

#[tokio::test]
async fn who_missed_something_is_told_so() {
    let (served, _) = served([]).await;
    let (mut client, id) = Client::greeted(&served).await;
    for number in 1..=9_000 {
        served.publish(piece(&id, number.to_string()));
    }
    let messages = client.until("system_event").await;
    let gap = messages.last().expect("a message");
    assert_eq!(gap["event_type"], "gap");
    assert!(gap["data"]["missed"].as_u64().expect("a number") >= 808, "{gap}");
    while client.next().await["content"] != "9000" {}
}
