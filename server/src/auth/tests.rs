//! Tests of who may do what.

use http::HeaderValue;
use rillcast_core::{Credentials, StreamKey};

use super::*;

fn settings(text: &str) -> Settings {
    Settings::from_toml(text, "rillcast.toml").unwrap()
}

async fn publish(
    text: &str,
    key: &str,
    protocol: &'static str,
    shown: Credentials,
) -> Result<(), String> {
    let key: StreamKey = key.parse().unwrap();
    let access = Access::publish(&key, protocol, None, &shown);
    let answer = Tokens::new(settings(text)).authorize(access).await;
    answer.map_err(|denied| denied.reason)
}

#[tokio::test]
async fn publishers_show_the_token_of_their_stream() {
    let text = "[auth]\npublish_token = \"general\"\n\
                [[stream]]\nmatch = \"live/cam\"\nauth.publish_token = \"special\"\n";
    let token = |text: &str| Credentials::none().with_token(Some(text.to_owned()));
    let password = |text: &str| Credentials::none().with_user(Some("u".into()), Some(text.into()));
    for (key, shown, want) in [
        ("live/a", token("general"), Ok(())),
        ("live/a", password("general"), Ok(())),
        (
            "live/a",
            token("special"),
            Err("that is not the token for live/a"),
        ),
        ("live/cam", token("special"), Ok(())),
        (
            "live/cam",
            token("general"),
            Err("that is not the token for live/cam"),
        ),
        (
            "live/a",
            Credentials::none(),
            Err("publishing live/a needs a token (?token=…)"),
        ),
    ] {
        let answer = publish(text, key, "rtmp", shown.clone()).await;
        assert_eq!(answer, want.map_err(str::to_owned), "{key} {shown:?}");
    }
    assert_eq!(
        publish("", "live/a", "rtmp", Credentials::none()).await,
        Ok(())
    );
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    pairs.collect()
}

fn status(text: &str, peer: &str, pairs: &[(&'static str, &'static str)]) -> Option<u16> {
    let gate = Gate::new(&settings(text)).unwrap();
    let peer = peer.parse().unwrap();
    let answer = gate.check(Version::HTTP_11, &headers(pairs), peer);
    answer.err().map(|problem| problem.status.as_u16())
}

#[test]
fn without_a_token_only_this_machine_passes() {
    let host = ("host", "localhost:8080");
    for (peer, pairs, want) in [
        ("127.0.0.1:5", &[host][..], None),
        ("[::1]:5", &[("host", "[::1]:8080")], None),
        ("[::ffff:127.0.0.1]:5", &[("host", "127.0.0.1")], None),
        (
            "127.0.0.1:5",
            &[host, ("origin", "http://localhost:8080")],
            None,
        ),
        ("192.0.2.1:5", &[host], Some(403)),
        ("[2001:db8::1]:5", &[host], Some(403)),
        ("127.0.0.1:5", &[], Some(403)),
        ("127.0.0.1:5", &[("host", "evil.example:8080")], Some(403)),
        (
            "127.0.0.1:5",
            &[("host", "localhost.evil.example")],
            Some(403),
        ),
        (
            "127.0.0.1:5",
            &[host, ("x-forwarded-for", "192.0.2.1")],
            Some(403),
        ),
        (
            "127.0.0.1:5",
            &[host, ("forwarded", "for=192.0.2.1")],
            Some(403),
        ),
        ("127.0.0.1:5", &[host, ("via", "1.1 proxy")], Some(403)),
        (
            "127.0.0.1:5",
            &[host, ("x-forwarded-proto", "https")],
            Some(403),
        ),
        (
            "127.0.0.1:5",
            &[host, ("origin", "http://evil.example")],
            Some(403),
        ),
        (
            "127.0.0.1:5",
            &[host, ("origin", "http://localhost:3000")],
            Some(403),
        ),
        ("127.0.0.1:5", &[host, ("origin", "null")], Some(403)),
    ] {
        assert_eq!(status("", peer, pairs), want, "{peer} {pairs:?}");
    }
}

#[test]
fn nginx_as_it_comes_is_a_stranger_unless_it_shows_the_token() {
    for (text, want) in [("", false), ("[auth]\nadmin_token = \"sesame\"\n", true)] {
        let gate = Gate::new(&settings(text)).unwrap();
        let sent = headers(&[
            ("host", "127.0.0.1:8080"),
            ("connection", "close"),
            ("authorization", "Bearer sesame"),
        ]);
        let peer = "127.0.0.1:5".parse().unwrap();
        assert_eq!(gate.check(Version::HTTP_10, &sent, peer).is_ok(), want);
    }
}

#[test]
fn with_a_token_only_the_token_passes() {
    let text = "[auth]\nadmin_token = \"sesame\"\n";
    let host = ("host", "localhost:8080");
    for (peer, pairs, want) in [
        (
            "192.0.2.1:5",
            &[("authorization", "Bearer sesame")][..],
            None,
        ),
        ("192.0.2.1:5", &[("authorization", "bearer  sesame")], None),
        ("127.0.0.1:5", &[host], Some(401)),
        (
            "127.0.0.1:5",
            &[host, ("authorization", "Bearer wrong")],
            Some(401),
        ),
        (
            "127.0.0.1:5",
            &[host, ("authorization", "Basic sesame")],
            Some(401),
        ),
        (
            "127.0.0.1:5",
            &[host, ("authorization", "sesame")],
            Some(401),
        ),
    ] {
        assert_eq!(status(text, peer, pairs), want, "{peer} {pairs:?}");
    }
}
