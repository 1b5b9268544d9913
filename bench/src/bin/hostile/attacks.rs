//! The attacks, one file each; [`ALL`] is the list. The place in the list is
//! the network that an attack comes from: the first one from 127.0.1.x. `live.rs` is none: it
//! finds real files.

mod abandoned_polls;
mod acknowledgements;
mod aggregates;
mod amf_claims;
mod amf_deep;
mod chunk_sizes;
mod chunk_streams;
mod churn;
mod command_order;
mod create_stream;
mod empty_messages;
mod garbage_media;
mod giant_messages;
mod half_open;
mod handshake_cut;
mod handshake_drip;
mod header_flood;
mod http_idle;
mod http_loris;
mod interleaved;
mod live;
mod never_reads;
mod no_frames;
mod others_streams;
mod paths;
mod pipelining;
mod queries;
mod random_bytes;
mod ranges;
mod republish;
mod request_shapes;
mod rtmp_idle;
mod rtmp_keys;
mod rtmp_loris;
mod same_address;
mod slow_readers;
mod smuggling;
mod srt_churn;
mod srt_controls;
mod srt_flood;
mod srt_forged;
mod srt_half_open;
mod srt_handshakes;
mod srt_junk;
mod srt_junk_media;
mod srt_names;
mod srt_never_reads;
mod srt_same_address;
mod srt_sequences;
mod srt_silent;
mod srt_taken;
mod srt_wrong_keys;
mod storm_keys;
mod storm_one_key;
mod storm_takeover;
mod wild_times;

use std::pin::Pin;

use rillcast_bench::Result;

use crate::arena::Arena;

/// One attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Whether it waits for a time-out of the server.
    pub(crate) slow: bool,
    pub(crate) run: fn(Arena) -> Running,
}

/// An attack on its way; what it has seen comes out.
type Running = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// The entry of a module with a function `run`.
macro_rules! attack {
    ($module:ident, $name:literal, $what:literal) => {
        attack!($module, $name, $what, false)
    };
    ($module:ident, $name:literal, slow, $what:literal) => {
        attack!($module, $name, $what, true)
    };
    ($module:ident, $name:literal, $what:literal, $slow:literal) => {
        Attack {
            name: $name,
            what: $what,
            slow: $slow,
            run: |arena| Box::pin($module::run(arena)),
        }
    };
}

