//! Which transport servers a front end tries, in which order. No IO.

use crate::config::{Compatibility, Config, Server};

/// The transport servers, each once: those of the front end's own site first. `spread` is a random number that
/// decides which of several equal servers comes first.
pub(super) fn in_order(config: &Config, spread: u64) -> Vec<&Server> {
    let site = config.server(&config.name).map(|own| own.site.as_str());
    let servers = config
        .servers
        .iter()
        .filter(|s| s.is_peer(Compatibility::Y2013));
    let (mut near, mut far): (Vec<&Server>, Vec<&Server>) =
        servers.partition(|s| Some(s.site.as_str()) == site);
    turn(&mut near, spread);
    turn(&mut far, spread);
    near.append(&mut far);
    near
}

fn turn(servers: &mut [&Server], spread: u64) {
    let length = u64::try_from(servers.len()).unwrap_or(u64::MAX).max(1);
    // The remainder is below the length, so it is an index, or 0.
    servers.rotate_left(usize::try_from(spread % length).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_site_comes_first_and_front_ends_never() {
        let mut text = "name = \"f1\"\nlisten = \"x\"\nrole = \"front-end\"\n".to_owned();
        for (name, site) in [("n1", "far"), ("n2", "near"), ("n3", "near")] {
            text.push_str(&format!(
                "[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"{site}\"\n"
            ));
        }
        for name in ["f1", "f2"] {
            text.push_str(&format!(
                "[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"near\"\nrole = \"front-end\"\n"
            ));
        }
        let config = Config::parse(&text).expect("a front end");
        let names = |spread| {
            let order = in_order(&config, spread);
            order.iter().map(|s| s.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["n2", "n3", "n1"]);
        assert_eq!(names(7), ["n3", "n2", "n1"]);
    }
}
