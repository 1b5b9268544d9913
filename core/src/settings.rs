//! The configuration as a tree of sections, with the origin of each value.
//!
//! The server layers defaults < file < environment < command line into one
//! [`Settings`]; each plugin reads its own [`Section`]. Because every value
//! remembers where it came from, an error can name the file and line, the
//! variable or the flag that is to be mended. Per-stream overrides
//! (`[[stream]]`) are matched here, once for all plugins.

mod pattern;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::StreamKey;
use pattern::Pattern;

/// The merged configuration of one server.
#[derive(Clone, Default)]
pub struct Settings {
    root: Table,
    rules: Vec<Rule>,
    origins: Arc<Origins>,
}

/// One `[[stream]]` table: overrides for the streams whose key it matches.
#[derive(Clone)]
struct Rule {
    index: usize,
    pattern: Pattern,
    sections: Table,
}

/// Where each value came from, by its dotted path.
type Origins = BTreeMap<String, Origin>;

/// Where a value of the configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A line (counted from 1) of a configuration file.
    File {
        /// The file as the user named it.
        file: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line, as it was written.
    Flag(String),
    /// Built in: nobody wrote it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file} line {line}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What is wrong with the configuration, in one sentence with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", on_one_line(format!("{origin}: {message}")))]
#[non_exhaustive]
pub struct SettingsError {
    /// Where the faulty value was written.
    pub origin: Origin,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl SettingsError {
    /// An error about the value at `origin`.
    #[must_use]
    pub fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin,
            message: message.into(),
        }
    }
}

