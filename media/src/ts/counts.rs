//! What a demuxer has met.

/// What a [`Demuxer`](super::Demuxer) has met so far. All of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Transport packets.
    pub packets: u64,
    /// Access units (pictures, audio frames) that were handed on.
    pub units: u64,
    /// Access units that were dropped since bytes of them are missing or
    /// damaged. Of audio frames that were lost whole, how many is estimated.
    pub damaged_units: u64,
    /// Access units that were whole and dropped: before the first parameter
    /// sets of their track, or before its first time stamp.
    pub useless_units: u64,
    /// Access units that were dropped since they were longer than 8 MiB.
    pub oversized_units: u64,
    /// Packets that are missing, as continuity counters show. One counter
    /// shows no more than fifteen at once.
    pub lost: u64,
    /// Packets that came twice in a row.
    pub repeated: u64,
    /// Packets that came behind their successors; they are not used.
    pub late: u64,
    /// Packets that were marked as damaged, or whose header contradicts itself.
    pub bad_packets: u64,
    /// Packets that were encrypted.
    pub scrambled: u64,
    /// Discontinuities that the stream itself announced.
    pub restarts: u64,
    /// PES headers that could not be read.
    pub broken_headers: u64,
    /// Sections of tables with a wrong checksum or an impossible length.
    pub broken_sections: u64,
    /// Times that packets were not where they belonged.
    pub sync_losses: u64,
    /// Bytes that were no part of any packet.
    pub skipped_bytes: u64,
}
