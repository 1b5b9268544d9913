//! What is counted of sinks: each of them, though they share a subscription.

use super::*;
use crate::{Observer, StreamKey};

#[derive(Default)]
struct Counts {
    lags: AtomicU32,
    evictions: AtomicU32,
}

impl Observer for Counts {
    fn on_subscriber_lagged(&self, _: &StreamKey, _: u64) {
        self.lags.fetch_add(1, Ordering::Relaxed);
    }

    fn on_subscriber_evicted(&self, _: &StreamKey, missed: u64) {
        assert!(missed > 100, "{missed}");
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn sinks_that_are_evicted_together_are_told_of_one_by_one() {
    let counts = Arc::new(Counts::default());
    let config = BusConfig {
        max_lag: 100,
        pinned_limit: ByteSize(0),
        ..short()
    };
    let (mut publisher, handle) =
        StreamHandle::with_observer(key(), config, Arc::clone(&counts) as _);
    publish(&mut publisher, "tv V0");
    let reactor = reactor(1);
    let sinks = [(); 3].map(|()| add(&reactor, &handle, Seen::default()));
    until("all have begun", || sinks.iter().all(|it| it.next() == 1)).await;
    for sink in &sinks {
        sink.unready.store(true, Ordering::Relaxed);
    }
    publish_video(&mut publisher, 1..1_000, 100);
    for sink in &sinks {
        sink.unready.store(false, Ordering::Relaxed);
    }
    until("all are evicted", || reactor.is_empty()).await;
    for sink in &sinks {
        let end = *sink.end.lock().unwrap();
        assert_eq!(end, Some(SubscriptionEnd::Evicted));
    }
    let told = [&counts.lags, &counts.evictions].map(|it| it.load(Ordering::Relaxed));
    assert_eq!(told, [3, 3]);
    assert_eq!((handle.qos().lagged, handle.qos().evicted), (3, 3));
}
