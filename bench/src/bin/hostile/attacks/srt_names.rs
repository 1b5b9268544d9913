//! Stream ids that are none: of another folder, of control characters, of nothing, longer
//! than any, with modes and types that there are not.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, ensure};
use crate::http::get;
use crate::srt::refused;

/// What they ask for, and libsrt's number of what they are told.
const NAMES: &[(&str, u32)] = &[
    ("#!::", 1_405),
    ("#!::m=publish", 1_400),
    ("#!::r=APP/x", 1_405),
    ("#!::r=APP/x,m=request", 1_405),
    ("#!::r=APP/x,m=bidirectional", 1_405),
    ("#!::r=APP/x,m=publish,t=file", 1_415),
    ("#!::r=APP/..,m=publish", 1_400),
    ("#!::r=../../etc/passwd,m=publish", 1_400),
    ("#!:{r=APP/x}", 1_400),
    ("#!", 1_400),
    ("publish:", 1_400),
    ("publish:APP", 1_400),
    ("publish:APP/", 1_400),
    ("publish:APP/a/b", 1_400),
    ("publish:APP/..", 1_400),
    ("publish:../APP", 1_400),
    ("publish:APP/a\u{0}b", 1_400),
    ("publish:APP/a\nb", 1_400),
    ("publish:APP/a\u{1b}[31mb", 1_400),
    ("publish:APP/\u{202e}abc", 1_400),
    ("publish:APP/%2e%2e", 1_400),
    ("publish:APP/a b\u{7f}", 1_400),
    ("request:APP/x", 1_405),
    ("play:APP/x", 1_405),
    ("steal:APP/x", 1_405),
    ("/", 1_400),
    ("//", 1_400),
    ("\u{feff}", 1_400),
    (":", 1_405),
    (":::::", 1_405),
    ("LONG", 1_400),
];

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut calls = JoinSet::new();
    for ((name, code), host) in NAMES.iter().zip((1..=4).cycle()) {
        let arena = arena.clone();
        calls.spawn(async move {
            let long = format!("publish:{}/{}", arena.app(), "x".repeat(490));
            let name = name.replace("APP", &arena.app()).replace("LONG", &long);
            let told = refused(&arena, host, &name, None).await?;
            ensure!(told.code() == *code, "{name:?}: {told} instead of {code}");
            Ok::<_, Error>(())
        });
    }
    let mut refused = 0;
    while let Some(ended) = calls.join_next().await {
        ended.map_err(Error::of("a call"))??;
        refused += 1;
    }
    // None of them is a stream.
    let list = get(&arena, 200, "/api/v1/streams").await?;
    let text = String::from_utf8_lossy(&list.body).into_owned();
    let own = format!("\"key\":\"{}/", arena.app());
    ensure!(!text.contains(&own), "a name that is none became a stream");
    Ok(format!("{refused} refused"))
}
