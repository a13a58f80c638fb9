//! The container engine of this machine, over its socket.
//!
//! Comes in: a target, and what a container of it is to have. Goes out: images, networks, volumes and containers, each with
//! the labels of the run that made it. Called by the harness's substrate `container`, and by `gauntlet doctor`.
//!
//! Containers are started with testcontainers. What that lacks goes through bollard: building from a context with a base
//! image of the user's choice, networks with a subnet of their own (testcontainers makes plain ones), volumes, signals,
//! cutting a container off its network, limits of a running container, output of commands, log files.
//!
//! Everything talks to the engine from one runtime of its own ([`Engine::run`]): connections to the engine must outlive the
//! runtime of the run that happened to open them. So faults can also be done at once, by a caller that cannot wait
//! ([`Engine::blocking`]).

mod container;
mod context;
mod image;
mod leftovers;
mod libraries;
mod log;
mod network;
mod volume;

pub use container::{Container, ContainerOptions, MountOption, Output};
pub use context::ContextError;
pub use image::{BuiltImage, ImageOptions, NodeProgram};
pub use leftovers::{Kind, Leftover};
pub use network::Network;
pub use volume::{Volume, VolumeOptions};

use std::{collections::HashMap, future::Future, sync::OnceLock, time::Duration};

use bollard::Docker;
use tokio::{runtime::Runtime, time::timeout};

/// What says which run made something: `io.gauntlet.run = <run>`.
pub const RUN_LABEL: &str = "io.gauntlet.run";

/// What says which harness made something: `io.gauntlet.harness = <process>-<start time>`.
pub const HARNESS_LABEL: &str = "io.gauntlet.harness";

/// An engine that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something could not be done to containers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// There is no engine here that answers.
    #[error(
        "no container engine answers here: {0}; is Docker installed and running, and may this user use its socket?"
    )]
    Missing(String),
    /// The engine said no.
    #[error("{what}: {said}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        said: String,
    },
    /// An image could not be made.
    #[error("{0}")]
    Image(String),
}

impl EngineError {
    fn refused(what: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let what = what.into();
        move |error| Self::Refused {
            what,
            said: said(&error),
        }
    }
}

/// What the engine said, without what bollard puts around it.
fn said(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

/// It is not there (404).
fn is_absent(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// What is written on everything that one run makes.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The run; also part of the names of what it makes.
    pub run: String,
    /// The harness: its process and when that started.
    pub harness: String,
}

impl Labels {
    fn map(&self) -> HashMap<String, String> {
        HashMap::from([
            (RUN_LABEL.to_owned(), self.run.clone()),
            (HARNESS_LABEL.to_owned(), self.harness.clone()),
        ])
    }
}

/// What engine it is.
#[derive(Debug, Clone)]
pub struct About {
    /// `20.10.24`
    pub version: String,
    /// The version of its API.
    pub api: String,
    /// `1` or `2`
    pub cgroup: String,
    /// It runs without root, so its networks are not this machine's.
    pub rootless: bool,
    /// The system that containers run on: `linux`.
    pub os: String,
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
}

impl Engine {
    /// Finds the engine (`DOCKER_HOST`, or its usual socket), and asks whether it is there. Blocks; not to be called within
    /// a runtime's task that others wait for.
    ///
    /// # Errors
    /// [`EngineError::Missing`]
    pub fn connect() -> Result<Self, EngineError> {
        let docker = Docker::connect_with_defaults()
            .map_err(|error| EngineError::Missing(error.to_string()))?;
        let engine = Self { docker };
        let docker = engine.docker.clone();
        let asked = engine.blocking(async move {
            match timeout(PATIENCE, docker.negotiate_version()).await {
                Err(_) => Err(format!("nothing was said within {} s", PATIENCE.as_secs())),
                Ok(Err(error)) => Err(said(&error)),
                Ok(Ok(docker)) => Ok(docker),
            }
        });
        Ok(Self {
            docker: asked.map_err(EngineError::Missing)?,
        })
    }

    /// What engine it is.
    ///
    /// # Errors
    /// It does not say.
    pub fn about(&self) -> Result<About, EngineError> {
        let docker = self.docker.clone();
        self.blocking(async move {
            let version = docker.version().await;
            let version =
                version.map_err(EngineError::refused("ask the engine for its version"))?;
            let info = docker.info().await;
            let info = info.map_err(EngineError::refused("ask the engine what it is"))?;
            let rootless = info
                .security_options
                .unwrap_or_default()
                .iter()
                .any(|option| option.contains("rootless"));
            Ok(About {
                version: version.version.unwrap_or_default(),
                api: version.api_version.unwrap_or_default(),
                cgroup: info
                    .cgroup_version
                    .map(|version| version.to_string())
                    .unwrap_or_default(),
                rootless,
                os: info.os_type.unwrap_or_default(),
            })
        })
    }

    /// Does something on the engine's runtime.
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match runtime().spawn(work).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Does something on the engine's runtime, and holds this thread until it is done.
    fn blocking<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        runtime().spawn(async move {
            // The receiver is waited on below.
            let _ = sender.send(work.await);
        });
        receiver
            .recv()
            .expect("a task of the engine's runtime ends only with its result, or by a panic that was shown")
    }
}

/// The runtime that all connections to the engine belong to.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("container-engine")
            .enable_all()
            .build()
            .expect("threads can be made: the program's own runtimes were")
    })
}
