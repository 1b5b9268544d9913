//! How many streams there may be, and which give way.

use super::*;

/// The keys of the streams that live, in order.
fn keys(registry: &Registry) -> String {
    let streams = registry.list();
    let keys: Vec<_> = streams.iter().map(|stream| stream.key().as_str()).collect();
    keys.join(" ")
}

#[tokio::test]
async fn there_is_a_limit_on_streams() {
    let registry = Registry::new(RegistryConfig::default().with_max_streams(2));
    let publish = |name: &str| registry.publish(PublishRequest::new(key(name), "test"));
    let first = publish("live/1").unwrap();
    let _second = publish("live/2").unwrap();
    let refused = publish("live/3").unwrap_err();
    assert_eq!(refused, PublishError::Full(2));
    assert_eq!(
        refused.to_string(),
        "the server carries 2 streams, and may carry no more (limits.streams)"
    );
    // One that lives already may be continued.
    drop(first);
    publish("live/1").unwrap().finish();
    assert!(publish("live/3").is_ok());
}

#[tokio::test]
async fn there_is_a_limit_on_the_streams_of_an_app() {
    let registry = Registry::default();
    let publish = |name: &str, most| {
        let request = PublishRequest::new(key(name), "test");
        registry.publish(request.with_max_per_app(most))
    };
    let _first = publish("live/1", 2).unwrap();
    let second = publish("live/2", 2).unwrap();
    assert_eq!(
        publish("live/3", 2).unwrap_err().to_string(),
        "live carries 2 streams, and may carry no more (limits.streams_per_app)"
    );
    let _other = publish("stage/1", 1).unwrap();
    assert!(publish("stage/2", 1).is_err());
    second.finish();
    assert!(publish("live/3", 2).is_ok());
}

#[tokio::test(start_paused = true)]
async fn streams_that_wait_give_way_the_youngest_first() {
    let registry = Registry::new(RegistryConfig::default().with_max_streams(3));
    let publish = |name: &str, most| {
        let request = PublishRequest::new(key(name), "test");
        registry.publish(request.with_max_per_app(most))
    };
    let mut before = Vec::new();
    for name in ["live/old", "other/x", "live/young"] {
        before.push(publish(name, 9).unwrap());
        advance(Duration::from_secs(1)).await;
    }
    drop(before);
    // Whoever comes back finds his stream.
    let young = publish("live/young", 9).unwrap();
    assert_eq!(young.epoch(), 2);
    drop(young);
    let _a = publish("live/a", 9).unwrap();
    assert_eq!(keys(&registry), "live/a live/old other/x");
    // Within an app, its own do.
    let _b = publish("live/b", 2).unwrap();
    assert_eq!(keys(&registry), "live/a live/b other/x");
    let _c = publish("live/c", 9).unwrap();
    assert_eq!(keys(&registry), "live/a live/b live/c");
    assert_eq!(publish("live/d", 9).unwrap_err(), PublishError::Full(3));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_streams_wait() {
    let registry = Registry::new(RegistryConfig::default().with_max_waiting(2));
    let mut events = registry.events();
    let mut publishers = Vec::new();
    for number in 0..5 {
        let request = PublishRequest::new(key(&format!("live/{number}")), "test");
        publishers.push(registry.publish(request).unwrap());
        advance(Duration::from_secs(1)).await;
    }
    let live = publishers.pop();
    assert!(all(&mut events).contains("published live/4"));
    for publisher in publishers {
        drop(publisher);
    }
    assert_eq!(keys(&registry), "live/0 live/1 live/4");
    assert_eq!(
        all(&mut events),
        "detached live/0, detached live/1, detached live/2, ended live/2 grace expired, \
         detached live/3, ended live/3 grace expired"
    );
    drop(live);
}

/// Whoever leaves streams behind by the dozen, before others or after them,
/// loses his own.
#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_takes_no_one_elses_place() {
    for (max_waiting, max_streams, last) in [(3, 99, 1), (99, 3, 2)] {
        let config = RegistryConfig::default()
            .with_max_waiting(max_waiting)
            .with_max_streams(max_streams);
        let registry = Registry::new(config);
        let leave = |name: &str, peer: &str, frames: i64| {
            let request = PublishRequest::new(key(name), "test");
            let request = request.with_peer(peer.parse().unwrap());
            let mut publisher = registry.publish(request).unwrap();
            put(&mut publisher, 0..frames);
        };
        // With frames, from one address.
        for name in ["live/many0", "live/many1"] {
            leave(name, "192.0.2.1:1", 1);
            advance(Duration::from_millis(100)).await;
        }
        leave("live/honest", "192.0.2.2:1", 1);
        advance(Duration::from_millis(100)).await;
        leave("live/many2", "192.0.2.1:2", 1);
        // The youngest of the crowd goes: where only so many may wait, the
        // newcomer itself, and where it needs room, the one before it.
        let left = keys(&registry);
        assert_eq!(left, format!("live/honest live/many0 live/many{last}"));
        // Without, from one network of IPv6 each.
        for number in 0..9 {
            advance(Duration::from_millis(100)).await;
            let peer = format!("[2001:db8:0:{number}::1]:1");
            leave(&format!("live/empty{number}"), &peer, 0);
            assert!(keys(&registry).contains("live/honest"), "{number}");
        }
        // And from one: an address of its own for each is none.
        for number in 0..9 {
            advance(Duration::from_millis(100)).await;
            let peer = format!("[2001:db8::{number}]:1");
            leave(&format!("live/six{number}"), &peer, 1);
            assert!(keys(&registry).contains("live/honest"), "{number}");
        }
    }
}

/// Nothing is written to them that would make them shrink.
#[tokio::test(start_paused = true)]
async fn streams_that_wait_shrink_where_memory_runs_out() {
    let limit = 8 << 20;
    let registry = Registry::new(RegistryConfig::default().with_memory(ByteSize(limit)));
    let publish = |number: usize| {
        let request = PublishRequest::new(key(&format!("live/{number}")), "test");
        registry.publish(request).unwrap()
    };
    let large = |number: i64| {
        let payload = Bytes::from(vec![0; 300_000]);
        Frame::new(TrackId(0), number * 3_600, now(), payload).with_keyframe(number == 0)
    };
    let mut readers = Vec::new();
    for number in 0..16 {
        let mut publisher = publish(number);
        let mut reader = publisher.handle().subscribe_resilient();
        for number in 0..4 {
            publisher.publish_frame(large(number)).unwrap();
        }
        // One has read everything, and one stands behind the first frame.
        match number {
            0 => assert_eq!(read(&mut reader), "V0 V1 V2 V3"),
            1 => assert!(reader.try_recv().is_some()),
            _ => continue,
        }
        readers.push(reader);
    }
    assert!(registry.memory().used > limit);
    sleep(Duration::from_secs(1)).await;
    assert!(registry.memory().used <= limit, "{:?}", registry.memory());
    // They go on: without a loss, and with a count of it that is exact.
    for (number, reader) in readers.iter_mut().enumerate() {
        let mut publisher = publish(number);
        assert_eq!(publisher.epoch(), 2);
        put(&mut publisher, 10..11);
        let text = read(reader);
        let want = ["V10", "lag3 V10"][number];
        assert!(text.ends_with(want), "{number}: {text}");
        assert_eq!(text.contains("lag"), number == 1, "{number}: {text}");
    }
}
