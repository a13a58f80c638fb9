//! Groups are expanded: a message for a group is forked, and the fork is for the members.
//!
//! Comes in: rows of the queue with a group among their recipients. Goes out: a row for the members, which the
//! message waits for like for a DSN (HB-05). Called by the delivery task, so after the row itself is in line for
//! the commit. A shadow copy has the group, not its members: whoever promotes or resubmits it expands the group as
//! it is then (SN-10).

use std::collections::BTreeSet;

use crate::{
    config::NextHop,
    delivery::scheduler::destination,
    message::{Envelope, Origin, Progress, Recipient},
    node::{Node, State},
    smtp::{RcptTo, encode_xtext},
    store::TransportWrite,
    tracking::TrackingEvent,
};

impl Node {
    /// A recipient that is still to be served is a group.
    pub(crate) fn has_group(&self, envelope: &Envelope) -> bool {
        envelope
            .pending()
            .any(|(_, to)| self.config.groups.is_group(&to.path))
    }

    /// Expands what is to be expanded. Not durable yet: after a crash it is expanded again.
    pub(crate) fn expand_groups(&self, state: &mut State) {
        for row in std::mem::take(&mut state.to_expand) {
            let Some(queued) = state.queue.get(&row) else {
                continue;
            };
            let members = self.members(&queued.envelope);
            let content = queued.content.as_ref().map(|kept| kept.octets.clone());
            let own_row = state.next_row();
            let Some(queued) = state.queue.get_mut(&row) else {
                continue;
            };
            let envelope = &mut queued.envelope;
            for recipient in &mut envelope.recipients {
                let pending = recipient.progress == Progress::Pending;
                if pending && self.config.groups.is_group(&recipient.to.path) {
                    recipient.progress = Progress::Delivered;
                }
            }
            self.tracking
                .event(TrackingEvent::Expand, "ROUTING", envelope, "");
            if members.is_empty() {
                // Every member is a recipient itself.
                let mut writes = vec![TransportWrite::PutQueue(row, envelope.clone())];
                if envelope.is_done() {
                    self.finish(state, row, &mut writes);
                }
                drop(self.submit(writes));
                continue;
            }
            envelope.side_effects += 1;
            let fork = Envelope {
                recipients: members,
                origin: Origin::Fork {
                    of: row,
                    silent: envelope.origin == Origin::Resubmitted,
                },
                shadows: Vec::new(),
                side_effects: 0,
                delay_told: false,
                ..envelope.clone()
            };
            drop(self.submit(vec![
                TransportWrite::PutQueue(row, envelope.clone()),
                TransportWrite::PutQueue(own_row, fork.clone()),
            ]));
            self.enqueue(state, own_row, fork, content);
        }
    }

    /// The members of a message's groups that are no recipients of it themselves. A group's DSN parameters hold for its
    /// members, and its address is their original recipient (RFC 3461 §5.2.7).
    fn members(&self, envelope: &Envelope) -> Vec<Recipient> {
        let mut seen: BTreeSet<String> = envelope
            .recipients
            .iter()
            .map(|r| r.to.path.to_ascii_lowercase())
            .collect();
        let mut members = Vec::new();
        for (_, to) in envelope.pending() {
            for member in self.config.groups.members(&to.path) {
                // SC-14: nothing is resubmitted beyond the boundary.
                let left_out = envelope.origin == Origin::Resubmitted
                    && !matches!(
                        destination(&self.config, &member),
                        Some(NextHop::MailboxServer(server)) if self.config.in_boundary(&server)
                    );
                if left_out || !seen.insert(member.to_ascii_lowercase()) {
                    continue;
                }
                let to = RcptTo {
                    path: member,
                    notify: to.notify,
                    orcpt: to
                        .orcpt
                        .clone()
                        .or_else(|| Some(format!("rfc822;{}", encode_xtext(&to.path)))),
                };
                members.push(Recipient {
                    to,
                    progress: Progress::Pending,
                });
            }
        }
        members
    }
}
