//! What a protocol plugin is, and how the server finds the linked ones.
//!
//! An author writes [`Ingest`] or [`Egress`] for a type and registers it with
//! one macro line; the server sees a [`PluginEntry`] that erases the type.
//! A crate whose entries are to be linked must be named in code, not only in
//! Cargo.toml: `use acme_ingest as _;` (rustc never loads it otherwise, and
//! the entry is silently missing).

mod context;
mod host;
mod linked;
mod sections;

use std::future::Future;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

pub use context::{EgressContext, IngestContext, Publish, PublishRefused, Shutdown};
pub use host::{Host, PluginFailed, PluginState, PluginStatus, Services};
pub use linked::{PluginSetError, Plugins};
pub use sections::Limits;

use crate::{Section, SettingsError};

/// An error of any type, for what crosses the plugin boundary.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with one key of a plugin's section: [`Ingest::new`] returns it
/// so that the user is told where the value was written, to the line. Any other
/// error is told with the place of the whole section.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct FaultyKey {
    key: String,
    why: BoxError,
}

impl FaultyKey {
    /// `key` is its path within the section, `why` a sentence that names the
    /// key (`rtmp.max_connections must be at least 1`).
    #[must_use]
    pub fn new(key: &str, why: impl Into<BoxError>) -> Self {
        Self {
            key: key.to_owned(),
            why: why.into(),
        }
    }
}

/// A protocol that brings streams in.
///
/// # Examples
/// ```
/// use rillcast_core::{BoxError, Ingest, IngestContext};
///
/// #[derive(Default, serde::Deserialize)]
/// #[serde(deny_unknown_fields, default)]
/// struct Config {
///     period: rillcast_core::HumanDuration,
/// }
///
/// struct Ticker(Config);
///
/// impl Ingest for Ticker {
///     const NAME: &'static str = "ticker";
///     const EXAMPLE: &'static str = "# How often something is published.\nperiod = \"0s\"\n";
///     type Config = Config;
///
///     fn new(config: Config) -> Result<Self, BoxError> {
///         Ok(Self(config))
///     }
///
///     async fn run(self, cx: IngestContext) -> Result<(), BoxError> {
///         cx.ready(None);
///         cx.shutdown().requested().await;
///         Ok(())
///     }
/// }
///
/// rillcast_core::register_ingest!(Ticker);
/// # assert_eq!(rillcast_core::Plugins::linked().unwrap().names(), ["ticker"]);
/// ```
pub trait Ingest: Sized + Send + 'static {
    /// The plugin's name: its section of the configuration, its feature of the
    /// server, its log target. Lower case, unique among all linked plugins.
    const NAME: &'static str;

    /// The body of the plugin's section as a commented example: every key with
    /// its default. `rillcast example-config` prints it, and a test reads it.
    const EXAMPLE: &'static str = "";

    /// The address that publishers use, for the list page and the start-up
    /// lines: `rtmp://{host}:{port}/{key}[?token={token}]`. What stands in
    /// brackets is shown only where publishers need a token. Empty if nobody
    /// publishes from outside.
    const PUBLISH_URL: &'static str = "";

    /// Keys of the section that a `[[stream]]` table may override. Others are
    /// refused there, so that nobody believes in an override without effect.
    const STREAM_KEYS: &'static [&'static str] = &[];

    /// Sections beside its own that the plugin reads, and that it may share
    /// with other plugins.
    const SECTIONS: &'static [SharedSection] = &[];

    /// The plugin's section, read and checked. Use
    /// `#[serde(deny_unknown_fields, default)]`.
    type Config: DeserializeOwned + Default;

    /// Makes the plugin from its configuration. Opens nothing and starts
    /// nothing: `rillcast check` calls it too.
    ///
    /// # Errors
    /// A value that is out of range, in a sentence that names the key and the
    /// mend; best as a [`FaultyKey`].
    fn new(config: Self::Config) -> Result<Self, BoxError>;

    /// Runs the plugin until `cx.shutdown()` is requested. Reports its address
    /// with `cx.ready(addr)` once it can be used.
    ///
    /// # Errors
    /// What ends the plugin. An error of one connection never does.
    fn run(self, cx: IngestContext) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A protocol, or a recorder, that takes streams out. The counterpart of
/// [`Ingest`], whose documentation holds here too.
pub trait Egress: Sized + Send + 'static {
    /// As [`Ingest::NAME`].
    const NAME: &'static str;

    /// As [`Ingest::EXAMPLE`].
    const EXAMPLE: &'static str = "";

    /// As [`Ingest::STREAM_KEYS`].
    const STREAM_KEYS: &'static [&'static str] = &[];

    /// As [`Ingest::SECTIONS`].
    const SECTIONS: &'static [SharedSection] = &[];

    /// As [`Ingest::Config`].
    type Config: DeserializeOwned + Default;

    /// As [`Ingest::new`].
    ///
    /// # Errors
    /// As [`Ingest::new`].
    fn new(config: Self::Config) -> Result<Self, BoxError>;

    /// As [`Ingest::run`].
    ///
    /// # Errors
    /// As [`Ingest::run`].
    fn run(self, cx: EgressContext) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A section of the configuration that belongs to no single plugin.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SharedSection {
    /// The section's name.
    pub name: &'static str,
    /// Its body as a commented example, as [`Ingest::EXAMPLE`].
    pub example: &'static str,
    /// Keys that a `[[stream]]` table may override; `None` for all.
    pub stream_keys: Option<&'static [&'static str]>,
    /// Reads the section and says what is wrong with it.
    pub check: fn(&Section) -> Result<(), SettingsError>,
}

