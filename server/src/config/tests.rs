//! Tests of the configuration: what each source gives and how mistakes are named.

use std::io::Write;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let variables = variables.iter();
    variables
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn file(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    file
}

fn listen(settings: &Settings) -> String {
    let section = settings.section("server").unwrap();
    ServerConfig::read(&section).unwrap().listen.to_string()
}

#[test]
fn each_layer_is_over_the_one_before() {
    let file = file(b"[server]\nlisten = \"127.0.0.1:1\"\nwrite_timeout = \"7s\"\n");
    let env = environment(&[
        ("RILLCAST__SERVER__LISTEN", "127.0.0.1:2"),
        ("RILLCAST", "1"),
        ("RILLCAST_SERVER_LISTEN", "x"),
        ("PATH", "/bin"),
    ]);
    let set = ["server.listen=127.0.0.1:3".to_owned()];
    let none = || environment(&[]);
    let path = Some(file.path());
    assert_eq!(listen(&load(None, none(), &[]).unwrap()), "0.0.0.0:8080");
    assert_eq!(listen(&load(path, none(), &[]).unwrap()), "127.0.0.1:1");
    assert_eq!(
        listen(&load(path, env.clone(), &[]).unwrap()),
        "127.0.0.1:2"
    );
    assert_eq!(
        listen(&load(path, env.clone(), &set).unwrap()),
        "127.0.0.1:3"
    );
    let settings = load(path, env, &set).unwrap();
    let server = ServerConfig::read(&settings.section("server").unwrap()).unwrap();
    assert_eq!(server.write_timeout.to_string(), "7s");
}

#[test]
fn addresses_are_read_as_people_write_them() {
    for (text, want) in [
        ("localhost:80", "127.0.0.1:80"),
        (":80", "0.0.0.0:80"),
        ("[::]:80", "[::]:80"),
        ("10.0.0.1:0", "10.0.0.1:0"),
    ] {
        let set = [format!("server.listen={text}")];
        assert_eq!(listen(&load(None, environment(&[]), &set).unwrap()), want);
    }
}

/// Loads and reads every own section; the error as text.
fn fault(path: Option<&Path>, env: &[(&str, &str)], set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
    let check = || {
        let settings = load(path, environment(env), &set)?;
        for own in OWN_SECTIONS {
            (own.check)(&settings.section(own.name)?)?;
        }
        Ok::<(), SettingsError>(())
    };
    let text = check().unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn every_error_names_its_place() {
    for (env, set, want) in [
        (
            &[][..],
            &["server.listen"][..],
            "--set server.listen: write --set section.key=value",
        ),
        (&[], &["listen=1"], "--set listen: write --set"),
        (
            &[],
            &["server.listen=80"],
            "--set server.listen: server.listen: invalid type: integer",
        ),
        (
            &[],
            &["server.listen=x:80"],
            "\"x:80\" is no address to listen at",
        ),
        (
            &[],
            &["server.write_timeout=0s"],
            "server.write_timeout: must be more than 0",
        ),
        (
            &[],
            &["server.max_connections=-1"],
            "--set server.max_connections: server.max_connections",
        ),
        (&[], &["server.lisen=x:80"], "unknown key \"server.lisen\""),
        (
            &[],
            &["auth.admin_token=12345"],
            "auth.admin_token: is a number: put it in quotes",
        ),
        (
            &[],
            &["auth.admin_token="],
            "auth.admin_token: must not be empty",
        ),
        (
            &[],
            &["log.level=a=b=c"],
            "log.level: \"a=b=c\" is no log level",
        ),
        (
            &[],
            &["log.level=verbose"],
            "log.level: \"verbose\" is no log level",
        ),
        (&[], &["log.level=info,"], "is no log level"),
        (&[], &["log.level="], "is no log level"),
        (
            &[],
            &["log.format=xml"],
            "log.format: unknown variant `xml`",
        ),
        (
            &[("RILLCAST__SERVER__LISTEN", "here")],
            &[],
            "environment variable RILLCAST__SERVER__LISTEN: server.listen: \"here\"",
        ),
        (
            &[("RILLCAST__SERVER", "x")],
            &[],
            "environment variable RILLCAST__SERVER: names no key",
        ),
        (
            &[("RILLCAST____X", "x")],
            &[],
            "environment variable RILLCAST____X",
        ),
    ] {
        let text = fault(None, env, set);
        assert!(text.contains(want), "{set:?} {env:?}: {text}");
    }
}

#[test]
fn a_secret_never_stands_in_an_error() {
    for set in [
        "auth.admin_token=987654",
        "auth.admin_token=98.7654",
        "auth.admin_token=[\"987654\"]",
    ] {
        let text = fault(None, &[], &[set]);
        assert!(
            !text.contains("987654") && !text.contains("98.7654"),
            "{text}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let text = fault(Some(Path::new("/no/such/file.toml")), &[], &[]);
    assert!(
        text.starts_with("--config /no/such/file.toml: the file cannot be read: no such file"),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let text = fault(Some(folder.path()), &[], &[]);
    assert!(text.contains("cannot be read"), "{text}");

    let latin = file(b"[log]\n# caf\xe9\n");
    let text = fault(Some(latin.path()), &[], &[]);
    assert!(
        text.contains(" line 2: ") && text.contains("UTF-8"),
        "{text}"
    );

    let syntax = file(b"[log]\nlevel = \"info\nformat = 1\n");
    let text = fault(Some(syntax.path()), &[], &[]);
    assert!(text.contains(" line 2: "), "{text}");

    let huge = file(b"");
    huge.as_file().set_len(MAX_FILE + 1).unwrap();
    let text = fault(Some(huge.path()), &[], &[]);
    assert!(text.contains("larger than 4 MiB"), "{text}");
    if cfg!(unix) {
        let text = fault(Some(Path::new("/dev/zero")), &[], &[]);
        assert!(text.contains("larger than 4 MiB"), "{text}");
    }
}
