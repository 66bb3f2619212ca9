//! WebSockets: what the dashboard lives on, and what the desktop client waits for.
//!
//! Who is refused is told after the upgrade, by a close code: browsers hide from pages why a socket was not opened.

mod actions;
mod health;
mod host;
mod settings;
mod socket;

use super::AppState;
use super::client::Seat;
use super::error::ApiError;
use super::gate::{NotAdmitted, socket_protocols};
use crate::domain::auth::service::Proven;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use futures_util::SinkExt;
use socket::Socket;
use std::time::Duration;

/// Where sockets are opened.
pub const PATHS: [&str; 3] = ["/ws", "/v1/ws", "/api/v1/ws"];

/// The largest message that is taken.
const MESSAGE_BYTES: usize = 256 * 1024;

/// The largest message that is read, so that who sends more than is taken can be told so. What is larger still ends the
/// connection in the middle.
const READ_BYTES: usize = 2 * MESSAGE_BYTES;

/// How long a client may leave us waiting before it takes what we send.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How long a client gets to answer that it closes, too.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why a socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Closing {
    code: u16,
    reason: &'static str,
}

impl Closing {
    const STOPPING: Self = Self { code: 1001, reason: "The server stops" };
    const NOT_TEXT: Self = Self { code: 1003, reason: "Only text is understood here" };
    const NOT_UTF8: Self = Self { code: 1007, reason: "The text is not UTF-8" };
    const NO_JSON: Self = Self { code: 1008, reason: "Too many messages that are no JSON objects" };
    const TOO_OFTEN: Self = Self { code: 1008, reason: "Too many messages" };
    const TOO_LARGE: Self = Self { code: 1009, reason: "A message may have at most 256 KiB" };
    const REVOKED: Self = Self { code: 4003, reason: "The credential is no longer good" };
    const TOO_MANY: Self = Self { code: 4029, reason: "Too many WebSockets are open" };
}

/// Opens a socket, if only to close it again.
pub async fn open_socket(
    State(state): State<AppState>,
    proven: Result<Proven, ApiError>,
    refused: Option<Extension<NotAdmitted>>,
    seat: Option<Extension<Seat>>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let mut upgrade = upgrade.map_err(|rejection| match rejection {
        WebSocketUpgradeRejection::ConnectionNotUpgradable(_) => {
            ApiError::new(StatusCode::UPGRADE_REQUIRED, "This connection cannot become a WebSocket")
        }
        _ => ApiError::bad_request("This is a WebSocket: it wants an upgrade"),
    })?;
    // Browsers give up if none of what they offer is chosen. There is nothing to choose: an item may have been a token.
    if let Some(offered) = socket_protocols(&headers).find_map(|item| HeaderValue::from_str(item).ok()) {
        upgrade.set_selected_protocol(offered);
    }
    let upgrade = upgrade.max_message_size(READ_BYTES).max_frame_size(READ_BYTES);
    // Whoever waits for the end of the server waits for this, too.
    let token = state.tasks.token();
    let admitted = match (proven, refused) {
        (Ok(proven), None) => match state.streams.open_socket(&proven) {
            Some(open) => Ok((proven, open)),
            None => Err(Closing::TOO_MANY),
        },
        (_, Some(Extension(NotAdmitted(reason)))) => Err(Closing { code: 4003, reason }),
        (Err(unauthorized), None) => return Err(unauthorized),
    };
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let closing = match admitted {
            Ok((proven, open)) => {
                let closing = Socket::new(&mut socket, state, proven, &uri).run().await;
                drop(open);
                closing
            }
            Err(closing) => Some(closing),
        };
        if let Some(closing) = closing {
            close(&mut socket, closing).await;
        }
        drop((socket, token, seat));
    }))
}

/// Says why, and waits a little for the client to do the same: a connection that is cut while something is under way loses
/// what was said last.
async fn close(socket: &mut WebSocket, closing: Closing) {
    let frame = CloseFrame { code: closing.code, reason: Utf8Bytes::from_static(closing.reason) };
    let said = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIME, said).await;
}

/// Sends messages. `false` if the client does not take them.
async fn send(socket: &mut WebSocket, messages: impl IntoIterator<Item = Utf8Bytes>) -> bool {
    let sent = async {
        for message in messages {
            socket.feed(Message::Text(message)).await?;
        }
        socket.flush().await
    };
    matches!(tokio::time::timeout(WRITE_TIME, sent).await, Ok(Ok(())))
}
