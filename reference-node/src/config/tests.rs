//! What a configuration says when it is right, and what it is told when it is wrong.

use super::{
    parse::{DAY, HOUR, MINUTE},
    *,
};

const LEAST: &str = "name = \"n1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n";

fn refused(more: &str) -> String {
    Config::parse(&format!("{LEAST}{more}"))
        .expect_err("refused")
        .to_string()
}

#[test]
fn the_documented_defaults() {
    let config = Config::parse(LEAST).expect("the least configuration");
    let t = &config.transport;
    assert!(t.shadow_redundancy_enabled && !t.reject_message_on_shadow_failure);
    assert_eq!(
        t.shadow_message_preference_setting,
        ShadowPreference::PreferRemote
    );
    assert_eq!(
        (
            t.max_retries_for_remote_site_shadow,
            t.max_retries_for_local_site_shadow
        ),
        (4, 2)
    );
    assert_eq!(
        (t.shadow_heartbeat_frequency, t.shadow_resubmit_time_span),
        (2 * MINUTE, 3 * HOUR)
    );
    assert_eq!(
        (t.safety_net_hold_time, t.message_expiration_timeout),
        (2 * DAY, 2 * DAY)
    );
    assert_eq!(t.shadow_message_auto_discard_interval, 2 * DAY);
    assert_eq!(t.delay_notification_timeout, 4 * HOUR);
    assert_eq!(
        (
            config.receive.inactivity_timeout,
            config.receive.connection_timeout
        ),
        (5 * MINUTE, 10 * MINUTE)
    );
    assert_eq!(config.send.inactivity_timeout, 10 * MINUTE);
}

#[test]
fn an_edge_server_has_shorter_defaults() {
    let config = Config::parse(&format!("role = \"edge\"\n{LEAST}")).expect("an edge server");
    assert_eq!(
        (
            config.receive.inactivity_timeout,
            config.receive.connection_timeout
        ),
        (MINUTE, 5 * MINUTE)
    );
}

#[test]
fn sc_15_a_front_end_needs_a_transport_server_and_no_secret() {
    let front = "name = \"f1\"\nlisten = \"x\"\nrole = \"front-end\"\n";
    let server = |name: &str, role: &str| {
        format!("[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"s\"\n{role}")
    };
    let role = "role = \"front-end\"\n";
    let parse = |text: String| Config::parse(&text).map_err(|e| e.to_string());
    let good = parse(format!("{front}{}{}", server("f1", role), server("n1", "")));
    assert!(good.is_ok_and(|c| c.role == Role::FrontEnd && c.secret.is_empty()));
    let refused = |text: String| parse(text).expect_err("refused");
    assert!(refused(front.to_owned()).contains("without a transport server"));
    assert!(refused(format!("{front}{}", server("f1", role))).contains("without a transport"));
    let unmarked = format!("{front}{}{}", server("f1", ""), server("n1", ""));
    assert!(refused(unmarked).contains("another role in its own [[server]]"));
    let servers = format!("{}{}", server("n1", ""), server("f1", role));
    let route = "[[route]]\ndomain = \"x\"\nmailbox-server = \"f1\"\n";
    assert!(refused(format!("{LEAST}{servers}{route}")).contains("has no mailboxes"));
}

#[test]
fn sc_18_a_route_through_a_hub_names_one() {
    let server = |name: &str, more: &str| {
        format!("[[server]]\nname = \"{name}\"\naddress = \"{name}\"\nsite = \"s\"\n{more}")
    };
    let hub = server("h1", "compatibility = \"2010\"\n");
    let route = "[[route]]\ndomain = \"x\"\nhub = \"h1\"\n";
    let text = format!("{LEAST}{}{hub}{route}", server("n1", ""));
    let config = Config::parse(&text).expect("a hub");
    assert_eq!(config.routes[0].to, NextHop::Hub("h1".into()));
    assert!(
        refused(&format!("{}{}{route}", server("n1", ""), server("h1", "")))
            .contains("no other server")
    );
    let other = format!("compatibility = \"2010\"\n{LEAST}{}", server("n1", ""));
    let error = Config::parse(&other).expect_err("refused").to_string();
    assert!(error.contains("another compatibility"), "{error}");
}

#[test]
fn to_08_inactivity_must_be_less_than_the_whole() {
    let message = refused("[receive-connector]\nConnectionInactivityTimeout = \"10m\"\n");
    insta::assert_snapshot!(message, @"ConnectionInactivityTimeout (10m) must be less than ConnectionTimeout (10m)");
}

#[test]
fn what_is_wrong_is_named() {
    assert!(refused("[transport]\nShadowHeartbeatFrequency = 120\n").contains("expected a string"));
    assert!(
        refused("[transport]\nShadowHeartbeatFrequency = \"120\"\n")
            .contains("write a duration with its unit")
    );
    assert!(refused("[transport]\nSafetyNetHoldTime = \"0s\"\n").contains("a duration of zero"));
    assert!(
        refused("[transport]\nSafetyNetHoldTime = \"500000000000y\"\n")
            .contains("more than a hundred years")
    );
    assert!(
        refused("[transport]\nShadowHartbeat = \"2m\"\n")
            .contains("unknown field `ShadowHartbeat`")
    );
    assert!(refused("[[route]]\ndomain = \"x\"\n").contains("exactly one of"));
    assert!(
        refused("[[route]]\ndomain = \"x\"\nmailbox-server = \"n9\"\n")
            .contains("no server of the organization")
    );
    assert!(
        refused("[[server]]\nname = \"n2\"\naddress = \"a\"\nsite = \"s\"\n")
            .contains("no [[server]] is named `n1`")
    );
    assert!(
        Config::parse("name = \"n1\"\nlisten = \"x\"\n")
            .expect_err("no secret")
            .to_string()
            .contains("secret")
    );
}
