//! The table of mounted handlers that plugins fill and the server reads.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::HttpHandler;

/// Which handler answers below which prefix. Clones share the table; reading
/// it takes no lock.
#[derive(Clone, Default)]
pub struct Routes {
    table: Arc<ArcSwap<Table>>,
}

type Table = BTreeMap<String, Mount>;

#[derive(Clone)]
struct Mount {
    owner: &'static str,
    kind: TypeId,
    handler: Arc<dyn HttpHandler>,
}

/// Why a handler could not be mounted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The prefix is malformed.
    #[error("\"{0}\" is no prefix: it must begin with a slash and not end with one")]
    Prefix(String),
    /// Something else is mounted there.
    #[error("\"{prefix}\" is already served by {owner}")]
    Taken {
        /// The prefix.
        prefix: String,
        /// Who mounted it.
        owner: &'static str,
    },
}

impl Routes {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Mounts `handler` at `prefix` (`/hls`): it gets `prefix` itself and all below.
    ///
    /// # Errors
    /// If the prefix is malformed or already mounted.
    pub fn mount<H: HttpHandler>(
        &self,
        owner: &'static str,
        prefix: &str,
        handler: H,
    ) -> Result<(), MountError> {
        self.insert(owner, prefix, Arc::new(handler), TypeId::of::<H>(), false)
    }

    /// Mounts a handler that several plugins share: the first one makes it, the
    /// others find it there.
    ///
    /// # Errors
    /// If the prefix is malformed, or a handler of another type is mounted there.
    pub fn mount_once<H: HttpHandler>(
        &self,
        owner: &'static str,
        prefix: &str,
        handler: impl FnOnce() -> H,
    ) -> Result<(), MountError> {
        self.insert(owner, prefix, Arc::new(handler()), TypeId::of::<H>(), true)
    }

    fn insert(
        &self,
        owner: &'static str,
        prefix: &str,
        handler: Arc<dyn HttpHandler>,
        kind: TypeId,
        share: bool,
    ) -> Result<(), MountError> {
        let well_formed = prefix.len() > 1 && prefix.starts_with('/') && !prefix.ends_with('/');
        if !well_formed {
            return Err(MountError::Prefix(prefix.to_owned()));
        }
        let mut taken = None;
        self.table.rcu(|table| {
            taken = None;
            let mut next = Table::clone(table);
            match next.get(prefix) {
                Some(mount) if share && mount.kind == kind => {}
                Some(mount) => taken = Some(mount.owner),
                None => {
                    let handler = Arc::clone(&handler);
                    let mount = Mount {
                        owner,
                        kind,
                        handler,
                    };
                    next.insert(prefix.to_owned(), mount);
                }
            }
            next
        });
        match taken {
            None => Ok(()),
            Some(owner) => Err(MountError::Taken {
                prefix: prefix.to_owned(),
                owner,
            }),
        }
    }

    /// The handler with the longest prefix of `path`, and the rest of the path
    /// below the mount without its leading slash.
    #[must_use]
    pub fn find<'p>(&self, path: &'p str) -> Option<(Arc<dyn HttpHandler>, &'p str)> {
        let table = self.table.load();
        // There are few, and a prefix of another one sorts before it.
        table.iter().rev().find_map(|(prefix, mount)| {
            let rest = path.strip_prefix(prefix.as_str())?;
            // One slash only: two are another path, from which relative
            // addresses lead elsewhere.
            let rest = match rest.strip_prefix('/') {
                None if !rest.is_empty() => return None,
                below => below.unwrap_or(rest),
            };
            Some((Arc::clone(&mount.handler), rest))
        })
    }

    /// Every mounted prefix with its owner, sorted.
    #[must_use]
    pub fn mounts(&self) -> Vec<(String, &'static str)> {
        let table = self.table.load();
        let mounts = table.iter();
        mounts
            .map(|(prefix, mount)| (prefix.clone(), mount.owner))
            .collect()
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.mounts()).finish()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::http::{Body, HttpRequest};

    struct Named(&'static str);
    struct Other;

    #[async_trait]
    impl HttpHandler for Named {
        async fn handle(&self, request: HttpRequest) -> http::Response<Body> {
            http::Response::new(Body::from(format!("{}:{}", self.0, request.path)))
        }
    }

    #[async_trait]
    impl HttpHandler for Other {
        async fn handle(&self, _request: HttpRequest) -> http::Response<Body> {
            http::Response::new(Body::empty())
        }
    }

    async fn answer(routes: &Routes, path: &str) -> Option<String> {
        let (handler, rest) = routes.find(path)?;
        let response = handler.handle(HttpRequest::get(rest)).await;
        let body = response.into_body().collect().await.unwrap();
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_longest_prefix_answers() {
        let routes = Routes::new();
        routes.mount("hls", "/hls", Named("hls")).unwrap();
        routes.mount("x", "/hls/special", Named("special")).unwrap();
        for (path, want) in [
            ("/hls/live/cam/index.m3u8", Some("hls:live/cam/index.m3u8")),
            ("/hls", Some("hls:")),
            ("/hls/special/a", Some("special:a")),
            ("/hlsx/a", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(answer(&routes, path).await.as_deref(), want, "{path}");
        }
        let rest = |path| routes.find(path).map(|(_, rest)| rest);
        assert_eq!(rest("/hls//a"), Some("/a"));
        assert_eq!(rest("/hls/special//"), Some("/"));
    }

    #[test]
    fn a_shared_mount_is_shared_and_another_is_refused() {
        let routes = Routes::new();
        routes.mount_once("hls", "/cmaf", || Named("cmaf")).unwrap();
        routes
            .mount_once("dash", "/cmaf", || Named("again"))
            .unwrap();
        let taken = MountError::Taken {
            prefix: "/cmaf".into(),
            owner: "hls",
        };
        assert_eq!(
            routes.mount_once("acme", "/cmaf", || Other),
            Err(taken.clone())
        );
        assert_eq!(routes.mount("acme", "/cmaf", Named("x")), Err(taken));
        for prefix in ["", "/", "cmaf", "/cmaf/"] {
            let error = routes.mount("acme", prefix, Other);
            assert_eq!(error, Err(MountError::Prefix(prefix.to_owned())));
        }
    }
}
