//! Acts: what some runs do beside the rounds, each to put a guarantee to the test that rounds do not come to.
//!
//! Comes in: cluster and configuration, the seed. Goes out: changes to them, and steps and triggers behind those of the
//! rounds. Called by [`super::plan`]. An act has a stream of draws of its own, so a seed without one draws nothing else for
//! it; what acts need of a cluster, they add.
//!
//! The fault budget holds here as well: the rounds are over and all is quiet when an act begins, and it strikes one server.

use std::{collections::BTreeMap, time::Duration};

use super::{Dice, Settings, rounds::Drawn, stage::Stage};
use crate::scenario::{LEGACY_DOMAIN, Scenario, Setting, Span};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The domain of a loop.
pub(super) const LOOP: &str = "loop.example";

/// What a run does beside its rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A server's disk is full, and has room again (TC-07).
    FullDisk,
    /// A server is lost for good (RO-04).
    NeverBack,
    /// A server's disk goes back to a snapshot (HB-13, VZ-05, VZ-06).
    WentBack,
    /// Clients lose their sessions between the copy's confirmation and the ack, and do not send again (TO-03).
    LostAcks,
    /// A client talks on and on (TO-07), and timeouts are proposed (TO-08).
    Timeouts,
    /// A primary server cannot be reached until nobody wants to know any more (HB-07, SN-04).
    Silence,
    /// Nodes send a domain's mail round (TC-09).
    Loop,
    /// 2010-style hubs beside the other nodes (SC-18, SC-19).
    Hubs,
    /// Hundreds of messages, and a look near the end of SafetyNetHoldTime (SN-12).
    Many,
}

impl Act {
    /// Every third run has one. Hundreds of messages take their time, so few have them.
    pub(super) fn draw(dice: &mut Dice, scenario: &Scenario) -> Option<Self> {
        if !dice.chance(33) {
            return None;
        }
        if dice.chance(2) {
            return Some(Self::Many);
        }
        let act = dice.pick([
            Self::FullDisk,
            Self::NeverBack,
            Self::WentBack,
            Self::LostAcks,
            Self::Timeouts,
            Self::Silence,
            Self::Loop,
            Self::Hubs,
        ]);
        // Without a shadow elsewhere there is nothing that these could be about.
        let redundant =
            scenario.config.get("ShadowRedundancyEnabled") != Some(&Setting::Switch(false));
        let about_shadows = matches!(
            act,
            Self::NeverBack | Self::WentBack | Self::LostAcks | Self::Silence
        );
        (redundant || !about_shadows).then_some(act)
    }

    /// It has the run to itself: it changes what the rounds' faults build upon.
    pub(super) fn alone(self) -> bool {
        matches!(self, Self::Silence | Self::Loop | Self::Hubs | Self::Many)
    }

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::FullDisk => "a full disk",
            Self::NeverBack => "a server that never comes back",
            Self::WentBack => "a disk that goes back",
            Self::LostAcks => "lost acks",
            Self::Timeouts => "a busy client and proposed timeouts",
            Self::Silence => "a long silence",
            Self::Loop => "a mail loop",
            Self::Hubs => "2010-style hubs",
            Self::Many => "hundreds of messages",
        }
    }

    /// What it needs of cluster and configuration.
    pub(super) fn prepare(self, dice: &mut Dice, scenario: &mut Scenario) {
        match self {
            Self::Silence => silence(dice, &mut scenario.config),
            Self::Loop => rounds_about(dice, scenario),
            Self::Hubs => hubs(dice, scenario),
            _ => {}
        }
    }

    /// Its steps, behind what was drawn before.
    pub(super) fn perform(self, dice: &mut Dice, scenario: &Scenario, drawn: &mut Drawn) {
        let mut stage = Stage {
            scenario,
            dice,
            drawn,
        };
        match self {
            Self::FullDisk => stage.full_disk(),
            Self::NeverBack => stage.never_back(),
            Self::WentBack => stage.went_back(),
            Self::LostAcks => stage.lost_acks(),
            Self::Timeouts => stage.timeouts(),
            Self::Silence => stage.silence(),
            Self::Loop => stage.round_and_round(),
            Self::Hubs => stage.beside_hubs(),
            Self::Many => stage.many(),
        }
    }
}

/// All that ends a shadow message ends sooner than a promotion would.
fn silence(dice: &mut Dice, config: &mut Settings) {
    let resubmit = dice.span(2 * HOUR, 12 * HOUR);
    let text = |span: Duration| Setting::Text(Span(span).to_string());
    let share = |percent: u32| {
        let whole = resubmit * percent / 100;
        Duration::from_secs(whole.as_secs() / 60 * 60).max(MINUTE)
    };
    for (name, span) in [
        ("ShadowResubmitTimeSpan", resubmit),
        (
            "ShadowMessageAutoDiscardInterval",
            share(dice.number(30, 45)),
        ),
        ("SafetyNetHoldTime", share(dice.number(20, 35))),
        ("MessageExpirationTimeout", share(dice.number(20, 35))),
        (
            "ShadowHeartbeatFrequency",
            dice.span(MINUTE / 2, 3 * MINUTE),
        ),
    ] {
        config.insert(name.to_owned(), text(span));
    }
}

/// Two or three nodes know a domain, each another one that is said to have it.
fn rounds_about(dice: &mut Dice, scenario: &mut Scenario) {
    let mut nodes: Vec<String> = scenario.cluster.nodes_2013().cloned().collect();
    dice.shuffle(&mut nodes);
    nodes.truncate(dice.pick([2, 2, 3]));
    let next = nodes.iter().cycle().skip(1);
    let route: BTreeMap<String, String> = nodes.iter().cloned().zip(next.cloned()).collect();
    scenario.cluster.routes.insert(LOOP.to_owned(), route);
    let most = Setting::Number(dice.number(3, 20).into());
    scenario.config.insert("MaxHopCount".to_owned(), most);
}

/// One or two 2010-style hubs, each in one of the sites.
fn hubs(dice: &mut Dice, scenario: &mut Scenario) {
    let cluster = &mut scenario.cluster;
    for number in 1..=dice.pick([1, 2, 2]) {
        let name = format!("h{number}");
        let sites: Vec<String> = cluster.sites.keys().cloned().collect();
        let site = dice.one(&sites);
        if let Some(members) = site.and_then(|site| cluster.sites.get_mut(&site)) {
            members.push(name.clone());
        }
        cluster.nodes.push(name.clone());
        cluster.hubs_2010.push(name);
    }
    if dice.chance(40) {
        let delay = dice.span(5 * MINUTE / 60, 2 * MINUTE);
        let delay = Setting::Text(Span(delay).to_string());
        (scenario.config).insert("MaxAcknowledgementDelay".to_owned(), delay);
    }
}

/// A recipient whose mail goes through the hubs.
pub(super) fn beyond_hubs() -> String {
    format!("someone@{LEGACY_DOMAIN}")
}
