//! Servers at an address: real ones, and small ones that answer wrongly.

use super::*;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const FLAVORS: [RemoteFlavor; 3] = [RemoteFlavor::Streamable, RemoteFlavor::Sse, RemoteFlavor::Detect];

/// A server in this process. It ends with its handle.
struct Here {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Here {
    async fn new(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp?key={SECRET}", self.address)
    }
}

/// A server that answers everything with this.
async fn answering(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Here {
    Here::new(Router::new().fallback(any(move || async move { answer() }))).await
}

async fn error_of(server: &McpServer, budgets: Budgets) -> ConnectError {
    match Lab::new().try_connect(server, budgets).await {
        Ok(_) => panic!("it was connected"),
        Err(error) => {
            assert!(!error.to_string().contains(SECRET), "{error}");
            error
        }
    }
}

async fn errors_of(here: &Here) -> Vec<ConnectError> {
    let mut errors = Vec::new();
    for flavor in FLAVORS {
        errors.push(error_of(&remote_server(&here.url(), flavor, &[]), BUDGETS).await);
    }
    errors
}

#[tokio::test]
async fn real_servers_over_http() {
    if !mcp_servers::available() {
        return;
    }
    let streamable = mcp_servers::everything_over_http("streamableHttp").await;
    let sse = mcp_servers::everything_over_http("sse").await;
    for (running, flavor) in [
        (&streamable, RemoteFlavor::Streamable),
        (&streamable, RemoteFlavor::Detect),
        (&sse, RemoteFlavor::Sse),
        (&sse, RemoteFlavor::Detect),
    ] {
        let mut lab = Lab::new();
        let connection = lab.connect(&remote_server(&running.url, flavor, &[])).await;
        let connection = &*connection;
        assert!(names(connection).contains(&"echo".to_owned()), "{flavor:?}");
        assert_eq!(say(connection, "echo", json!({"message": "hi"})).await, "Echo: hi");
        let long = json!({"duration": 0.3, "steps": 3});
        assert!(say(connection, "trigger-long-running-operation", long).await.contains("completed"));
        let limit = Duration::from_millis(200);
        let endless = json!({"duration": 60, "steps": 60}).as_object().unwrap().clone();
        let timed_out = connection.call("trigger-long-running-operation", endless, limit).await;
        assert_eq!(timed_out, Err(CallError::TimedOut(limit)));
        let error = call(connection, "echo", json!({})).await.unwrap_err();
        assert!(matches!(error, CallError::Arguments { .. }), "{error}");
        // Many at a time.
        let sums = (0..10).map(|number| say(connection, "get-sum", json!({"a": number, "b": 1})));
        for (number, sum) in futures_util::future::join_all(sums).await.into_iter().enumerate() {
            assert!(sum.contains(&format!("is {}", number + 1)), "{sum}");
        }
        soon(connection.close()).await;
    }
    // Each learns by itself that its server is gone.
    for (running, flavor) in [(streamable, RemoteFlavor::Streamable), (sse, RemoteFlavor::Sse)] {
        let mut lab = Lab::new();
        let connection = lab.connect(&remote_server(&running.url, flavor, &[])).await;
        drop(running);
        let reason = lost(&*connection).await;
        assert!(reason.contains("cannot be reached") || reason.contains("closed"), "{reason}");
        let error = call(&*connection, "echo", json!({"message": "hi"})).await.unwrap_err();
        assert!(matches!(error, CallError::Lost(_)), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_fetches_a_page() {
    if !mcp_servers::available() {
        return;
    }
    let page = answering(|| ([("content-type", "text/plain")], "the text of the page").into_response()).await;
    let mut lab = Lab::new();
    let connection = lab.connect(&lab.program(mcp_servers::fetch())).await;
    let said = say(&*connection, "fetch", json!({"url": format!("http://{}/page", page.address)})).await;
    assert!(said.contains("the text of the page"), "{said}");
    connection.close().await;
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn nothing_listens() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (flavor, scheme) in FLAVORS.into_iter().zip(["http", "http", "https"]) {
        let server = remote_server(&format!("{scheme}://{address}/mcp?key={SECRET}"), flavor, &[]);
        let ConnectError::Unreachable(reason) = error_of(&server, BUDGETS).await else { panic!() };
        assert!(reason.contains("Connection refused"), "{reason}");
    }
    let server = remote_server("http://no-such-host.invalid/mcp", RemoteFlavor::Detect, &[]);
    let error = error_of(&server, BUDGETS).await;
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn statuses_that_say_no() {
    let challenge = "Bearer resource_metadata=\"https://example.org/x\"";
    let here = answering(move || (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()).await;
    for error in errors_of(&here).await {
        assert_eq!(error, ConnectError::Unauthorized { challenge: Some(challenge.to_owned()) });
    }
    for (status, expected) in [
        (StatusCode::UNAUTHORIZED, ConnectError::Unauthorized { challenge: None }),
        (StatusCode::FORBIDDEN, ConnectError::Forbidden),
        (StatusCode::NOT_FOUND, ConnectError::NotMcp("the address answered 404 Not Found".to_owned())),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            ConnectError::NotMcp("the address answered 405 Method Not Allowed".to_owned()),
        ),
        (StatusCode::INTERNAL_SERVER_ERROR, ConnectError::Refused("500 Internal Server Error".to_owned())),
        (StatusCode::TOO_MANY_REQUESTS, ConnectError::Refused("429 Too Many Requests".to_owned())),
    ] {
        // A body that repeats what was asked does not get into the error.
        let here = answering(move || (status, format!("no: {SECRET}")).into_response()).await;
        let errors = errors_of(&here).await;
        assert_eq!(errors[0], expected);
        assert_eq!(errors[2], expected);
        // rmcp takes 405 to a GET as an answer; here it is one like others.
        assert_eq!(errors[1], expected);
    }
}

#[tokio::test]
async fn pages_and_other_things_that_are_no_servers() {
    for (kind, body) in
        [("text/html", "<h1>Hello</h1>"), ("application/json", "{\"hello\":1}"), ("text/event-stream", "")]
    {
        let here = answering(move || ([("content-type", kind)], body).into_response()).await;
        for (flavor, error) in FLAVORS.into_iter().zip(errors_of(&here).await) {
            let is_told = matches!(error, ConnectError::NotMcp(_) | ConnectError::Lost(_));
            assert!(is_told, "{kind} {flavor:?}: {error}");
        }
    }
    let here = answering(|| StatusCode::ACCEPTED.into_response()).await;
    assert!(matches!(errors_of(&here).await[0], ConnectError::NotMcp(_)));
}

#[tokio::test]
async fn headers_are_sent_and_never_to_another_origin() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let elsewhere = {
        let seen = Arc::clone(&seen);
        Here::new(Router::new().fallback(any(async move |request: Request| {
            seen.lock().unwrap().push(request.uri().to_string());
            StatusCode::NO_CONTENT
        })))
        .await
    };
    let target = format!("http://{}/stolen", elsewhere.address);
    let redirecting = answering(move || Redirect::temporary(&target).into_response()).await;
    for error in errors_of(&redirecting).await {
        let ConnectError::NotMcp(reason) = error else { panic!("{error}") };
        assert!(reason.contains("307 Temporary Redirect"), "{reason}");
    }
    let endpoint = format!("event: endpoint\ndata: http://{}/messages\n\n", elsewhere.address);
    let stream = get(async move || ([("content-type", "text/event-stream")], endpoint));
    let here = Here::new(Router::new().route("/mcp", stream)).await;
    let errors = errors_of(&here).await;
    assert_eq!(errors[1], ConnectError::NotMcp("it wants messages to be sent to another server".to_owned()));
    assert_eq!(*seen.lock().unwrap(), [""; 0]);
    // To the right one they are sent.
    let authorized = Here::new(Router::new().fallback(any(async |request: Request| {
        let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        if sent == Some(format!("Bearer {SECRET}")) { StatusCode::IM_A_TEAPOT } else { StatusCode::UNAUTHORIZED }
    })))
    .await;
    for flavor in FLAVORS {
        let server = remote_server(&authorized.url(), flavor, &[("Authorization", &format!("Bearer {SECRET}"))]);
        let error = error_of(&server, BUDGETS).await;
        assert!(matches!(&error, ConnectError::NotMcp(reason) if reason.contains("418")), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_stays_silent() {
    let budgets = Budgets { start: Duration::from_millis(500), ..BUDGETS };
    let silent = Here::new(Router::new().fallback(any(pending::<StatusCode>))).await;
    // A stream that never says anything.
    let stream = async || {
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()),
        )
    };
    let mute = Here::new(Router::new().fallback(any(stream))).await;
    for here in [silent, mute] {
        for flavor in FLAVORS {
            let began = Instant::now();
            let error = error_of(&remote_server(&here.url(), flavor, &[]), budgets).await;
            assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
            assert!(began.elapsed() < Duration::from_secs(5));
        }
    }
}

/// The least server of streamable HTTP that answers with JSON, without sessions.
fn least(answer: impl Fn(&str) -> Option<Response> + Clone + Send + Sync + 'static) -> Router {
    Router::new().route(
        "/mcp",
        post(async move |body: String| {
            let message: Value = body.parse().unwrap();
            let method = message["method"].as_str().unwrap_or_default();
            if let Some(response) = answer(method) {
                return response;
            }
            let result = match method {
                "initialize" => json!({
                    "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "least", "version": "1"},
                }),
                "tools/list" => json!({"tools": [{"name": "it", "inputSchema": {"type": "object"}}]}),
                "tools/call" => json!({"content": [{"type": "hologram", "data": [1]}], "isError": false}),
                _ => return StatusCode::ACCEPTED.into_response(),
            };
            axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
        }),
    )
}

#[tokio::test]
async fn a_server_that_wants_a_new_sign_in() {
    let refuses = Arc::new(AtomicU32::new(200));
    let status = Arc::clone(&refuses);
    let here = Here::new(least(move |_| match status.load(Ordering::SeqCst) {
        200 => None,
        code => {
            let code = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap();
            Some((code, [("www-authenticate", "Bearer realm=\"x\"")]).into_response())
        }
    }))
    .await;
    let mut lab = Lab::new();
    let connection = lab.connect(&remote_server(&here.url(), RemoteFlavor::Detect, &[])).await;
    // Blocks of a kind that nobody knows yet arrive all the same.
    let result = call(&*connection, "it", json!({})).await.unwrap();
    assert_eq!(result.content, [json!({"type": "hologram", "data": [1]})]);
    refuses.store(403, Ordering::SeqCst);
    let error = call(&*connection, "it", json!({})).await.unwrap_err();
    assert_eq!(error, CallError::Refused { code: 403, message: "403 Forbidden".to_owned() });
    refuses.store(401, Ordering::SeqCst);
    let error = call(&*connection, "it", json!({})).await.unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error}");
    let ConnectionEvent::Lost(reason) = soon(connection.next()).await else { panic!("not lost") };
    assert!(reason.contains("401 Unauthorized"), "{reason}");
    soon(connection.close()).await;
}

#[tokio::test]
async fn errors_of_the_protocol() {
    let error = json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": format!("not you, {SECRET}")}});
    let here =
        Here::new(least(move |method| (method == "initialize").then(|| axum::Json(error.clone()).into_response())))
            .await;
    let server = remote_server(&here.url(), RemoteFlavor::Detect, &[]);
    assert_eq!(error_of(&server, BUDGETS).await, ConnectError::Refused("not you, *** (code -32000)".to_owned()));
    let old =
        json!({"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}});
    let old = json!({"jsonrpc": "2.0", "id": 0, "result": old});
    let here =
        Here::new(least(move |method| (method == "initialize").then(|| axum::Json(old.clone()).into_response()))).await;
    let server = remote_server(&here.url(), RemoteFlavor::Streamable, &[]);
    assert_eq!(error_of(&server, BUDGETS).await, ConnectError::Version("1999-01-01".to_owned()));
}
