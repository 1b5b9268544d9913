//! One running server: what its start puts together and its end takes apart.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rillcast_core::{
    Host, Limits, PluginFailed, PluginSetError, PluginState, Plugins, Registry, Services, Settings,
    SettingsError, Threads,
};
use tokio::time::Instant;

use crate::addresses::Addresses;
use crate::api;
use crate::app::App;
use crate::auth::{Gate, Tokens};
use crate::config::{OWN_SECTIONS, ServerConfig, plain};
use crate::http::{Dispatch, HttpServer, HttpStats, Listening, bind};

/// A running server. Several may run in one process: they share nothing.
///
/// Dropping it ends it at once; [`Server::shutdown`] lets what is in hand finish.
///
/// # Examples
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use rillcast_server::Server;
/// use rillcast_core::{Plugins, Settings};
///
/// let settings = Settings::from_toml("[server]\nlisten = \"127.0.0.1:0\"", "example")?;
/// let server = Server::start(settings, &Plugins::none()).await?;
/// println!("http://{}/", server.addresses()["http"]);
/// server.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Server {
    app: Arc<App>,
    http: HttpServer,
    addresses: Addresses,
    host: Arc<Host>,
    threads: Threads,
    shutdown_limit: Duration,
}

/// Why a server did not start, in one sentence with its mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is faulty.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The plugins cannot be used together.
    #[error(transparent)]
    Plugins(#[from] PluginSetError),
    /// A listener of HTTP cannot be bound.
    #[error(
        "cannot serve HTTP on {address}: {}; {}",
        plain(source),
        mend(source, key)
    )]
    Bind {
        /// The setting that has the address: `server.listen` or `server.tls.listen`.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refuses a thread.
    #[error(
        "cannot start the threads of server.threads: {}; set it to a smaller number",
        plain(_0)
    )]
    Threads(#[source] std::io::Error),
    /// A plugin did not come up.
    #[error(transparent)]
    Plugin(#[from] PluginFailed),
}

/// How to mend an address that cannot be bound.
fn mend(error: &std::io::Error, key: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("end the program that has it, or set {key} to another port")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("set {key} to a port above 1023, or allow this one")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("set {key} to an address of this machine, or to 0.0.0.0")
        }
        _ => format!("set {key} to another address"),
    }
}

impl Server {
    /// Starts a server with the given plugins and waits until all of it can be
    /// used. Must be called within a tokio runtime.
    ///
    /// Not cancel safe in the sense that a future that was dropped has started
    /// nothing; but what it started ends with it.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub async fn start(settings: Settings, plugins: &Plugins) -> Result<Self, StartError> {
        check_settings(&settings, plugins)?;
        let section = settings.section("server")?;
        let config = ServerConfig::read(&section)?;
        let tls = config.tls.load(&section)?;
        let gate = Gate::new(&settings)?;
        let mut own = Addresses::new();
        let mut open = |name, key, address, tls| {
            let bound = bind(address).map_err(|source| StartError::Bind {
                key,
                address,
                source,
            });
            let (listener, address) = bound?;
            own.insert(name, address);
            Ok::<_, StartError>(Listening::new(listener, tls))
        };
        let mut listening = vec![open("http", "server.listen", config.listen, None)?];
        if let Some(tls) = tls {
            let address = config.tls.listen();
            listening.push(open("https", "server.tls.listen", address, Some(tls))?);
        }

        let limits: Limits = settings.section("limits")?.read()?;
        let registry = Registry::new(limits.registry());
        let services = Services::new(settings.clone(), registry);
        let services = services.with_authorizer(Tokens::new(settings));
        let threads = Threads::start(NonZeroUsize::new(config.threads));
        let threads = threads.map_err(StartError::Threads)?;
        let services = services.with_threads(threads.clone());
        let routes = services.routes.clone();
        let host = Arc::new(Host::start(plugins, services)?);

        let stats = Arc::new(HttpStats::default());
        let app = App::new(
            Arc::clone(&host),
            gate,
            Arc::clone(&stats),
            config.metrics_streams,
        );
        let app = Arc::new(app);
        let router = api::router(Arc::clone(&app));
        let dispatch = Dispatch::new(router, api::ROOTS, routes, Arc::clone(&stats));
        let mut server = Self {
            http: HttpServer::start(listening, Arc::new(dispatch), &config, &stats, &threads),
            app,
            addresses: Addresses::new(),
            host,
            threads,
            shutdown_limit: config.shutdown_timeout.0,
        };
        match server.plugins_ready().await {
            Ok(ready) => server.addresses = ready,
            Err(error) => {
                server.http.kill();
                server.http.ended().await;
                return Err(error.into());
            }
        }
        server.addresses.append(&mut own);
        Ok(server)
    }

    /// Waits for the plugins, and says which ones keep everybody waiting.
    async fn plugins_ready(&self) -> Result<Addresses, PluginFailed> {
        const PATIENCE: Duration = Duration::from_secs(10);
        loop {
            if let Ok(ready) = tokio::time::timeout(PATIENCE, self.host.ready()).await {
                return ready;
            }
            for status in self.host.status() {
                if status.state == PluginState::Starting {
                    tracing::warn!(plugin = status.plugin.name(), "still not ready");
                }
            }
        }
    }

    /// Where the server listens, by the name of the section: HTTP is `http`, and
    /// HTTPS `https`.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The server's streams.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.app.registry()
    }

    /// Ends the server within `server.shutdown_timeout`: the listeners close,
    /// publishers are told, streams end, and answers in hand are finished.
    ///
    /// Returns the names of what did not end in time and was dropped.
    pub async fn shutdown(self) -> Vec<&'static str> {
        let deadline = Instant::now() + self.shutdown_limit;
        self.app.stop();
        self.http.stop();
        // Answers that wait for media end once the streams have ended: what is
        // left of the time is theirs.
        let mut late = self.host.shutdown(self.shutdown_limit * 3 / 4).await;
        if tokio::time::timeout_at(deadline, self.http.ended())
            .await
            .is_err()
        {
            late.push("http");
        }
        // Workers read their streams to the end before their threads go.
        let streams = self.registry().clone();
        let rest = async {
            streams.drained().await;
            self.threads.stop();
            self.threads.stopped().await;
        };
        // What does not end by now is dropped with the server.
        let _ = tokio::time::timeout_at(deadline, rest).await;
        late
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.kill();
        self.threads.stop();
    }
}

/// Checks the whole configuration against the plugins, and the files that it names.
///
/// # Errors
/// The first fault.
pub(crate) fn check(settings: &Settings, plugins: &Plugins) -> Result<(), StartError> {
    check_settings(settings, plugins)?;
    let section = settings.section("server")?;
    ServerConfig::read(&section)?.tls.load(&section)?;
    Ok(())
}

/// The same, without a look at any file.
pub(crate) fn check_settings(settings: &Settings, plugins: &Plugins) -> Result<(), StartError> {
    let reserved = |name: &str| {
        matches!(name, "http" | "https") || OWN_SECTIONS.iter().any(|own| own.name == name)
    };
    if let Some(entry) = plugins
        .entries()
        .iter()
        .find(|entry| reserved(entry.name()))
    {
        let crate_name = format!("{} {}", entry.crate_name(), entry.crate_version());
        let name = entry.name();
        return Err(PluginSetError::Reserved { name, crate_name }.into());
    }
    Ok(plugins.check(settings, OWN_SECTIONS)?)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