/// All of them.
pub(crate) const ALL: &[Attack] = &[
    attack!(
        random_bytes,
        "random-bytes",
        "noise instead of RTMP, from the first byte or behind a good beginning"
    ),
    attack!(
        handshake_cut,
        "handshake-cut",
        "handshakes that end at every length"
    ),
    attack!(
        handshake_drip,
        "handshake-drip",
        slow,
        "handshakes byte by byte, and one without end"
    ),
    attack!(amf_deep, "amf-deep", "AMF nested 100,000 deep"),
    attack!(
        amf_claims,
        "amf-claims",
        "AMF that claims 2^32 of what is not there"
    ),
    attack!(
        giant_messages,
        "giant-messages",
        "messages of 16 MiB that are declared and never sent"
    ),
    attack!(
        chunk_streams,
        "chunk-streams",
        "20,000 chunk streams on a connection"
    ),
    attack!(
        interleaved,
        "interleaved",
        "partial messages, interleaved and taken back"
    ),
    attack!(chunk_sizes, "chunk-sizes", "chunk sizes of 0, 1 and 2^31"),
    attack!(aggregates, "aggregates", "aggregate messages that lie"),
    attack!(
        acknowledgements,
        "acknowledgements",
        "games with acknowledgements, windows and pings"
    ),
    attack!(
        command_order,
        "command-order",
        "every command in every wrong order"
    ),
    attack!(
        others_streams,
        "others-streams",
        "commands with the names and numbers of other publishers' streams"
    ),
    attack!(create_stream, "create-stream", "createStream without end"),
    attack!(
        republish,
        "republish",
        "thousands of publishes on one connection"
    ),
    attack!(rtmp_keys, "rtmp-keys", "names that are none"),
    attack!(
        storm_one_key,
        "storm-one-key",
        "everybody publishes the key of a good stream"
    ),
    attack!(storm_takeover, "storm-takeover", "takeovers without end"),
    attack!(storm_keys, "storm-keys", "more keys than there may be"),
    attack!(garbage_media, "garbage-media", "FLV bodies of noise"),
    attack!(
        wild_times,
        "wild-times",
        "timestamps that jump, turn back and wrap"
    ),
    attack!(
        never_reads,
        "never-reads",
        "a publisher that reads no answer"
    ),
    attack!(
        half_open,
        "half-open",
        "resets and half closes in every state"
    ),
    attack!(
        rtmp_idle,
        "rtmp-idle",
        slow,
        "more idle connections than an address may have"
    ),
    attack!(rtmp_loris, "rtmp-loris", slow, "chunks byte by byte"),
    attack!(
        same_address,
        "same-address",
        slow,
        "noise and idle connections from the address of the good ones"
    ),
    attack!(
        http_loris,
        "http-loris",
        slow,
        "heads and bodies byte by byte"
    ),
    attack!(http_idle, "http-idle", slow, "1,000 idle connections"),
    attack!(
        slow_readers,
        "slow-readers",
        slow,
        "clients that ask for segments and read nothing"
    ),
    attack!(
        header_flood,
        "header-flood",
        "heads of many lines, huge lines, lines without end"
    ),
    attack!(
        smuggling,
        "smuggling",
        "requests that end elsewhere for another reader"
    ),
    attack!(
        request_shapes,
        "request-shapes",
        "wrong hosts, lines, versions, methods and targets"
    ),
    attack!(
        paths,
        "paths",
        "paths that lead elsewhere for a careless reader"
    ),
    attack!(ranges, "ranges", "ranges and conditions of every shape"),
    attack!(queries, "queries", "queries beyond all bounds"),
    attack!(
        pipelining,
        "pipelining",
        "thousands of requests in one write"
    ),
    attack!(
        abandoned_polls,
        "abandoned-polls",
        "held requests of clients that leave"
    ),
    attack!(
        empty_messages,
        "empty-messages",
        "a message of no kind and no length in every byte"
    ),
    attack!(
        no_frames,
        "no-frames",
        "megabytes of video that no frame comes of, as fast as it goes"
    ),
    attack!(churn, "churn", "connections that come and go"),
    attack!(
        srt_junk,
        "srt-junk",
        "datagrams of every size that are no SRT"
    ),
    attack!(
        srt_handshakes,
        "srt-handshakes",
        "handshakes with each field and extension spoilt, cut at every length"
    ),
    attack!(
        srt_half_open,
        "srt-half-open",
        "handshakes by the thousand that are not gone on with, and cookies of others"
    ),
    attack!(
        srt_wrong_keys,
        "srt-wrong-keys",
        "passphrases that are wrong, missing or needless, and spoilt key material"
    ),
    attack!(srt_names, "srt-names", "stream ids that are none"),
    attack!(
        srt_taken,
        "srt-taken",
        "everybody calls for the keys of good streams"
    ),
    attack!(
        srt_same_address,
        "srt-same-address",
        "all places of the good callers' address"
    ),
    attack!(
        srt_silent,
        "srt-silent",
        slow,
        "connections that say nothing, or only that they are there"
    ),
    attack!(
        srt_never_reads,
        "srt-never-reads",
        "connections of which nobody reads what comes back"
    ),
    attack!(
        srt_junk_media,
        "srt-junk-media",
        "connections that carry what is no transport stream"
    ),
    attack!(
        srt_sequences,
        "srt-sequences",
        "numbers and times that jump as far as there are numbers"
    ),
    attack!(
        srt_controls,
        "srt-controls",
        "control packets of every kind that say what cannot be"
    ),
    attack!(
        srt_forged,
        "srt-forged",
        "packets for the connections of others"
    ),
    attack!(
        srt_flood,
        "srt-flood",
        "as much data as goes into one connection"
    ),
    attack!(srt_churn, "srt-churn", "callers that come and go"),
];
