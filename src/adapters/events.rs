//! The event bus: a bounded broadcast within the process.

use crate::domain::event::Event;
use crate::ports::events::{EventBus, EventStream, Heard};
use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};

/// How far a subscriber may fall behind. There are few of them, and what all have heard is dropped, so that a burst takes room
/// only for as long as it lasts.
const KEPT: usize = 8_192;

/// The bus.
#[derive(Debug)]
pub struct BroadcastEvents {
    sender: broadcast::Sender<Event>,
}

impl Default for BroadcastEvents {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(KEPT) }
    }
}

impl EventBus for BroadcastEvents {
    fn publish(&self, event: Event) {
        // An error says that nobody listens, which is fine.
        let _ = self.sender.send(event);
    }

    fn subscribe(&self) -> EventStream {
        Box::pin(stream::unfold(self.sender.subscribe(), |mut receiver| async {
            match receiver.recv().await {
                Ok(event) => Some((Heard::Event(event), receiver)),
                Err(RecvError::Lagged(missed)) => Some((Heard::Missed(missed), receiver)),
                Err(RecvError::Closed) => None,
            }
        }))
    }
}
