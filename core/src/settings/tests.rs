//! Layers, origins and error sentences of the settings.

use serde::Deserialize;

use super::*;
use crate::HumanDuration;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Rtmp {
    listen: String,
    timeout: HumanDuration,
    nested: Nested,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Nested {
    depth: u8,
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:1935".to_owned(),
            timeout: HumanDuration::from_secs(5),
            nested: Nested::default(),
        }
    }
}

fn read(text: &str) -> Result<Rtmp, SettingsError> {
    Settings::from_toml(text, "rillcast.toml")?
        .section("rtmp")?
        .read()
}

#[test]
fn what_nobody_wrote_has_its_default() {
    assert_eq!(read("").unwrap(), Rtmp::default());
}

#[test]
fn later_layers_win() {
    let mut settings = Settings::from_toml("[rtmp]\nlisten = \"a:1\"\n", "f").unwrap();
    let env = Origin::Environment("RILLCAST__RTMP__TIMEOUT".into());
    settings.set("rtmp.timeout", "2s", env).unwrap();
    let flag = || Origin::Flag("--set".into());
    settings.set("rtmp.listen", "0.0.0.0:0", flag()).unwrap();
    settings.set("rtmp.nested.depth", "3", flag()).unwrap();
    let rtmp: Rtmp = settings.section("rtmp").unwrap().read().unwrap();
    assert_eq!(rtmp.listen, "0.0.0.0:0");
    assert_eq!(rtmp.timeout, HumanDuration::from_secs(2));
    assert_eq!(rtmp.nested.depth, 3);
}

#[test]
fn errors_name_the_line_and_the_key() {
    for (text, line, want) in [
        (
            "[rtmp]\n\nlissten = \"x\"\n",
            3,
            "unknown key \"rtmp.lissten\"",
        ),
        (
            "[rtmp]\ntimeout = \"soon\"\n",
            2,
            "rtmp.timeout: \"soon\" is no duration",
        ),
        ("[rtmp]\nlisten = 5\n", 2, "rtmp.listen: invalid type"),
        (
            "[rtmp.nested]\nwidth = 5\n",
            2,
            "unknown key \"rtmp.nested.width\"",
        ),
        (
            "[rtmp]\nnested.depth = 500\n",
            2,
            "rtmp.nested.depth: invalid value",
        ),
        ("[rtmp]\nlisten = \n", 2, ""),
        (
            "[rtmp]\n\nlisten = 99999999999999999999\n",
            3,
            "invalid type",
        ),
        ("rtmp = 5\n", 1, "\"rtmp\" is a section"),
        ("a = 1\n[stream]\nmatch = \"live/*\"\n", 2, "two brackets"),
        ("[[stream]]\ncmaf.window = \"2s\"\n", 1, "needs match"),
        ("[[stream]]\nmatch = \"live\"\n", 2, "matches no stream"),
    ] {
        let error = read(text).unwrap_err();
        let file = Origin::File {
            file: "rillcast.toml".into(),
            line,
        };
        assert_eq!(error.origin, file, "{text}: {error}");
        assert!(error.message.contains(want), "{text}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn errors_name_the_variable_or_the_flag() {
    let mut settings = Settings::new();
    let env = Origin::Environment("RILLCAST__RTMP__TIMEOUT".into());
    settings.set("rtmp.timeout", "soon", env).unwrap();
    let error = settings.section("rtmp").unwrap().read::<Rtmp>();
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("environment variable RILLCAST__RTMP__TIMEOUT: rtmp.timeout"),
        "{text}"
    );

    let flag = Origin::Flag("--set stream.0.match".into());
    let error = Settings::new().set("stream.0.match", "a/*", flag);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("only be written in a file"), "{text}");

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bare {}
    let settings = Settings::from_toml("[bare]\nkey = 1\n", "f").unwrap();
    let error = settings.section("bare").unwrap().read::<Bare>();
    let text = error.unwrap_err().to_string();
    let want = "f line 2: unknown key \"bare.key\": remove it: there is nothing to set";
    assert_eq!(text, want);

    // A key where there is none, set where a file has no header to point at.
    let mut settings = Settings::new();
    let flag = |path: &str| Origin::Flag(format!("--set {path}"));
    for path in ["rtmp.listen.port", "rtmp.timeout"] {
        settings.set(path, "1s", flag(path)).unwrap();
    }
    let section = settings.section("rtmp").unwrap();
    let error = section.read::<Rtmp>().unwrap_err();
    assert_eq!(error.origin, flag("rtmp.listen.port"), "{error}");
    assert_eq!(section.origin("nested"), flag("rtmp.listen.port"));
    assert_eq!(section.error("", "wrong").origin, flag("rtmp.listen.port"));
    let other = settings.section("rtm").unwrap();
    assert_eq!(other.origin("listen"), Origin::Default);

    let mut settings = Settings::from_toml("[rtmp]\nlisten = \"x\"", "f").unwrap();
    for path in ["", ".", "rtmp.", "rtmp.listen.port"] {
        let flag = Origin::Flag(format!("--set {path}=1"));
        assert!(settings.set(path, "1", flag).is_err(), "{path}");
    }
}

