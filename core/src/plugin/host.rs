//! Runs the plugins of one server: starts them, knows their state, stops them.
//!
//! A plugin that fails or panics is reported and costs no other plugin. Two
//! hosts in one process share nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{BoxError, Built, EgressContext, IngestContext, PluginEntry, Plugins, Role};
use crate::auth::{AllowAll, Authorizer};
use crate::http::Routes;
use crate::{Placement, Registry, Settings, SettingsError, Threads};

/// What the plugins of one server share.
pub struct Services {
    /// The merged configuration.
    pub settings: Settings,
    /// The streams.
    pub registry: Registry,
    /// The HTTP handlers.
    pub routes: Routes,
    /// Who may do what.
    pub authorizer: Box<dyn Authorizer>,
    /// Where the plugins' connections live.
    pub threads: Threads,
}

impl Services {
    /// Services around `settings` and `registry`, with nothing mounted,
    /// everything allowed, and no threads of their own.
    #[must_use]
    pub fn new(settings: Settings, registry: Registry) -> Self {
        Self {
            settings,
            registry,
            routes: Routes::new(),
            authorizer: Box::new(AllowAll),
            threads: Threads::none(),
        }
    }

    /// Sets who may do what.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Box::new(authorizer);
        self
    }

    /// Sets the threads that the plugins' connections live on. They are not
    /// ended with the host: whoever started them does that.
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("settings", &self.settings)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// How a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginState {
    /// It has not reported that it is ready yet.
    Starting,
    /// It runs, and listens at the address if it has one.
    Running(Option<SocketAddr>),
    /// It ended because it was asked to, or had nothing left to do.
    Stopped,
    /// It ended with an error, or panicked.
    Failed(String),
}

impl PluginState {
    /// The name that the API shows.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running(_) => "running",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}

/// A plugin and how it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginStatus {
    /// The plugin.
    pub plugin: PluginEntry,
    /// How it is.
    pub state: PluginState,
    /// How many of its tasks panicked since the start.
    pub panics: u64,
}

/// A plugin that did not come up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
#[non_exhaustive]
pub struct PluginFailed {
    /// The plugin's name.
    pub name: &'static str,
    /// Why it ended.
    pub message: String,
}

/// What a plugin's context and the host share.
pub(super) struct Cell {
    name: &'static str,
    state: watch::Sender<PluginState>,
    shutdown: CancellationToken,
    /// Cancelled when the time to stop is over: drops what still runs.
    kill: CancellationToken,
    tasks: TaskTracker,
    connections: Placement,
    panics: AtomicU64,
}

impl Cell {
    fn new(name: &'static str, threads: &Threads) -> Arc<Self> {
        Arc::new(Self {
            name,
            state: watch::Sender::new(PluginState::Starting),
            shutdown: CancellationToken::new(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
            connections: threads.placement(),
            panics: AtomicU64::new(0),
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    pub(super) fn ready(&self, addr: Option<SocketAddr>) {
        self.state.send_if_modified(|state| {
            let first = *state == PluginState::Starting;
            if first {
                *state = PluginState::Running(addr);
            }
            first
        });
    }

    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(self: &Arc<Self>, task: F) {
        self.tasks.spawn(self.own(task));
    }

    pub(super) fn spawn_connection<F>(self: &Arc<Self>, connection: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.connections.spawn(&self.tasks, self.own(connection));
    }

    /// `task` as one of the plugin's: it ends when the host says so, and a panic
    /// in it is counted.
    fn own<F>(self: &Arc<Self>, task: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cell = Arc::clone(self);
        async move {
            tokio::select! {
                done = caught(task) => if let Err(panic) = done {
                    cell.panics.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(plugin = cell.name, %panic, "a task of the plugin panicked");
                },
                () = cell.kill.cancelled() => {}
            }
        }
    }
}

/// Runs `task` to its end; `Err` carries the message of a panic.
async fn caught<F: Future>(task: F) -> Result<F::Output, String> {
    let mut task = Box::pin(task);
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(panic.as_ref()))),
        }
    })
    .await
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// The running plugins of one server.
pub struct Host {
    services: Arc<Services>,
    running: Vec<Running>,
}

struct Running {
    entry: PluginEntry,
    cell: Arc<Cell>,
    task: JoinHandle<()>,
}

impl Host {
    /// Makes every plugin from its section, then runs them all. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// A section that does not make its plugin; nothing runs then.
    pub fn start(plugins: &Plugins, services: Services) -> Result<Self, SettingsError> {
        let services = Arc::new(services);
        let built = plugins.build(&services.settings)?;
        let running = built.into_iter().map(|(entry, built)| {
            let cell = Cell::new(entry.name(), &services.threads);
            let run = run(built, Arc::clone(&cell), Arc::clone(&services));
            Running {
                entry,
                task: tokio::spawn(supervise(Arc::clone(&cell), run)),
                cell,
            }
        });
        Ok(Self {
            running: running.collect(),
            services,
        })
    }

