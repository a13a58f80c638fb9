//! From a scenario and a seed to a plan, in which every choice is made; and the plan's file.
//!
//! Comes in: a [`Scenario`] and a seed. Goes out: a [`Plan`], the same for the same seed on every machine, and its
//! text `plan.toml`, from which `gauntlet replay` reads it back. Called by the campaign.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::{Plan, Scenario, chaos};

/// Makes every choice that a scenario leaves open.
pub fn plan(id: &str, suite: &str, scenario: &Scenario, seed: u64) -> Plan {
    let mut scenario = scenario.clone();
    if let Some(chaos) = scenario.chaos.take() {
        let drawn = chaos::draw(&scenario, &chaos, seed);
        scenario.step.extend(drawn.steps);
        scenario.fault.extend(drawn.faults);
    }
    Plan {
        id: id.into(),
        suite: suite.into(),
        seed,
        scenario,
    }
}

/// The random stream of that seed for one purpose. Streams of different purposes have nothing to do with each other,
/// so that one more draw for one purpose changes no other.
pub fn stream(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Why a plan could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// TOML has no word for something in it.
    #[error("this plan cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
    /// No plan, or one of another version of the harness.
    #[error("this is no plan of this version of gauntlet: {0}")]
    Read(#[from] toml::de::Error),
}

impl Plan {
    /// The plan as a TOML file.
    ///
    /// # Errors
    /// TOML cannot hold it; no plan made by [`plan`] is of that kind.
    pub fn to_toml(&self) -> Result<String, PlanError> {
        Ok(toml::to_string_pretty(self)?)
    }

    /// Reads a plan's file.
    ///
    /// # Errors
    /// The text is no plan; with line and column.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        Ok(toml::from_str(text)?)
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
