//! A stateless front end (SC-15): it holds the sender's session open, passes the transaction on to a transport
//! server as it comes, and passes the reply back. It has no database, no queue and no shadow.
//!
//! Comes in: a configuration with `role = "front-end"`, and an environment of which it uses network, clock and
//! randomness. Goes out: a running [`FrontEnd`]. Reading order: [`session`] (the sender's side, without IO) →
//! [`relay`] (its driver) → [`servers`] (whom it passes mail on to).

mod relay;
mod servers;
mod session;

use std::sync::Arc;

use crate::{
    config::Config,
    env::Environment,
    node::StartError,
    receive,
    sabotage::{Sabotage, active},
};

/// One running front end.
pub struct FrontEnd {
    config: Config,
    env: Arc<dyn Environment>,
    address: String,
}

impl FrontEnd {
    /// Binds the address, and takes sessions from then on.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn start(config: Config, env: Arc<dyn Environment>) -> Result<Arc<Self>, StartError> {
        let listener = env
            .listen(&config.listen)
            .await
            .map_err(|error| StartError::Listen {
                address: config.listen.clone(),
                error,
            })?;
        let front_end = Arc::new(Self {
            address: listener.address(),
            config,
            env,
        });
        let own = front_end.clone();
        let sessions = receive::admit(
            front_end.env.clone(),
            front_end.config.receive.max_connections,
            front_end.config.name.clone(),
            listener,
            move |stream, from| relay::Connection::new(own.clone(), stream, from).run(),
        );
        front_end.env.spawn(Box::pin(sessions));
        Ok(front_end)
    }

    /// The address that it receives mail on.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn sabotaged(&self, sabotage: Sabotage) -> bool {
        active(self.config.sabotage, sabotage)
    }
}
