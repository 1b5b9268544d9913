//! Handshakes that are not quite right: each field and each extension spoilt in
//! turn, cut at every length, and then changed by chance. Each is refused in libsrt's
//! number, or not heard, and no answer is longer than what it answers.

use std::time::Duration;

use rillcast_bench::{Chance, Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, PROMPT, ensure};
use crate::srt::{Asking, Verdict, control, field, induction, kind, put, say, word};

/// What is spoilt, how, and what must come of it.
type Case = (&'static str, fn(&mut Vec<u8>), Verdict);

/// libsrt's numbers.
const PEER: Verdict = Verdict::Refused(2);
const ROGUE: Verdict = Verdict::Refused(4);
const IN: Verdict = Verdict::In(0);

const CASES: &[Case] = &[
    ("nothing", |_| {}, IN),
    ("version 0", |it| put(it, field::VERSION, 0), PEER),
    ("version 4", |it| put(it, field::VERSION, 4), PEER),
    ("version 6", |it| put(it, field::VERSION, 6), PEER),
    ("version -1", |it| put(it, field::VERSION, u32::MAX), PEER),
    ("MTU 0", |it| put(it, field::MTU, 0), ROGUE),
    ("MTU 231", |it| put(it, field::MTU, 231), ROGUE),
    ("MTU -1", |it| put(it, field::MTU, u32::MAX), IN),
    ("no window", |it| put(it, field::FLOW_WINDOW, 0), ROGUE),
    ("window -1", |it| put(it, field::FLOW_WINDOW, u32::MAX), IN),
    ("sequence -1", |it| put(it, field::FIRST_SEQ, u32::MAX), IN),
    (
        "request 0",
        |it| put(it, field::REQUEST, 0),
        Verdict::Unheard,
    ),
    (
        "request 2",
        |it| put(it, field::REQUEST, 2),
        Verdict::Unheard,
    ),
    (
        "agreement",
        |it| put(it, field::REQUEST, u32::MAX - 1),
        Verdict::Unheard,
    ),
    (
        "done",
        |it| put(it, field::REQUEST, u32::MAX - 2),
        Verdict::Unheard,
    ),
    (
        "a refusal",
        |it| put(it, field::REQUEST, 1_004),
        Verdict::Unheard,
    ),
    (
        "induction",
        |it| put(it, field::REQUEST, 1),
        Verdict::Cookie(0),
    ),
    (
        "no socket",
        |it| put(it, field::SOCKET, 0),
        Verdict::Unheard,
    ),
    (
        "no cookie",
        |it| put(it, field::COOKIE, 0),
        Verdict::Unheard,
    ),
    (
        "for a connection",
        |it| put(it, field::DESTINATION, 7),
        Verdict::Unheard,
    ),
    (
        "another type",
        |it| put(it, 0, 0x8001_0000),
        Verdict::Unheard,
    ),
    ("data", |it| put(it, 0, 0), Verdict::Unheard),
    (
        "all extensions",
        |it| put(it, field::EXTENSION - 2, 0xFFFF),
        ROGUE,
    ),
    ("no extension", |it| it.truncate(field::HELLO), ROGUE),
    (
        "HSREQ is empty",
        |it| put(it, field::HELLO, 0x0001_0000),
        ROGUE,
    ),
    (
        "HSREQ is short",
        |it| put(it, field::HELLO, 0x0001_0002),
        ROGUE,
    ),
    (
        "HSREQ is endless",
        |it| put(it, field::HELLO, 0x0001_FFFF),
        ROGUE,
    ),
    (
        "HSREQ is unknown",
        |it| put(it, field::HELLO, 0x0063_0003),
        ROGUE,
    ),
    (
        "SID is endless",
        |it| put(it, field::SECOND, 0x0005_FFFF),
        ROGUE,
    ),
    (
        "SID is empty",
        |it| put(it, field::SECOND, 0x0005_0000),
        ROGUE,
    ),
    (
        "SID is none",
        |it| it.truncate(field::SECOND),
        Verdict::Refused(1_400),
    ),
    (
        "stream mode",
        |it| put(it, field::HELLO_FLAGS, 0x7F),
        Verdict::Refused(12),
    ),
    ("HSREQ twice", |it| extend(it, 1, &[0; 12]), IN),
    ("unknown", |it| extend(it, 99, &[0xFF; 64]), IN),
    (
        "file mode",
        |it| extend(it, 6, b"elif"),
        Verdict::Refused(13),
    ),
    (
        "a filter",
        |it| extend(it, 7, b",cef"),
        Verdict::Refused(14),
    ),
    ("a group", |it| extend(it, 8, &[1; 8]), Verdict::Refused(15)),
    ("keys of noise", |it| extend(it, 3, &[0xA5; 72]), ROGUE),
    ("keys of nothing", |it| extend(it, 3, &[]), ROGUE),
    ("a torn word", |it| it.extend_from_slice(&[0, 5, 0]), ROGUE),
    (
        "a latency of a minute",
        |it| put(it, field::HELLO_SEND - 2, 0xFFFF),
        Verdict::Refused(1_406),
    ),
];

/// The same of the question for a cookie.
const QUESTIONS: &[Case] = &[
    ("nothing", |_| {}, COOKIE),
    (
        "version 0",
        |it| put(it, field::VERSION, 0),
        Verdict::Unheard,
    ),
    (
        "version 3",
        |it| put(it, field::VERSION, 3),
        Verdict::Unheard,
    ),
    ("version 5", |it| put(it, field::VERSION, 5), COOKIE),
    ("version -1", |it| put(it, field::VERSION, u32::MAX), COOKIE),
    ("a stream", |it| put(it, field::EXTENSION - 2, 1), COOKIE),
    ("MTU -1", |it| put(it, field::MTU, u32::MAX), COOKIE),
    ("no window", |it| put(it, field::FLOW_WINDOW, 0), COOKIE),
    (
        "sequence -1",
        |it| put(it, field::FIRST_SEQ, u32::MAX),
        COOKIE,
    ),
    (
        "request 0",
        |it| put(it, field::REQUEST, 0),
        Verdict::Unheard,
    ),
    (
        "conclusion",
        |it| put(it, field::REQUEST, u32::MAX),
        Verdict::Unheard,
    ),
    (
        "no socket",
        |it| put(it, field::SOCKET, 0),
        Verdict::Unheard,
    ),
    ("a cookie", |it| put(it, field::COOKIE, 7), COOKIE),
    (
        "for a connection",
        |it| put(it, field::DESTINATION, 7),
        Verdict::Unheard,
    ),
    (
        "a byte less",
        |it| it.truncate(field::HELLO - 1),
        Verdict::Unheard,
    ),
    ("no body", |it| it.truncate(16), Verdict::Unheard),
    ("as long as may be", |it| it.resize(1_472, 0xFF), COOKIE),
    ("longer", |it| it.resize(1_473, 0xFF), Verdict::Unheard),
];

const COOKIE: Verdict = Verdict::Cookie(0);

/// Appends an extension.
fn extend(datagram: &mut Vec<u8>, kind: u16, content: &[u8]) {
    let words = u16::try_from(content.len() / 4).unwrap_or_default();
    datagram.extend_from_slice(&kind.to_be_bytes());
    datagram.extend_from_slice(&words.to_be_bytes());
    datagram.extend_from_slice(content);
}

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut asking = JoinSet::new();
    let conclusions = CASES.iter().map(|case| (case, false));
    let questions = QUESTIONS.iter().map(|case| (case, true));
    for (index, ((what, spoil, wanted), question)) in (0..).zip(conclusions.chain(questions)) {
        let arena = arena.clone();
        asking.spawn(async move {
            let patience = match wanted {
                Verdict::Unheard => QUIET,
                _ => PROMPT,
            };
            let got = spoilt(&arena, index, *spoil, question, patience).await?;
            ensure!(alike(got, *wanted), "{what}: {got:?} instead of {wanted:?}");
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.map_err(Error::of("a handshake"))??;
    }
    let lengths = cut(&arena).await?;
    let (refused, unheard, taken) = by_chance(&arena).await?;
    ensure!(
        refused > 0 && unheard > 0,
        "by chance {refused} were refused, and {unheard} unheard"
    );
    Ok(format!(
        "{} cases, {lengths} lengths; by chance {refused} refused, {unheard} unheard, {taken} \
         as good as before",
        CASES.len() + QUESTIONS.len()
    ))
}

/// The kind of the verdict is what counts of a cookie and of a socket.
fn alike(got: Verdict, wanted: Verdict) -> bool {
    use std::mem::discriminant;
    match wanted {
        Verdict::Refused(_) => got == wanted,
        _ => discriminant(&got) == discriminant(&wanted),
    }
}

async fn spoilt(
    arena: &Arena,
    index: u8,
    spoil: fn(&mut Vec<u8>),
    question: bool,
    patience: Duration,
) -> Result<Verdict> {
    let stream_id = format!("publish:{}/spoilt-{index}-{}", arena.app(), arena.seed);
    let asking = Asking::start(arena, 1 + index % 8, &stream_id, None).await?;
    let mut datagram = asking.conclusion.clone();
    if question {
        datagram = induction(&datagram);
        // Of another socket than the one that has its cookie.
        put(&mut datagram, field::SOCKET, ANOTHER);
    }
    spoil(&mut datagram);
    judged(&asking, &datagram, patience).await
}

/// The verdict; a connection that comes of it is ended.
async fn judged(asking: &Asking, datagram: &[u8], patience: Duration) -> Result<Verdict> {
    let verdict = asking.ask(datagram, patience).await?;
    if let Verdict::In(own) = verdict {
        let shutdown = control(kind::SHUTDOWN, 0, 0, own, &[0; 4]);
        say(&asking.socket, &shutdown).await?;
    }
    Ok(verdict)
}

/// Cut at every length, it is never taken for a whole one.
async fn cut(arena: &Arena) -> Result<usize> {
    let stream_id = format!("publish:{}/cut", arena.app());
    let whole = Asking::start(arena, 9, &stream_id, None).await?.conclusion;
    let mut cuts = JoinSet::new();
    for length in 0..whole.len() {
        let (arena, stream_id) = (arena.clone(), stream_id.clone());
        cuts.spawn(async move {
            let host = 10 + u8::try_from(length % 8).unwrap_or(0);
            let asking = Asking::start(&arena, host, &stream_id, None).await?;
            let datagram = asking.conclusion.get(..length).unwrap_or_default();
            // Whatever else it says would be longer than the question.
            let patience = if length < field::HELLO { QUIET } else { PROMPT };
            let verdict = judged(&asking, datagram, patience).await?;
            let fits = match length {
                ..field::HELLO => verdict == Verdict::Unheard,
                _ => matches!(verdict, Verdict::Refused(4 | 1_400)),
            };
            ensure!(fits, "cut at {length}: {verdict:?}");
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = cuts.join_next().await {
        ended.map_err(Error::of("a cut handshake"))??;
    }
    Ok(whole.len())
}

/// How many were refused, unheard, taken.
async fn by_chance(arena: &Arena) -> Result<(usize, usize, usize)> {
    let mut chance = arena.chance();
    let mut asking = JoinSet::new();
    for round in 0..150 * arena.scale.min(10) {
        let (arena, mut chance) = (arena.clone(), Chance::new(chance.next()));
        asking.spawn(async move {
            let host = 20 + u8::try_from(round % 8).unwrap_or(0);
            let stream_id = format!("publish:{}/chance-{}", arena.app(), round % 40);
            let asking = Asking::start(&arena, host, &stream_id, None).await?;
            let mut datagram = asking.conclusion.clone();
            for _ in 0..=chance.below(4) {
                let at = chance.below(datagram.len());
                let byte = chance.byte();
                if let Some(it) = datagram.get_mut(at) {
                    *it = byte;
                }
            }
            // What asks for a cookie again gets one.
            if word(&datagram, field::REQUEST) == 1 {
                return Ok(Verdict::Unheard);
            }
            judged(&asking, &datagram, QUIET).await
        });
    }
    let (mut refused, mut unheard, mut taken) = (0, 0, 0);
    while let Some(ended) = asking.join_next().await {
        match ended.map_err(Error::of("a handshake"))?? {
            Verdict::Refused(_) => refused += 1,
            Verdict::In(_) => taken += 1,
            Verdict::Unheard | Verdict::Cookie(_) => unheard += 1,
        }
    }
    Ok((refused, unheard, taken))
}

/// No caller has it.
const ANOTHER: u32 = 0x2FFF_FFFF;

/// How long nothing must come before it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(250);
