//! The same while there is a tunnel. How its states come about is tested elsewhere: here they stay as long as everybody needs.

use super::{Rights, Visitor, app_told, hold, owner};
use crate::http::auth::{key, session};
use crate::support::{Call, HERE, MASTER_TOKEN, connection};
use pawport::domain::tunnel::PublicUrl;
use pawport::domain::tunnel::exposure::{Entrance, Exposure};

const HOST: &str = "steep-mountain-abc123.trycloudflare.com";
const PAGE: &str = "https://steep-mountain-abc123.trycloudflare.com";

/// What a tunnel is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Up,
    Stopping,
    Gone,
}

/// Comes as the tunnel's program sends it.
fn through(call: Call) -> Call {
    call.from(HERE).instead("host", HOST).header("cf-connecting-ip", "198.51.100.4")
}

fn with_token(call: Call) -> Call {
    call.header("authorization", format!("Bearer {MASTER_TOKEN}"))
}

#[tokio::test]
async fn everybody_at_every_stage() {
    let exposure = Exposure::default();
    let app = app_told(|settings| settings.policy.exposure = exposure.clone());
    let url = PublicUrl::of_host(HOST).expect("a name");
    for stage in [Stage::Starting, Stage::Up, Stage::Stopping, Stage::Gone] {
        match stage {
            Stage::Starting => exposure.open(),
            Stage::Up => exposure.admit(Some(Entrance { url: url.clone(), client_header: "cf-connecting-ip" })),
            Stage::Stopping => exposure.admit(None),
            Stage::Gone => exposure.close(),
        }
        let here = if stage == Stage::Gone { owner() } else { Rights::Stranger };
        // Whoever calls the server by a name that is not ours is told so, whatever they show.
        let unknown = format!(
            "This server does not go by the name {HOST}. If it should, add the name to allowed_hosts \
             (PAWPORT_ALLOWED_HOSTS), or set public_url"
        );
        let come_through = |rights| if stage == Stage::Up { rights } else { Rights::Nothing(403, unknown.clone()) };
        let sessions_only = key(&app, &["sessions"]).await;
        let cookie = session(&app, MASTER_TOKEN).await;
        let named = |name: &str| format!("{stage:?}: {name}");
        let local = |name: &str, rights: &Rights, dress: fn(Call) -> Call| {
            Visitor::new(named(name), rights.clone(), move |call| dress(call.from_here()))
        };
        let remote = |name: &str, rights: Rights, dress: fn(Call) -> Call| {
            Visitor::new(named(name), come_through(rights), move |call| dress(through(call)))
        };
        let page = if stage == Stage::Up { owner() } else { Rights::ForeignPage(Box::new(owner())) };
        hold(
            &app,
            &[
                local("a neighbour", &here, |call| call),
                local("a neighbour on our page", &here, |call| call.header("origin", "http://127.0.0.1:8000")),
                local("a neighbour by name", &here, |call| call.instead("host", "localhost")),
                local("a neighbour at another address", &here, |call| {
                    call.from(connection([127, 0, 0, 2], [127, 0, 0, 1]))
                }),
                local("a neighbour with a wrong token", &here, |call| call.header("authorization", "Bearer x")),
                local("a neighbour with the access token", &owner(), with_token),
                local("through it to a local name", &Rights::Stranger, |call| {
                    call.header("cf-connecting-ip", "198.51.100.4")
                }),
                Visitor::new(named("elsewhere"), Rights::Stranger, |call| call),
                Visitor::new(named("elsewhere with the access token"), owner(), with_token),
                remote("through it", Rights::Stranger, |call| call),
                remote("through it, saying here", Rights::Stranger, |call| {
                    call.instead("cf-connecting-ip", "127.0.0.1").header("x-forwarded-for", "127.0.0.1")
                }),
                remote("through it, saying nothing", Rights::Stranger, |call| call.without("cf-connecting-ip")),
                remote("through it with a wrong token", Rights::Stranger, |call| {
                    call.header("authorization", "Bearer x")
                }),
                remote("through it with the access token", owner(), with_token),
                remote("through it, on its page", owner(), |call| {
                    with_token(call).header("origin", PAGE).header("sec-fetch-site", "same-origin")
                }),
                remote("through it, on a page of others", Rights::ForeignPage(Box::new(owner())), |call| {
                    with_token(call).header("origin", "https://evil.trycloudflare.com")
                }),
                Visitor::new(named("elsewhere, on its page"), page, |call| with_token(call).header("origin", PAGE)),
                Visitor::new(
                    named("through it with a key"),
                    come_through(Rights::Scopes(vec!["sessions"], "API key missing")),
                    move |call| through(call).header("authorization", format!("Bearer {}", sessions_only.token)),
                ),
                Visitor::new(named("through it with a cookie"), come_through(owner()), move |call| {
                    through(call).header("cookie", format!("pocketpaw_session={cookie}"))
                }),
            ],
        )
        .await;
    }
}
