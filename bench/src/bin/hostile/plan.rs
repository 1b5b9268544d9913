//! How long a run takes, and the server's bounds in it: what CI has time for, or
//! as it is installed.

use std::time::Duration;

use crate::Options;
use crate::arena::Bounds;
use crate::attacks::ALL;
use crate::good::SECRET;

/// How the time is spent.
pub(crate) struct Plan {
    /// Until every window is full, so that memory is what it stays.
    pub(crate) warm_up: Duration,
    pub(crate) baseline: Duration,
    /// What an attack alone is repeated for; once, if zero.
    pub(crate) alone: Duration,
    /// The same for all at once.
    pub(crate) together: Duration,
    /// How long the server may take to be as before.
    pub(crate) calm: Duration,
    /// Whether those that wait for time-outs run beside the others.
    pub(crate) beside: bool,
    pub(crate) scale: usize,
    pub(crate) bounds: Bounds,
    pub(crate) window: Duration,
}

/// What CI has time for: time-outs of a few seconds.
pub(crate) fn short() -> Plan {
    Plan {
        warm_up: Duration::from_secs(10),
        baseline: Duration::from_secs(8),
        alone: Duration::from_millis(500),
        together: Duration::ZERO,
        calm: Duration::from_secs(30),
        beside: true,
        scale: 1,
        bounds: Bounds {
            handshake: Duration::from_secs(3),
            http_head: Duration::from_secs(3),
            http_idle: Duration::from_secs(4),
            http_write: Duration::from_secs(3),
            per_address: 64,
            http_per_address: 200,
            streams_per_app: 150,
            grace: Duration::from_secs(2),
            media_idle: Duration::from_secs(6),
            srt_idle: Duration::from_secs(3),
            srt_per_address: 64,
        },
        window: Duration::from_secs(6),
    }
}

/// The server as it is installed.
pub(crate) fn long(minutes: u64) -> Plan {
    let whole = Duration::from_secs(minutes.clamp(3, 24 * 60) * 60);
    let warm_up = Duration::from_secs(40);
    let baseline = Duration::from_secs(30);
    let calm = Duration::from_secs(60);
    let attacked = whole.saturating_sub(warm_up + baseline + calm / 2);
    let attacks = u32::try_from(ALL.len()).unwrap_or(u32::MAX);
    Plan {
        warm_up,
        baseline,
        alone: attacked * 2 / 3 / attacks,
        together: attacked / 3,
        calm,
        beside: false,
        scale: 4,
        bounds: Bounds {
            handshake: Duration::from_secs(10),
            http_head: Duration::from_secs(10),
            http_idle: Duration::from_secs(30),
            http_write: Duration::from_secs(15),
            per_address: 256,
            http_per_address: 2_000,
            streams_per_app: 500,
            grace: Duration::from_secs(15),
            media_idle: Duration::from_secs(30),
            srt_idle: Duration::from_secs(5),
            srt_per_address: 256,
        },
        window: Duration::from_secs(30),
    }
}

/// The bounds as settings; what is the default is written out too, so that the
/// suite and the server cannot differ.
pub(crate) fn settings(plan: &Plan, options: &Options) -> Vec<String> {
    let bounds = &plan.bounds;
    let mut settings = vec![
        "log.format=json".to_owned(),
        format!("cmaf.window={}s", plan.window.as_secs()),
        format!("rtmp.handshake_timeout={}s", bounds.handshake.as_secs()),
        format!("rtmp.max_connections_per_address={}", bounds.per_address),
        format!("server.head_timeout={}s", bounds.http_head.as_secs()),
        format!("server.idle_timeout={}s", bounds.http_idle.as_secs()),
        format!("server.body_timeout={}s", bounds.http_idle.as_secs()),
        format!(
            "server.max_connections_per_address={}",
            bounds.http_per_address
        ),
        format!("server.write_timeout={}s", bounds.http_write.as_secs()),
        format!("limits.streams_per_app={}", bounds.streams_per_app),
        format!("bus.reconnect_grace={}s", bounds.grace.as_secs()),
        format!("limits.idle_timeout={}s", bounds.media_idle.as_secs()),
        format!("srt.idle_timeout={}s", bounds.srt_idle.as_secs()),
        format!("srt.max_connections_per_address={}", bounds.srt_per_address),
    ];
    settings.extend(options.settings.iter().cloned());
    settings
}

/// Some streams may be taken over by whoever comes, some are encrypted, and one may
/// be no more than small.
pub(crate) fn config() -> String {
    format!(
        "\
[[stream]]
match = \"*/contested\"
bus.takeover = \"replace\"
[[stream]]
match = \"*/srt-sealed-*\"
srt.passphrase = \"{SECRET}\"
[[stream]]
match = \"*/small\"
limits.bitrate_cut = \"{SMALL}Mbps\"
"
    )
}

/// What the streams called `small` may send, in Mb/s.
const SMALL: u32 = 20;
