//! The rules for one source file.

use super::Findings;
use super::source::Source;

/// Where a file is too long to read at one sitting. Half of it is the goal.
const MAX_LINES: usize = 900;

pub(crate) fn check(source: &Source, findings: &mut Findings) {
    opening(source, findings);
    layout(source, findings);
    exceptions(source, findings);
    unbounded(source, findings);
    if is_library(source) {
        globals(source, findings);
        prints(source, findings);
    }
    if source.crate_dir() == "core" {
        core_names_nothing(source, findings);
    }
    if is_pure(source) {
        purity(source, findings);
    }
}

/// Each file says first what it is.
fn opening(source: &Source, findings: &mut Findings) {
    if !source.text.starts_with("//!") {
        findings.add(
            &source.path,
            1,
            "open the file with `//!`: what it is, where its neighbours are",
        );
    }
}

fn layout(source: &Source, findings: &mut Findings) {
    if source.path.ends_with("/mod.rs") {
        findings.add(
            &source.path,
            1,
            "a module is foo.rs beside foo/, not foo/mod.rs",
        );
    }
    let lines = source.line_count();
    if lines > MAX_LINES {
        findings.add(
            &source.path,
            lines,
            format!("{lines} lines: split it ({MAX_LINES} at most)"),
        );
    }
}

/// An exception to a lint stands at its spot, ends with its cause and gives a reason.
fn exceptions(source: &Source, findings: &mut Findings) {
    let lines: Vec<(usize, &str)> = source.all().collect();
    for (i, (line, code)) in lines.iter().enumerate() {
        // `expect` itself says when it has become needless; `allow` is for what only some
        // builds need.
        if code.contains("[allow(") {
            let attribute = lines.iter().skip(i).map(|(_, code)| *code);
            let mut attribute = attribute.take_while(|code| !code.trim_start().starts_with(")]"));
            if !attribute.any(|code| code.contains("reason =")) {
                let text = "use `#[expect(…, reason = \"…\")]` or give `allow` a reason";
                findings.add(&source.path, *line, text);
            }
        }
        if code.trim() == "#[ignore]" {
            findings.add(
                &source.path,
                *line,
                "a test that is ignored says why: `#[ignore = \"…\"]`",
            );
        }
    }
}

/// Every queue has a bound.
fn unbounded(source: &Source, findings: &mut Findings) {
    const WORDS: &[&str] = &[
        "unbounded_channel",
        "UnboundedSender",
        "UnboundedReceiver",
        "std::sync::mpsc::channel",
    ];
    for (line, code) in source.product() {
        for word in WORDS.iter().filter(|word| code.contains(**word)) {
            findings.add(
                &source.path,
                line,
                format!("`{word}`: every queue has a bound and counts what it drops"),
            );
        }
    }
}

/// No global state: two servers run in one test process.
fn globals(source: &Source, findings: &mut Findings) {
    const CELLS: &[&str] = &[
        "OnceLock", "LazyLock", "OnceCell", "Mutex", "RwLock", "Atomic", "ArcSwap",
    ];
    for (line, code) in source.product() {
        let declares = code
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ")
            .starts_with("static ");
        let cell = CELLS.iter().find(|cell| code.contains(**cell));
        if declares && (code.contains("static mut ") || cell.is_some())
            || code.contains("thread_local!")
        {
            findings.add(
                &source.path,
                line,
                "global state: put it into the registry, a stream's slot or a context",
            );
        }
    }
}

/// A library speaks through tracing and its return values.
fn prints(source: &Source, findings: &mut Findings) {
    for (line, code) in source.product() {
        for word in ["println!", "eprintln!", "print!", "eprint!", "dbg!"] {
            let mut found = code
                .match_indices(word)
                .map(|(at, _)| code.get(..at).unwrap_or_default());
            if found.any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')) {
                findings.add(
                    &source.path,
                    line,
                    format!("`{word}` in a library: use tracing"),
                );
            }
        }
    }
}

/// The core names no protocol, no container, no codec, and opens no socket.
fn core_names_nothing(source: &Source, findings: &mut Findings) {
    const NAMES: &[&str] = &[
        "rtmp", "rtmps", "srt", "hls", "dash", "rtsp", "webrtc", "whip", "whep", "flv", "mp4",
        "fmp4", "cmaf", "mpegts", "m3u8", "mpd", "h264", "h265", "hevc", "avc", "aac", "av1",
        "opus",
    ];
    for (line, code) in source.product_with_literals() {
        for word in words(code)
            .iter()
            .filter(|word| NAMES.contains(&word.as_str()))
        {
            findings.add(
                &source.path,
                line,
                format!("the core names `{word}`: that is a plugin's or media's"),
            );
        }
    }
    for (line, code) in source.product() {
        for word in SOCKETS.iter().filter(|word| code.contains(**word)) {
            findings.add(
                &source.path,
                line,
                format!("`{word}`: the core opens no socket"),
            );
        }
    }
}

