//! Every bound of `[rtmp]` on a real socket: what is at the bound passes, what
//! is beyond it is refused, in words that name the setting.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "bounds/client.rs"]
mod client;
#[path = "bounds/log.rs"]
mod log;

use std::time::Duration;

use bytes::Bytes;
use rillcast_core::{
    CloseReason, Host, Lifecycle, Limits, PluginEntry, Plugins, Registry, Services, Settings,
    StreamEvent,
};
use rillcast_ingest_rtmp::Rtmp;
use rillcast_ingest_rtmp::proto::message::{Control, kind};

use client::Client;

/// What a publisher is told whose silence ends it.
const SILENT: &str = "nothing was sent for too long \
    (rtmp.idle_timeout; for pictures and sound, limits.idle_timeout)";

const SETTINGS: &str = "\
[rtmp]
max_message_size = \"64KiB\"
max_command_size = \"4KiB\"
max_chunk_streams = 8
max_partial_messages = 4
max_partial_bytes = \"100KiB\"
max_amf_depth = 4
max_amf_values = 256
max_useless_messages = 100
";

/// A server of one plugin, with settings to which the address is added.
async fn start(settings: &str) -> (Host, std::net::SocketAddr) {
    let mut settings = Settings::from_toml(settings, "test.toml").unwrap();
    let origin = rillcast_core::Origin::Default;
    settings.set("rtmp.listen", "127.0.0.1:0", origin).unwrap();
    let limits: Limits = settings.section("limits").unwrap().read().unwrap();
    let registry = Registry::new(limits.registry());
    let entry = PluginEntry::ingest::<Rtmp>("rillcast-ingest-rtmp", "0");
    let plugins = Plugins::none().with(entry).unwrap();
    let host = Host::start(&plugins, Services::new(settings, registry)).unwrap();
    let address = host.ready().await.unwrap()["rtmp"];
    (host, address)
}

/// Bytes on the wire of a publisher.
type Attempt = fn(&mut Client);

/// The first of these passes on a connection that publishes, the second ends it
/// with the sentence.
async fn check(name: &str, passes: Attempt, fails: Attempt, want: &str) {
    let (_host, address) = start(SETTINGS).await;
    let mut client = Client::publishing(address, &format!("{name}-passes")).await;
    passes(&mut client);
    client.still_there().await;
    let mut client = Client::publishing(address, &format!("{name}-fails")).await;
    fails(&mut client);
    let said = client.last_words().await;
    assert!(said.contains(want), "{name}: {said}");
}

#[tokio::test]
async fn long_messages() {
    check(
        "picture",
        |client| client.message(6, kind::VIDEO, vec![0x27; 64 << 10]),
        |client| client.message(6, kind::VIDEO, vec![0x27; (64 << 10) + 1]),
        "a message of type 9 declares 65537 bytes, 65536 are allowed (rtmp.max_message_size)",
    )
    .await;
    check(
        "metadata",
        |client| client.message(4, kind::DATA_AMF0, vec![5; 4 << 10]),
        |client| client.message(4, kind::DATA_AMF0, vec![5; (4 << 10) + 1]),
        "a message of type 18 declares 4097 bytes, 4096 are allowed (rtmp.max_command_size)",
    )
    .await;
}

#[tokio::test]
async fn many_chunk_streams() {
    // The client's own dialogue takes one for commands, and one for pings.
    fn ids(client: &mut Client, count: u32) {
        for id in 10..10 + count {
            client.message(id, kind::AUDIO, vec![0xAF, 1, 9]);
        }
    }
    check(
        "chunk-streams",
        |client| ids(client, 8 - client.chunk_streams()),
        |client| ids(client, 8),
        "more than 8 chunk streams are in use (rtmp.max_chunk_streams)",
    )
    .await;
}