impl Settings {
    /// An empty configuration: every section has its defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a TOML file's text; `file` is its name for error messages.
    ///
    /// # Errors
    /// Syntax errors, and `[[stream]]` tables without a valid `match`, each with its line.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, SettingsError> {
        let line_of = |offset: usize| line_at(text, offset);
        let at = |line| Origin::File {
            file: file.to_owned(),
            line,
        };
        let tree = toml::de::DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            SettingsError::new(at(line), one_line(error.message()))
        })?;
        let mut origins = Origins::new();
        record_lines(tree.get_ref(), "", &mut |path, offset| {
            origins.insert(path, at(line_of(offset)));
        });
        // Numbers that are too large show only now.
        let root: Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            SettingsError::new(at(line), one_line(error.message()))
        })?;
        let mut settings = Self {
            root,
            rules: Vec::new(),
            origins: Arc::new(origins),
        };
        settings.read_rules()?;
        Ok(settings)
    }

    /// Sets one value by its dotted path (`rtmp.listen`), over whatever stood there.
    ///
    /// `value` is read as TOML (`true`, `3`, `["a"]`); what is no TOML value is
    /// taken as text, so that `2s` and `0.0.0.0:80` need no quotes.
    ///
    /// # Errors
    /// If the path is empty, or leads through a value that is no section or to
    /// the settings of single streams.
    pub fn set(&mut self, path: &str, value: &str, origin: Origin) -> Result<(), SettingsError> {
        let value = parse_value(value);
        let mut parts = path.split('.').peekable();
        if path.split('.').any(str::is_empty) {
            let message = format!("\"{path}\" names no key: write section.key, like server.listen");
            return Err(SettingsError::new(origin, message));
        }
        if parts.peek() == Some(&"stream") {
            let message = "settings of single streams can only be written in a file, below \
                           [[stream]]";
            return Err(SettingsError::new(origin, message));
        }
        let mut table = &mut self.root;
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value);
                break;
            }
            let next = table
                .entry(part.to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = next else {
                let message = format!("\"{path}\" leads through \"{part}\", which is no section");
                return Err(SettingsError::new(origin, message));
            };
            table = next;
        }
        let origins = Arc::make_mut(&mut self.origins);
        let below = format!("{path}.");
        origins.retain(|known, _| known != path && !known.starts_with(&below));
        origins.insert(path.to_owned(), origin);
        Ok(())
    }

    /// The names of all sections that somebody wrote, `[[stream]]` ones included, sorted.
    #[must_use]
    pub fn section_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.root.keys().cloned().collect();
        for rule in &self.rules {
            names.extend(rule.sections.keys().cloned());
        }
        names.sort();
        names.dedup();
        names
    }

    /// Where the section `name` was first written.
    #[must_use]
    pub fn origin_of_section(&self, name: &str) -> Origin {
        let in_rule = self
            .rules
            .iter()
            .find(|rule| rule.sections.contains_key(name));
        let path = match in_rule {
            Some(rule) if !self.root.contains_key(name) => format!("stream.{}.{name}", rule.index),
            _ => name.to_owned(),
        };
        // A variable or a flag sets a key and thereby makes its section.
        let below = format!("{path}.");
        let mut first = self.origins.range(path.clone()..);
        match first.find(|(known, _)| **known == path || known.starts_with(&below)) {
            Some((_, first)) => first.clone(),
            None => origin(&self.origins, &path),
        }
    }

    /// The section `name` as it stands for the whole server.
    ///
    /// # Errors
    /// If something that is no table was written under that name.
    pub fn section(&self, name: &str) -> Result<Section, SettingsError> {
        let values = match self.root.get(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(other) => {
                let message = format!(
                    "\"{name}\" is a section: write [{name}] and its keys below, not {}",
                    kind_of(other)
                );
                return Err(SettingsError::new(origin(&self.origins, name), message));
            }
        };
        Ok(Section {
            name: name.to_owned(),
            values,
            overrides: Vec::new(),
            origins: Arc::clone(&self.origins),
        })
    }

    /// The section `name` as it stands for one stream: the server's values with
    /// those of every `[[stream]]` table that matches `key`, later ones on top.
    ///
    /// # Errors
    /// As [`Settings::section`].
    pub fn section_for(&self, name: &str, key: &StreamKey) -> Result<Section, SettingsError> {
        let mut section = self.section(name)?;
        for rule in &self.rules {
            if rule.pattern.matches(key) {
                section.apply(rule)?;
            }
        }
        Ok(section)
    }

    /// The section `name` under each single `[[stream]]` table that overrides
    /// something in it: what a start-up check must look at.
    ///
    /// # Errors
    /// As [`Settings::section`].
    pub fn stream_variants(&self, name: &str) -> Result<Vec<Section>, SettingsError> {
        let mut variants = Vec::new();
        for rule in &self.rules {
            if rule.sections.contains_key(name) {
                let mut section = self.section(name)?;
                section.apply(rule)?;
                variants.push(section);
            }
        }
        Ok(variants)
    }

    /// Takes the `[[stream]]` tables out of the tree.
    fn read_rules(&mut self) -> Result<(), SettingsError> {
        let Some(streams) = self.root.remove("stream") else {
            return Ok(());
        };
        let Value::Array(tables) = streams else {
            let message = "per-stream settings are written [[stream]], with two brackets";
            return Err(SettingsError::new(origin(&self.origins, "stream"), message));
        };
        for (index, table) in tables.into_iter().enumerate() {
            let here = origin(&self.origins, &format!("stream.{index}"));
            let Value::Table(mut sections) = table else {
                let message = "per-stream settings are written [[stream]], with two brackets";
                return Err(SettingsError::new(here, message));
            };
            let Some(Value::String(text)) = sections.remove("match") else {
                let message = "a [[stream]] table needs match = \"app/name\", where * stands for \
                               any text, like match = \"live/*\"";
                return Err(SettingsError::new(here, message));
            };
            let pattern = Pattern::parse(&text).map_err(|message| {
                let path = format!("stream.{index}.match");
                SettingsError::new(origin(&self.origins, &path), message)
            })?;
            self.rules.push(Rule {
                index,
                pattern,
                sections,
            });
        }
        Ok(())
    }
}

/// Prints which sections exist, never their values: they may hold secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("sections", &self.section_names())
            .finish_non_exhaustive()
    }
}

/// One section of the [`Settings`], ready to be read into a plugin's struct.
#[derive(Clone)]
pub struct Section {
    name: String,
    values: Table,
    /// Keys that came from a `[[stream]]` table, with their origin's path.
    overrides: Vec<(String, String)>,
    origins: Arc<Origins>,
}

