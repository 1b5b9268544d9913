//! Paths that lead elsewhere for a careless reader: dots, NUL, overlong UTF-8,
//! encoded slashes, in every route.

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::attacks::live::Live;
use crate::http::get;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let tricks = [
        "..",
        "../..",
        "../../../../../../etc/passwd",
        "%2e%2e",
        "%2e%2e/%2e%2e/etc/passwd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2f..%2fetc%2fpasswd",
        "..%5c..%5cwindows",
        "..%c0%af..%c0%afetc%c0%afpasswd",
        "%c0%ae%c0%ae/%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%00",
        "a%00.m3u8",
        "%0d%0aX-Injected:%20yes",
        "%",
        "%2",
        "%zz",
        "%252e%252e",
        ";/..;/",
        "....//....//",
        "\\..\\..",
        "*",
        "~root",
        ".git/config",
        "rillcast.toml",
        "rillcast.log",
        "%f0%28%8c%28",
        "%ff%fe",
        "a//b",
        "//etc/passwd",
        "%2f",
        "live%2fbench-0",
    ];
    let roots = [
        "/",
        "/hls/",
        "/hls/live/",
        "/hls/live/bench-0/",
        "/cmaf/",
        "/cmaf/live/bench-0/",
        "/assets/",
        "/watch/",
        "/watch/live/",
        "/api/v1/streams/",
        "/api/v1/streams/live/",
        "/vod/",
    ];
    let mut count = 0;
    for root in roots {
        for trick in tricks {
            let path = format!("{root}{trick}");
            let answer = get(&arena, 1, &path).await?;
            // The pages of the player and the list answer for any name.
            let page = root.starts_with("/watch") && answer.status == 200;
            ensure!(
                page || matches!(
                    answer.status,
                    301 | 302 | 303 | 307 | 308 | 400 | 404 | 405 | 414
                ),
                "{path} was answered {}",
                answer.status
            );
            ensure!(
                !answer.headers.contains("X-Injected"),
                "{path} wrote a header"
            );
            let body = String::from_utf8_lossy(&answer.body);
            for leak in ["root:", "[stream]", "\"level\":"] {
                ensure!(!body.contains(leak), "{path} leads out of the routes");
            }
            count += 1;
        }
    }
    // Files that are none, beside real ones.
    let live = Live::find(&arena, 1).await?;
    for name in [
        "0.m4s%00",
        "01.m4s",
        "+1.m4s",
        "-1.m4s",
        "18446744073709551615.m4s",
        "1e3.m4s",
        "99999999999999999999999.m4s",
        "1.m4s/",
        "1.m4s/x",
        "1.4294967295.m4s",
        "0.init.mp4%2f",
        "4294967295.init.mp4",
        ".m4s",
        "1..m4s",
        "%31%2em4s%00",
    ] {
        let path = live.file(name);
        let answer = get(&arena, 1, &path).await?;
        ensure!(
            matches!(answer.status, 400 | 404),
            "{path} was answered {}",
            answer.status
        );
        count += 1;
    }
    Ok(format!("{count} paths"))
}