#[tokio::test]
async fn unfinished_messages() {
    fn begin(client: &mut Client, count: u32, length: u32, arrived: usize) {
        for id in 10..10 + count {
            client.begin(id, kind::VIDEO, length, arrived);
        }
    }
    check(
        "partial-messages",
        |client| {
            // The client's own dialogue goes on beside them: a fourth.
            begin(client, 3, 1_000, 128);
        },
        |client| begin(client, 5, 1_000, 128),
        "more than 4 messages are begun and not finished (rtmp.max_partial_messages)",
    )
    .await;
    check(
        "partial-bytes",
        |client| begin(client, 1, 64 << 10, 60 << 10),
        |client| begin(client, 2, 64 << 10, 60 << 10),
        "unfinished messages hold more than 102400 bytes (rtmp.max_partial_bytes)",
    )
    .await;
}

#[tokio::test]
async fn messages_of_no_use() {
    fn useless(client: &mut Client, count: usize) {
        for _ in 0..count {
            client.message(3, 0x63, Vec::new());
        }
    }
    check(
        "useless",
        |client| useless(client, 100),
        |client| useless(client, 101),
        "101 messages of no use within a minute (rtmp.max_useless_messages)",
    )
    .await;
}

#[tokio::test]
async fn deep_and_wide_commands() {
    fn call(arguments: &[u8]) -> Bytes {
        // Its name and transaction are two values more.
        let head = [2, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 0, 0, 0];
        [&head[..], arguments].concat().into()
    }
    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = [10, 0, 0, 0, 1].repeat(depth);
        bytes.push(5);
        bytes
    }
    check(
        "depth",
        |client| client.message(3, kind::COMMAND_AMF0, call(&nested(4))),
        |client| client.message(3, kind::COMMAND_AMF0, call(&nested(5))),
        "a command holds AMF0 data nested more than 4 deep (rtmp.max_amf_depth)",
    )
    .await;
    check(
        "values",
        |client| client.message(3, kind::COMMAND_AMF0, call(&[5; 254])),
        |client| client.message(3, kind::COMMAND_AMF0, call(&[5; 255])),
        "a command holds AMF0 data of more than 256 values (rtmp.max_amf_values)",
    )
    .await;
}

/// Metadata is not worth ending a stream for: it is left out, and said so.
#[tokio::test]
async fn deep_metadata_is_left_out() {
    let lines = log::lines();
    let (_host, address) = start(SETTINGS).await;
    let mut client = Client::publishing(address, "metadata-depth").await;
    let mut body = b"\x02\x00\x0aonMetaData".to_vec();
    body.extend([10, 0, 0, 0, 1].repeat(5));
    body.push(5);
    client.message(4, kind::DATA_AMF0, body);
    client.still_there().await;
    let line = lines.containing(&format!("peer={}", client.address()));
    assert!(
        line.iter().any(
            |line| line.contains("script data: AMF0 data nested more than 4 deep")
                && line.contains("rtmp.max_amf_depth")
        ),
        "{line:#?}"
    );
}

/// A stranger's connection is closed without a word; the log has one, however
/// often it comes again.
#[tokio::test]
async fn strangers_cost_one_line() {
    let lines = log::lines();
    let (_host, address) = start(SETTINGS).await;
    // Who it is: each address of 127/8 is one of this machine.
    for _ in 0..5 {
        let mut client = Client::connected(address, "127.0.0.77").await;
        client.message(3, kind::VIDEO, vec![0; 5_000]);
        assert_eq!(client.last_words().await, "");
    }
    let settings = format!("{SETTINGS}handshake_timeout = \"1s\"\n");
    let (_host, address) = start(&settings).await;
    for _ in 0..2 {
        let mut silent = Client::connected(address, "127.0.0.78").await;
        assert_eq!(silent.last_words().await, "");
    }
    let of = |ip: &str| lines.containing(&format!("peer={ip}:"));
    let broken = of("127.0.0.77");
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert!(broken[0].contains("4096 are allowed (rtmp.max_command_size)"));
    let silent = of("127.0.0.78");
    assert_eq!(silent.len(), 1, "{silent:#?}");
    assert!(
        silent[0].contains("no stream was published within 1s (rtmp.handshake_timeout)"),
        "{silent:#?}"
    );
}

