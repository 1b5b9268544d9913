//! Queries of playlists: numbers beyond all bounds, twice, of other kinds, and
//! longer than any.

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::attacks::live::Live;
use crate::http::get;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let live = Live::find(&arena, 3).await?;
    let long = format!("token={}", "x".repeat(20_000));
    let many = "a=b&".repeat(5_000);
    let queries = [
        "_HLS_msn=0",
        "_HLS_msn=-1",
        "_HLS_msn=18446744073709551615",
        "_HLS_msn=1e9",
        "_HLS_msn=99999999999999999999",
        "_HLS_msn=1&_HLS_msn=2",
        "_HLS_part=5",
        "_HLS_msn=0&_HLS_part=-1",
        "_HLS_msn=1000000000&_HLS_part=0",
        "_HLS_msn=&_HLS_part=",
        "_HLS_skip=YES",
        "_HLS_skip=v2",
        "_HLS_skip=../..",
        "_HLS_push=1",
        "_HLS_msn=%00",
        "_HLS_msn=0%26_HLS_part=1",
        "%5fHLS_msn=0",
        "_hls_msn=0",
        "?????",
        "&&&&",
        "=",
        "%",
        "token=%ff%fe",
        &long,
        &many,
    ];
    let mut count = 0;
    for query in queries {
        for path in [&live.index, &live.playlist, &live.segment()] {
            let answer = get(&arena, 1, &format!("{path}?{query}")).await?;
            // 503: held for what may not come in time.
            ensure!(
                matches!(answer.status, 200 | 400 | 404 | 414 | 431 | 503),
                "{path}?{query:.60} was answered {}",
                answer.status
            );
            count += 1;
        }
    }
    Ok(format!("{count} requests"))
}
