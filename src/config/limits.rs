//! `limits.*`: what a deployment may ask for, and what all of them may have together.

use std::time::Duration;

use super::knobs::in_range;
use crate::model::deployment::Ceiling;
use crate::model::duration::{format_bytes, format_duration, parse_bytes, parse_duration};
use crate::model::limits::{
    COMPILE_CPU_MAX, DEPLOYMENTS_MAX, GUEST_CPU_MAX, GUEST_MEMORY_MAX, GUEST_OUTPUT_BYTES_MAX,
    GUEST_OUTPUT_RECORDS_MAX, GUEST_WALL_MAX, INSTANCES_MAX, LOG_LINES_MAX, MIB, PARTITIONS_MAX,
};

/// The operator's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// of one deployment
    pub ceiling: Ceiling,
    /// on this node
    pub deployments: usize,
    /// instances alive on this node
    pub node_instances: usize,
    /// CPU time of compiling one component
    pub compile_cpu: Duration,
    /// linear memory of all instances of this node, bytes
    pub guest_memory: u64,
}

impl Limits {
    /// Guests get twice what the server itself may take at most, a half of the machine.
    pub(super) fn defaults_with(quarter_of_memory: Option<u64>) -> Self {
        let guest_memory = quarter_of_memory.map_or(u64::MAX, |quarter| (2 * quarter).max(256 * MIB as u64));
        Self {
            ceiling: Ceiling::default(),
            deployments: DEPLOYMENTS_MAX,
            node_instances: INSTANCES_MAX,
            compile_cpu: COMPILE_CPU_MAX,
            guest_memory,
        }
    }

    /// Sets `limits.<name>`.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let ceiling = &mut self.ceiling;
        match name {
            "cpu" | "wall" => {
                let most = if name == "cpu" { GUEST_CPU_MAX } else { GUEST_WALL_MAX };
                let value = parse_duration(text)?;
                in_range(value.as_millis() >= 10 && value <= most, || {
                    format!("{text}, expected 10ms to {}", format_duration(most))
                })?;
                *(if name == "cpu" { &mut ceiling.cpu } else { &mut ceiling.wall }) = value;
            }
            "compile_cpu" => {
                let value = parse_duration(text)?;
                in_range(value.as_secs() >= 1 && value <= COMPILE_CPU_MAX, || {
                    format!("{text}, expected 1s to {}", format_duration(COMPILE_CPU_MAX))
                })?;
                self.compile_cpu = value;
            }
            "memory" => ceiling.memory = bytes(text, MIB as u64, GUEST_MEMORY_MAX as u64)?,
            "output_bytes" => ceiling.output_bytes = bytes(text, 1, GUEST_OUTPUT_BYTES_MAX as u64)?,
            "state_bytes" => ceiling.state_bytes = bytes(text, 1, u64::MAX)?,
            "guest_memory" => self.guest_memory = bytes(text, MIB as u64, u64::MAX)?,
            "state_keys" => ceiling.state_keys = number(text, u64::MAX)?,
            "state_timers" => ceiling.state_timers = number(text, u64::MAX)?,
            "instances" => ceiling.instances = number(text, PARTITIONS_MAX)?,
            "log_lines" => ceiling.log_lines = number(text, LOG_LINES_MAX)?,
            "output_records" => ceiling.output_records = number(text, GUEST_OUTPUT_RECORDS_MAX)?,
            "deployments" => self.deployments = number(text, DEPLOYMENTS_MAX)?,
            "node_instances" => self.node_instances = number(text, INSTANCES_MAX)?,
            _ => return Err("there is no such limit".to_owned()),
        }
        Ok(())
    }
}

/// From one to `most`.
fn number<T: std::str::FromStr + PartialOrd + From<u8> + std::fmt::Display>(
    text: &str,
    most: T,
) -> Result<T, String> {
    let range = T::from(1)..=most;
    let value = text.parse().ok().filter(|n| range.contains(n));
    value.ok_or_else(|| format!("`{text}`, expected 1 to {}", range.end()))
}

fn bytes(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let value = parse_bytes(text)?;
    in_range((least..=most).contains(&value), || match most {
        u64::MAX => format!("{text}, expected at least {}", format_bytes(least)),
        _ => format!("{text}, expected {} to {}", format_bytes(least), format_bytes(most)),
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KNOBS;

    #[test]
    fn every_knob_of_the_limits_can_be_set() {
        let mut limits = Limits::defaults_with(None);
        let names = KNOBS.iter().filter_map(|knob| knob.name.strip_prefix("limits."));
        let text = |name: &str| match name {
            "cpu" | "wall" | "compile_cpu" => "1s",
            "memory" | "guest_memory" => "2MiB",
            _ => "7",
        };
        let all: Vec<_> = names.map(|name| limits.set(name, text(name))).collect();
        assert_eq!(all, vec![Ok(()); 14]);
        assert_eq!((limits.ceiling.memory, limits.guest_memory, limits.deployments), (2 << 20, 2 << 20, 7));
        assert_eq!(limits.set("memory", "2GiB"), Err("2GiB, expected 1MiB to 1GiB".to_owned()));
        assert_eq!(limits.set("instances", "0"), Err("`0`, expected 1 to 1000".to_owned()));
        assert_eq!(limits.set("wall", "1h"), Err("1h, expected 10ms to 10m".to_owned()));
    }
}
