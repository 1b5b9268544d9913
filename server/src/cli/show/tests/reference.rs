//! `docs/SETTINGS.md`: the reference of all settings, made of the sections'
//! own examples. `cargo xtask settings` writes it, everybody else compares.

use super::*;

/// Set, the file is written instead of compared.
const WRITE: &str = "RILLCAST_WRITE_SETTINGS";

#[test]
fn the_reference_in_the_docs_is_that_of_the_examples() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SETTINGS.md");
    let want = reference(&Plugins::linked().unwrap());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, want).unwrap();
        return;
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == want,
        "docs/SETTINGS.md is not what the examples say: run `cargo xtask settings`"
    );
}

fn reference(plugins: &Plugins) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut section = |name: &str, example: &str, keys: Option<&[&str]>| {
        let per_stream = match keys {
            None => "Every key may be set per stream.".to_owned(),
            Some([]) => "None of these may be set per stream.".to_owned(),
            Some(keys) => format!("May be set per stream: `{}`.", keys.join("`, `")),
        };
        let example = with_end(example);
        let _ = write!(
            text,
            "\n## `[{name}]`\n\n```toml\n{example}```\n\n{per_stream}\n"
        );
    };
    for own in OWN_SECTIONS {
        section(own.name, own.example, own.stream_keys);
    }
    for entry in plugins.entries() {
        section(entry.name(), entry.example(), Some(entry.stream_keys()));
    }
    for shared in plugins.shared_sections() {
        section(shared.name, shared.example, shared.stream_keys);
    }
    text.push_str(BOUNDS);
    text
}

const INTRODUCTION: &str = "\
# Settings

<!-- Written by `cargo xtask settings` from what the sections say of themselves. -->

Every key with its default. A key that is left out keeps it. The file is overridden by the environment
(`RILLCAST__SERVER__LISTEN=…`), the environment by the command line (`--set server.listen=…`). An unknown key is an
error that names its place. Durations, sizes and rates are written as people write them: `200ms`, `2s`, `1h`; `64MiB`;
`20Mbps`.

What may be set per stream is written below `[[stream]]`; where several tables match, the last one that sets a key wins:

```toml
[[stream]]
match = \"live/*\"
limits.bitrate_cut = \"20Mbps\"
```
";

const BOUNDS: &str = "
## Which bound says what

A publisher that is refused or ended is told in one sentence that names the setting; the log has it once a minute and
address, with the count of those that went unsaid.

| beyond | the peer gets |
|---|---|
| `rtmp.max_connections`, `rtmp.max_connections_per_address` | the connection is closed |
| `rtmp.handshake_timeout`, any bound of a peer that does not publish | the connection is closed |
| `rtmp.max_message_size`, `max_command_size`, `max_chunk_streams`, `max_partial_messages`, `max_partial_bytes`, `max_amf_depth`, `max_amf_values`, `max_useless_messages` while publishing | `NetStream.Publish.Failed` with the setting's name |
| `max_amf_depth`, `max_amf_values` in metadata | the metadata is left out, the stream goes on |
| `rtmp.max_write_buffer` while publishing | `NetStream.Publish.Failed` with the setting's name |
| `rtmp.idle_timeout` | `NetConnection.Connect.IdleTimeOut`; the stream waits for `bus.reconnect_grace` |
| `limits.idle_timeout` | the same code; the stream ends |
| `limits.streams`, `limits.streams_per_app` | `NetStream.Publish.Failed` |
| `limits.bitrate_cut` | `NetStream.Publish.Failed`; the stream ends |
| `server.max_connections`, `server.max_connections_per_address` | 503 with `Retry-After`; over TLS the connection is closed |
| a TLS handshake after `server.head_timeout` or `server.idle_timeout` | the connection is closed |
| `server.max_head_size`, `server.max_headers` | 431 |
| `server.max_target_size` | 414 |
| `server.max_body_size` | 413 |
| `server.body_timeout`; half a head after `server.head_timeout` or `server.idle_timeout` | 408 |
| one of several answers over HTTP/2 is not taken for `server.write_timeout` | the stream is reset, `CANCEL` |
| HTTP/2: 100 answers in hand | the next stream is reset, `REFUSED_STREAM` |
| HTTP/2: frames of control or window updates by the hundred, streams that are reset before they are looked at, heads that never end | `GOAWAY` with `ENHANCE_YOUR_CALM`, and the connection is closed |
| no head at all after `server.head_timeout` or `server.idle_timeout`, `server.write_timeout` | the connection is closed |
";
