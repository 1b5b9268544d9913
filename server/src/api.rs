//! The control API below `/api/v1`, and the probes that orchestrators ask.
//!
//! What a stream looks like in JSON is in `api/stream.rs`. Times are RFC 3339,
//! durations seconds, rates per second, sizes bytes; what is not known is null.

mod stream;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version as HttpVersion};
use rillcast_core::{CloseReason, PluginState, StreamHandle, StreamKey};
use serde::Serialize;

use crate::app::App;
use crate::http::{Peer, Problem};
use crate::{metrics, pages};
use stream::{Stream, timestamp};

/// What the paths of the server's own routes begin with.
pub(crate) const ROOTS: &[&str] = &[
    "/api", "/assets", "/healthz", "/metrics", "/readyz", "/watch",
];

/// Everything that the server itself answers: the API, the probes, the metrics
/// and the pages.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/streams", get(streams))
        .route("/streams/{app}/{name}", get(one_stream).delete(kick))
        .route("/plugins", get(plugins))
        .route("/version", get(version));
    let own = Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn(never_stored));
    own.merge(pages::routes())
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(app)
}

/// What the API says is true for a moment only.
async fn never_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

type Shared = State<Arc<App>>;
type From = Extension<Peer>;

#[derive(Serialize)]
struct Streams {
    access: AccessInfo,
    streams: Vec<Stream>,
}

/// What the asker may do.
#[derive(Serialize)]
struct AccessInfo {
    /// End streams, see addresses, read the metrics.
    manage: bool,
    /// Become one who may manage, by showing a token.
    login: bool,
    /// Whether publishers need a token.
    publish_token: bool,
}

async fn streams(
    State(app): Shared,
    peer: From,
    version: HttpVersion,
    headers: HeaderMap,
) -> Json<Streams> {
    let manage = may_manage(&app, version, &headers, peer);
    let mut streams: Vec<StreamHandle> = app.registry().list();
    streams.retain(|handle| handle.close_reason().is_none());
    Json(Streams {
        access: AccessInfo {
            manage,
            login: app.gate().takes_token(),
            publish_token: app.gate().publish_token(),
        },
        streams: streams
            .iter()
            .map(|handle| Stream::of(handle, &app, manage))
            .collect(),
    })
}

async fn one_stream(
    State(app): Shared,
    peer: From,
    version: HttpVersion,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Stream>, Problem> {
    let key = key(&uri)?;
    let handle = app.registry().get(&key).ok_or_else(|| no_stream(&key))?;
    let manage = may_manage(&app, version, &headers, peer);
    Ok(Json(Stream::of(&handle, &app, manage)))
}

async fn kick(
    State(app): Shared,
    Extension(Peer(peer)): From,
    version: HttpVersion,
    headers: HeaderMap,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    // The right comes before the key: strangers learn nothing about streams.
    app.gate().check(version, &headers, peer)?;
    let key = key(&uri)?;
    if !app.registry().close(&key, CloseReason::Kicked) {
        return Err(no_stream(&key));
    }
    tracing::info!(stream = %key, %peer, "stream ended through the API");
    Ok(StatusCode::NO_CONTENT)
}

/// The key in a path that ends in it, decoded once, by the key's own rules.
fn key(uri: &Uri) -> Result<StreamKey, Problem> {
    let mut parts = uri.path().rsplit('/');
    let name = parts.next().unwrap_or_default();
    let app = parts.next().unwrap_or_default();
    StreamKey::from_parts(app, name)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))
}

fn no_stream(key: &StreamKey) -> Problem {
    let detail = format!("there is no live stream \"{key}\"");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

fn may_manage(
    app: &App,
    version: HttpVersion,
    headers: &HeaderMap,
    Extension(Peer(peer)): From,
) -> bool {
    app.gate().check(version, headers, peer).is_ok()
}

#[derive(Serialize)]
struct PluginList {
    plugins: Vec<Plugin>,
}

#[derive(Serialize)]
struct Plugin {
    name: &'static str,
    role: &'static str,
    #[serde(rename = "crate")]
    crate_name: &'static str,
    version: &'static str,
    state: &'static str,
    address: Option<SocketAddr>,
    error: Option<String>,
    panics: u64,
    /// How to publish there, with `{host}`, `{port}`, `{key}` and `{token}` to
    /// be filled in; what stands in brackets is for servers that need a token.
    publish_url: Option<&'static str>,
}

async fn plugins(State(app): Shared) -> Json<PluginList> {
    let plugins = app.host().status().into_iter().map(|status| {
        let state = status.state.name();
        let (address, error) = match status.state {
            PluginState::Running(address) => (address, None),
            PluginState::Failed(error) => (None, Some(error)),
            _ => (None, None),
        };
        let plugin = status.plugin;
        Plugin {
            name: plugin.name(),
            role: plugin.role().name(),
            crate_name: plugin.crate_name(),
            version: plugin.crate_version(),
            state,
            address,
            error,
            panics: status.panics,
            publish_url: Some(plugin.publish_url()).filter(|url| !url.is_empty()),
        }
    });
    Json(PluginList {
        plugins: plugins.collect(),
    })
}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    api: &'static str,
    started_at: Option<String>,
    uptime: f64,
}

async fn version(State(app): Shared) -> Json<Version> {
    Json(Version {
        name: "rillcast",
        version: env!("CARGO_PKG_VERSION"),
        api: "v1",
        started_at: timestamp(app.started_at_ms()),
        uptime: app.uptime().as_secs_f64(),
    })
}

async fn ready(State(app): Shared) -> Result<&'static str, Problem> {
    let status = app.host().status();
    let waiting = status
        .iter()
        .filter(|status| !matches!(status.state, PluginState::Running(_)));
    let waiting =
        waiting.map(|status| format!("{} is {}", status.plugin.name(), status.state.name()));
    let waiting: Vec<String> = waiting.collect();
    if app.is_stopping() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is stopping",
        ));
    }
    if waiting.is_empty() {
        return Ok("ready\n");
    }
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        waiting.join(", "),
    ))
}

async fn scrape(
    State(app): Shared,
    Extension(Peer(peer)): From,
    version: HttpVersion,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.gate().check(version, &headers, peer)?;
    let text = metrics::render(&app).map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written",
        )
    })?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