#[tokio::test]
async fn connections_in_all_and_from_one_address() {
    let lines = log::lines();
    let settings = "[rtmp]\nmax_connections = 3\nmax_connections_per_address = 2\n";
    let (_host, address) = start(settings).await;
    let mut places = Vec::new();
    for _ in 0..2 {
        places.push(Client::connected(address, "127.0.0.81").await);
    }
    for _ in 0..3 {
        Client::refused(address, "127.0.0.81").await;
    }
    places.push(Client::connected(address, "127.0.0.82").await);
    for _ in 0..3 {
        Client::refused(address, "127.0.0.82").await;
    }
    for (ip, want) in [
        (
            "127.0.0.81",
            "127.0.0.81 holds 2 connections already (rtmp.max_connections_per_address)",
        ),
        (
            "127.0.0.82",
            "all 3 connections are taken (rtmp.max_connections)",
        ),
    ] {
        let said = lines.containing(&format!("peer={ip}:"));
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(want), "{said:#?}");
    }
    // A place that is given back is taken again.
    drop(places.pop());
    Client::admitted(address, "127.0.0.82").await;
}

/// Each is told on its own connection, in the protocol's words.
#[tokio::test]
async fn streams_in_all_and_of_one_app() {
    let settings = "\
[limits]
streams = 3
[[stream]]
match = \"live/*\"
limits.streams_per_app = 2
";
    let (_host, address) = start(settings).await;
    let mut publishers = Vec::new();
    for (app, name, want) in [
        ("live", "one", None),
        ("live", "two", None),
        (
            "live",
            "three",
            Some("live carries 2 streams, and may carry no more (limits.streams_per_app)"),
        ),
        ("stage", "one", None),
        (
            "stage",
            "two",
            Some("the server carries 3 streams, and may carry no more (limits.streams)"),
        ),
    ] {
        let mut client = Client::connected(address, "127.0.0.1").await;
        let (code, said) = client.publish_to(app, name).await;
        match want {
            None => assert_eq!(code, "NetStream.Publish.Start", "{said}"),
            Some(want) => {
                assert_eq!(
                    (code.as_str(), said.as_str()),
                    ("NetStream.Publish.Failed", want)
                );
                assert_eq!(client.last_words().await, "");
            }
        }
        publishers.push(client);
    }
}

/// A publisher that is there and sends no media ends with its stream; one whose
/// line is dead ends alone, and its stream waits for it.
#[tokio::test]
async fn publishers_without_media_and_lines_without_bytes() {
    let key = "live/cam".parse().unwrap();
    let settings = "[limits]\nidle_timeout = \"1s\"\n";
    let (host, address) = start(settings).await;
    let mut client = Client::publishing(address, "cam").await;
    let stream = host.services().registry.get(&key).unwrap();
    // Pings are no media.
    let said = loop {
        match client.ping_or_last_words().await {
            None => tokio::time::sleep(Duration::from_millis(10)).await,
            Some(said) => break said,
        }
    };
    assert_eq!(said, SILENT);
    assert_eq!(stream.ended().await, CloseReason::Idle);

    let settings = "[rtmp]\nidle_timeout = \"1s\"\n";
    let (host, address) = start(settings).await;
    let mut client = Client::publishing(address, "cam").await;
    let stream = host.services().registry.get(&key).unwrap();
    assert_eq!(client.last_words().await, SILENT);
    assert_eq!(stream.current_state().lifecycle, Lifecycle::Idle);
    let mut again = Client::publishing(address, "cam").await;
    again.still_there().await;
    assert_eq!(stream.epoch(), 2);
}

