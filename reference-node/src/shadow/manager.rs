//! The Shadow Redundancy Manager's shadow side: for every primary server whose shadow messages this
//! node holds, when to ask it, and when to take them over. No IO, no clock.
//!
//! Comes in: shadow messages that are held and released, sessions that succeeded or failed, the time.
//! Goes out: heartbeats that are due, rows to promote. Called by `node`'s heartbeat task.
//!
//! Times are monotonic, since the node started. A shadow server that restarts counts from its start.

use std::{collections::BTreeMap, time::Duration};

use crate::sabotage::{Sabotage, active};

/// What to do about the shadow messages held for a primary server after it answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Rows to promote: the primary's database is not the one that they came from (HB-10), or not any more (HB-13).
    pub promote: Vec<u64>,
    /// Rows to drop: only ever when the node is sabotaged.
    pub drop: Vec<u64>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Open a session to that primary server and issue XQDISCARD (HB-02).
    Heartbeat(String),
    /// The primary server stayed away for ShadowResubmitTimeSpan (HB-08): promote these rows.
    Promote(String, Vec<u64>),
}

/// One primary server.
#[derive(Debug)]
struct Primary {
    /// Shadow messages by row, with the database ID that they came from.
    rows: BTreeMap<u64, String>,
    /// The last time that it was known to be alive.
    last_contact: Duration,
    /// The last time that a session to it was tried.
    last_attempt: Duration,
    /// A heartbeat is under way.
    in_flight: bool,
    /// When the last attempt that failed had begun.
    failed_attempt: Option<Duration>,
    /// Sabotage `add-up-outages`: outages before the last contact.
    earlier_outages: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Manager {
    frequency: Duration,
    span: Duration,
    sabotage: Option<Sabotage>,
    primaries: BTreeMap<String, Primary>,
}

impl Manager {
    /// A manager that asks every `frequency` (ShadowHeartbeatFrequency) and promotes after `span`
    /// (ShadowResubmitTimeSpan).
    pub fn new(frequency: Duration, span: Duration, sabotage: Option<Sabotage>) -> Self {
        let frequency = if active(sabotage, Sabotage::SlowHeartbeat) {
            frequency * 3
        } else {
            frequency
        };
        let span = if active(sabotage, Sabotage::PromoteTooEarly) {
            span / 2
        } else {
            span
        };
        Self {
            frequency,
            span,
            sabotage,
            primaries: BTreeMap::new(),
        }
    }

    /// A shadow message is held. Its primary server was alive `now`, when it sent the copy.
    pub fn hold(&mut self, primary: &str, database: &str, row: u64, now: Duration) {
        let entry = self
            .primaries
            .entry(primary.to_owned())
            .or_insert_with(|| Primary {
                rows: BTreeMap::new(),
                last_contact: now,
                last_attempt: now,
                in_flight: false,
                failed_attempt: None,
                earlier_outages: Duration::ZERO,
            });
        entry.last_contact = now;
        entry.rows.insert(row, database.to_owned());
    }

    /// A shadow message is held no more.
    pub fn release(&mut self, primary: &str, row: u64) {
        if let Some(entry) = self.primaries.get_mut(primary) {
            entry.rows.remove(&row);
            if entry.rows.is_empty() && !entry.in_flight {
                self.primaries.remove(primary);
            }
        }
    }

    /// A session to `primary` succeeded, and XQDISCARD was issued in it: the time starts anew (HB-09).
    /// `went_back`: its database is in an earlier state than it was before (HB-13).
    pub fn contact(
        &mut self,
        primary: &str,
        database: &str,
        went_back: bool,
        now: Duration,
    ) -> Contact {
        let mut contact = Contact::default();
        let Some(entry) = self.primaries.get_mut(primary) else {
            return contact;
        };
        if active(self.sabotage, Sabotage::AddUpOutages) && entry.failed_attempt.is_some() {
            entry.earlier_outages += now.saturating_sub(entry.last_contact);
        }
        let was_away = entry.failed_attempt.is_some();
        entry.last_contact = now;
        entry.last_attempt = now;
        entry.failed_attempt = None;
        if active(self.sabotage, Sabotage::DropShadowUnasked) {
            contact.drop = entry.rows.keys().copied().collect();
        }
        let returned = was_away && active(self.sabotage, Sabotage::PromoteOnReturn);
        if returned || (went_back && !active(self.sabotage, Sabotage::IgnoreDatabaseId)) {
            contact.promote = entry.rows.keys().copied().collect();
        } else {
            contact.promote = self.of_another_database(primary, database);
        }
        contact
    }

