//! Which servers are asked to hold a copy, in which order.
//!
//! Comes in: the organization's servers and the documented preference. Goes out: one server per
//! attempt. No IO: the session that makes the copy walks along the list.

use crate::{
    config::{Compatibility, Config, Server, ShadowPreference},
    sabotage::{Sabotage, active},
};

/// The servers to try for one message, one attempt each, in order. `spread` is a random number that
/// decides which of several equal servers comes first.
///
/// Empty when no other server of the boundary may hold a copy.
pub fn attempts(config: &Config, spread: u64) -> Vec<&Server> {
    let Some(own) = config.server(&config.name) else {
        return Vec::new();
    };
    // SC-04: never this node, never a front end (SC-15) or a 2010-style hub (SC-18), never outside the boundary.
    let boundary: Vec<&Server> = config
        .servers
        .iter()
        .filter(|s| s.name != own.name && s.shares_boundary(own))
        .filter(|s| s.is_peer(Compatibility::Y2013) && own.is_peer(Compatibility::Y2013))
        .collect();
    let sabotaged = |sabotage| active(config.sabotage, sabotage);
    let several_sites = own.dag.is_some() && boundary.iter().any(|s| s.site != own.site);
    let (local, remote): (Vec<&Server>, Vec<&Server>) =
        boundary.into_iter().partition(|s| s.site == own.site);

    let take = |servers: &[_], count: u32| {
        let count = if sabotaged(Sabotage::OneAttemptTooMany) {
            count + 1
        } else if sabotaged(Sabotage::TooFewAttempts) {
            count.saturating_sub(1)
        } else {
            count
        };
        take(servers, count, spread)
    };
    let transport = &config.transport;
    let local = take(&local, transport.max_retries_for_local_site_shadow);
    if !several_sites && !sabotaged(Sabotage::PreferenceEverywhere) {
        // SC-08: the preference has a meaning only in a DAG over several sites.
        return local;
    }
    let remote = take(&remote, transport.max_retries_for_remote_site_shadow);
    match transport.shadow_message_preference_setting {
        ShadowPreference::PreferRemote if sabotaged(Sabotage::LocalFirst) => {
            local.into_iter().chain(remote).collect()
        }
        ShadowPreference::RemoteOnly if sabotaged(Sabotage::FallBackToLocal) => {
            remote.into_iter().chain(local).collect()
        }
        ShadowPreference::LocalOnly if sabotaged(Sabotage::RemoteWhenLocalOnly) => {
            local.into_iter().chain(remote).collect()
        }
        ShadowPreference::PreferRemote => remote.into_iter().chain(local).collect(), // SC-05
        ShadowPreference::RemoteOnly => remote,                                      // SC-06
        ShadowPreference::LocalOnly => local,                                        // SC-07
    }
}

/// `count` attempts that go round `servers`, from a random one on.
fn take<'a>(servers: &[&'a Server], count: u32, spread: u64) -> Vec<&'a Server> {
    let Ok(length) = u64::try_from(servers.len()) else {
        return Vec::new();
    };
    if length == 0 {
        return Vec::new();
    }
    // The remainder is below the length, so it is an index.
    let first = usize::try_from(spread % length).unwrap_or_default();
    servers
        .iter()
        .cycle()
        .skip(first)
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n1 and n2 in s1, n3 and n4 in s2; all in one DAG when `dag`.
    fn names(dag: bool, transport: &str, spread: u64) -> String {
        let mut text =
            format!("name = \"n1\"\nlisten = \"x\"\nsecret = \"s\"\n[transport]\n{transport}\n");
        for (name, site) in [("n1", "s1"), ("n2", "s1"), ("n3", "s2"), ("n4", "s2")] {
            let dag = if dag { "dag = \"d\"\n" } else { "" };
            text.push_str(&format!(
                "[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"{site}\"\n{dag}"
            ));
        }
        let config = Config::parse(&text).expect("a good configuration");
        attempts(&config, spread)
            .iter()
            .map(|s| s.name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn sc_05_remote_sites_first_then_the_local_one() {
        assert_eq!(names(true, "", 0), "n3 n4 n3 n4 n2 n2");
        assert_eq!(names(true, "", 1), "n4 n3 n4 n3 n2 n2");
    }

    #[test]
    fn sc_06_remote_only() {
        assert_eq!(
            names(
                true,
                "ShadowMessagePreferenceSetting = \"RemoteOnly\"\nMaxRetriesForRemoteSiteShadow = 3",
                0
            ),
            "n3 n4 n3"
        );
    }

    #[test]
    fn sc_07_local_only() {
        assert_eq!(
            names(
                true,
                "ShadowMessagePreferenceSetting = \"LocalOnly\"\nMaxRetriesForLocalSiteShadow = 1",
                0
            ),
            "n2"
        );
    }

    #[test]
    fn sc_08_outside_a_dag_only_the_local_site() {
        assert_eq!(
            names(false, "ShadowMessagePreferenceSetting = \"RemoteOnly\"", 0),
            "n2 n2"
        );
    }

    #[test]
    fn sc_04_a_single_node_has_nobody() {
        let config = Config::parse("name = \"n1\"\nlisten = \"x\"\nsecret = \"s\"\n")
            .expect("a good configuration");
        assert!(attempts(&config, 7).is_empty());
    }
}