    /// What the plugins share.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Waits until every plugin has reported that it is ready, and gives the
    /// addresses of those that listen. Cancel safe.
    ///
    /// # Errors
    /// The first plugin that ended instead.
    pub async fn ready(&self) -> Result<BTreeMap<&'static str, SocketAddr>, PluginFailed> {
        let mut addresses = BTreeMap::new();
        let waits = self.running.iter().map(|plugin| Box::pin(plugin.ready()));
        let mut waits: Vec<_> = waits.collect();
        // All at once: one that takes its time must not hide that another failed.
        std::future::poll_fn(|cx| {
            let mut failed = None;
            waits.retain_mut(|wait| match wait.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(address)) => {
                    addresses.extend(address);
                    false
                }
                Poll::Ready(Err(error)) => {
                    failed.get_or_insert(error);
                    false
                }
            });
            match failed {
                Some(error) => Poll::Ready(Err(error)),
                None if waits.is_empty() => Poll::Ready(Ok(std::mem::take(&mut addresses))),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// How every plugin is, in the order of [`Plugins::entries`].
    #[must_use]
    pub fn status(&self) -> Vec<PluginStatus> {
        let status = self.running.iter().map(|plugin| PluginStatus {
            plugin: plugin.entry,
            state: plugin.cell.state.borrow().clone(),
            panics: plugin.cell.panics.load(Ordering::Relaxed),
        });
        status.collect()
    }

    /// Stops everything within `limit`: first the ingests, which tell their
    /// publishers; then the streams end; then the egresses, which finish what
    /// is in hand. What does not stop in time is dropped.
    ///
    /// Returns the names of plugins that had to be dropped.
    pub async fn shutdown(&self, limit: Duration) -> Vec<&'static str> {
        let half = limit / 2;
        let mut late = self.stop(Role::Ingest, half).await;
        self.services.registry.shutdown();
        late.extend(self.stop(Role::Egress, half).await);
        late
    }

    async fn stop(&self, role: Role, limit: Duration) -> Vec<&'static str> {
        let plugins = || {
            self.running
                .iter()
                .filter(|plugin| plugin.entry.role() == role)
        };
        for plugin in plugins() {
            plugin.cell.shutdown.cancel();
        }
        let all = async {
            for plugin in plugins() {
                let mut state = plugin.cell.state.subscribe();
                let ended = |state: &PluginState| {
                    matches!(state, PluginState::Stopped | PluginState::Failed(_))
                };
                // An error means that the plugin's task is gone: that is an end too.
                let _ = state.wait_for(ended).await;
                plugin.cell.tasks.close();
                plugin.cell.tasks.wait().await;
            }
        };
        if tokio::time::timeout(limit, all).await.is_ok() {
            return Vec::new();
        }
        let late = plugins().filter(|plugin| {
            let ended = matches!(
                *plugin.cell.state.borrow(),
                PluginState::Stopped | PluginState::Failed(_)
            );
            !ended || !plugin.cell.tasks.is_empty()
        });
        let late: Vec<&Running> = late.collect();
        for plugin in &late {
            tracing::warn!(
                plugin = plugin.entry.name(),
                "did not stop in time; dropped"
            );
            plugin.cell.kill.cancel();
            plugin.task.abort();
        }
        late.iter().map(|plugin| plugin.entry.name()).collect()
    }
}

impl Running {
    /// Waits until the plugin has reported that it is ready; its address, with
    /// its name, if it listens.
    async fn ready(&self) -> Result<Option<(&'static str, SocketAddr)>, PluginFailed> {
        let mut state = self.cell.state.subscribe();
        let started = |state: &PluginState| *state != PluginState::Starting;
        let name = self.entry.name();
        let state = state.wait_for(started).await.map(|state| state.clone());
        let message = match state {
            Ok(PluginState::Running(address)) => return Ok(address.map(|address| (name, address))),
            Ok(PluginState::Failed(message)) => message,
            _ => "ended before it was ready".to_owned(),
        };
        Err(PluginFailed { name, message })
    }
}

/// A host that is dropped takes its plugins with it.
impl Drop for Host {
    fn drop(&mut self) {
        for plugin in &self.running {
            plugin.cell.shutdown.cancel();
            plugin.cell.kill.cancel();
            plugin.task.abort();
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("plugins", &self.status())
            .finish_non_exhaustive()
    }
}

async fn run(built: Built, cell: Arc<Cell>, services: Arc<Services>) -> Result<(), BoxError> {
    match built {
        Built::Ingest(plugin) => plugin.run(IngestContext::new(cell, services)).await,
        Built::Egress(plugin) => plugin.run(EgressContext::new(cell, services)).await,
    }
}

/// Runs a plugin to its end and records how it ended.
async fn supervise(cell: Arc<Cell>, run: impl Future<Output = Result<(), BoxError>>) {
    let end = match caught(run).await {
        Ok(Ok(())) => PluginState::Stopped,
        Ok(Err(error)) => PluginState::Failed(chain(error.as_ref())),
        Err(panic) => {
            cell.panics.fetch_add(1, Ordering::Relaxed);
            PluginState::Failed(format!("panicked: {panic}"))
        }
    };
    let asked = cell.shutdown.is_cancelled();
    let starting = *cell.state.borrow() == PluginState::Starting;
    match &end {
        // Whoever waits for the start gets the error, and says it once.
        PluginState::Failed(error) if starting => {
            tracing::debug!(plugin = cell.name, %error, "plugin did not start");
        }
        PluginState::Failed(error) => tracing::error!(plugin = cell.name, %error, "plugin failed"),
        _ if asked => tracing::debug!(plugin = cell.name, "plugin stopped"),
        _ => tracing::warn!(plugin = cell.name, "plugin ended by itself"),
    }
    cell.state.send_replace(end);
}

/// An error with the errors that caused it, unless it repeats them already.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
