//! Counts the server's log: an offender may cost a line of each class in a
//! while, never one for each of its packets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rillcast_bench::{Error, Result};
use serde_json::Value;

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// By offender, who tells of it, and class: how many, and the first of them.
    counts: BTreeMap<(String, String, String), (usize, String)>,
    /// Lines that no offender can be named for.
    pub(crate) unnamed: Vec<String>,
    /// Panics, and errors of the server's own.
    pub(crate) errors: Vec<String>,
}

impl Lines {
    /// Reads the log as JSON, an object a line.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::of(path.display()))?;
        let mut lines = Self::default();
        for line in text.lines() {
            // The greeting is for people.
            if let Ok(json) = serde_json::from_str::<Value>(line) {
                lines.count(&json, line);
            } else if line.contains("panicked") {
                lines.errors.push(line.to_owned());
            }
        }
        Ok(lines)
    }

    fn count(&mut self, json: &Value, line: &str) {
        let text = |path: &str| json.pointer(path).and_then(Value::as_str);
        if text("/level") == Some("ERROR") {
            self.errors.push(line.to_owned());
        }
        let message = text("/message").unwrap_or_default();
        // What comes behind the first colon differs by case.
        let class = message.split(':').next().unwrap_or_default();
        let peer = text("/peer").or_else(|| text("/span/peer"));
        let address = peer.and_then(|peer| peer.rsplit_once(':'));
        let stream = text("/stream").or_else(|| text("/span/stream"));
        let offender = match (address, stream) {
            (Some((address, _)), _) => address.to_owned(),
            // A stream belongs to its attack by its app.
            (None, Some(stream)) => stream.split('/').next().unwrap_or_default().to_owned(),
            (None, None) => {
                self.unnamed.push(line.to_owned());
                return;
            }
        };
        // What each protocol says is counted by itself, as it is there.
        let teller = text("/target").unwrap_or_default().split(':').next();
        let key = (
            offender,
            teller.unwrap_or_default().to_owned(),
            class.to_owned(),
        );
        let entry = self
            .counts
            .entry(key)
            .or_insert_with(|| (0, line.to_owned()));
        entry.0 += 1;
    }

    /// Lines in all that name an offender.
    pub(crate) fn total(&self) -> usize {
        self.counts.values().map(|(count, _)| count).sum()
    }

    /// Lines of the attack from `network`.
    pub(crate) fn of(&self, network: u8) -> usize {
        let (address, app) = (format!("127.0.{network}."), format!("h{network}"));
        let own = |offender: &str| offender.starts_with(&address) || offender == app;
        let counts = self.counts.iter();
        let counts = counts.filter(|((offender, ..), _)| own(offender));
        counts.map(|(_, (count, _))| count).sum()
    }

    /// Offenders with more lines of a class than `most` allows, in words.
    pub(crate) fn offences(&self, most: impl Fn(&str, &str) -> usize) -> Vec<String> {
        let counts = self.counts.iter();
        let over =
            counts.filter(|((offender, _, class), (count, _))| *count > most(offender, class));
        over.map(|((offender, _, class), (count, first))| {
            format!("{count} lines \"{class}\" of {offender}, the first: {first}")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Lines {
        let mut lines = Lines::default();
        for line in text.lines() {
            lines.count(&serde_json::from_str(line).unwrap(), line);
        }
        lines
    }

    #[test]
    fn lines_are_counted_by_offender_and_class() {
        let lines = count(
            r#"{"level":"WARN","message":"refused: a","span":{"peer":"127.0.7.1:1"}}
{"level":"WARN","message":"refused: b","span":{"peer":"127.0.7.1:2"}}
{"level":"WARN","message":"refused: b","peer":"127.0.7.2:2"}
{"level":"WARN","message":"broken","stream":"h7/x"}
{"level":"INFO","message":"refused: b","span":{"peer":"127.0.8.1:2"}}
{"level":"INFO","message":"stopping"}
{"level":"WARN","message":"refused: b","target":"an::other","peer":"127.0.7.1:2"}
{"level":"ERROR","message":"panic: x","span":{"peer":"127.0.9.1:2"}}"#,
        );
        assert_eq!((lines.of(7), lines.of(8), lines.total()), (5, 1, 7));
        assert_eq!((lines.unnamed.len(), lines.errors.len()), (1, 1));
        let offences = lines.offences(|_, _| 1);
        assert_eq!(offences.len(), 1, "{offences:?}");
        assert!(offences[0].starts_with("2 lines \"refused\" of 127.0.7.1"));
        assert!(lines.offences(|_, _| 2).is_empty());
    }
}