    /// Rows that came from another database of `primary` than this one: nothing is left there that could ever be asked
    /// for them (HB-10).
    pub fn of_another_database(&self, primary: &str, database: &str) -> Vec<u64> {
        if active(self.sabotage, Sabotage::IgnoreDatabaseId) {
            return Vec::new();
        }
        let rows = self.primaries.get(primary).map(|entry| &entry.rows);
        rows.into_iter()
            .flatten()
            .filter(|(_, from)| *from != database)
            .map(|(row, _)| *row)
            .collect()
    }

    /// The heartbeat that [`Due::Heartbeat`] asked for has ended; `failed` says when it had begun, if it failed.
    pub fn heartbeat_ended(&mut self, primary: &str, failed: Option<Duration>) {
        if let Some(entry) = self.primaries.get_mut(primary) {
            entry.in_flight = false;
            entry.failed_attempt = failed.or(entry.failed_attempt);
            if entry.rows.is_empty() {
                self.primaries.remove(primary);
            }
        }
    }

    /// What is due `now`. A heartbeat that is given out is under way until [`Self::heartbeat_ended`].
    pub fn due(&mut self, now: Duration) -> Vec<Due> {
        let (frequency, span, sabotage) = (self.frequency, self.span, self.sabotage);
        let mut due = Vec::new();
        for (name, entry) in &mut self.primaries {
            if entry.rows.is_empty() {
                continue;
            }
            // A node that was itself stopped for hours has no recent attempt: it asks first.
            entry.failed_attempt = entry
                .failed_attempt
                .filter(|began| now <= *began + frequency * 3);
            if entry.may_promote(now, span) && !active(sabotage, Sabotage::NeverPromote) {
                due.push(Due::Promote(
                    name.clone(),
                    std::mem::take(&mut entry.rows).into_keys().collect(),
                ));
            } else if !entry.in_flight && now >= entry.last_attempt + frequency {
                entry.in_flight = true;
                entry.last_attempt = now;
                due.push(Due::Heartbeat(name.clone()));
            }
        }
        self.primaries
            .retain(|_, entry| entry.in_flight || !entry.rows.is_empty());
        due
    }

