//! The pages, embedded in the binary: the list at `/`, the player at
//! `/watch/APP/NAME`, and what both are made of below `/assets`. Nothing on
//! them comes from another host, and their policy says so to the browser.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::http::Problem;

/// The routes of the pages.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages = Arc::new(Pages::new());
    let (list, watch) = (Arc::clone(&pages), Arc::clone(&pages));
    let list = async move |headers: HeaderMap| serve(&list.list, &headers);
    let watch = async move |headers: HeaderMap| serve(&watch.watch, &headers);
    let asset = async move |uri: Uri, headers: HeaderMap| {
        // Undecoded: our own names hold nothing that needs encoding.
        let path = uri.path().strip_prefix("/assets/").unwrap_or_default();
        pages.asset(path).map(|asset| serve(asset, &headers))
    };
    Router::new()
        .route("/", get(list))
        .route("/watch/{app}/{name}", get(watch))
        .route("/assets/{*path}", get(asset))
}

/// All that is embedded.
struct Pages {
    list: Asset,
    watch: Asset,
    assets: Vec<Asset>,
}

impl Pages {
    fn asset(&self, path: &str) -> Result<&Asset, Problem> {
        let asset = self.assets.iter().find(|asset| asset.path == path);
        if asset.is_none()
            && let Some((_, name)) = LIBRARIES.iter().find(|(library, _)| *library == path)
        {
            let detail = format!(
                "this server was built without {name}: run `cargo xtask web`, then build it"
            );
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        asset.ok_or_else(Problem::not_found)
    }
}

/// One embedded file.
struct Asset {
    path: &'static str,
    kind: &'static str,
    policy: Option<&'static str>,
    content: &'static [u8],
    prepared: OnceLock<Prepared>,
}

/// What is worked out once of each file, at its first request.
struct Prepared {
    etag: HeaderValue,
    gzip: Option<Bytes>,
}

impl Asset {
    fn new(path: &'static str, kind: &'static str, content: &'static [u8]) -> Self {
        Self {
            path,
            kind,
            policy: None,
            content,
            prepared: OnceLock::new(),
        }
    }

    fn page(content: &'static [u8], policy: &'static str) -> Self {
        let mut page = Self::new("", "text/html; charset=utf-8", content);
        page.policy = Some(policy);
        page
    }

    fn prepared(&self) -> &Prepared {
        self.prepared.get_or_init(|| Prepared {
            etag: etag(self.content),
            gzip: gzip(self.content),
        })
    }
}

fn serve(asset: &Asset, request: &HeaderMap) -> Response {
    let prepared = asset.prepared();
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(ETAG, prepared.etag.clone());
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    // Asked again each time, which costs little: a new server has new pages.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(policy) = asset.policy {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    let tag = prepared.etag.to_str().unwrap_or_default();
    if names(request, IF_NONE_MATCH.as_str(), weak(tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let body = match &prepared.gzip {
        Some(gzip) if names(request, ACCEPT_ENCODING.as_str(), "gzip") => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            gzip.clone()
        }
        _ => Bytes::from_static(asset.content),
    };
    *response.body_mut() = body.into();
    response
}

/// Whether the list in the header `name` holds `wanted`, and does not refuse it (`;q=0`).
fn names(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut items = values.flat_map(|value| value.split(','));
    items.any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let name = weak(name);
        let refused = parts.any(|part| {
            let quality = part
                .strip_prefix("q=")
                .and_then(|text| text.parse::<f32>().ok());
            quality.is_some_and(|quality| quality <= 0.0)
        });
        name.eq_ignore_ascii_case(wanted) && !refused
    })
}

/// A tag as weak comparison sees it (RFC 9110 section 8.8.3.2).
fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// FNV-1a, 64 bits: the files are ours, so nobody looks for a collision. Weak,
/// since it stands for the file compressed or not.
fn etag(content: &[u8]) -> HeaderValue {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let tag = HeaderValue::try_from(format!("W/\"{hash:016x}\""));
    tag.unwrap_or(HeaderValue::from_static("W/\"0\""))
}

fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < content.len()).then(|| packed.into())
}

/// Nothing from elsewhere, no script but ours, and the list in nobody's frame:
/// a frame around it could have its buttons pressed.
const LIST_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The player may stand in other sites' frames: that is how it is embedded.
/// hls.js makes its worker from a blob, and both libraries their media.
const WATCH_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors *";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const HLS_LIBRARY: &str = "vendor/hls.min.js";
const DASH_LIBRARY: &str = "vendor/dash.min.js";

