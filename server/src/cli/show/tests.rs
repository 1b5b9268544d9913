//! Tests of what the showing commands print.

#[cfg(all(feature = "rtmp", feature = "hls"))]
mod reference;

use rillcast_core::Plugins;

use super::*;
use crate::server::check_settings;

/// The example with its commented keys written out: lines like `# key = value`
/// and `# [[stream]]` lose their comment sign.
fn uncommented(example: &str) -> String {
    let lines = example.lines().map(|line| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let key = bare.split_once(" = ").map_or("", |(key, _)| key);
        let is_key = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || "_.".contains(c));
        if is_key || bare == "[[stream]]" {
            bare
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_a_configuration_commented_or_not() {
    let plugins = Plugins::linked().unwrap();
    let example = example_config(&plugins);
    for text in [example.clone(), uncommented(&example)] {
        let settings = Settings::from_toml(&text, "example").unwrap();
        check_settings(&settings, &plugins).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    let settings = Settings::from_toml(&uncommented(&example), "example").unwrap();
    assert_eq!(settings.stream_variants("bus").unwrap().len(), 1);
    for name in ["server", "auth", "log", "bus", "limits"] {
        assert!(example.contains(&format!("\n[{name}]\n")), "{name}");
    }
    for entry in plugins.entries() {
        assert!(
            example.contains(&format!("\n[{}]\n", entry.name())),
            "{}",
            entry.name()
        );
    }
}

#[test]
fn plugins_are_listed_for_people_and_for_programs() {
    let plugins = Plugins::linked().unwrap();
    let json: serde_json::Value = serde_json::from_str(&super::plugins(&plugins, true)).unwrap();
    let names: Vec<&str> = json
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert_eq!(names, plugins.names());
    let text = super::plugins(&plugins, false);
    assert_eq!(text.lines().count(), names.len());
    for (line, name) in text.lines().zip(names) {
        assert!(line.starts_with(name), "{line}");
    }
}
