//! Names that are none: of another folder, of nothing, of control characters,
//! longer than any.

use rillcast_bench::Result;

use crate::arena::{Arena, PROMPT, ensure};
use crate::http::get;
use crate::rtmp::{Peer, STARTED};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let long = "x".repeat(30_000);
    let names = [
        "",
        ".",
        "..",
        "../bench-0",
        "..%2fbench-0",
        "%2e%2e",
        "a/../b",
        "a/b/c",
        "/",
        "//",
        "\\",
        "a\\b",
        "a\u{0}b",
        "a%00b",
        "a\nb",
        "a\u{1b}[31mb",
        "\u{202e}abc",
        "%",
        "%zz",
        "%c0%ae",
        "?",
        "?token=x",
        "a b\u{7f}",
        &long,
        "%2F%2F",
        "a%2fb",
        " ",
        "%20",
        "bench-0/",
        "/bench-0",
        "../../../../etc/passwd",
        "\u{feff}",
    ];
    let (mut refused, mut taken) = (0, 0);
    for name in names {
        for app in ["", "..", "/", "a\u{0}", &arena.app()] {
            let mut peer = Peer::connected(&arena, 1, app).await?;
            match peer.publish(name).await {
                Ok(said) if said == STARTED => taken += 1,
                Ok(said) => {
                    ensure!(
                        said == "NetStream.Publish.BadName",
                        "{app} {name:?}: {said}"
                    );
                    peer.gone_within(PROMPT).await?;
                    refused += 1;
                }
                Err(_) => {
                    peer.gone_within(PROMPT).await?;
                    refused += 1;
                }
            }
        }
    }
    ensure!(
        refused > taken,
        "{taken} odd names were taken, {refused} refused"
    );
    // What was taken is a sane key: the list can be shown to anybody.
    let list = get(&arena, 1, "/api/v1/streams").await?;
    let text = String::from_utf8_lossy(&list.body).into_owned();
    for odd in ["\\u0000", "/../", "\\n", "\\u001b", "\\\\", "etc/passwd"] {
        ensure!(!text.contains(odd), "the API lists a key with {odd:?}");
    }
    Ok(format!(
        "{refused} refused, {taken} taken as what they mean"
    ))
}
