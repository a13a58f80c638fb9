//! A network of one run: its containers and the harness are on it, and nobody else. It has no way out.
//!
//! Comes in: labels. Goes out: a bridge with a subnet of its own, whose gateway address is the harness's. Called by the
//! harness once in a run.

use std::net::Ipv4Addr;

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkDisconnectRequest,
};

use super::{Engine, EngineError, Labels, is_absent, said};

/// Subnets of 254 addresses that are tried, one after the other: 10.213.0.0/24, 10.213.1.0/24…
const SUBNETS: u8 = 250;

/// A network of containers.
#[derive(Debug, Clone)]
pub struct Network {
    engine: Engine,
    name: String,
    gateway: Ipv4Addr,
}

impl Engine {
    /// Makes a network that leads nowhere but to this machine.
    ///
    /// The subnet is chosen here and not by the engine, which gives a container a fixed address only on a network whose
    /// subnet its maker chose.
    ///
    /// # Errors
    /// The engine refused, or every subnet is taken.
    pub async fn network(&self, labels: &Labels) -> Result<Network, EngineError> {
        let (docker, labels) = (self.docker.clone(), labels.clone());
        let name = format!("gauntlet-{}", labels.run);
        // Not every run begins its search at the same subnet: they would meet there.
        let first = labels
            .run
            .bytes()
            .fold(0_u8, |sum, octet| sum.wrapping_mul(31).wrapping_add(octet));
        let engine = self.clone();
        self.run(async move {
            let mut refused = String::new();
            for try_ in 0..SUBNETS {
                let third = first.wrapping_add(try_);
                let gateway = Ipv4Addr::new(10, 213, third, 1);
                let config = IpamConfig {
                    subnet: Some(format!("10.213.{third}.0/24")),
                    gateway: Some(gateway.to_string()),
                    ..IpamConfig::default()
                };
                let request = NetworkCreateRequest {
                    name: name.clone(),
                    driver: Some("bridge".into()),
                    internal: Some(true),
                    ipam: Some(Ipam {
                        config: Some(vec![config]),
                        ..Ipam::default()
                    }),
                    labels: Some(labels.map()),
                    ..NetworkCreateRequest::default()
                };
                match docker.create_network(request).await {
                    Ok(_) => {
                        return Ok(Network {
                            engine,
                            name,
                            gateway,
                        });
                    }
                    Err(error) => refused = said(&error),
                }
                let taken = refused.contains("overlaps") || refused.contains("conflicts");
                if !taken {
                    break;
                }
            }
            Err(EngineError::Refused {
                what: format!("make the network {name}"),
                said: refused,
            })
        })
        .await
    }
}

impl Network {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The harness's address on it.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Pulls a container's cable. Connections to it get no answer, later ones find no host.
    ///
    /// # Errors
    /// The engine refused.
    pub fn disconnect(&self, container: &str) -> Result<(), EngineError> {
        let (docker, network) = (self.engine.docker.clone(), self.name.clone());
        let container = container.to_owned();
        self.engine.blocking(async move {
            let request = NetworkDisconnectRequest {
                container: container.clone(),
                force: Some(true),
            };
            let done = docker.disconnect_network(&network, request).await;
            done.map_err(EngineError::refused(format!("disconnect {container}")))
        })
    }

    /// Puts it in again, with the address that the container had.
    ///
    /// # Errors
    /// The engine refused.
    pub fn reconnect(&self, container: &str, address: Ipv4Addr) -> Result<(), EngineError> {
        let (docker, network) = (self.engine.docker.clone(), self.name.clone());
        let container = container.to_owned();
        self.engine.blocking(async move {
            let request = NetworkConnectRequest {
                container: container.clone(),
                endpoint_config: Some(EndpointSettings {
                    ipam_config: Some(EndpointIpamConfig {
                        ipv4_address: Some(address.to_string()),
                        ..EndpointIpamConfig::default()
                    }),
                    ..EndpointSettings::default()
                }),
            };
            let done = docker.connect_network(&network, request).await;
            done.map_err(EngineError::refused(format!("connect {container}")))
        })
    }

    /// Removes it. Its being gone is no error.
    ///
    /// # Errors
    /// The engine refused: something is still on it.
    pub async fn remove(&self) -> Result<(), EngineError> {
        let (docker, network) = (self.engine.docker.clone(), self.name.clone());
        self.engine
            .run(async move {
                match docker.remove_network(&network).await {
                    Err(error) if !is_absent(&error) => Err(EngineError::refused(format!(
                        "remove the network {network}"
                    ))(error)),
                    _ => Ok(()),
                }
            })
            .await
    }
}
