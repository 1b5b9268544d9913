//! The capabilities that a running plugin holds: what it may do, and nothing more.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::host::{Cell, Services};
use super::sections::{bus_settings, limits};
use crate::auth::{Access, Credentials, Denied};
use crate::http::Routes;
use crate::{
    Events, PublishError, PublishRequest, Publisher, SettingsError, StreamHandle, StreamKey,
};

/// What every context holds.
#[derive(Clone)]
struct Capabilities {
    cell: Arc<Cell>,
    services: Arc<Services>,
}

/// What an [`Ingest`](super::Ingest) may do. Clones share everything.
#[derive(Clone)]
pub struct IngestContext(Capabilities);

/// What an [`Egress`](super::Egress) may do. Clones share everything.
#[derive(Clone)]
pub struct EgressContext(Capabilities);

/// The request to stop, as plugins see it. Clones share it.
#[derive(Clone)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Waits until the plugin is asked to stop. Cancel safe.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether the plugin has been asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shutdown(requested: {})", self.is_requested())
    }
}

/// A request to publish: [`IngestContext::publish`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publish {
    /// The stream's key.
    pub key: StreamKey,
    /// The publisher's address.
    pub peer: Option<SocketAddr>,
    /// What the publisher showed to prove itself.
    pub credentials: Credentials,
}

impl Publish {
    /// A request to publish `key` without credentials or address.
    #[must_use]
    pub fn new(key: StreamKey) -> Self {
        Self {
            key,
            peer: None,
            credentials: Credentials::none(),
        }
    }

    /// Sets the publisher's address.
    #[must_use]
    pub const fn from_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets what the publisher showed.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }
}

/// Why a publish was refused. The texts may be shown to the publisher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishRefused {
    /// The publisher may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The registry cannot take it: the key is live, the server full or stopping.
    #[error(transparent)]
    Registry(#[from] PublishError),
    /// The stream's settings are faulty (they are checked at start, so this is
    /// a fault of the server).
    #[error("the settings of this stream cannot be read: {0}")]
    Settings(#[from] SettingsError),
}

impl Capabilities {
    fn ready(&self, addr: Option<SocketAddr>) {
        self.cell.ready(addr);
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.cell.spawn(task);
    }

    fn spawn_connection<F: Future<Output = ()> + Send + 'static>(&self, connection: F) {
        self.cell.spawn_connection(connection);
    }

    fn stream_settings<T: DeserializeOwned>(
        &self,
        section: &str,
        key: &StreamKey,
    ) -> Result<T, SettingsError> {
        self.services.settings.section_for(section, key)?.read()
    }

    fn debug(&self, kind: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(kind)
            .field("plugin", &self.cell.name())
            .finish_non_exhaustive()
    }
}

/// What both contexts offer.
macro_rules! shared_capabilities {
    () => {
        /// The plugin's name.
        #[must_use]
        pub fn name(&self) -> &'static str {
            self.0.cell.name()
        }

        /// Reports that the plugin can be used now, at `addr` if it listens.
        /// Only the first call counts.
        pub fn ready(&self, addr: impl Into<Option<SocketAddr>>) {
            self.0.ready(addr.into());
        }

        /// The request to stop.
        #[must_use]
        pub fn shutdown(&self) -> Shutdown {
            Shutdown(self.0.cell.shutdown().clone())
        }

        /// Runs `task` as the plugin's own. A panic in it is reported and ends
        /// nothing else; what still runs when the time to stop is over is dropped.
        pub fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
            self.0.spawn(task);
        }

        /// The same on one of the server's [`Threads`](crate::Threads), where the
        /// task stays, as does each stream that it publishes: for tasks that live
        /// long and have little to do often. They must not block. A socket belongs
        /// to the runtime that it was made in: hand over one of `std`, and make
        /// tokio's of it within `connection`.
        pub fn spawn_connection<F>(&self, connection: F)
        where
            F: Future<Output = ()> + Send + 'static,
        {
            self.0.spawn_connection(connection);
        }

        /// A section as it stands for one stream, per-stream overrides applied.
        ///
        /// # Errors
        /// If the section does not read into `T`.
        pub fn stream_settings<T: DeserializeOwned>(
            &self,
            section: &str,
            key: &StreamKey,
        ) -> Result<T, SettingsError> {
            self.0.stream_settings(section, key)
        }

        /// The table of HTTP handlers, to mount one's own.
        #[must_use]
        pub fn http(&self) -> &Routes {
            &self.0.services.routes
        }

        /// The live stream of that key.
        #[must_use]
        pub fn stream(&self, key: &StreamKey) -> Option<StreamHandle> {
            self.0.services.registry.get(key)
        }
    };
}

impl IngestContext {
    pub(super) fn new(cell: Arc<Cell>, services: Arc<Services>) -> Self {
        Self(Capabilities { cell, services })
    }

    shared_capabilities!();

    /// Asks whether the publisher may, and puts its stream on the bus. The
    /// returned [`Publisher`] is the one writer; dropping it starts the grace
    /// time in which the publisher may come back.
    ///
    /// Cancel safe: nothing is published by a future that was dropped.
    ///
    /// # Errors
    /// See [`PublishRefused`]; the text may be shown to the publisher.
    pub async fn publish(&self, publish: Publish) -> Result<Publisher, PublishRefused> {
        let (key, peer) = (&publish.key, publish.peer);
        let access = Access::publish(key, self.name(), peer, &publish.credentials);
        self.0.services.authorizer.authorize(access).await?;
        self.publish_own(publish)
    }

    /// The same without asking whether it may be: for what the server makes or fetches
    /// itself, because its configuration says so, and never for what somebody sends to
    /// it. Limits hold for it as for all others; credentials count for nothing.
    ///
    /// # Errors
    /// [`PublishRefused::Registry`] and [`PublishRefused::Settings`].
    pub fn publish_own(&self, publish: Publish) -> Result<Publisher, PublishRefused> {
        let services = &self.0.services;
        let Publish { key, peer, .. } = publish;
        let bus = bus_settings(&services.settings, &key)?;
        let limits = limits(&services.settings, &key)?;
        let mut request = PublishRequest::new(key, self.name())
            .with_bus(bus)
            .with_idle_timeout(Some(limits.idle_timeout.0))
            .with_max_per_app(limits.streams_per_app)
            .with_bitrates(limits.bitrates());
        request.peer = peer;
        Ok(services.registry.publish(request)?)
    }
}

impl EgressContext {
    pub(super) fn new(cell: Arc<Cell>, services: Arc<Services>) -> Self {
        Self(Capabilities { cell, services })
    }

    shared_capabilities!();

    /// Every live stream, sorted by key.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamHandle> {
        self.0.services.registry.list()
    }

    /// What happens to the streams, beginning with those that live already.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.services.registry.events()
    }

    /// A value of this server that plugins share by its type; the first one
    /// to ask makes it.
    pub fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        tracing::trace!(plugin = self.name(), kind = type_name::<T>(), "shared slot");
        self.0.services.registry.shared(make)
    }
}

impl fmt::Debug for IngestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("IngestContext", f)
    }
}

impl fmt::Debug for EgressContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("EgressContext", f)
    }
}
