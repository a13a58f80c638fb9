//! `--target` and `--image-base`, for every command that runs on containers.

use clap::Args;
use gauntlet_docker::target::{Target, TargetError};

use crate::error::{ExitCode, Failure};

/// What is tested on containers.
#[derive(Debug, Clone, Args)]
pub(super) struct TargetArgs {
    /// What is tested, for `--on container`: a shipped target (`gauntlet list targets`) or a target file; `reference` when
    /// left out
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) target: Option<String>,
    /// The image that targets' images are built upon, for `--on container`; see docs/targets.md
    #[arg(long, value_name = "IMAGE")]
    pub(super) image_base: Option<String>,
}

impl TargetArgs {
    /// The target.
    pub(super) fn load(&self) -> Result<Target, Failure> {
        Target::load(self.target.as_deref().unwrap_or("reference")).map_err(failure)
    }

    /// One of them was given.
    pub(super) fn is_given(&self) -> bool {
        self.target.is_some() || self.image_base.is_some()
    }
}

pub(super) fn failure(error: TargetError) -> Failure {
    Failure::new(ExitCode::Usage, error)
}
