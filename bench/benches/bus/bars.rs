//! The bars of the design: what was wanted, what was seen.

use std::fmt;

use rillcast_bench::Table;

/// What was judged, in its order.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    judged: Vec<Judged>,
}

#[derive(Debug)]
struct Judged {
    what: String,
    wanted: String,
    seen: String,
    met: bool,
}

impl Bars {
    /// Judges a ratio that is to be `wanted` or more.
    pub(crate) fn at_least(&mut self, what: impl Into<String>, seen: f64, wanted: f64) {
        self.judged.push(Judged {
            what: what.into(),
            wanted: format!("≥ {wanted:.2}×"),
            seen: format!("{seen:.2}×"),
            met: seen >= wanted,
        });
    }

    /// Judges an amount that is to be `wanted` or less.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, seen: f64, wanted: f64, unit: &str) {
        self.judged.push(Judged {
            what: what.into(),
            wanted: format!("≤ {wanted:.0} {unit}"),
            seen: format!("{seen:.0} {unit}"),
            met: seen <= wanted,
        });
    }

    /// How many were missed.
    pub(crate) fn missed(&self) -> usize {
        self.judged.iter().filter(|judged| !judged.met).count()
    }
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["bar", "wanted", "seen", ""]);
        for judged in &self.judged {
            let verdict = if judged.met { "met" } else { "MISSED" };
            table.row([&*judged.what, &*judged.wanted, &*judged.seen, verdict]);
        }
        table.fmt(f)?;
        let all = self.judged.len();
        writeln!(f, "{} of {all} bars met", all - self.missed())
    }
}
