//! Counters of the HTTP server, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// What the HTTP server has done since its start. Every field is a plain
/// counter that is only ever added to, except `open`.
#[derive(Debug, Default)]
pub(crate) struct HttpStats {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    /// Connections that were turned away because too many were open.
    pub(crate) refused: AtomicU64,
    /// Times that accepting failed, for want of descriptors or memory.
    pub(crate) accept_errors: AtomicU64,
    /// Connections that were dropped because their client took nothing.
    pub(crate) stalled: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    answers: [AtomicU64; AnswerClass::ALL.len()],
}

/// The first digit of an answer's status: few enough for a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerClass {
    Success,
    Redirection,
    ClientError,
    ServerError,
}

impl AnswerClass {
    pub(crate) const ALL: [Self; 4] = [
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

impl HttpStats {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = AnswerClass::of(status);
        let counters = AnswerClass::ALL.iter().zip(&self.answers);
        for (_, counter) in counters.filter(|(known, _)| **known == class) {
            add(counter, 1);
        }
    }

    pub(crate) fn answers(&self) -> impl Iterator<Item = (AnswerClass, u64)> {
        let counters = AnswerClass::ALL.into_iter().zip(&self.answers);
        counters.map(|(class, counter)| (class, get(counter)))
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
