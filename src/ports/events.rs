//! Telling observers.

use crate::domain::event::Event;
use futures_core::Stream;
use std::pin::Pin;

/// What a subscriber gets.
#[derive(Debug, Clone)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// That many events were missed because the subscriber was too slow.
    Missed(u64),
}

/// The events from the moment of subscription on. Ends when the bus is gone.
pub type EventStream = Pin<Box<dyn Stream<Item = Heard> + Send>>;

/// Carries events to whoever listens. Observers only: no state is derived from it.
pub trait EventBus: Send + Sync {
    /// Tells every subscriber. **Contract:** never waits and never fails, whoever listens or does not.
    fn publish(&self, event: Event);

    /// Listens from now on. **Contract:** events come in the order in which they were published; a subscriber that falls
    /// too far behind gets [`Heard::Missed`] in place of the oldest.
    fn subscribe(&self) -> EventStream;
}
