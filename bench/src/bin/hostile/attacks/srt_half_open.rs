//! Handshakes by the thousand that are begun and not gone on with, and cookies that are
//! another's: the server keeps nothing for either.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::arena::{Arena, PROMPT, ensure};
use crate::srt::{Asking, Caller, Verdict, field, heard, induction, put, say, verdict};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let stream_id = format!("publish:{}/half-open", arena.app());
    let template = Asking::start(&arena, 1, &stream_id, None).await?.conclusion;
    let mut tasks = JoinSet::new();
    for host in 1..=HOSTS {
        tasks.spawn(from(arena.clone(), host, template.clone()));
    }
    let mut begun = 0;
    while let Some(ended) = tasks.join_next().await {
        begun += ended.map_err(Error::of("an address"))??;
    }
    // From an address that has begun so many: none of them has taken a place.
    let mut callers = Vec::new();
    for _ in 0..10 {
        callers.push(Caller::open(&arena, 1, "whole").await?);
    }
    for caller in callers {
        caller.is_alive().await?;
        caller.leave().await?;
    }
    Ok(format!("{begun} begun, none kept"))
}

/// Begins from many ports of one address; how many.
async fn from(arena: Arena, host: u8, template: Vec<u8>) -> Result<usize> {
    let mut induction = induction(&template);
    let mut begun = 0;
    let mut cookies: Vec<(UdpSocket, u32)> = Vec::new();
    for _ in 0..PORTS * arena.scale {
        let socket = arena.udp(host).await?;
        let mut cookie = 0;
        // Each port has several sockets of SRT.
        for own in 1..=SOCKETS {
            put(&mut induction, field::SOCKET, own);
            cookie = self::cookie(&socket, &induction).await?;
            begun += 1;
        }
        cookies.push((socket, cookie));
    }
    // None at all, one that is a bit off, and the neighbour's.
    let others = cookies.iter().skip(1).map(|(_, cookie)| *cookie);
    for ((socket, own), other) in cookies.iter().zip(others) {
        for wrong in [0, own ^ 1, own ^ 0x8000_0000, other] {
            let mut datagram = template.clone();
            put(&mut datagram, field::COOKIE, wrong);
            say(socket, &datagram).await?;
        }
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(QUIET).await;
    for (socket, _) in &cookies {
        let answer = heard(socket, Duration::from_millis(1)).await?;
        ensure!(
            answer.is_none(),
            "a wrong cookie was answered: {answer:02x?}"
        );
    }
    Ok(begun)
}

/// Asks for a cookie, again where the question is lost.
async fn cookie(socket: &UdpSocket, induction: &[u8]) -> Result<u32> {
    for _ in 0..5 {
        say(socket, induction).await?;
        if let Some(answer) = heard(socket, PROMPT / 5).await?
            && let Verdict::Cookie(cookie) = verdict(&answer)
        {
            return Ok(cookie);
        }
    }
    Err(Error::new("there is no cookie to be had"))
}

/// Addresses, ports of each, and sockets of SRT of each of those.
const HOSTS: u8 = 8;
const PORTS: usize = 64;
const SOCKETS: u32 = 4;

/// How long nothing must come before it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(100);
