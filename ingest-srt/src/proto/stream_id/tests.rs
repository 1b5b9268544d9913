//! What callers write, and what is made of it.

use super::*;

fn parse(text: &str) -> Result<StreamRequest, StreamIdError> {
    StreamRequest::parse(text.as_bytes())
}

#[test]
fn one_stream_has_many_spellings() {
    for text in [
        "#!::r=live/cam,m=publish",
        "#!::m=publish,r=/live/cam/,t=stream,h=example.org,x=1,com_y=2",
        "#!::r=live/cam,m=publish,r=other/cam,m=request",
        "#!::r=l%69ve/cam,m=publish,,novalue",
        "%23!::r=live/cam,m=publish",
        "%23%21%3A%3Ar%3Dlive%2Fcam%2Cm%3Dpublish",
        "publish:live/cam",
        "publish:/live/cam",
        "publish%3Alive%2Fcam",
        "live/cam",
        "/live/cam",
        "live/cam?other=x",
    ] {
        let request = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(request.key.as_str(), "live/cam", "{text}");
        assert_eq!(
            (request.user, request.secret, request.token),
            (None, None, None),
            "{text}"
        );
    }
}

#[test]
fn credentials_are_found_and_never_printed() {
    for (text, user, password, token) in [
        (
            "publish:live/cam:me:hunter2",
            Some("me"),
            Some("hunter2"),
            Some("hunter2"),
        ),
        (
            "publish:live/cam:me:a:b%2",
            Some("me"),
            Some("a:b%2"),
            Some("a:b%2"),
        ),
        ("publish:live/cam:me", Some("me"), None, None),
        ("publish:live/cam::hunter2", None, None, Some("hunter2")),
        (
            "live/cam:me:hunter2",
            Some("me"),
            Some("hunter2"),
            Some("hunter2"),
        ),
        (
            "#!::r=live/cam,m=publish,u=me%2Cyou,s=hunter2%2C",
            Some("me,you"),
            Some("hunter2,"),
            Some("hunter2,"),
        ),
        (
            "#!::r=live/cam,m=publish,s=hunter2",
            None,
            None,
            Some("hunter2"),
        ),
        (
            "#!::r=live/cam?token=hunter2,m=publish",
            None,
            None,
            Some("hunter2"),
        ),
        (
            "publish:live/cam?a=b&token=hunter2",
            None,
            None,
            Some("hunter2"),
        ),
    ] {
        let request = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(request.key.as_str(), "live/cam", "{text}");
        let credentials = request.credentials();
        assert_eq!(
            (
                credentials.user.as_deref(),
                credentials.password.as_deref(),
                credentials.token.as_deref()
            ),
            (user, password, token),
            "{text}"
        );
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}

#[test]
fn what_is_not_understood_is_refused_in_words_and_by_number() {
    let many = format!("live/{}", "x".repeat(508));
    for (text, code, words) in [
        ("", 1_400, "names no stream"),
        (many.as_str(), 1_400, "more than 512 bytes"),
        ("#!::m=publish", 1_400, "no r=APP/NAME"),
        ("#!:{r=live/cam}", 1_400, "not with #!::"),
        ("#!/bin/sh", 1_400, "not with #!::"),
        ("#!::r=cam,m=publish", 1_400, "app/name"),
        ("cam", 1_400, "app/name"),
        ("publish:", 1_400, "app/name"),
        ("live/..", 1_400, "must not"),
        ("live/a/b", 1_400, "in two parts"),
        ("live/%00", 1_400, "must not"),
        ("#!::r=live/cam", 1_405, "no playback"),
        ("#!::r=live/cam,m=request", 1_405, "no playback"),
        ("request:live/cam", 1_405, "no playback"),
        ("#!::r=live/cam,m=bidirectional", 1_405, "mode (m)"),
        ("fetch:live/cam", 1_405, "mode (m)"),
        ("#!::r=live/cam,m=publish,t=file", 1_415, "type (t)"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.reason().code(), code, "{text}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let error = StreamRequest::parse(&[b'a', b'/', 0xFF]).unwrap_err();
    assert_eq!(error, StreamIdError::NotText);
}
