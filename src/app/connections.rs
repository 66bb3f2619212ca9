//! Taking connections: not too many, none that dawdles, and none that is cut off when the server stops.

use crate::domain::network::network_of;
use crate::http::client::{Connection, Seat};
use crate::http::tally::Tally;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer;

/// How many connections are open at once, those that became WebSockets included, which keeps us below the 1,024 files that a
/// process may commonly open, and bounds what strangers can make us hold in memory: a head and a body each. Who comes then
/// waits in the system's queue. More than all event streams and WebSockets together, so that requests always find room.
const MAX_CONNECTIONS: usize = 832;

/// How many of them one address may have open, so that one stranger does not take them all. A proxy on this machine speaks for
/// many, so loopback addresses are not counted.
const MAX_OF_ONE: usize = 128;

/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;

/// How long a client may leave us waiting before it takes what we send.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// How long a client may take to send the head of a request; also how long a connection may stay idle between two.
const HEAD_TIME: Duration = Duration::from_secs(60);

/// How long to wait after the system refused a connection, for lack of files most likely.
const PAUSE: Duration = Duration::from_secs(1);

/// How long answers that are ready get to leave once no request is open any more.
const LAST_BYTES_TIME: Duration = Duration::from_millis(500);

/// Serves `router` on every connection until `stop`; then waits for the open requests, and for nothing else: half a request
/// is not one.
pub async fn serve_connections(listener: TcpListener, router: Router, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let requests = TaskTracker::new();
    let router = router.layer(from_fn_with_state(requests.clone(), count));
    let tally = Tally::default();
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, accept(&listener).await)
        };
        let (permit, stream) = tokio::select! {
            () = stop.cancelled() => break,
            // Those that have ended make no room by themselves.
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        let ends = stream.peer_addr().and_then(|peer| Ok(Connection { peer, local: stream.local_addr()? }));
        // Gone already.
        let Ok(ends) = ends else { continue };
        let most = if ends.peer.ip().to_canonical().is_loopback() { MAX_CONNECTIONS } else { MAX_OF_ONE };
        let Some(place) = tally.take(network_of(ends.peer.ip()), most) else {
            tracing::debug!(peer = %ends.peer.ip(), "a connection was refused: the address has too many open");
            continue;
        };
        let seat = Seat(Arc::new((permit, place)));
        let router = Extension(seat.clone()).layer(router.clone());
        let service = TowerToHyperService::new(Extension(ends).layer(router));
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIME));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
            .with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let _held = seat;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stop.cancelled() => {
                    // What is being answered is answered to the end.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // What fails here is the client's or the network's: it went away, or did not speak HTTP.
            if let Err(error) = ended {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
            }
        });
    }
    drop(listener);
    requests.close();
    let answered = async {
        requests.wait().await;
        tokio::time::sleep(LAST_BYTES_TIME).await;
    };
    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        () = answered => {}
    }
}

/// Counts a request as open until the last byte of its answer was taken, or its client has gone.
async fn count(State(requests): State<TaskTracker>, request: Request, next: Next) -> Response {
    let open = requests.token();
    let response = next.run(request).await;
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &open;
            frame
        }))
    })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole; waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "connections cannot be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
