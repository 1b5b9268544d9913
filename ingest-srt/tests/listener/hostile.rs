//! Callers that mean no good cost their own connection, and nobody else anything.

use std::time::Duration;

use rillcast_core::{CloseReason, StreamHandle};
use rillcast_ingest_srt::proto::handshake::{DialError, RejectReason};
use rillcast_ingest_srt::proto::packet::SeqNumber;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use crate::caller::{Caller, call};
use crate::server::{Server, clip, frames, link, publish};

/// A good stream while `attack` runs: not a packet of it is lost.
async fn unharmed(settings: &str, attack: impl AsyncFnOnce(&Server, &StreamHandle)) {
    let folder = tempfile::tempdir().unwrap();
    // Longer than the attack: where FFmpeg begins anew, its clock is not even.
    let clip = clip(folder.path(), "60").await;
    let mut server = Server::start(settings).await;
    let _good = publish(
        &clip,
        &server.url("streamid=publish:live/good&latency=500000"),
    );
    let stream = server.published().await;
    frames(&stream, 50).await;
    attack(&server, &stream).await;
    let before = stream.qos().frames;
    frames(&stream, before + 100).await;
    let stats = link(&stream);
    assert_eq!((stats.dropped, stats.overflowed), (0, 0), "{stats:?}");
    assert_eq!((stream.epoch(), stream.qos().repairs), (1, 0));
}

#[tokio::test]
async fn a_flood_into_one_connection_is_its_own() {
    unharmed("", async |server, _| {
        let bad = call(server.address, "publish:live/bad", None)
            .await
            .unwrap();
        let mut seq = bad.terms.first_seq;
        for _ in 0..40 {
            for _ in 0..500 {
                bad.send(seq, &[0x47; 1_316]).await;
                seq = seq.add(if seq.value().is_multiple_of(3) { 2 } else { 1 });
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn junk_and_what_is_sent_to_the_connections_of_others_is_ignored() {
    unharmed("", async |server, _| {
        // To every number that a connection might have, and to those that none has.
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut dice = 1_u64;
        for round in 0..20_000_u32 {
            let mut datagram = [0_u8; 64];
            for byte in &mut datagram {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = dice.to_be_bytes()[0];
            }
            if round % 2 == 0 {
                // A shutdown for somebody.
                datagram[..4].copy_from_slice(&0x8005_0000_u32.to_be_bytes());
            }
            if round % 5 == 0 {
                datagram[12..16].fill(0);
            }
            let length = 1 + usize::try_from(round % 64).unwrap();
            socket
                .send_to(&datagram[..length], server.address)
                .await
                .unwrap();
            if round % 500 == 0 {
                sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn those_who_call_and_say_nothing_more_are_bounded_and_forgotten() {
    let settings = "[srt]\nidle_timeout = \"1s\"\nmax_connections_per_address = 20\n";
    unharmed(settings, async |server, _| {
        let mut silent: Vec<Caller> = Vec::new();
        let mut refused = 0;
        for number in 0..40 {
            match call(server.address, &format!("publish:live/s{number}"), None).await {
                Ok(caller) => silent.push(caller),
                Err(error) => {
                    assert_eq!(error, DialError::Refused(RejectReason::Overload));
                    refused += 1;
                }
            }
        }
        // One place is the good one's.
        assert!(silent.len() >= 19, "{}", silent.len());
        assert!(refused >= 1);
        sleep(Duration::from_millis(1_500)).await;
        // Their places are free again.
        let late = call(server.address, "publish:live/late", None).await;
        assert!(late.is_ok(), "{:?}", late.err());
    })
    .await;
}

#[tokio::test]
async fn a_thousand_wrong_passphrases_hold_nobody_up() {
    let settings =
        "[srt]\n[[stream]]\nmatch = \"live/locked\"\nsrt.passphrase = \"correct horse\"\n";
    unharmed(settings, async |server, _| {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let address = server.address;
            callers.spawn(async move {
                for _ in 0..5 {
                    let called = call(address, "publish:live/locked", Some("battery staple")).await;
                    let error = called.map(|_| ()).unwrap_err();
                    // Some find all places of their address taken.
                    let told = [RejectReason::BadSecret, RejectReason::Overload];
                    assert!(
                        matches!(error, DialError::Refused(reason) if told.contains(&reason))
                            || error == DialError::Timeout,
                        "{error:?}"
                    );
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        let good = call(server.address, "publish:live/locked", Some("correct horse")).await;
        assert!(good.is_ok(), "{:?}", good.err());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_sends_what_is_no_transport_stream_ends_as_an_idle_one() {
    let settings = "[limits]\nidle_timeout = \"2s\"\n";
    let mut server = Server::start(settings).await;
    let bad = call(server.address, "publish:live/bad", None)
        .await
        .unwrap();
    let stream = server.published().await;
    let mut seq: SeqNumber = bad.terms.first_seq;
    let ended = stream.ended();
    let mut ended = std::pin::pin!(ended);
    let reason = loop {
        bad.send(seq, &[0xFF; 1_000]).await;
        seq = seq.next();
        tokio::select! {
            reason = &mut ended => break reason,
            () = sleep(Duration::from_millis(10)) => {}
        }
        assert!(seq.value() - bad.terms.first_seq.value() < 3_000);
    };
    assert_eq!(reason, CloseReason::Idle);
}
