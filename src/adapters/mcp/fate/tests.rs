use super::*;
use crate::ports::mcp::ConnectionEvent::{Lost, ToolsChanged};
use futures_util::FutureExt;

#[test]
fn news_are_said_once_and_nothing_follows_a_loss() {
    let fate = Fate::new(Masks::default());
    assert_eq!(fate.next().now_or_never(), None);
    fate.tools_changed();
    fate.tools_changed();
    assert_eq!(fate.next().now_or_never(), Some(ToolsChanged));
    assert_eq!(fate.next().now_or_never(), None);
    fate.lose("first");
    fate.lose("second");
    fate.tools_changed();
    assert_eq!(fate.next().now_or_never(), Some(Lost("first".to_owned())));
    assert_eq!(fate.next().now_or_never(), None);
    assert_eq!(fate.reason(), "first");
}

#[tokio::test]
async fn nothing_is_lost_if_waiting_is_given_up() {
    let fate = std::sync::Arc::new(Fate::new(Masks::default()));
    {
        let mut waiting = std::pin::pin!(fate.next());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        // It is woken, and dropped before it runs.
        fate.tools_changed();
    }
    assert_eq!(fate.next().await, ToolsChanged);
}
