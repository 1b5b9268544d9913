//! A bound on how long a request is held.

use std::future::Future;
use std::time::Duration;

/// The output of `work`, or `None` when `limit` has passed first; `work` is
/// dropped then.
///
/// Handlers hold requests for what is about to exist. This is how one that has
/// no clock of its own sets a bound to that. Cancel safe if `work` is. Needs
/// the tokio runtime that the server runs handlers in.
pub async fn hold<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn work_has_until_the_limit() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(hold(hour, ready(1)).await, Some(1));
        assert_eq!(hold(Duration::ZERO, ready(2)).await, Some(2));
        assert_eq!(hold(Duration::from_millis(1), pending::<()>()).await, None);
    }
}
