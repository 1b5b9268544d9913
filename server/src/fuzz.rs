//! The bodies of the fuzz targets: each takes any bytes and checks what must
//! hold for all of them. The normal tests run them too, on what is committed
//! for them in `fuzz/`, so a target cannot rot.
//!
//! What they do not cover: sockets. `tests/server/limits.rs` does.
#![expect(
    clippy::unwrap_used,
    reason = "what must hold and does not is a finding"
)]

mod connection;
#[cfg(test)]
mod tests;

use std::fmt;

use rillcast_core::{BusConfig, Limits, Plugins, Settings, StreamKey};
use rillcast_media::cmaf::CmafConfig;

use crate::auth::Gate;
use crate::config::{
    AuthConfig, LogConfig, ServerConfig, apply_environment, apply_flag, from_bytes,
};
use crate::server::check_settings;

pub use connection::http;

/// A configuration: the text of a file, then, each behind a zero byte, flags as
/// they stand behind `--set`, and variables of the environment behind a `$`.
pub fn config(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let read = from_bytes(file.to_vec(), "fuzz.toml");
    let mut settings = read.unwrap_or_else(|error| {
        one_line(&error);
        Settings::new()
    });
    for part in parts.take(MOST_ASSIGNMENTS) {
        let part = String::from_utf8_lossy(part);
        let set = match part.strip_prefix('$') {
            Some(variable) => {
                let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                apply_environment(&mut settings, [(name.into(), value.into())])
            }
            None => apply_flag(&mut settings, &part),
        };
        if let Err(error) = set {
            one_line(&error);
        }
    }
    let plugins = Plugins::linked().unwrap();
    if let Err(error) = check_settings(&settings, &plugins) {
        one_line(&error);
        return;
    }
    // What was found right can be used: at the start, and by every stream.
    let section = |name| settings.section(name).unwrap();
    ServerConfig::read(&section("server")).unwrap();
    LogConfig::read(&section("log")).unwrap().filter().unwrap();
    Gate::new(&settings).unwrap();
    for key in ["live/cam", "live/demo", "a/b", "é/x~1"] {
        let key = StreamKey::parse(key).unwrap();
        let section = |name| settings.section_for(name, &key).unwrap();
        section("bus").read::<BusConfig>().unwrap();
        section("limits").read::<Limits>().unwrap();
        AuthConfig::read(&section("auth")).unwrap();
        section("cmaf").read::<CmafConfig>().unwrap();
    }
}

/// What is said of a mistake fits on one line of a log.
fn one_line(error: &impl fmt::Display) {
    let text = error.to_string();
    assert!(
        !text.is_empty() && !text.contains(char::is_control),
        "{text:?}"
    );
}

/// More than a command line of this server ever has.
const MOST_ASSIGNMENTS: usize = 64;
