//! The documented parameters of a run, with the documented defaults, divided by the run's time scale.
//!
//! Comes in: the plan's settings. Goes out: values that checkers compare times with. Called by
//! [`Case`](super::Case).

use std::{collections::BTreeMap, time::Duration};

use crate::scenario::{Scenario, Setting, Span};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// Documented defaults of durations, in seconds (catalogue, "Configuration").
const SPANS: &[(&str, u64)] = &[
    ("ConnectionInactivityTimeout", 5 * MINUTE),
    ("ConnectionTimeout", 10 * MINUTE),
    ("ConnectionInactivityTimeOut", 10 * MINUTE),
    ("ShadowHeartbeatFrequency", 2 * MINUTE),
    ("ShadowResubmitTimeSpan", 3 * HOUR),
    ("ShadowMessageAutoDiscardInterval", 2 * DAY),
    ("SafetyNetHoldTime", 2 * DAY),
    ("MessageExpirationTimeout", 2 * DAY),
    // Exchange 2010's.
    ("MaxAcknowledgementDelay", MINUTE / 2),
    // The reference node's own.
    ("ShadowCopyTimeout", MINUTE),
];

/// Documented defaults of switches.
const SWITCHES: &[(&str, bool)] = &[
    ("ShadowRedundancyEnabled", true),
    ("RejectMessageOnShadowFailure", false),
    // The reference node's own.
    ("StateRegressionDetection", true),
];

/// Documented defaults of numbers.
const NUMBERS: &[(&str, u64)] = &[
    ("MaxRetriesForRemoteSiteShadow", 4),
    ("MaxRetriesForLocalSiteShadow", 2),
    // The reference node's own.
    ("MaxHopCount", 100),
];

/// The parameters in force. A node's own settings win over those for real time, and those over the common ones.
#[derive(Debug)]
pub struct Config<'h> {
    scenario: &'h Scenario,
    real: bool,
    time_scale: u32,
}

impl<'h> Config<'h> {
    pub(super) fn new(scenario: &'h Scenario, substrate: &str, time_scale: u32) -> Self {
        Self {
            scenario,
            real: substrate != "sim",
            time_scale: time_scale.max(1),
        }
    }

    /// What the plan sets for `node`, if it sets it.
    pub fn setting(&self, node: &str, name: &str) -> Option<&'h Setting> {
        let of = |settings: &'h BTreeMap<String, Setting>| settings.get(name);
        self.scenario
            .node
            .get(node)
            .and_then(of)
            .or_else(|| {
                self.scenario
                    .real_time
                    .as_ref()
                    .filter(|_| self.real)
                    .and_then(|r| of(&r.config))
            })
            .or_else(|| of(&self.scenario.config))
    }

    /// A switch; `false` for a name that is none.
    pub fn switch(&self, node: &str, name: &str) -> bool {
        match self.setting(node, name) {
            Some(Setting::Switch(value)) => *value,
            Some(Setting::Text(text)) => text == "true",
            Some(Setting::Number(_)) | None => default_of(SWITCHES, name).unwrap_or_default(),
        }
    }

    /// A number; 0 for a name that is none.
    pub fn number(&self, node: &str, name: &str) -> u64 {
        match self.setting(node, name) {
            Some(Setting::Number(value)) => *value,
            Some(Setting::Text(text)) => text.parse().unwrap_or_default(),
            Some(Setting::Switch(_)) | None => default_of(NUMBERS, name).unwrap_or_default(),
        }
    }

    /// A duration as it was in this run (scaled); zero for a name that is none.
    pub fn span(&self, node: &str, name: &str) -> Duration {
        let documented = match self.setting(node, name) {
            Some(Setting::Text(text)) => text.parse::<Span>().map(|span| span.0).ok(),
            _ => None,
        };
        let default = || Duration::from_secs(default_of(SPANS, name).unwrap_or_default());
        self.scaled(documented.unwrap_or_else(default))
    }

    /// A documented duration as it was in this run.
    pub fn scaled(&self, documented: Duration) -> Duration {
        documented / self.time_scale
    }

    /// How much a time may differ from the documented one: 1 s in the simulator, where only the nodes' own
    /// ticks are between cause and effect; elsewhere 250 ms or a tenth of the duration, whichever is more.
    pub fn tolerance(&self, of: Duration) -> Duration {
        if self.real {
            Duration::from_millis(250).max(of / 10)
        } else {
            Duration::from_secs(1)
        }
    }
}

fn default_of<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parameter;

    #[test]
    fn the_defaults_are_those_that_scenarios_are_told() {
        let told = |name: &str| parameter(name).unwrap_or_else(|| panic!("{name}")).default;
        for (name, seconds) in SPANS {
            let span =
                humantime::parse_duration(told(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(span, Duration::from_secs(*seconds), "{name}");
        }
        for (name, on) in SWITCHES {
            assert_eq!(told(name), on.to_string(), "{name}");
        }
        for (name, number) in NUMBERS {
            assert_eq!(told(name), number.to_string(), "{name}");
        }
    }
}
