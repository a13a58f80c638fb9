//! One container: started with testcontainers, struck through bollard.
//!
//! Comes in: [`ContainerOptions`]. Goes out: [`Container`], whose faults act at once and hold the caller until they have
//! acted. Called by the harness's substrate.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::{ContainerUpdateBody, HostConfig},
    query_parameters::{KillContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use futures_util::StreamExt;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testcontainers::{ContainerAsync, GenericImage, ImageExt, core::Mount, runners::AsyncRunner};

use super::{Engine, EngineError, Labels, is_absent, log};

/// How long a killed container may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something mounted into a container.
#[derive(Debug, Clone)]
pub enum MountOption {
    /// A volume by name.
    Volume {
        /// Which.
        name: String,
        /// Where.
        at: String,
    },
    /// A directory of this machine.
    Directory {
        /// Which; absolute.
        path: String,
        /// Where.
        at: String,
    },
}

/// What a container is to be.
#[derive(Debug, Clone)]
pub struct ContainerOptions {
    /// Its name, unique on the engine.
    pub name: String,
    /// The image.
    pub image: String,
    /// The network's name.
    pub network: String,
    /// What it calls itself.
    pub hostname: String,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Arguments for the image's entry point; the image's own when empty.
    pub arguments: Vec<String>,
    /// What is mounted.
    pub mounts: Vec<MountOption>,
    /// `user:group` as numbers; the image's own when left out.
    pub user: Option<String>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// What a command within a container has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub code: i64,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A container, running or not. It must be [removed](Self::remove).
pub struct Container {
    engine: Engine,
    id: String,
    name: String,
    network: String,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What testcontainers knows of it. Its drop removes the container, but only within a runtime: [`Drop`] sees to that.
    started: Option<ContainerAsync<GenericImage>>,
    /// The process that the container lives and dies with.
    process: Option<i32>,
    address: Option<Ipv4Addr>,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes a container and starts it. That it accepts mail must be waited for.
    ///
    /// # Errors
    /// The engine refused.
    pub async fn start(
        &self,
        options: ContainerOptions,
        labels: &Labels,
    ) -> Result<Arc<Container>, EngineError> {
        let (engine, labels) = (self.clone(), labels.clone());
        self.run(async move {
            let ContainerOptions {
                name, log, network, ..
            } = options.clone();
            let started = request(options, &labels).start().await;
            let started = started.map_err(|error| EngineError::Refused {
                what: format!("start the container {name}"),
                said: in_full(&error),
            })?;
            let container = Arc::new(Container {
                id: started.id().to_owned(),
                engine,
                name,
                network,
                log,
                state: Mutex::new(State {
                    started: Some(started),
                    ..State::default()
                }),
            });
            container.look().await?;
            container.follow_log();
            Ok(container)
        })
        .await
    }
}

fn request(
    options: ContainerOptions,
    labels: &Labels,
) -> testcontainers::ContainerRequest<GenericImage> {
    // A colon before a slash belongs to a registry's port.
    let (image, tag) = match options.image.rsplit_once(':') {
        Some((image, tag)) if !tag.contains('/') => (image.to_owned(), tag.to_owned()),
        _ => (options.image.clone(), "latest".to_owned()),
    };
    let mounts = options.mounts.into_iter().map(|mount| match mount {
        MountOption::Volume { name, at } => Mount::volume_mount(name, at),
        MountOption::Directory { path, at } => Mount::bind_mount(path, at),
    });
    let mut request = GenericImage::new(image, tag)
        .with_container_name(options.name)
        .with_network(options.network)
        .with_hostname(options.hostname)
        .with_labels(labels.map())
        .with_startup_timeout(Duration::from_secs(60))
        .with_host_config_modifier(host_config);
    if !options.arguments.is_empty() {
        request = request.with_cmd(options.arguments);
    }
    if let Some(user) = options.user {
        request = request.with_user(user);
    }
    for (name, value) in options.environment {
        request = request.with_env_var(name, value);
    }
    for mount in mounts {
        request = request.with_mount(mount);
    }
    request
}

/// What every container gets. testcontainers would publish all ports on all addresses: everybody could send mail through it.
fn host_config(config: &mut HostConfig) {
    config.publish_all_ports = Some(false);
    config.port_bindings = None;
    // Nobody answers there: look-ups fail at once and do not wait for a resolver out there.
    config.dns = Some(vec!["127.0.0.1".into()]);
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

impl Container {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the run's network, as of its last start.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.state().address
    }

    /// The process that it lives and dies with, as of its last start.
    pub fn process(&self) -> Option<i32> {
        self.state().process
    }

    /// Starts it again after it has ended. It has the files that it had.
    ///
    /// # Errors
    /// The engine refused.
    pub async fn start_again(self: &Arc<Self>) -> Result<(), EngineError> {
        let container = self.clone();
        self.engine
            .run(async move {
                let docker = &container.engine.docker;
                let what = format!("start the container {}", container.name);
                let options = None::<bollard::query_parameters::StartContainerOptions>;
                docker
                    .start_container(&container.id, options)
                    .await
                    .map_err(EngineError::refused(what))?;
                container.look().await?;
                container.follow_log();
                Ok(())
            })
            .await
    }

    /// It runs; one that is paused does, too.
    ///
    /// # Errors
    /// The engine does not say.
    pub async fn is_running(self: &Arc<Self>) -> Result<bool, EngineError> {
        let container = self.clone();
        self.engine
            .run(async move { Ok(container.inspect().await?.running) })
            .await
    }

    /// SIGKILL for all that runs in it. When this returns nothing of it runs, and nothing of its file systems is mounted
    /// for it any more.
    ///
    /// # Errors
    /// The engine refused, or it does not end.
    pub fn kill(self: &Arc<Self>) -> Result<(), EngineError> {
        // The kernel ends all of a container with its first process. Where we may, we need not wait for the engine to act.
        let directly = self
            .process()
            .is_some_and(|process| kill(Pid::from_raw(process), Signal::SIGKILL).is_ok());
        let container = self.clone();
        self.engine.blocking(async move {
            let docker = &container.engine.docker;
            if !directly {
                let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
                let killed = docker.kill_container(&container.id, Some(options)).await;
                match killed {
                    // 409: it does not run.
                    Err(bollard::errors::Error::DockerResponseServerError {
                        status_code: 404 | 409,
                        ..
                    })
                    | Ok(()) => {}
                    Err(error) => {
                        return Err(EngineError::refused(format!("kill {}", container.name))(
                            error,
                        ));
                    }
                }
            }
            container.wait_until_ended().await
        })
    }

    /// SIGTERM, and SIGKILL after `patience`: an orderly end.
    ///
    /// # Errors
    /// The engine refused, or it does not end.
    pub fn stop(self: &Arc<Self>, patience: Duration) -> Result<(), EngineError> {
        let container = self.clone();
        self.engine.blocking(async move {
            let seconds = i32::try_from(patience.as_secs()).unwrap_or(i32::MAX);
            let options = bollard::query_parameters::StopContainerOptionsBuilder::new()
                .t(seconds)
                .build();
            let docker = &container.engine.docker;
            let stopped = docker.stop_container(&container.id, Some(options)).await;
            stopped.map_err(EngineError::refused(format!("stop {}", container.name)))?;
            container.wait_until_ended().await
        })
    }

    /// Freezes all that runs in it: connections to it are taken by the kernel, and nobody answers.
    ///
    /// # Errors
    /// The engine refused.
    pub fn pause(&self) -> Result<(), EngineError> {
        let (docker, id) = (self.engine.docker.clone(), self.id.clone());
        let what = format!("pause {}", self.name);
        self.engine.blocking(async move {
            docker
                .pause_container(&id)
                .await
                .map_err(EngineError::refused(what))
        })
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The engine refused.
    pub fn unpause(&self) -> Result<(), EngineError> {
        let (docker, id) = (self.engine.docker.clone(), self.id.clone());
        let what = format!("unpause {}", self.name);
        self.engine.blocking(async move {
            docker
                .unpause_container(&id)
                .await
                .map_err(EngineError::refused(what))
        })
    }

    /// Gives it that part of one processor, in percent; `None`: as much as there is.
    ///
    /// # Errors
    /// The engine refused.
    pub fn limit_processor(&self, percent: Option<u32>) -> Result<(), EngineError> {
        let (docker, id) = (self.engine.docker.clone(), self.id.clone());
        let what = format!("limit the processor of {}", self.name);
        // Quota and period in microseconds, and not `NanoCPUs`: that cannot be taken back. -1: none.
        let period: i64 = 100_000;
        let quota = percent.map_or(-1, |percent| i64::from(percent.max(1)) * period / 100);
        self.engine.blocking(async move {
            let limits = ContainerUpdateBody {
                cpu_period: Some(period),
                cpu_quota: Some(quota),
                ..ContainerUpdateBody::default()
            };
            docker
                .update_container(&id, limits)
                .await
                .map_err(EngineError::refused(what))
        })
    }

    /// Runs a command in it, and waits for its end.
    ///
    /// # Errors
    /// The engine refused: the container does not run, or is paused.
    pub async fn execute(&self, words: &[String]) -> Result<Output, EngineError> {
        let (docker, id, words) = (self.engine.docker.clone(), self.id.clone(), words.to_vec());
        let what = format!("run `{}` in {}", words.join(" "), self.name);
        self.engine
            .run(async move {
                let options = CreateExecOptions {
                    cmd: Some(words),
                    attach_stdout: Some(true),
                    attach_stderr: Some(true),
                    ..CreateExecOptions::default()
                };
                let refused = || EngineError::refused(what.clone());
                let made = docker.create_exec(&id, options).await.map_err(refused())?;
                let begun = docker.start_exec(&made.id, None::<StartExecOptions>).await;
                let (mut stdout, mut stderr) = (String::new(), String::new());
                if let StartExecResults::Attached { mut output, .. } = begun.map_err(refused())? {
                    while let Some(piece) = output.next().await {
                        match piece.map_err(refused())? {
                            LogOutput::StdErr { message } => {
                                stderr.push_str(&String::from_utf8_lossy(&message));
                            }
                            other => stdout.push_str(&String::from_utf8_lossy(&other.into_bytes())),
                        }
                    }
                }
                let ended = docker.inspect_exec(&made.id).await.map_err(refused())?;
                Ok(Output {
                    code: ended.exit_code.unwrap_or(-1),
                    stdout,
                    stderr,
                })
            })
            .await
    }

    /// Removes it, whatever its state, with what it wrote outside of volumes. Its being gone is no error.
    ///
    /// # Errors
    /// The engine refused.
    pub async fn remove(self: &Arc<Self>) -> Result<(), EngineError> {
        let container = self.clone();
        self.engine
            .run(async move { container.remove_now().await })
            .await
    }

    /// As [`remove`](Self::remove), by a caller that cannot wait.
    ///
    /// # Errors
    /// The engine refused.
    pub fn remove_blocking(self: &Arc<Self>) -> Result<(), EngineError> {
        let container = self.clone();
        self.engine
            .blocking(async move { container.remove_now().await })
    }

    async fn remove_now(&self) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let docker = &self.engine.docker;
        let removed = docker.remove_container(&self.id, Some(options)).await;
        // testcontainers' own removal finds it gone.
        let handle = self.state().started.take();
        if let Some(handle) = handle {
            let _ = handle.rm().await;
        }
        match removed {
            Err(error) if !is_absent(&error) => {
                Err(EngineError::refused(format!("remove {}", self.name))(error))
            }
            _ => Ok(()),
        }
    }

    /// Reads address and process.
    async fn look(&self) -> Result<(), EngineError> {
        let seen = self.inspect().await?;
        let mut state = self.state();
        state.process = seen.process;
        state.address = seen.address;
        Ok(())
    }

    async fn inspect(&self) -> Result<Seen, EngineError> {
        let docker = &self.engine.docker;
        let options = None::<bollard::query_parameters::InspectContainerOptions>;
        let seen = docker
            .inspect_container(&self.id, options)
            .await
            .map_err(EngineError::refused(format!("look at {}", self.name)))?;
        let state = seen.state.unwrap_or_default();
        let mut networks = seen
            .network_settings
            .and_then(|settings| settings.networks)
            .unwrap_or_default();
        let address = networks
            .remove(&self.network)
            .and_then(|endpoint| endpoint.ip_address)
            .and_then(|address| address.parse().ok());
        Ok(Seen {
            running: state.running.unwrap_or(false),
            process: state
                .pid
                .and_then(|process| i32::try_from(process).ok())
                .filter(|process| *process > 0),
            address,
        })
    }

    async fn wait_until_ended(&self) -> Result<(), EngineError> {
        let begun = Instant::now();
        while self.inspect().await?.running {
            if begun.elapsed() > PATIENCE {
                return Err(EngineError::Refused {
                    what: format!("end {}", self.name),
                    said: format!("it still runs after {} s", PATIENCE.as_secs()),
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.state().process = None;
        Ok(())
    }

    fn follow_log(&self) {
        let (docker, id, log) = (
            self.engine.docker.clone(),
            self.id.clone(),
            self.log.clone(),
        );
        tokio::spawn(log::follow(docker, id, log));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Seen {
    running: bool,
    process: Option<i32>,
    address: Option<Ipv4Addr>,
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(handle) = self.state().started.take() {
            // It is removed by its own drop, which needs a runtime around it.
            self.engine.blocking(async move { drop(handle.rm().await) });
        }
    }
}
