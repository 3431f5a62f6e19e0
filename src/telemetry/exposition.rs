//! Metrics in the text format of Prometheus, made from what is there when somebody reads: what has gone leaves nothing
//! behind. For figures that something keeps anyway; what is only counted goes through the `metrics` macros.

use std::fmt::{Display, Write as _};

/// Lines of one metric.
pub struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// what was added so far; for lines without labels and for comments also from outside
    pub lines: String,
}

impl Family {
    /// Of a figure that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "gauge", help, lines: String::new() }
    }

    /// Of a figure that only grows, until what it belongs to is started anew.
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "counter", help, lines: String::new() }
    }

    /// Of durations or sizes; its lines are added with [`Family::part`].
    pub fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "histogram", help, lines: String::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.part("", labels, value);
    }

    /// Adds a line whose name goes on with a suffix: `_bucket`, `_sum`, `_count`.
    pub fn part(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.lines.push_str(self.name);
        self.lines.push_str(suffix);
        for (i, (label, value)) in labels.iter().enumerate() {
            let before = if i == 0 { '{' } else { ',' };
            let _ = write!(self.lines, "{before}{label}=\"{}\"", escaped(&value.to_string()));
        }
        let _ = writeln!(self.lines, "}} {value}");
    }

    /// Appends everything to the text.
    pub fn end(self, text: &mut String) {
        let Self { name, kind, help, lines } = self;
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
    }
}

/// Names of groups may hold anything.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_help_type_and_lines_with_escaped_labels() {
        let mut family = Family::gauge("lag", "How far behind");
        family.line(&[("group", &"a\"b\\\n"), ("partition", &3)], 7);
        let mut text = String::new();
        family.end(&mut text);
        let expected =
            "# HELP lag How far behind\n# TYPE lag gauge\nlag{group=\"a\\\"b\\\\\\n\",partition=\"3\"} 7\n";
        assert_eq!(text, expected);
    }
}
