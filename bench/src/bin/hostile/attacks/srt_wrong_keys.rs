//! Passphrases that are wrong, missing or not asked for, key material that is spoilt
//! byte by byte, and libsrt's own tool with another's passphrase. Who has the right one
//! gets in meanwhile.

use std::process::{Command, Stdio};
use std::time::Duration;

use rillcast_bench::{Error, Result};
use rillcast_ingest_srt::proto::handshake::RejectReason;
use rillcast_ingest_srt::proto::keys::KeyLength;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arena::{Arena, PROMPT, ensure};
use crate::good::SECRET;
use crate::srt::{Asking, Secret, Verdict, call_on, field, refused};

/// Somebody else's.
const WRONG: &str = "a-secret-of-nobody";

const LENGTHS: [KeyLength; 3] = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256];

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut wrong = JoinSet::new();
    for round in 0..8 * arena.scale {
        for (host, length) in (1..).zip(LENGTHS) {
            let arena = arena.clone();
            wrong.spawn(async move {
                let stream_id = format!("publish:{}/srt-sealed-{round}", arena.app());
                let told = refused(&arena, host, &stream_id, Some((WRONG, length))).await?;
                ensure!(told == RejectReason::BadSecret, "a wrong key: {told}");
                Ok::<_, Error>(())
            });
        }
    }
    let tools: Vec<_> = [16, 32]
        .map(|length| {
            let arena = arena.clone();
            tokio::task::spawn_blocking(move || tool(&arena, length))
        })
        .into();
    // Between all those.
    let right = right(&arena).await?;
    let mut refusals = 0;
    while let Some(ended) = wrong.join_next().await {
        ended.map_err(Error::of("a wrong key"))??;
        refusals += 1;
    }
    for tool in tools {
        tool.await.map_err(Error::of("srt-live-transmit"))??;
        refusals += 1;
    }
    for (name, secret) in [
        ("srt-sealed", None),
        ("open", Some((SECRET, KeyLength::Aes128))),
    ] {
        let stream_id = format!("publish:{}/{name}-0", arena.app());
        let told = refused(&arena, 4, &stream_id, secret).await?;
        ensure!(told == RejectReason::Unsecure, "{name}: {told}");
        refusals += 1;
    }
    let spoilt = spoilt(&arena).await?;
    Ok(format!(
        "{refusals} refused, {spoilt} spoilt, the right one in after {} ms",
        right.as_millis()
    ))
}

/// The right passphrase, and how long it took.
async fn right(arena: &Arena) -> Result<Duration> {
    let begun = Instant::now();
    let socket = arena.udp(5).await?;
    let stream_id = format!("publish:{}/srt-sealed-right-{}", arena.app(), arena.seed);
    let secret: Secret<'_> = Some((SECRET, KeyLength::Aes256));
    let caller = call_on(arena, socket, &stream_id, secret)
        .await?
        .map_err(Error::of("the right key"))?;
    caller.is_alive().await?;
    caller.leave().await?;
    Ok(begun.elapsed())
}

/// libsrt's own tool is told, and ends.
fn tool(arena: &Arena, length: u32) -> Result {
    let (srt, app) = (arena.srt, arena.app());
    let url = format!(
        "srt://{srt}?streamid=publish:{app}/srt-sealed-tool&passphrase={WRONG}&pbkeylen={length}"
    );
    let mut child = Command::new("srt-live-transmit")
        // Else it calls again and again.
        .args(["-quiet", "-a:no", "file://con", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::of("srt-live-transmit"))?;
    // With its input open, it ends for no other reason.
    let input = child.stdin.take();
    let begun = Instant::now();
    while let Ok(None) = child.try_wait()
        && begun.elapsed() < PROMPT
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    drop(input);
    let output = child.wait_with_output();
    let said = output.map_err(Error::of("srt-live-transmit"))?.stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(
        said.contains("REJECT"),
        "srt-live-transmit with a wrong passphrase says: {said}"
    );
    Ok(())
}

/// Each byte of the key material that must be as it is: none of those gets in.
async fn spoilt(arena: &Arena) -> Result<usize> {
    let mut asking = JoinSet::new();
    // Three are reserved, and half of the salt is not for the key that wraps: that one
    // has spoilt it is only seen by what comes out. Both as libsrt has it.
    let free = |at: &usize| matches!(at, 11..=13 | 16..=23);
    // From there on each costs both ends a derivation: some of them will do.
    let shown = |at: &usize| *at < 24 || at.is_multiple_of(4);
    let ends = [0, 4, 15, 16, 31, 32, 40, 55];
    let bytes = (0..KEY_MATERIAL).filter(|at| !free(at) && shown(at));
    let changes = bytes.map(Change::Byte).chain(ends.map(Change::End));
    for change in changes {
        let arena = arena.clone();
        asking.spawn(async move {
            let stream_id = format!("publish:{}/srt-sealed-spoilt", arena.app());
            let secret: Secret<'_> = Some((SECRET, KeyLength::Aes128));
            let asking = Asking::start(&arena, 6, &stream_id, secret).await?;
            let mut datagram = asking.conclusion.clone();
            change.apply(&mut datagram);
            let verdict = asking.ask(&datagram, PROMPT).await?;
            ensure!(
                matches!(verdict, Verdict::Refused(4 | 10 | 17)),
                "{change:?} of the key material: {verdict:?}"
            );
            Ok::<_, Error>(())
        });
    }
    let mut count = 0;
    while let Some(ended) = asking.join_next().await {
        ended.map_err(Error::of("spoilt key material"))??;
        count += 1;
    }
    Ok(count)
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// This byte is another one.
    Byte(usize),
    /// It says that it ends here, and does.
    End(usize),
}

impl Change {
    fn apply(self, datagram: &mut Vec<u8>) {
        let begin = field::SECOND + 4;
        match self {
            Self::Byte(at) => {
                if let Some(byte) = datagram.get_mut(begin + at) {
                    *byte ^= 0x55;
                }
            }
            Self::End(at) => {
                let words = u8::try_from(at / 4).unwrap_or_default();
                if let Some(length) = datagram.get_mut(begin - 1) {
                    *length = words;
                }
                datagram.drain(begin + at / 4 * 4..begin + KEY_MATERIAL);
            }
        }
    }
}

/// Key material with one key of 128 bits: header, salt, and the wrapped key.
const KEY_MATERIAL: usize = 16 + 16 + 24;
