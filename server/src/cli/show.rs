//! What is printed without a server: the plugins, the example configuration,
//! the verdict of `check`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use rillcast_core::{Plugins, Settings};

use crate::config::OWN_SECTIONS;

/// Writes to stdout. A reader that has gone (`| head`) is no error.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What `check` says of a configuration without faults.
pub(super) fn checked(file: Option<&Path>, settings: &Settings) -> String {
    let sections = settings.section_names();
    let of = match file {
        Some(file) => file.display().to_string(),
        None => "the configuration".to_owned(),
    };
    if sections.is_empty() {
        format!("{of} is right: everything has its default\n")
    } else {
        format!("{of} is right: it sets {}\n", sections.join(", "))
    }
}

/// One line for each plugin, in columns; or an array of objects.
pub(super) fn plugins(plugins: &Plugins, json: bool) -> String {
    if json {
        let list = plugins.entries().iter().map(|entry| {
            serde_json::json!({
                "name": entry.name(),
                "role": entry.role().name(),
                "crate": entry.crate_name(),
                "version": entry.crate_version(),
            })
        });
        return format!("{:#}\n", serde_json::Value::from_iter(list));
    }
    let rows = plugins.entries().iter().map(|entry| {
        [
            entry.name(),
            entry.role().name(),
            entry.crate_name(),
            entry.crate_version(),
        ]
    });
    let rows: Vec<[&str; 4]> = rows.collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.len())
            .max()
    };
    let mut text = String::new();
    for [name, role, crate_name, version] in &rows {
        let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        let third = width(2).unwrap_or(0);
        let _ = writeln!(
            text,
            "{name:first$}  {role:second$}  {crate_name:third$}  {version}"
        );
    }
    text
}

/// A configuration file that sets every key to its default, and explains it.
pub(super) fn example_config(plugins: &Plugins) -> String {
    let mut text = format!("{HEAD}\n");
    let mut section = |name: &str, example: &str| {
        let _ = write!(text, "[{name}]\n{}\n", with_end(example));
    };
    for own in OWN_SECTIONS {
        section(own.name, own.example);
    }
    for entry in plugins.entries() {
        section(entry.name(), entry.example());
    }
    for shared in plugins.shared_sections() {
        section(shared.name, shared.example);
    }
    text.push_str(TAIL);
    text
}

fn with_end(example: &str) -> String {
    match example.trim_end() {
        "" => "# (nothing to set)\n".to_owned(),
        example => format!("{example}\n"),
    }
}

const HEAD: &str = "\
# The configuration of rillcast: every key with its default, and what it means.
# Keys that are left out keep their default. Each can be set by the environment
# too (RILLCAST__SERVER__LISTEN=…), over the file, and on the command line
# (--set server.listen=…), over both.
# Durations, sizes and rates are written as people write them: 200ms, 2s, 1h;
# 64MiB; 20Mbps.
";

const TAIL: &str = "\
# Some keys can be set for some streams only. A * stands for any text; where
# several tables match a stream, the last one that sets a key wins.
# [[stream]]
# match = \"live/*\"
# bus.takeover = \"replace\"
# limits.idle_timeout = \"1m\"
";

#[cfg(test)]
mod tests;