const SOCKETS: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "socket2",
];

/// Media and the protocol state machines open nothing, read no clock and spawn
/// nothing: bytes and time are arguments.
fn purity(source: &Source, findings: &mut Findings) {
    const WORDS: &[&str] = &[
        "tokio::net",
        "tokio::fs",
        "std::fs",
        "std::process",
        "std::thread",
        "tokio::spawn",
        "spawn(",
        "spawn_blocking",
        "Instant::now",
        "SystemTime::now",
        "Timestamp::now",
        ".elapsed()",
        "tokio::time::",
        "std::env",
        "File::open",
        "File::create",
    ];
    for (line, code) in source.product() {
        for word in WORDS
            .iter()
            .chain(SOCKETS)
            .filter(|word| code.contains(**word))
        {
            findings.add(
                &source.path,
                line,
                format!("`{word}`: this code opens nothing, reads no clock and spawns nothing"),
            );
        }
    }
}

/// Product code of a library crate: not the tasks, a build script, an example or
/// a program.
fn is_library(source: &Source) -> bool {
    let path = &source.path;
    path.contains("/src/")
        && !path.starts_with("xtask/")
        && !path.ends_with("/src/main.rs")
        && !path.contains("/src/bin/")
}

/// All of media, and whatever is called proto.
fn is_pure(source: &Source) -> bool {
    let path = &source.path;
    path.starts_with("media/src/") || path.contains("/proto/") || path.ends_with("/proto.rs")
}

/// The words of a line in lower case: `RtmpUrl` and `rtmp_url` have two each.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in line.chars() {
        if !c.is_ascii_alphanumeric() || c.is_ascii_uppercase() && lower {
            words.push(String::new());
        }
        lower = c.is_ascii_lowercase();
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        check(&Source::new(path.into(), text.into()), &mut findings);
        findings.0
    }

    #[test]
    fn each_rule_finds_its_breach() {
        for (path, text, part) in [
            ("core/src/a.rs", "fn a() {}\n", "open the file"),
            ("core/src/a/mod.rs", "//! A.\n", "mod.rs"),
            ("core/src/a.rs", "//! A.\n#![allow(dead_code)]\n", "expect"),
            ("core/src/a.rs", "//! A.\n#[ignore]\n", "says why"),
            (
                "core/src/a.rs",
                "//! A.\nlet x = mpsc::unbounded_channel();\n",
                "bound",
            ),
            (
                "core/src/a.rs",
                "//! A.\npub static X: AtomicU64 = AtomicU64::new(0);\n",
                "global",
            ),
            (
                "core/src/a.rs",
                "//! A.\nfn a() { println!(); }\n",
                "tracing",
            ),
            ("core/src/a.rs", "//! A.\nstruct RtmpUrl;\n", "names `rtmp`"),
            (
                "core/src/a.rs",
                "//! A.\nconst X: &str = \"hls\";\n",
                "names `hls`",
            ),
            (
                "core/src/a.rs",
                "//! A.\nuse tokio::net::TcpStream;\n",
                "socket",
            ),
            (
                "media/src/a.rs",
                "//! A.\nlet now = Instant::now();\n",
                "clock",
            ),
            (
                "ingest-x/src/proto/a.rs",
                "//! A.\ntokio::spawn(x);\n",
                "spawns",
            ),
        ] {
            let found = findings(path, text);
            assert!(
                found.iter().any(|it| it.contains(part)),
                "{path} {text}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        for (path, text) in [
            (
                "core/src/a.rs",
                "//! RTMP is no word of this crate.\n// rtmp\nstruct Dashboard;\n",
            ),
            (
                "core/src/a.rs",
                "//! A.\n#[cfg(test)]\nmod tests {\n    const RTMP: &str = \"rtmp\";\n}\n",
            ),
            (
                "media/src/a.rs",
                "//! A.\nfn a(now: Instant) -> &'static str { \"std::fs\" }\n",
            ),
            (
                "media/src/a.rs",
                "//! A.\nstatic TABLE: [u8; 2] = [1, 2];\n",
            ),
            ("server/src/main.rs", "//! A.\nfn main() { println!(); }\n"),
            (
                "ingest-x/src/conn.rs",
                "//! A.\nlet now = Instant::now();\n",
            ),
        ] {
            assert_eq!(findings(path, text), Vec::<String>::new(), "{path} {text}");
        }
    }
}