/// Who comes and goes with ever new names leaves nothing behind but the most
/// that may wait.
#[tokio::test]
async fn streams_that_wait() {
    let settings = "[limits]\nwaiting_streams = 2\n";
    let (host, address) = start(settings).await;
    let registry = &host.services().registry;
    let mut events = registry.events();
    for number in 0..5 {
        drop(Client::publishing(address, &format!("name-{number}")).await);
        let mut detached = false;
        while !detached {
            let event = events.next().await;
            detached = matches!(event, Some(StreamEvent::Detached { .. }));
        }
    }
    while registry.list().len() > 2 {
        events.next().await.unwrap();
    }
    let left = registry.list();
    let left: Vec<_> = left.iter().map(|stream| stream.key().name()).collect();
    assert_eq!(left, ["name-0", "name-1"]);
}

/// Sound in pieces of 50 kB; five seconds' worth of the bounds may come at once.
#[tokio::test]
async fn more_than_a_publisher_may_send() {
    fn send(client: &mut Client, pieces: usize) {
        for _ in 0..pieces {
            let mut body = vec![0xAF, 1];
            body.resize(50_002, 7);
            client.message(4, kind::AUDIO, body);
        }
    }
    let lines = log::lines();
    let settings = "\
[[stream]]
match = \"live/limited\"
limits.bitrate_warn = \"1Mbps\"
limits.bitrate_cut = \"2Mbps\"
";
    let (host, address) = start(settings).await;
    let mut free = Client::publishing(address, "free").await;
    let mut client = Client::publishing(address, "limited").await;
    let key = "live/limited".parse().unwrap();
    let stream = host.services().registry.get(&key).unwrap();
    client.message(4, kind::AUDIO, vec![0xAF, 0, 0x12, 0x10]);
    send(&mut client, 12);
    client.still_there().await;
    assert_eq!(stream.qos().bitrate_warnings, 0);
    send(&mut client, 12);
    client.still_there().await;
    assert_eq!(stream.qos().bitrate_warnings, 1);
    send(&mut client, 100);
    let said = client.last_words().await;
    assert_eq!(said, "more is sent than limits.bitrate_cut allows");
    assert_eq!(host.services().registry.bitrate_cuts(), 1);
    assert!(host.services().registry.get(&key).is_none());
    for (setting, limit) in [("bitrate_warn", "1Mbps"), ("bitrate_cut", "2Mbps")] {
        let said = lines.containing(&format!("sends more than limits.{setting}"));
        let said: Vec<_> = said
            .iter()
            .filter(|line| line.contains("live/limited"))
            .collect();
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(&format!("limit={limit}")), "{said:#?}");
    }
    // Media without a frame counts too: here, video data that hold no picture.
    let mut idle = Client::publishing(address, "limited").await;
    for _ in 0..100 {
        let mut body = vec![0x17, 2, 0, 0, 0];
        body.resize(50_000, 7);
        idle.message(6, kind::VIDEO, body);
    }
    assert_eq!(idle.last_words().await, said);
    // Broken messages count too, and the defaults let all of this pass.
    for pieces in [124, 1] {
        send(&mut free, pieces);
        free.still_there().await;
    }
    let mut broken = Client::publishing(address, "limited").await;
    send(&mut broken, 100);
    assert_eq!(broken.last_words().await, said);
}

/// Whoever asks and does not read cannot make the answers pile up.
#[tokio::test]
async fn answers_that_nobody_reads() {
    let lines = log::lines();
    let settings = "[rtmp]\nmax_write_buffer = \"16KiB\"\n";
    let (_host, address) = start(settings).await;
    let mut client = Client::connected(address, "127.0.0.91").await;
    let (kind, body) = Control::PingRequest(7).write();
    client.flood(2, kind, &body).await;
    let said = lines.containing("peer=127.0.0.91:");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].contains("the peer asks and does not read")
            && said[0].contains("(rtmp.max_write_buffer)"),
        "{said:#?}"
    );
}