/// What may be missing, and its name.
const LIBRARIES: [(&str, &str); 2] = [(HLS_LIBRARY, "hls.js"), (DASH_LIBRARY, "dash.js")];

macro_rules! web {
    ($file:literal) => {
        include_bytes!(concat!("../assets/web/", $file))
    };
}

impl Pages {
    fn new() -> Self {
        Self {
            list: Asset::page(web!("index.html"), LIST_POLICY),
            watch: Asset::page(web!("watch.html"), WATCH_POLICY),
            assets: vec![
                Asset::new("api.js", SCRIPT, web!("api.js")),
                Asset::new("dash.js", SCRIPT, web!("dash.js")),
                Asset::new("dialog.js", SCRIPT, web!("dialog.js")),
                Asset::new("dom.js", SCRIPT, web!("dom.js")),
                Asset::new("format.js", SCRIPT, web!("format.js")),
                Asset::new("icon.svg", "image/svg+xml", web!("icon.svg")),
                Asset::new("list.js", SCRIPT, web!("list.js")),
                Asset::new("player.js", SCRIPT, web!("player.js")),
                Asset::new("publish.js", SCRIPT, web!("publish.js")),
                Asset::new("row.js", SCRIPT, web!("row.js")),
                Asset::new("style.css", "text/css; charset=utf-8", web!("style.css")),
                Asset::new("watch.js", SCRIPT, web!("watch.js")),
                #[cfg(has_hls_js)]
                Asset::new(
                    HLS_LIBRARY,
                    SCRIPT,
                    include_bytes!("../assets/vendor/hls.min.js"),
                ),
                #[cfg(has_hls_js)]
                Asset::new(
                    "vendor/hls.LICENSE.txt",
                    "text/plain; charset=utf-8",
                    include_bytes!("../assets/vendor/hls.LICENSE.txt"),
                ),
                #[cfg(has_dash_js)]
                Asset::new(
                    DASH_LIBRARY,
                    SCRIPT,
                    include_bytes!("../assets/vendor/dash.min.js"),
                ),
                #[cfg(has_dash_js)]
                Asset::new(
                    "vendor/dash.LICENSE.txt",
                    "text/plain; charset=utf-8",
                    include_bytes!("../assets/vendor/dash.LICENSE.txt"),
                ),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        let pairs =
            pairs.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_client_gets_what_it_understands() {
        let pages = Pages::new();
        let style = pages.asset("style.css").unwrap();
        for (accept, packed) in [
            ("gzip, deflate", true),
            ("br;q=1.0, gzip;q=0.2", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("gzipped", false),
        ] {
            let response = serve(style, &headers(&[("accept-encoding", accept)]));
            assert_eq!(
                response.headers().contains_key(CONTENT_ENCODING),
                packed,
                "{accept}"
            );
        }
        assert!(
            !serve(style, &headers(&[]))
                .headers()
                .contains_key(CONTENT_ENCODING)
        );
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let list = Pages::new().list;
        let response = serve(&list, &headers(&[]));
        let etag = response.headers().get(ETAG).unwrap().to_str().unwrap();
        let mut request = HeaderMap::new();
        for known in [etag, etag.trim_start_matches("W/")] {
            request.insert(IF_NONE_MATCH, format!("\"x\", {known}").parse().unwrap());
            assert_eq!(serve(&list, &request).status(), StatusCode::NOT_MODIFIED);
        }
        request.insert(IF_NONE_MATCH, "\"other\"".parse().unwrap());
        assert_eq!(serve(&list, &request).status(), StatusCode::OK);
    }

    /// Every script and style that a page or a script names is embedded, and
    /// nothing names another host.
    #[test]
    fn the_pages_are_whole_and_ask_nobody_else() {
        let all = Pages::new();
        let pages = [all.list.content, all.watch.content];
        let ours = all
            .assets
            .iter()
            .filter(|asset| !asset.path.starts_with("vendor/"));
        for content in pages.into_iter().chain(ours.map(|asset| asset.content)) {
            let text = std::str::from_utf8(content).unwrap();
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !foreign.contains("http://") && !foreign.contains("https://"),
                "{text}"
            );
            for quoted in text.split('"') {
                let named = quoted
                    .strip_prefix("/assets/")
                    .or(quoted.strip_prefix("./"));
                let is_ours = |path: &&str| LIBRARIES.iter().all(|(library, _)| library != path);
                if let Some(path) = named.filter(is_ours) {
                    assert!(
                        all.assets.iter().any(|asset| asset.path == path),
                        "{path} is missing"
                    );
                }
            }
        }
    }
}
