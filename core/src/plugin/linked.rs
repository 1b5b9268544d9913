//! The set of plugins of one server, and the check of the whole configuration
//! against it.

use std::fmt;

use super::{Built, PluginEntry, Role, SharedSection};
use crate::{Section, Settings, SettingsError};

/// The plugins of a server, sorted by role and name.
#[derive(Clone, Debug, Default)]
pub struct Plugins(Vec<PluginEntry>);

/// Why a set of plugins cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginSetError {
    /// Two plugins claim one name.
    #[error(
        "two plugins are named \"{name}\": {first} and {second}; link only one of the two crates"
    )]
    Duplicate {
        /// The name.
        name: &'static str,
        /// A crate that registers it.
        first: String,
        /// Another crate that registers it.
        second: String,
    },
    /// A plugin claims a name that is taken by the server or by a shared section.
    #[error(
        "the plugin \"{name}\" of {crate_name} cannot be used: that section belongs to the server"
    )]
    Reserved {
        /// The name.
        name: &'static str,
        /// The crate that registers it.
        crate_name: String,
    },
    /// Two plugins bring different shared sections of one name.
    #[error("\"{name}\" is a shared section of two kinds: one of {first}, one of {second}")]
    SectionClash {
        /// The section's name.
        name: &'static str,
        /// A crate that brings it.
        first: String,
        /// Another crate that brings it.
        second: String,
    },
}

impl Plugins {
    /// Every plugin that is linked into this program.
    ///
    /// # Errors
    /// If the set cannot be used; see [`PluginSetError`].
    pub fn linked() -> Result<Self, PluginSetError> {
        let mut plugins = Self::none();
        for entry in inventory::iter::<PluginEntry> {
            plugins.0.push(*entry);
        }
        plugins.sorted()
    }

    /// No plugin: the start of a set made by hand, for tests and for programs
    /// that link statically where registration is not run.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The set with `entry` added.
    ///
    /// # Errors
    /// If the set cannot be used then; see [`PluginSetError`].
    pub fn with(mut self, entry: PluginEntry) -> Result<Self, PluginSetError> {
        self.0.push(entry);
        self.sorted()
    }

    /// Sorts (registration has no order that could be relied on) and checks.
    fn sorted(mut self) -> Result<Self, PluginSetError> {
        self.0
            .sort_by_key(|entry| (entry.role, entry.name, entry.crate_name));
        let crate_of =
            |entry: &PluginEntry| format!("{} {}", entry.crate_name, entry.crate_version);
        let mut seen: Vec<&PluginEntry> = Vec::new();
        let mut shared: Vec<(&SharedSection, &PluginEntry)> = Vec::new();
        for entry in &self.0 {
            if let Some(other) = seen.iter().find(|other| other.name == entry.name) {
                return Err(PluginSetError::Duplicate {
                    name: entry.name,
                    first: crate_of(other),
                    second: crate_of(entry),
                });
            }
            seen.push(entry);
            for section in entry.sections {
                let same = shared.iter().find(|(known, _)| known.name == section.name);
                match same {
                    Some((known, by)) if known.example != section.example => {
                        return Err(PluginSetError::SectionClash {
                            name: section.name,
                            first: crate_of(by),
                            second: crate_of(entry),
                        });
                    }
                    Some(_) => {}
                    None => shared.push((section, entry)),
                }
            }
        }
        for entry in &self.0 {
            let shared = shared.iter().any(|(section, _)| section.name == entry.name);
            if shared
                || super::sections::CORE_SECTIONS
                    .iter()
                    .any(|own| own.name == entry.name)
            {
                return Err(PluginSetError::Reserved {
                    name: entry.name,
                    crate_name: crate_of(entry),
                });
            }
        }
        Ok(self)
    }

    /// Every plugin, sorted by role and name.
    #[must_use]
    pub fn entries(&self) -> &[PluginEntry] {
        &self.0
    }

    /// Every plugin's name, sorted by role and name.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(PluginEntry::name).collect()
    }

    /// The shared sections that the plugins read, the core's own included, sorted.
    #[must_use]
    pub fn shared_sections(&self) -> Vec<SharedSection> {
        let mut sections: Vec<SharedSection> = super::sections::CORE_SECTIONS.to_vec();
        for section in self.0.iter().flat_map(|entry| entry.sections) {
            if !sections.iter().any(|known| known.name == section.name) {
                sections.push(*section);
            }
        }
        sections.sort_by_key(|section| section.name);
        sections
    }

    /// Checks the whole configuration: every section is known (to a plugin, to
    /// the core, or in `own`, the caller's), reads, and makes its plugin.
    ///
    /// # Errors
    /// The first fault, in one sentence with its place.
    pub fn check(&self, settings: &Settings, own: &[SharedSection]) -> Result<(), SettingsError> {
        let mut shared = self.shared_sections();
        shared.extend_from_slice(own);
        for name in settings.section_names() {
            let known = self.0.iter().any(|entry| entry.name == name)
                || shared.iter().any(|section| section.name == name);
            if !known {
                return Err(self.unknown(settings, &name, &shared));
            }
        }
        for section in &shared {
            let keys = section.stream_keys;
            check_all(settings, section.name, keys, section.check)?;
        }
        for entry in &self.0 {
            let build = |section: &Section| (entry.build)(section).map(drop);
            check_all(settings, entry.name, Some(entry.stream_keys), build)?;
        }
        Ok(())
    }

    fn unknown(&self, settings: &Settings, name: &str, shared: &[SharedSection]) -> SettingsError {
        let names = self.0.iter().map(|entry| entry.name);
        let mut known: Vec<&str> = names
            .chain(shared.iter().map(|section| section.name))
            .collect();
        known.sort_unstable();
        let message = format!(
            "unknown section [{name}]: no linked plugin is named so; this build knows {}",
            known.join(", ")
        );
        SettingsError::new(settings.origin_of_section(name), message)
    }

    /// The plugins as [`Built`] ones, in the set's order.
    pub(crate) fn build(
        &self,
        settings: &Settings,
    ) -> Result<Vec<(PluginEntry, Built)>, SettingsError> {
        let mut built = Vec::new();
        for entry in &self.0 {
            let section = settings.section(entry.name)?;
            built.push((*entry, (entry.build)(&section)?));
        }
        Ok(built)
    }
}

/// Checks a section as it stands for the server and under each override.
fn check_all(
    settings: &Settings,
    name: &str,
    stream_keys: Option<&[&str]>,
    check: impl Fn(&Section) -> Result<(), SettingsError>,
) -> Result<(), SettingsError> {
    check(&settings.section(name)?)?;
    for section in settings.stream_variants(name)? {
        let allowed = |key: &str| stream_keys.is_none_or(|keys| keys.contains(&key));
        if let Some(key) = section.overridden_keys().find(|key| !allowed(key)) {
            let message = match stream_keys {
                Some(keys) if !keys.is_empty() => {
                    format!(
                        "cannot be set per stream; of [{name}] these can: {}",
                        keys.join(", ")
                    )
                }
                _ => format!("cannot be set per stream; write it in [{name}]"),
            };
            return Err(section.error(key, message));
        }
        check(&section)?;
    }
    Ok(())
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
