//! Transport high availability boundaries: a DAG, or the servers of a site that are in no DAG.
//!
//! Comes in: the servers of a configuration. Goes out: who is in whose boundary. Called by the choice of shadow
//! servers, delivery and Safety Net.

use super::{Config, Server};

impl Server {
    /// Both are in the same transport high availability boundary: the same DAG, or outside any DAG the same site.
    pub fn shares_boundary(&self, other: &Self) -> bool {
        match &self.dag {
            Some(dag) => other.dag.as_ref() == Some(dag),
            None => other.dag.is_none() && other.site == self.site,
        }
    }
}

impl Config {
    /// The server is this node, or in its boundary.
    pub fn in_boundary(&self, server: &str) -> bool {
        server == self.name
            || match (self.server(&self.name), self.server(server)) {
                (Some(own), Some(other)) => own.shares_boundary(other),
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = \"n1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n";

    #[test]
    fn sc_13_a_boundary_is_a_dag_or_what_is_outside_of_dags_in_a_site() {
        let mut text = LEAST.to_owned();
        for (name, site, dag) in [
            ("n1", "s1", ""),
            ("n2", "s1", ""),
            ("n3", "s1", "d"),
            ("n4", "s2", "d"),
            ("n5", "s2", ""),
        ] {
            text.push_str(&format!(
                "[[server]]\nname = \"{name}\"\naddress = \"a\"\nsite = \"{site}\"\n"
            ));
            if !dag.is_empty() {
                text.push_str(&format!("dag = \"{dag}\"\n"));
            }
        }
        let within = |own: &str| {
            let config = Config::parse(&text.replace(
                "name = \"n1\"\nlisten",
                &format!("name = \"{own}\"\nlisten"),
            ))
            .expect("a good configuration");
            let servers = config.servers.iter().map(|s| s.name.clone());
            servers
                .filter(|s| config.in_boundary(s))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            ["n1", "n3", "n4", "n5"].map(within),
            ["n1 n2", "n3 n4", "n3 n4", "n5"]
        );
        // A node without a list of servers has its own mailboxes in its boundary.
        assert!(Config::parse(LEAST).expect("the least").in_boundary("n1"));
    }
}