    /// When to call [`Self::due`] again, at the latest; `None`: when something is held. Not earlier than the last
    /// call's time, unless something happened since: whoever sleeps until then does sleep.
    pub fn next_due(&self) -> Option<Duration> {
        self.primaries
            .values()
            .filter(|entry| !entry.rows.is_empty())
            .map(|entry| {
                let promotion =
                    entry.last_contact + self.span.saturating_sub(entry.earlier_outages);
                // An attempt that is under way wakes the caller itself.
                let attempt = if entry.in_flight {
                    Duration::MAX
                } else {
                    entry.last_attempt + self.frequency
                };
                // Promotion waits for a failed attempt.
                let promotes = entry.failed_attempt.is_some()
                    && !active(self.sabotage, Sabotage::NeverPromote);
                if promotes {
                    attempt.min(promotion)
                } else {
                    attempt
                }
            })
            .min()
    }
}

impl Primary {
    /// HB-08, HB-09: away for the whole span, and an attempt says so.
    fn may_promote(&self, now: Duration, span: Duration) -> bool {
        now + self.earlier_outages >= self.last_contact + span && self.failed_attempt.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn manager() -> Manager {
        Manager::new(2 * MIN, 3 * HOUR, None)
    }

    fn beat() -> Vec<Due> {
        vec![Due::Heartbeat("n1".into())]
    }

    /// Lets heartbeats fail from `from` until `to`; what else was due.
    fn away(m: &mut Manager, from: Duration, to: Duration) -> Vec<(Duration, Due)> {
        let mut now = from;
        let mut others = Vec::new();
        while let Some(next) = m.next_due().filter(|n| *n <= to) {
            now = now.max(next);
            for due in m.due(now) {
                match due {
                    Due::Heartbeat(name) => m.heartbeat_ended(&name, Some(now)),
                    other => others.push((now, other)),
                }
            }
        }
        others
    }

    #[test]
    fn hb_02_a_heartbeat_every_two_minutes_while_something_is_held() {
        let mut m = manager();
        assert_eq!(m.next_due(), None);
        m.hold("n1", "d1", 1, Duration::ZERO);
        assert_eq!(m.next_due(), Some(2 * MIN));
        assert_eq!(m.due(2 * MIN - Duration::from_secs(1)), vec![]);
        assert_eq!(m.due(2 * MIN), beat());
        assert_eq!(m.due(3 * MIN), vec![], "one at a time");
        assert_eq!(m.contact("n1", "d1", false, 3 * MIN), Contact::default());
        m.heartbeat_ended("n1", None);
        assert_eq!(m.next_due(), Some(5 * MIN));
        m.release("n1", 1);
        assert_eq!(m.next_due(), None);
    }

    #[test]
    fn hb_08_promotion_after_three_hours_not_before() {
        let mut m = manager();
        m.hold("n1", "d1", 1, MIN);
        let promoted = away(&mut m, MIN, 4 * HOUR);
        assert_eq!(
            promoted,
            vec![(3 * HOUR + MIN, Due::Promote("n1".into(), vec![1]))]
        );
        assert_eq!(m.next_due(), None);
    }

    #[test]
    fn hb_09_a_flapping_link_never_adds_up() {
        let mut m = manager();
        m.hold("n1", "d1", 1, Duration::ZERO);
        for round in 0..10 {
            let from = 2 * HOUR * round;
            assert_eq!(away(&mut m, from, from + 2 * HOUR - MIN), vec![]);
            m.contact("n1", "d1", false, from + 2 * HOUR);
        }
    }

    #[test]
    fn hb_10_another_database_id_promotes_what_came_from_the_old_one() {
        let mut m = manager();
        m.hold("n1", "d1", 1, Duration::ZERO);
        m.hold("n1", "d2", 2, MIN);
        assert_eq!(m.contact("n1", "d2", false, 2 * MIN).promote, vec![1]);
    }

    #[test]
    fn hb_13_an_earlier_state_of_the_database_promotes_everything() {
        let mut m = manager();
        m.hold("n1", "d1", 1, Duration::ZERO);
        m.hold("n1", "d1", 2, MIN);
        assert_eq!(m.contact("n1", "d1", true, 2 * MIN).promote, vec![1, 2]);
    }

    #[test]
    fn a_node_that_slept_asks_before_it_promotes() {
        let mut m = manager();
        m.hold("n1", "d1", 1, Duration::ZERO);
        assert_eq!(m.due(9 * HOUR), beat());
        m.heartbeat_ended("n1", Some(9 * HOUR));
        assert_eq!(
            m.due(9 * HOUR + MIN),
            vec![Due::Promote("n1".into(), vec![1])]
        );
    }

    #[test]
    fn while_the_first_heartbeat_after_a_sleep_is_under_way_nothing_is_due() {
        let mut m = manager();
        m.hold("n1", "d1", 1, Duration::ZERO);
        assert_eq!(m.due(2 * MIN), beat());
        m.heartbeat_ended("n1", Some(2 * MIN));
        assert_eq!(m.due(9 * HOUR), beat());
        assert!(
            m.next_due() > Some(9 * HOUR),
            "a time in the past would be waited for again and again"
        );
    }

    #[cfg(feature = "sabotage")]
    #[test]
    fn a_node_that_never_promotes_goes_on_asking() {
        let mut m = Manager::new(2 * MIN, 3 * HOUR, Some(Sabotage::NeverPromote));
        m.hold("n1", "d1", 1, Duration::ZERO);
        assert_eq!(away(&mut m, Duration::ZERO, 9 * HOUR), vec![]);
    }

    #[test]
    fn an_attempt_that_began_before_the_sleep_proves_nothing() {
        let mut m = manager();
        m.hold("n1", "d1", 1, Duration::ZERO);
        assert_eq!(m.due(2 * MIN), beat());
        m.heartbeat_ended("n1", Some(2 * MIN));
        assert_eq!(m.due(9 * HOUR), beat());
    }
}
