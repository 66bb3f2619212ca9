use super::*;
use futures_util::stream::{iter, once, pending, repeat};

const LIMIT: Duration = Duration::from_secs(300);

fn pieces(pieces: &[&[u8]]) -> Vec<io::Result<Bytes>> {
    pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
}

async fn all(bytes: Vec<io::Result<Bytes>>) -> Vec<String> {
    let mut events = Events::new(iter(bytes));
    let mut found = Vec::new();
    while let Some(data) = events.next(LIMIT).await.unwrap() {
        found.push(data);
    }
    found
}

#[tokio::test]
async fn a_stream_may_be_cut_anywhere() {
    let text =
        ": comment\r\nevent: one\r\ndata: {\"é\": \"日本 🐾\"}\r\n\r\ndata: a\ndata: b\n\n\ndata:[DONE]\n\n".as_bytes();
    let expected = ["{\"é\": \"日本 🐾\"}", "a\nb", "[DONE]"];
    for first in 0..text.len() {
        for second in [first + 1, first + 2, text.len()] {
            let second = second.min(text.len());
            let cut = [&text[..first], &text[first..second], &text[second..]];
            let cut: Vec<&[u8]> = cut.into_iter().filter(|piece| !piece.is_empty()).collect();
            assert_eq!(all(pieces(&cut)).await, expected, "cut at {first} and {second}");
        }
    }
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(all(pieces(&bytes)).await, expected);
}

#[tokio::test]
async fn the_last_event_needs_no_empty_line() {
    assert_eq!(all(pieces(&[b"data: a\n\ndata: b"])).await, ["a", "b"]);
}

#[tokio::test]
async fn an_event_that_never_ends_is_not_kept() {
    let endless = once(async { Ok(Bytes::from_static(b"data: ")) });
    let endless = endless.chain(repeat(()).map(|()| Ok(Bytes::from_static(&[b'x'; 16_384]))));
    let mut events = Events::new(endless);
    assert_eq!(events.next(LIMIT).await, Err(Lost::TooLarge));
}

#[tokio::test]
async fn what_is_no_event_stream() {
    let mut events = Events::new(iter(pieces(&[b"<html>\n"])));
    assert_eq!(events.next(LIMIT).await, Err(Lost::Connection("what it sent is no event stream".to_owned())));
    let mut events = Events::new(iter(pieces(&[b"data: \xff\n\n"])));
    assert!(events.next(LIMIT).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn silence_is_borne_for_so_long() {
    let expected = Lost::Connection("it said nothing for 300 seconds".to_owned());
    let mut events = Events::new(pending());
    assert_eq!(events.next(LIMIT).await, Err(expected.clone()));
    // Comments keep the connection alive, but say nothing.
    let comments = repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Ok(Bytes::from_static(b": wait\n\n"))
    });
    assert_eq!(Events::new(comments).next(LIMIT).await, Err(expected.clone()));
    assert_eq!(read_all(pending(), 10, LIMIT).await, Err(expected));
}
