//! What runs have left: found by its labels.
//!
//! Comes in: the name of a harness, or none for all. Goes out: containers, networks and volumes; nothing of them. Called by
//! `gauntlet doctor`, and by the harness's register of what must not stay.

use std::{collections::HashMap, fmt};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};

use super::{Engine, EngineError, HARNESS_LABEL, RUN_LABEL, is_absent};

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

/// Something that a harness has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The run that it was made for.
    pub run: String,
    /// Who made it: process and start time.
    pub harness: String,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Container => "container",
            Kind::Network => "network",
            Kind::Volume => "volume of containers",
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl Engine {
    /// All that carries a harness's label: containers first, for they hold the rest.
    ///
    /// # Errors
    /// The engine does not say.
    pub fn labelled(&self) -> Result<Vec<Leftover>, EngineError> {
        let docker = self.docker.clone();
        self.blocking(async move {
            let filters = HashMap::from([("label", vec![HARNESS_LABEL])]);
            let of = |kind, name: Option<String>, labels: Option<HashMap<String, String>>| {
                let mut labels = labels?;
                let harness = labels.remove(HARNESS_LABEL)?;
                let run = labels.remove(RUN_LABEL).unwrap_or_default();
                let name = name?.trim_start_matches('/').to_owned();
                Some(Leftover {
                    kind,
                    name,
                    run,
                    harness,
                })
            };
            let options = ListContainersOptionsBuilder::new()
                .all(true)
                .filters(&filters)
                .build();
            let containers = docker.list_containers(Some(options)).await;
            let containers = containers.map_err(EngineError::refused("list containers"))?;
            let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
            let networks = docker.list_networks(Some(options)).await;
            let networks = networks.map_err(EngineError::refused("list networks"))?;
            let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
            let volumes = docker.list_volumes(Some(options)).await;
            let volumes = volumes.map_err(EngineError::refused("list volumes"))?;
            let mut found = Vec::new();
            found.extend(containers.into_iter().filter_map(|one| {
                let name = one
                    .names
                    .and_then(|names| names.into_iter().next())
                    .or(one.id);
                of(Kind::Container, name, one.labels)
            }));
            found.extend(
                networks
                    .into_iter()
                    .filter_map(|one| of(Kind::Network, one.name, one.labels)),
            );
            let volumes = volumes.volumes.unwrap_or_default();
            found.extend(
                volumes
                    .into_iter()
                    .filter_map(|one| of(Kind::Volume, Some(one.name), Some(one.labels))),
            );
            Ok(found)
        })
    }

    /// Removes it, whatever its state. Its being gone is no error.
    ///
    /// # Errors
    /// The engine refused.
    pub fn remove(&self, leftover: &Leftover) -> Result<(), EngineError> {
        let (docker, leftover) = (self.docker.clone(), leftover.clone());
        self.blocking(async move {
            let name = leftover.name.as_str();
            let removed = match leftover.kind {
                Kind::Container => {
                    let options = RemoveContainerOptionsBuilder::new()
                        .force(true)
                        .v(true)
                        .build();
                    docker.remove_container(name, Some(options)).await
                }
                Kind::Network => docker.remove_network(name).await,
                Kind::Volume => {
                    let options = RemoveVolumeOptionsBuilder::new().force(true).build();
                    docker.remove_volume(name, Some(options)).await
                }
            };
            match removed {
                Err(error) if !is_absent(&error) => {
                    Err(EngineError::refused(format!("remove {leftover}"))(error))
                }
                _ => Ok(()),
            }
        })
    }
}
