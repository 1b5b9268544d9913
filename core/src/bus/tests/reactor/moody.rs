//! Sinks that stall.

use super::*;

/// Is ready, or not for a while, at random, until all is calm.
struct Moody {
    check: Check,
    calm: Arc<AtomicBool>,
    dice: u64,
    away: u64,
}

impl Sink for Moody {
    fn track(&mut self, track: &Arc<Track>) {
        self.check.track(track);
    }

    fn frames(&mut self, frames: &Frames<'_>) {
        assert_eq!(self.away, 0, "not ready");
        self.check.frames(frames);
    }

    fn lagged(&mut self, skipped: u64) {
        self.check.lagged(skipped);
    }

    fn is_ready(&mut self) -> bool {
        if !self.check.began || self.calm.load(Ordering::Relaxed) {
            self.away = 0;
            return true;
        }
        if self.away > 0 {
            self.away -= 1;
            return self.away == 0;
        }
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.away = match self.dice >> 56 {
            0 => 600,
            1..16 => 7,
            _ => 0,
        };
        self.away == 0
    }

    fn end(&mut self, end: SubscriptionEnd) {
        self.check.end(end);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_stall_at_random_under_load_count_exactly() {
    let (mut publisher, handle) = stream(BusConfig {
        lag_frames: 200,
        ..BusConfig::default()
    });
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..1, 1);
    let reactor = Reactor::new(&Handle::current(), 2);
    let calm = Arc::new(AtomicBool::new(false));
    let sinks: Vec<_> = (0..300)
        .map(|dice| {
            let seen = Arc::new(Seen::default());
            let check = Check {
                seen: Arc::clone(&seen),
                at_start: true,
                began: false,
            };
            let moody = Moody {
                check,
                calm: Arc::clone(&calm),
                dice,
                away: 0,
            };
            reactor.add(&handle, moody);
            seen
        })
        .collect();
    until("all have begun", || sinks.iter().all(|it| it.next() > 0)).await;
    let frames = 10_000;
    for number in 1..frames {
        publish_video(&mut publisher, number..number + 1, 60);
        if number % 8 == 0 {
            until("some keep up", || sinks.iter().any(|it| it.next() > number)).await;
        }
    }
    publisher.finish();
    calm.store(true, Ordering::Relaxed);
    until("all have gone", || reactor.is_empty()).await;
    let mut lags = 0;
    for sink in &sinks {
        assert_eq!(*sink.end.lock().unwrap(), CLOSED, "or it has panicked");
        let missed = sink.missed.load(Ordering::Relaxed);
        assert_eq!(sink.frames.load(Ordering::Relaxed) + missed, frames);
        lags += sink.lags.load(Ordering::Relaxed);
    }
    assert!(lags > 0, "some have stood still too long");
    let dropped: u32 = sinks
        .iter()
        .map(|it| it.missed.load(Ordering::Relaxed))
        .sum();
    assert_eq!(handle.qos().dropped, u64::from(dropped));
}