impl SharedSection {
    /// A shared section of which every key may be overridden per stream.
    #[must_use]
    pub const fn new(
        name: &'static str,
        example: &'static str,
        check: fn(&Section) -> Result<(), SettingsError>,
    ) -> Self {
        Self {
            name,
            example,
            stream_keys: None,
            check,
        }
    }

    /// Limits which keys a `[[stream]]` table may override.
    #[must_use]
    pub const fn with_stream_keys(mut self, keys: &'static [&'static str]) -> Self {
        self.stream_keys = Some(keys);
        self
    }
}

/// Which way a plugin moves media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Streams come in.
    Ingest,
    /// Streams go out.
    Egress,
}

impl Role {
    /// The name that the command line and the API show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Egress => "egress",
        }
    }
}

/// A plugin as the server sees it: its type erased, its constants kept.
#[derive(Clone, Copy)]
pub struct PluginEntry {
    name: &'static str,
    role: Role,
    crate_name: &'static str,
    crate_version: &'static str,
    publish_url: &'static str,
    example: &'static str,
    stream_keys: &'static [&'static str],
    sections: &'static [SharedSection],
    build: fn(&Section) -> Result<Built, SettingsError>,
}

/// A plugin that was made and can be run.
pub(crate) enum Built {
    Ingest(Box<dyn RunIngest>),
    Egress(Box<dyn RunEgress>),
}

/// The object-safe side of [`Ingest`].
#[async_trait]
pub(crate) trait RunIngest: Send {
    async fn run(self: Box<Self>, cx: IngestContext) -> Result<(), BoxError>;
}

/// The object-safe side of [`Egress`].
#[async_trait]
pub(crate) trait RunEgress: Send {
    async fn run(self: Box<Self>, cx: EgressContext) -> Result<(), BoxError>;
}

struct Erased<T>(T);

#[async_trait]
impl<T: Ingest> RunIngest for Erased<T> {
    async fn run(self: Box<Self>, cx: IngestContext) -> Result<(), BoxError> {
        self.0.run(cx).await
    }
}

#[async_trait]
impl<T: Egress> RunEgress for Erased<T> {
    async fn run(self: Box<Self>, cx: EgressContext) -> Result<(), BoxError> {
        self.0.run(cx).await
    }
}

impl PluginEntry {
    /// The entry of an ingest; [`register_ingest!`](crate::register_ingest) calls it.
    #[must_use]
    pub const fn ingest<T: Ingest>(crate_name: &'static str, crate_version: &'static str) -> Self {
        Self {
            name: T::NAME,
            role: Role::Ingest,
            crate_name,
            crate_version,
            publish_url: T::PUBLISH_URL,
            example: T::EXAMPLE,
            stream_keys: T::STREAM_KEYS,
            sections: T::SECTIONS,
            build: |section| {
                let plugin = T::new(section.read()?).map_err(|error| faulty(section, error))?;
                Ok(Built::Ingest(Box::new(Erased(plugin))))
            },
        }
    }

    /// The entry of an egress; [`register_egress!`](crate::register_egress) calls it.
    #[must_use]
    pub const fn egress<T: Egress>(crate_name: &'static str, crate_version: &'static str) -> Self {
        Self {
            name: T::NAME,
            role: Role::Egress,
            crate_name,
            crate_version,
            publish_url: "",
            example: T::EXAMPLE,
            stream_keys: T::STREAM_KEYS,
            sections: T::SECTIONS,
            build: |section| {
                let plugin = T::new(section.read()?).map_err(|error| faulty(section, error))?;
                Ok(Built::Egress(Box::new(Erased(plugin))))
            },
        }
    }

    /// The plugin's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Which way it moves media.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The crate that registered it.
    #[must_use]
    pub const fn crate_name(&self) -> &'static str {
        self.crate_name
    }

    /// That crate's version.
    #[must_use]
    pub const fn crate_version(&self) -> &'static str {
        self.crate_version
    }

    /// How to publish to it, as [`Ingest::PUBLISH_URL`]; empty for an egress.
    #[must_use]
    pub const fn publish_url(&self) -> &'static str {
        self.publish_url
    }

    /// Its section as a commented example.
    #[must_use]
    pub const fn example(&self) -> &'static str {
        self.example
    }

    /// Keys of its section that a `[[stream]]` table may override.
    #[must_use]
    pub const fn stream_keys(&self) -> &'static [&'static str] {
        self.stream_keys
    }

    /// The shared sections that it reads.
    #[must_use]
    pub const fn sections(&self) -> &'static [SharedSection] {
        self.sections
    }
}

/// An error of a plugin's `new` with the place of what is wrong.
fn faulty(section: &Section, error: BoxError) -> SettingsError {
    match error.downcast::<FaultyKey>() {
        Ok(faulty) => SettingsError::new(section.origin(&faulty.key), faulty.why.to_string()),
        Err(error) => section.error("", error),
    }
}

impl std::fmt::Debug for PluginEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginEntry")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("crate", &self.crate_name)
            .field("version", &self.crate_version)
            .finish_non_exhaustive()
    }
}

inventory::collect!(PluginEntry);

/// Registers a type that implements [`Ingest`], so that a server which links
/// this crate (`use this_crate as _;`) runs it.
#[macro_export]
macro_rules! register_ingest {
    ($plugin:ty) => {
        $crate::__private::inventory::submit! {
            $crate::PluginEntry::ingest::<$plugin>(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
            )
        }
    };
}

/// Registers a type that implements [`Egress`], so that a server which links
/// this crate (`use this_crate as _;`) runs it.
#[macro_export]
macro_rules! register_egress {
    ($plugin:ty) => {
        $crate::__private::inventory::submit! {
            $crate::PluginEntry::egress::<$plugin>(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
            )
        }
    };
}
