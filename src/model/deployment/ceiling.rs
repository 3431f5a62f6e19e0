//! The operator's ceiling: the most that a deployment may ask for on this server. A spec that wants more is refused; one
//! that was stored before the ceiling came down goes on, and says so.

use std::fmt::Display;
use std::time::Duration;

use super::{DeploymentSpec, GuestLimits, OutputLimits, SpecProblem, StateSpec};
use crate::model::duration::{format_bytes, format_duration};
use crate::model::limits::{
    GUEST_CPU_MAX, GUEST_MEMORY_MAX, GUEST_OUTPUT_BYTES_MAX, GUEST_OUTPUT_RECORDS_MAX, GUEST_WALL_MAX,
    LOG_LINES_MAX, PARTITIONS_MAX,
};

/// The most for each limit of a deployment. Each is a setting of the server, `limits.` and the name of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    /// `limits.memory`
    pub memory: u64,
    /// `limits.cpu`
    pub cpu: Duration,
    /// `limits.wall`
    pub wall: Duration,
    /// `limits.instances`
    pub instances: u32,
    /// `limits.log_lines`
    pub log_lines: u32,
    /// `limits.output.bytes`
    pub output_bytes: u64,
    /// `limits.output.records`
    pub output_records: usize,
    /// `state.max_bytes`
    pub state_bytes: u64,
    /// `state.max_keys`
    pub state_keys: u64,
    /// `state.max_timers`
    pub state_timers: u64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            memory: GUEST_MEMORY_MAX as u64,
            cpu: GUEST_CPU_MAX,
            wall: GUEST_WALL_MAX,
            instances: PARTITIONS_MAX,
            log_lines: LOG_LINES_MAX,
            output_bytes: GUEST_OUTPUT_BYTES_MAX as u64,
            output_records: GUEST_OUTPUT_RECORDS_MAX,
            state_bytes: u64::MAX,
            state_keys: u64::MAX,
            state_timers: u64::MAX,
        }
    }
}

impl Ceiling {
    /// What of the spec is above it; empty when nothing is.
    pub fn problems(&self, spec: &DeploymentSpec) -> Vec<SpecProblem> {
        let (limits, state) = (&spec.limits, &spec.state);
        let mut found = Vec::new();
        let mut check = |pointer: &str, setting: &str, above: bool, asked: String, most: String| {
            if above {
                let detail = format!(
                    "{asked}, this server allows at most {most} (`limits.{setting}` in its settings)"
                );
                found.push(SpecProblem { pointer: pointer.to_owned(), detail });
            }
        };
        let mut bytes = |pointer, setting, asked, most| {
            check(pointer, setting, asked > most, format_bytes(asked), format_bytes(most));
        };
        bytes("/limits/memory", "memory", limits.memory, self.memory);
        bytes("/limits/output/bytes", "output_bytes", limits.output.bytes, self.output_bytes);
        bytes("/state/max_bytes", "state_bytes", state.max_bytes, self.state_bytes);
        let mut time = |pointer, setting, asked, most| {
            check(pointer, setting, asked > most, format_duration(asked), format_duration(most));
        };
        time("/limits/cpu", "cpu", limits.cpu, self.cpu);
        time("/limits/wall", "wall", limits.wall, self.wall);
        let mut count = |pointer, setting, asked: u64, most: u64| {
            check(pointer, setting, asked > most, asked.to_string(), most.to_string());
        };
        count("/limits/instances", "instances", limits.instances.into(), self.instances.into());
        count("/limits/log_lines", "log_lines", limits.log_lines.into(), self.log_lines.into());
        let records = [limits.output.records as u64, self.output_records as u64];
        count("/limits/output/records", "output_records", records[0], records[1]);
        count("/state/max_keys", "state_keys", state.max_keys, self.state_keys);
        count("/state/max_timers", "state_timers", state.max_timers, self.state_timers);
        found
    }

    /// The limits of somebody who has asked for none: the defaults, as far as they are allowed.
    pub fn defaults(&self) -> GuestLimits {
        let GuestLimits { memory, cpu, wall, instances, output, log_lines, batch } = GuestLimits::default();
        GuestLimits {
            memory: memory.min(self.memory),
            cpu: cpu.min(self.cpu),
            wall: wall.min(self.wall),
            instances: instances.min(self.instances),
            output: OutputLimits {
                bytes: output.bytes.min(self.output_bytes),
                records: output.records.min(self.output_records),
            },
            log_lines: log_lines.min(self.log_lines),
            batch,
        }
    }

    /// The same for `state`.
    pub fn state_defaults(&self) -> StateSpec {
        let StateSpec { stores, max_bytes, max_keys, max_timers } = StateSpec::default();
        StateSpec {
            stores,
            max_bytes: max_bytes.min(self.state_bytes),
            max_keys: max_keys.min(self.state_keys),
            max_timers: max_timers.min(self.state_timers),
        }
    }

    /// One sentence for each limit of a stored spec that is above it.
    pub fn notes(&self, spec: &DeploymentSpec) -> Vec<String> {
        let note = |problem: &dyn Display, detail: &dyn Display| {
            format!("{problem} is {detail}; it goes on as it was stored and would be refused today")
        };
        self.problems(spec).iter().map(|p| note(&p.pointer, &p.detail)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_below_it() {
        assert_eq!(Ceiling::default().defaults(), GuestLimits::default());
        let low = Ceiling { memory: 1 << 20, output_records: 7, ..Ceiling::default() };
        let expected = GuestLimits {
            memory: 1 << 20,
            output: OutputLimits { records: 7, ..GuestLimits::default().output },
            ..GuestLimits::default()
        };
        assert_eq!(low.defaults(), expected);
    }

    #[test]
    fn what_is_above_the_ceiling_is_named_with_the_setting() {
        let spec: DeploymentSpec = serde_json::from_value(serde_json::json!({
            "name": "d", "kind": "processor", "module": "m", "input": { "topics": ["t"] },
            "limits": { "memory": "128MiB", "log_lines": 500 }, "state": { "max_keys": 11, "max_timers": 12 }
        }))
        .unwrap();
        assert_eq!(Ceiling::default().problems(&spec), []);
        let low = Ceiling {
            memory: 64 << 20,
            log_lines: 100,
            state_keys: 10,
            state_timers: 9,
            ..Ceiling::default()
        };
        let said: Vec<_> =
            low.problems(&spec).iter().map(|p| format!("{} {}", p.pointer, p.detail)).collect();
        let expected = [
            "/limits/memory 128MiB, this server allows at most 64MiB (`limits.memory` in its settings)",
            "/limits/log_lines 500, this server allows at most 100 (`limits.log_lines` in its settings)",
            "/state/max_keys 11, this server allows at most 10 (`limits.state_keys` in its settings)",
            "/state/max_timers 12, this server allows at most 9 (`limits.state_timers` in its settings)",
        ];
        assert_eq!(said, expected);
        assert!(low.notes(&spec)[0].ends_with("it goes on as it was stored and would be refused today"));
    }
}