impl Section {
    /// An empty section, for tests and for plugins that are added by hand.
    #[must_use]
    pub fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: Table::new(),
            overrides: Vec::new(),
            origins: Arc::default(),
        }
    }

    /// The section's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The keys of this section that a `[[stream]]` table overrides.
    pub fn overridden_keys(&self) -> impl Iterator<Item = &str> {
        self.overrides.iter().map(|(key, _)| key.as_str())
    }

    /// Where the value of `key` was written.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        let overridden = self.overrides.iter().rev();
        let mut overridden = overridden.filter(|(name, _)| name == top(key));
        match overridden.next() {
            Some((name, path)) => {
                let rest = key.strip_prefix(name.as_str()).unwrap_or_default();
                origin(&self.origins, &format!("{path}{rest}"))
            }
            None => origin(&self.origins, &format!("{}.{key}", self.name)),
        }
    }

    /// Reads the section into `T`.
    ///
    /// # Errors
    /// An unknown key, a value of the wrong kind or out of range, with the
    /// origin of the value and the key's whole path.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let values = Value::Table(self.values.clone());
        serde_path_to_error::deserialize(values).map_err(|error| {
            let mut path = error.path().to_string();
            let text = error.into_inner();
            let message = one_line(text.message());
            if path == "." {
                path.clear();
            }
            let unknown = message
                .strip_prefix("unknown field `")
                .and_then(|rest| rest.split_once('`'));
            if let Some((field, rest)) = unknown {
                // The path of an unknown key may or may not end in the key itself.
                if top_of_end(&path) != field {
                    path = join(&path, field);
                }
                let known = rest.trim_start_matches(", expected").trim();
                let known = known.trim_start_matches("one of ").replace('`', "");
                let mend = match known.as_str() {
                    ", there are no fields" => "remove it: there is nothing to set".to_owned(),
                    known => format!("remove it, or write one of: {known}"),
                };
                let message = format!("unknown key \"{}.{path}\": {mend}", self.name);
                return SettingsError::new(self.origin(&path), message);
            }
            let message = format!("{}: {message}", join(&self.name, &path));
            SettingsError::new(self.origin(&path), message)
        })
    }

    /// An error about one key of this section, with its origin and whole path.
    #[must_use]
    pub fn error(&self, key: &str, message: impl fmt::Display) -> SettingsError {
        let message = format!("{}: {message}", join(&self.name, key));
        SettingsError::new(self.origin(key), message)
    }

    /// Lays the values of a `[[stream]]` table over this section.
    fn apply(&mut self, rule: &Rule) -> Result<(), SettingsError> {
        let path = format!("stream.{}.{}", rule.index, self.name);
        match rule.sections.get(&self.name) {
            None => Ok(()),
            Some(Value::Table(values)) => {
                for (key, value) in values {
                    merge(&mut self.values, key, value);
                    self.overrides.push((key.clone(), format!("{path}.{key}")));
                }
                Ok(())
            }
            Some(_) => {
                let message = format!(
                    "\"{}\" is a section: write its keys as {}.key = … below [[stream]]",
                    self.name, self.name
                );
                Err(SettingsError::new(origin(&self.origins, &path), message))
            }
        }
    }
}

/// Prints which keys are set, never their values: they may hold secrets.
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("name", &self.name)
            .field("keys", &self.values.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Tables are merged key by key, anything else is replaced.
fn merge(table: &mut Table, key: &str, value: &Value) {
    if let (Some(Value::Table(below)), Value::Table(above)) = (table.get_mut(key), value) {
        for (key, value) in above {
            merge(below, key, value);
        }
        return;
    }
    table.insert(key.to_owned(), value.clone());
}

/// The origin of the nearest value at or above `path` that somebody wrote. What
/// variables and flags set has no section header: there it is the first value
/// below the nearest level that has any.
fn origin(origins: &Origins, path: &str) -> Origin {
    let mut path = path;
    loop {
        if let Some(found) = origins.get(path) {
            return found.clone();
        }
        let below = format!("{path}.");
        if let Some((found, origin)) = origins.range(below.clone()..).next()
            && found.starts_with(&below)
        {
            return origin.clone();
        }
        match path.rsplit_once('.') {
            Some((above, _)) => path = above,
            None => return Origin::Default,
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() || key.is_empty() {
        format!("{path}{key}")
    } else {
        format!("{path}.{key}")
    }
}

fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

fn top_of_end(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Calls `found` with the dotted path and the byte offset of every key.
fn record_lines(table: &toml::de::DeTable<'_>, above: &str, found: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let path = join(above, key.get_ref());
        found(path.clone(), key.span().start);
        record_value(value.get_ref(), &path, found);
    }
}

fn record_value(value: &toml::de::DeValue<'_>, path: &str, found: &mut impl FnMut(String, usize)) {
    match value {
        toml::de::DeValue::Table(table) => record_lines(table, path, found),
        toml::de::DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}.{index}");
                found(path.clone(), item.span().start);
                record_value(item.get_ref(), &path, found);
            }
        }
        _ => {}
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// Names and values that are quoted in an error may hold line ends and other
/// control characters, which neither a log nor a terminal should get.
fn on_one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Error texts of the TOML parser may span lines; a log line must not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn parse_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    let value = parsed.ok().filter(|table| table.len() == 1);
    match value.and_then(|mut table| table.remove("value")) {
        // A date is never meant: no setting is one, while a text may look like one.
        Some(Value::Datetime(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Datetime(_) => "a date",
        Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests;
