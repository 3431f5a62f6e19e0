//! What the benches have in common. They measure and print; none of them judges a time, so none can fail by one.
//! They read `/proc` and therefore run on Linux only.

#![allow(dead_code, reason = "every bench takes its part of it")]

pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod filled;
pub(crate) mod guests;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod schedule;
pub(crate) mod server;

use std::time::Duration;

use hdrhistogram::Histogram;

/// Words after `cargo bench --bench NAME --`: names of sections, and `--quick`.
pub(crate) struct Args {
    pub(crate) quick: bool,
    sections: Vec<String>,
}

impl Args {
    pub(crate) fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let quick = words.iter().any(|word| word == "--quick");
        Self { quick, sections: words.into_iter().filter(|word| !word.starts_with("--")).collect() }
    }

    /// Was the section asked for, or none in particular?
    pub(crate) fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.names(section)
    }

    /// Was the section named?
    pub(crate) fn names(&self, section: &str) -> bool {
        self.sections.iter().any(|word| word == section)
    }

    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// The middle of the values, the lower one of two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// A histogram of microseconds, up to ten minutes, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds")
}

pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
}

/// A quantile in milliseconds.
pub(crate) fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1000.0
}

/// Prints a table that can stand in a document as it is.
pub(crate) fn table(title: &str, header: &[&str], rows: &[Vec<String>]) {
    println!("\n### {title}\n");
    let columns = header.len();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(header[column].chars().count())
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width));
        println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
    };
    line(&header.iter().map(|&h| h.to_owned()).collect::<Vec<_>>());
    line(&widths.iter().map(|&width| "-".repeat(width)).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
}

/// 12345.6 → `12,346`; small numbers keep their digits.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
