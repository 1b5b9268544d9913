//! Why a connection is refused, in the numbers of libsrt: [`RejectReason`].

use std::fmt;

/// A reason that the peer is told, and that its tools print.
///
/// Those below 1000 are libsrt's own, the others are of SRT's access control
/// (`access_control.h` of libsrt).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The peer refuses, for no reason that it tells. What the oldest callers know.
    Peer,
    /// Out of resources: too many connections.
    Resource,
    /// The handshake is not one.
    Rogue,
    /// The listener cannot take more in.
    Backlog,
    /// The listener is closing.
    Close,
    /// The version of SRT is too old.
    Version,
    /// The passphrase is another one.
    BadSecret,
    /// One end encrypts and the other one does not.
    Unsecure,
    /// A stream of bytes instead of messages (file transfer).
    MessageApi,
    /// Another congestion control than `live`.
    Congestion,
    /// A packet filter, which this end does not know.
    Filter,
    /// A group of connections (bonding), which this end does not know.
    Group,
    /// The peer did not answer in time.
    Timeout,
    /// Another way to encrypt than AES-CTR.
    Crypto,
    /// 1400: the stream id cannot be understood.
    BadRequest,
    /// 1401: who that is, it may not do this.
    Unauthorized,
    /// 1402: too much is going on, in all or for this user.
    Overload,
    /// 1403: not this.
    Forbidden,
    /// 1404: there is no such stream.
    NotFound,
    /// 1405: publishing or playing is not possible here.
    BadMode,
    /// 1406: the stream cannot be what it is asked to be.
    Unacceptable,
    /// 1409: somebody publishes this stream already.
    Conflict,
    /// 1415: another type (`t`) than `stream`.
    UnsupportedMedia,
    /// 1423: the stream cannot be reached at the moment.
    Locked,
    /// 1500: something is wrong here.
    Internal,
    /// 1503: the server is closing or out of service.
    Down,
    /// Any other, as the peer sent it.
    Other(u32),
}

/// All that have a name, with libsrt's number and what it means to a user.
const KNOWN: [(RejectReason, u32, &str); 26] = {
    use RejectReason as R;
    [
        (R::Peer, 2, "refused without a reason"),
        (R::Resource, 3, "out of resources"),
        (R::Rogue, 4, "the handshake is malformed"),
        (R::Backlog, 5, "too many callers are waiting"),
        (R::Close, 7, "closing"),
        (R::Version, 8, "the version of SRT is too old"),
        (R::BadSecret, 10, "the passphrase is wrong"),
        (R::Unsecure, 11, "only one end has a passphrase"),
        (R::MessageApi, 12, "only one end is in live mode"),
        (
            R::Congestion,
            13,
            "the ends want another congestion control (transtype)",
        ),
        (
            R::Filter,
            14,
            "the ends want another packet filter (packetfilter)",
        ),
        (R::Group, 15, "groups of connections are not supported"),
        (R::Timeout, 16, "the handshake took too long"),
        (R::Crypto, 17, "the ends want another crypto mode"),
        (R::BadRequest, 1_400, "the stream id is not understood"),
        (
            R::Unauthorized,
            1_401,
            "the user, password or token is not accepted",
        ),
        (R::Overload, 1_402, "too much is going on"),
        (R::Forbidden, 1_403, "this is not allowed"),
        (R::NotFound, 1_404, "there is no such stream"),
        (
            R::BadMode,
            1_405,
            "the mode of the stream id is not supported",
        ),
        (R::Unacceptable, 1_406, "the stream is not acceptable"),
        (R::Conflict, 1_409, "somebody else publishes this stream"),
        (
            R::UnsupportedMedia,
            1_415,
            "the type of the stream id is not supported",
        ),
        (R::Locked, 1_423, "the stream is locked"),
        (R::Internal, 1_500, "an internal error"),
        (R::Down, 1_503, "out of service"),
    ]
};

impl RejectReason {
    /// libsrt's number. In the handshake 1000 is added to it.
    #[must_use]
    pub fn code(self) -> u32 {
        if let Self::Other(code) = self {
            return code;
        }
        let known = KNOWN.iter().find(|(reason, ..)| *reason == self);
        known.map_or(0, |(_, code, _)| *code)
    }

    /// The reason with that number.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        let known = KNOWN.iter().find(|(_, known, _)| *known == code);
        known.map_or(Self::Other(code), |(reason, ..)| *reason)
    }
}

/// A sentence without its full stop, and the number.
impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KNOWN.iter().find(|(reason, ..)| reason == self);
        let words = known.map_or("refused for another reason", |(_, _, words)| words);
        write!(f, "{words} (SRT reject code {})", self.code())
    }
}
