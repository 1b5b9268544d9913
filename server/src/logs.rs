//! The log: to stderr, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::fmt;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for the whole process; only the first call counts.
pub(crate) fn start(config: &LogConfig) -> Result<(), String> {
    let filter = config.filter()?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Whoever read the log may be gone: said on stderr, as the crate would,
        // that panics, and in the hook below it would abort the whole server.
        .log_internal_errors(false)
        .with_ansi(colours);
    // An error means that a log is there already: a test's, or the embedder's.
    let _ = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // A panic ends one task, and is a line of the log like any other.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic: {text}");
    }));
    Ok(())
}
