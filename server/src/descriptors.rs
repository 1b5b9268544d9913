//! The number of files and sockets that this process may have open. Many
//! systems begin with 1024 and allow far more to whoever asks; each viewer
//! needs one.

/// Raises the soft limit to the hard one.
pub(crate) fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        // "No limit" is refused by some systems: ask for what suffices there.
        let wanted = limit.maximum.unwrap_or(SUFFICIENT);
        if limit.current.is_some_and(|current| current < wanted) {
            limit.current = Some(wanted);
            if let Err(error) = setrlimit(Resource::Nofile, limit) {
                tracing::debug!(%error, "cannot raise the number of open files");
            }
        }
    }
}

/// The soft limit, if there is one.
pub(crate) fn limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    return None;
}

#[cfg(unix)]
const SUFFICIENT: u64 = 1 << 20;
