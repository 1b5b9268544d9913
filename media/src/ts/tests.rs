//! Streams put together by hand, whole and damaged.
