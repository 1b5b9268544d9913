//! The configuration of the server: how its layers are put together, and the
//! sections that the server itself reads (`config/sections.rs`).
//!
//! Precedence: defaults < file < environment < command line. There is no
//! default file: what a server does must not hang on the folder that it was
//! started in, so a file is read only if `--config` names it.

mod sections;
mod tls;

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use rillcast_core::{Origin, Settings, SettingsError};

pub(crate) use sections::{AuthConfig, LogConfig, LogFormat, OWN_SECTIONS, Secret, ServerConfig};
pub(crate) use tls::ALPN_HTTP2;

/// What every variable of the environment that sets a key begins with; two
/// underscores stand for the dot: `RILLCAST__RTMP__LISTEN` is `rtmp.listen`.
pub(crate) const ENVIRONMENT_PREFIX: &str = "RILLCAST__";

/// The largest configuration file that is read. A thousand streams with
/// settings of their own take a tenth of it.
const MAX_FILE: u64 = 4 << 20;

/// Puts the layers together.
///
/// `environment` is usually [`std::env::vars_os`]; `set` holds the values of
/// `--set` in their order.
///
/// # Errors
/// The first fault, in one sentence that names the file and line, the variable
/// or the flag.
pub(crate) fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    set: &[String],
) -> Result<Settings, SettingsError> {
    let mut settings = match file {
        Some(path) => from_file(path)?,
        None => Settings::new(),
    };
    apply_environment(&mut settings, environment)?;
    for assignment in set {
        apply_flag(&mut settings, assignment)?;
    }
    Ok(settings)
}

fn from_file(path: &Path) -> Result<Settings, SettingsError> {
    let name = path.display().to_string();
    let refuse = |message: String| {
        let origin = Origin::Flag(format!("--config {name}"));
        SettingsError::new(origin, message)
    };
    let mut bytes = Vec::new();
    // A pipe or a device tells no size beforehand, and may have no end.
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(format!("the file cannot be read: {}", plain(&error))))?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_FILE) {
        return Err(refuse(format!(
            "the file is larger than {} MiB: this is no configuration",
            MAX_FILE >> 20
        )));
    }
    from_bytes(bytes, &name)
}

/// Reads what is in the file `name`.
pub(crate) fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Settings, SettingsError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let origin = Origin::File {
            file: name.to_owned(),
            line: before.filter(|byte| **byte == b'\n').count() + 1,
        };
        SettingsError::new(
            origin,
            "this line is not UTF-8: save the file in that encoding",
        )
    })?;
    Settings::from_toml(&text, name)
}

pub(crate) fn apply_environment(
    settings: &mut Settings,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), SettingsError> {
    let mut variables = Vec::new();
    for (variable, value) in environment {
        let Ok(variable) = variable.into_string() else {
            continue;
        };
        if let Some(key) = variable.strip_prefix(ENVIRONMENT_PREFIX) {
            let path = key.to_ascii_lowercase().replace("__", ".");
            variables.push((path, variable, value));
        }
    }
    // The environment has no order: a section must come before its keys, and
    // two servers with one environment must come out alike.
    variables.sort();
    for (path, variable, value) in variables {
        let origin = Origin::Environment(variable);
        let Ok(value) = value.into_string() else {
            return Err(SettingsError::new(origin, "the value is not UTF-8"));
        };
        if !path.contains('.') {
            let message = format!(
                "names no key: write {ENVIRONMENT_PREFIX}SECTION__KEY, like \
                 {ENVIRONMENT_PREFIX}RTMP__LISTEN"
            );
            return Err(SettingsError::new(origin, message));
        }
        settings.set(&path, &value, origin)?;
    }
    Ok(())
}

pub(crate) fn apply_flag(settings: &mut Settings, assignment: &str) -> Result<(), SettingsError> {
    let (path, value) = assignment.split_once('=').unwrap_or((assignment, ""));
    let origin = Origin::Flag(format!("--set {}", path.trim()));
    if !assignment.contains('=') || !path.contains('.') {
        let message = "write --set section.key=value, like --set rtmp.listen=0.0.0.0:1935";
        return Err(SettingsError::new(origin, message));
    }
    settings.set(path.trim(), value.trim(), origin)
}

/// An error of the system without its number, which tells a user nothing.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = match text.split_once(" (os error") {
        Some((text, _)) => text,
        None => &text,
    };
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
