//! A volume: where a container's spool is, so that it outlives the container.
//!
//! Comes in: a name, and the directory of this machine that it is to be, if it is to be one. Goes out: something to mount.
//! The engine fills an empty volume with what the image has at its place, with owners and permissions.

use std::{collections::HashMap, path::PathBuf};

use bollard::{models::VolumeCreateRequest, query_parameters::RemoveVolumeOptions};

use super::{Engine, EngineError, Labels, is_absent};

/// What a volume is to be.
#[derive(Debug, Clone)]
pub struct VolumeOptions {
    /// Its name.
    pub name: String,
    /// A directory of this machine; `None`: wherever the engine keeps volumes.
    pub directory: Option<PathBuf>,
}

/// A volume.
#[derive(Debug, Clone)]
pub struct Volume {
    name: String,
}

impl Engine {
    /// Makes a volume.
    ///
    /// # Errors
    /// The engine refused, or the directory's path is no UTF-8.
    pub async fn volume(
        &self,
        options: VolumeOptions,
        labels: &Labels,
    ) -> Result<Volume, EngineError> {
        let what = format!("make the volume {}", options.name);
        let device =
            match &options.directory {
                None => None,
                Some(directory) => {
                    Some(directory.to_str().map(str::to_owned).ok_or_else(|| {
                        EngineError::Refused {
                            what: what.clone(),
                            said: format!("{} is no UTF-8", directory.display()),
                        }
                    })?)
                }
            };
        let driver_opts = device.map(|device| {
            HashMap::from([
                ("type".to_owned(), "none".to_owned()),
                ("o".to_owned(), "bind".to_owned()),
                ("device".to_owned(), device),
            ])
        });
        let (docker, name, labels) = (self.docker.clone(), options.name, labels.map());
        self.run(async move {
            let request = VolumeCreateRequest {
                name: Some(name.clone()),
                driver: Some("local".into()),
                driver_opts,
                labels: Some(labels),
                ..VolumeCreateRequest::default()
            };
            let made = docker.create_volume(request).await;
            made.map_err(EngineError::refused(what))?;
            Ok(Volume { name })
        })
        .await
    }

    /// Removes a volume with all that is in it; a directory of this machine keeps what it has. Its being gone is no error.
    ///
    /// # Errors
    /// The engine refused: a container has it.
    pub fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let (docker, name) = (self.docker.clone(), name.to_owned());
        self.blocking(async move {
            let options = None::<RemoveVolumeOptions>;
            match docker.remove_volume(&name, options).await {
                Err(error) if !is_absent(&error) => Err(EngineError::refused(format!(
                    "remove the volume {name}"
                ))(error)),
                _ => Ok(()),
            }
        })
    }
}

impl Volume {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
