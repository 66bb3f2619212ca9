//! Clients of which nothing is heard. The clock is the test's: it goes on when nobody has anything to do.

use super::*;
use tokio::io::AsyncReadExt;
use tokio::time::{Duration, Instant, timeout_at};

const PING: [u8; 2] = [0x89, 0];

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_pings_is_gone_after_90_seconds() {
    let (served, _) = served([]).await;
    let (mut silent, _) = Client::greeted(&served).await;
    let since = Instant::now();
    // Around the library, which would answer.
    let mut heard = Vec::new();
    silent.socket.get_mut().read_to_end(&mut heard).await.expect("an end");
    let silence = since.elapsed().as_secs();
    assert_eq!(heard, [PING, PING].concat());
    assert!((89..=91).contains(&silence), "{silence}");
}

#[tokio::test(start_paused = true)]
async fn who_answers_pings_may_be_quiet_for_as_long_as_they_like() {
    let (served, _) = served([]).await;
    let (mut quiet, _) = Client::greeted(&served).await;
    let end = Instant::now() + Duration::from_secs(15 * 60 + 5);
    let mut pings = 0;
    while let Ok(message) = timeout_at(end, quiet.socket.next()).await {
        assert_eq!(message.expect("a message").expect("a good message"), Message::Ping(Vec::new().into()));
        pings += 1;
    }
    assert_eq!(pings, 30);
    // Without a time limit: the clock runs ahead while an answer is on its way, and a ping or two overtake it.
    let ask = json!({ "action": "get_skills" }).to_string();
    quiet.socket.send(Message::text(ask)).await.expect("a socket that takes it");
    let mut heard = Vec::new();
    while !heard.last().is_some_and(Message::is_text) {
        heard.push(quiet.socket.next().await.expect("a message").expect("a good message"));
        assert!(heard.len() <= 10, "{heard:?}");
    }
    assert!(heard.last().is_some_and(|answer| answer.to_text().is_ok_and(|text| text.contains("skills"))), "{heard:?}");
}
