use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::core::{Core, Counts, Effect, Gap, Host, Leaves, Mac, PortId};

const ALL: Mac = [0xff; 6];

fn mac(number: u8) -> Mac {
    [0x52, 0x54, 0, 0x77, 0, number]
}

fn frame(to: Mac, from: Mac) -> Vec<u8> {
    [&to[..], &from[..], &[0x08, 0x06], &[0; 46]].concat()
}

fn ports(leaving: &[Leaves]) -> Vec<PortId> {
    leaving.iter().map(|leaves| leaves.port).collect()
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Hosts 1 to 3 with a port each, whose addresses are known.
fn three() -> (Core, [PortId; 3]) {
    let mut core = Core::new(7);
    let all = [1, 2, 3].map(|host| core.attach(Host(host)));
    for (number, port) in (1..).zip(all) {
        core.frame(port, &frame(ALL, mac(number)), at(0));
    }
    (core, all)
}

#[test]
fn what_is_for_one_goes_to_one_and_the_rest_to_all_others() {
    let (mut core, [a, b, c]) = three();
    let direct = core.frame(a, &frame(mac(2), mac(1)), at(1));
    assert_eq!(ports(&direct), [b]);
    let broadcast = core.frame(b, &frame(ALL, mac(2)), at(1));
    assert_eq!(ports(&broadcast), [a, c]);
    let unknown = core.frame(c, &frame(mac(9), mac(3)), at(1));
    assert_eq!(ports(&unknown), [a, b]);
    assert!(
        core.frame(a, &frame(mac(1), mac(1)), at(1)).is_empty(),
        "to itself"
    );
}

#[test]
fn a_guest_that_has_moved_is_found_behind_its_new_port() {
    let (mut core, [a, b, _]) = three();
    let new = core.attach(Host(2));
    assert_eq!(ports(&core.frame(a, &frame(mac(2), mac(1)), at(1))), [b]);
    core.frame(new, &frame(ALL, mac(2)), at(2));
    assert_eq!(ports(&core.frame(a, &frame(mac(2), mac(1)), at(3))), [new]);
    core.detach(new);
    let lost = core.frame(a, &frame(mac(2), mac(1)), at(4));
    assert!(!ports(&lost).contains(&new) && lost.len() == 2, "{lost:?}");
    assert_eq!(core.counts(new), None);
}

#[test]
fn a_cut_is_one_way_and_holds_for_broadcasts_and_for_every_port_of_a_host() {
    let (mut core, [a, b, c]) = three();
    let second = core.attach(Host(2));
    let cut = core.begin(Host(1), Host(2), Effect::Cut);
    assert!(core.frame(a, &frame(mac(2), mac(1)), at(1)).is_empty());
    assert_eq!(ports(&core.frame(a, &frame(ALL, mac(1)), at(1))), [c]);
    assert_eq!(ports(&core.frame(b, &frame(mac(1), mac(2)), at(1))), [a]);
    let dropped = |core: &Core, port| core.counts(port).map(|counts| counts.dropped);
    assert_eq!(dropped(&core, b), Some(2));
    assert_eq!(dropped(&core, second), Some(1));
    assert!(core.end(cut) && !core.end(cut));
    assert_eq!(ports(&core.frame(a, &frame(mac(2), mac(1)), at(2))), [b]);
}

#[test]
fn delays_add_up_and_a_share_is_lost() {
    let (mut core, [a, b, _]) = three();
    core.begin(Host(1), Host(2), Effect::Delay(at(30)));
    core.begin(Host(1), Host(2), Effect::Delay(at(12)));
    let late = core.frame(a, &frame(mac(2), mac(1)), at(1));
    assert_eq!(
        late,
        [Leaves {
            port: b,
            after: at(42)
        }]
    );
    core.begin(Host(2), Host(1), Effect::Lose(0.25));
    let arrived = (0..4000)
        .filter(|_| !core.frame(b, &frame(mac(1), mac(2)), at(2)).is_empty())
        .count();
    assert!((2850..3150).contains(&arrived), "{arrived} of 4000");
}

#[test]
fn a_watch_has_the_longest_silence_with_both_ends() {
    let (mut core, [a, b, _]) = three();
    core.watch(Host(1), at(100));
    for ms in [110, 115, 160, 170] {
        core.frame(a, &frame(mac(2), mac(1)), at(ms));
        core.frame(b, &frame(mac(1), mac(2)), at(ms + 1));
    }
    let gap = core.unwatch(Host(1), at(175));
    let wanted = Gap {
        frames: 4,
        longest: at(45),
    };
    assert_eq!(gap, Some(wanted));
    assert_eq!(core.unwatch(Host(1), at(176)), None);
    core.watch(Host(1), at(200));
    let silent = core.unwatch(Host(1), at(290)).expect("watched");
    assert_eq!((silent.frames, silent.longest), (0, at(90)));
}

#[test]
fn what_is_no_frame_leaves_nowhere() {
    let (mut core, [a, ..]) = three();
    assert!(core.frame(a, &[0xff; 13], at(1)).is_empty());
    assert!(core.frame(a, &[], at(1)).is_empty());
    let counts = core.counts(a).expect("a port");
    assert_eq!(
        counts,
        Counts {
            received: 3,
            sent: 2,
            dropped: 0
        }
    );
}

proptest! {
    /// Whatever comes: nothing leaves where it came in, nothing leaves twice on a port, a known single address gets it alone,
    /// and what crosses a cut way does not leave.
    #[test]
    fn laws(frames in prop::collection::vec((0_usize..4, 0_u8..6, 0_u8..4, any::<bool>()), 1..60), cut in (0_u16..4, 0_u16..4)) {
        let mut core = Core::new(1);
        let all: Vec<PortId> = (0..4).map(|host| core.attach(Host(host))).collect();
        core.begin(Host(cut.0), Host(cut.1), Effect::Cut);
        let mut behind = std::collections::BTreeMap::new();
        for (ms, (port, to, from, group)) in (0..).zip(frames) {
            let to = if group { ALL } else { mac(to) };
            let leaving = ports(&core.frame(all[port], &frame(to, mac(from)), at(ms)));
            behind.insert(mac(from), all[port]);
            let once: BTreeSet<PortId> = leaving.iter().copied().collect();
            prop_assert_eq!(once.len(), leaving.len());
            prop_assert!(!once.contains(&all[port]));
            if usize::from(cut.0) == port {
                prop_assert!(!once.contains(&all[usize::from(cut.1)]));
            }
            if let Some(known) = behind.get(&to) {
                prop_assert!(leaving.iter().all(|port| port == known));
            }
        }
    }
}
