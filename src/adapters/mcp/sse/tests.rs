use super::*;

#[test]
fn messages_go_to_the_same_server() {
    let base = Url::parse("https://example.org:8443/a/sse?key=1").unwrap();
    let endpoint = |given| endpoint_of(&base, given).map(String::from);
    assert_eq!(endpoint("/messages?id=1").unwrap(), "https://example.org:8443/messages?id=1");
    assert_eq!(endpoint(" messages\n").unwrap(), "https://example.org:8443/a/messages");
    assert_eq!(endpoint("https://example.org:8443/x").unwrap(), "https://example.org:8443/x");
    for other in ["https://example.org/x", "http://example.org:8443/x", "//evil.example/x", "file:///x", "https://"] {
        assert!(matches!(endpoint(other), Err(Problem::NotMcp(_))), "{other}");
    }
}

#[tokio::test]
async fn events_are_bounded() {
    let response = |body: String| reqwest::Response::from(http_body_of(body));
    let many = "event: message\ndata: {}\n\n".repeat(1000);
    assert_eq!(bounded(response(many)).filter(|event| std::future::ready(event.is_ok())).count().await, 1000);
    let large = format!("data: {}\n\n", "x".repeat(MAX_EVENT));
    assert!(matches!(bounded(response(large)).next().await, Some(Err(_))));
}

fn http_body_of(body: String) -> axum::http::Response<String> {
    axum::http::Response::new(body)
}
