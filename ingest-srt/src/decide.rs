//! Whether a caller gets what it asks for, and what it is told if not.

use std::sync::Arc;
use std::time::Duration;

use rillcast_core::{
    Denied, HumanDuration, IngestContext, Publish, PublishError, PublishRefused, Publisher,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{Config, StreamConfig, passphrase};
use crate::proto::handshake::{Call, RejectReason};
use crate::proto::keys::Keys;

/// What a caller that is taken in gets.
pub(crate) struct Granted {
    pub(crate) publisher: Publisher,
    pub(crate) keys: Option<Keys>,
    pub(crate) latency: Duration,
    pub(crate) call: Box<Call>,
}

/// Why a caller is not taken in: for itself, and for the log.
pub(crate) struct Refused {
    pub(crate) call: Option<Box<Call>>,
    pub(crate) reason: RejectReason,
    pub(crate) why: String,
}

/// Whoever is asked for permission has so long to answer. libsrt's callers give up
/// after three seconds by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decides about `call`. Keys are derived where nobody waits for it, by as many at a
/// time as `derivations` has places.
pub(crate) async fn decide(
    call: Box<Call>,
    config: &Config,
    derivations: &Arc<Semaphore>,
    cx: &IngestContext,
) -> Result<Granted, Refused> {
    let refuse = |call, reason, why: String| {
        Err(Refused {
            call: Some(call),
            reason,
            why,
        })
    };
    let request = match &call.stream_id {
        Ok(request) => request.clone(),
        Err(error) => {
            let (reason, why) = (error.reason(), error.to_string());
            return refuse(call, reason, why);
        }
    };
    tracing::Span::current().record("stream", request.key.as_str());
    if call.latency > config.max_latency.0 {
        let (asked, most) = (HumanDuration(call.latency), config.max_latency);
        let why = format!("it asks for a latency of {asked}, above srt.max_latency ({most})");
        return refuse(call, RejectReason::Unacceptable, why);
    }
    let settings = cx.stream_settings::<StreamConfig>("srt", &request.key);
    let settings = settings
        .map_err(|error| error.to_string())
        .and_then(|settings| Ok((passphrase(&settings.passphrase)?, settings.latency)));
    let (secret, latency) = match settings {
        Ok(settings) => settings,
        // They were checked at start.
        Err(why) => return refuse(call, RejectReason::Internal, why),
    };
    let (call, keys) = match (&call.encryption, secret) {
        (None, None) => (call, Ok(None)),
        (Some(_), None) => (call, Err(UNEXPECTED)),
        (None, Some(_)) => (call, Err(MISSING)),
        (Some(_), Some(secret)) => {
            let place = derivations.acquire().await;
            let unlocking = tokio::task::spawn_blocking(move || {
                let keys = call.unlock(Some(&secret));
                (call, keys)
            });
            let unlocked = unlocking.await;
            drop(place);
            match unlocked {
                Ok((call, keys)) => (call, keys.map_err(|reason| (reason, WRONG))),
                Err(error) => {
                    return Err(Refused {
                        call: None,
                        reason: RejectReason::Internal,
                        why: error.to_string(),
                    });
                }
            }
        }
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err((reason, why)) => return refuse(call, reason, why.to_owned()),
    };
    let publish = Publish::new(request.key.clone())
        .from_peer(call.peer)
        .with_credentials(request.credentials());
    let shutdown = cx.shutdown();
    let answer = tokio::select! {
        () = shutdown.requested() => Err(PublishError::ShuttingDown.into()),
        answer = timeout(PATIENCE, cx.publish(publish)) => {
            // Whoever is asked for permission does not answer.
            answer.unwrap_or_else(|_| Err(Denied::new("permission was not given in time").into()))
        }
    };
    match answer {
        Ok(publisher) => Ok(Granted {
            publisher,
            keys,
            latency: latency.0,
            call,
        }),
        Err(error) => refuse(call, reason_of(&error), error.to_string()),
    }
}

const UNEXPECTED: (RejectReason, &str) = (
    RejectReason::Unsecure,
    "it encrypts, and there is no passphrase here (srt.passphrase, or that of the stream)",
);
const MISSING: (RejectReason, &str) = (
    RejectReason::Unsecure,
    "it does not encrypt, and here is a passphrase (srt.passphrase, or that of the stream)",
);
const WRONG: &str =
    "its passphrase is another one than here (srt.passphrase, or that of the stream)";

/// SRT's number for it.
fn reason_of(error: &PublishRefused) -> RejectReason {
    match error {
        PublishRefused::Denied(_) => RejectReason::Unauthorized,
        PublishRefused::Registry(PublishError::Busy(_)) => RejectReason::Conflict,
        PublishRefused::Registry(PublishError::Full(_) | PublishError::AppFull { .. }) => {
            RejectReason::Overload
        }
        PublishRefused::Registry(PublishError::ShuttingDown) => RejectReason::Down,
        _ => RejectReason::Internal,
    }
}