#[test]
fn a_section_comes_from_what_first_wrote_in_it() {
    let mut settings = Settings::from_toml("[a]\nb = 1\n", "f").unwrap();
    let flag = Origin::Flag("--set c.d".into());
    settings.set("c.d", "1", flag.clone()).unwrap();
    let file = Origin::File {
        file: "f".into(),
        line: 1,
    };
    assert_eq!(settings.origin_of_section("a"), file);
    assert_eq!(settings.origin_of_section("c"), flag);
    assert_eq!(settings.origin_of_section("e"), Origin::Default);
}

#[test]
fn streams_override_sections_in_order() {
    let text = "[rtmp]\nlisten = \"base\"\n\
                [[stream]]\nmatch = \"live/*\"\nrtmp.timeout = \"1s\"\nrtmp.nested.depth = 1\n\
                [[stream]]\nmatch = \"live/cam\"\nrtmp.timeout = \"9s\"\n";
    let settings = Settings::from_toml(text, "f").unwrap();
    let of = |key: &str| -> Rtmp {
        let key = key.parse().unwrap();
        settings.section_for("rtmp", &key).unwrap().read().unwrap()
    };
    assert_eq!(of("live/cam").timeout, HumanDuration::from_secs(9));
    assert_eq!(of("live/cam").nested.depth, 1);
    assert_eq!(of("live/cam").listen, "base");
    assert_eq!(of("live/other").timeout, HumanDuration::from_secs(1));
    assert_eq!(of("vod/cam").timeout, HumanDuration::from_secs(5));
    assert_eq!(settings.stream_variants("rtmp").unwrap().len(), 2);
}

#[test]
fn an_error_in_an_override_names_the_override() {
    let text = "[rtmp]\ntimeout = \"2s\"\n[[stream]]\nmatch = \"a/b\"\nrtmp.timeout = \"x\"\n";
    let settings = Settings::from_toml(text, "f").unwrap();
    let variants = settings.stream_variants("rtmp").unwrap();
    let error = variants[0].read::<Rtmp>().unwrap_err();
    assert_eq!(
        error.origin,
        Origin::File {
            file: "f".into(),
            line: 5
        }
    );
    let keys: Vec<&str> = variants[0].overridden_keys().collect();
    assert_eq!(keys, ["timeout"]);
}

#[test]
fn debug_prints_no_values() {
    let settings = Settings::from_toml("[auth]\ntoken = \"hunter2\"", "f").unwrap();
    let section = settings.section("auth").unwrap();
    let shown = format!("{settings:?} {section:?}");
    assert!(
        shown.contains("token") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn an_error_is_one_line_whatever_it_quotes() {
    let settings = Settings::from_toml("[\"a\\nb\\u001b[2J\"]\n", "f\r").unwrap();
    let error = crate::Plugins::none().check(&settings, &[]).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.starts_with("f\\r line 1: unknown section [a\\nb\\u{1b}[2J]"),
        "{shown}"
    );
    assert!(!shown.contains(char::is_control), "{shown}");
}
