//! Faults of single replies: the next one that passes on a link is garbled, or held up. No IO.
//!
//! Comes in: what the runner wants done to replies, octets that go to the client. Goes out: the octets as they go on,
//! and how long they wait before. The simulator and the proxy use the same.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

/// What is done to a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFault {
    /// Its code is turned into three letters, so that it is no reply.
    Garble,
    /// It goes on so much later, and what follows it with it.
    Delay(Duration),
}

/// What waits for the next replies of a link, in order: each strikes one.
#[derive(Debug, Default)]
pub struct ReplyFaults {
    waiting: Mutex<VecDeque<ReplyFault>>,
    /// Looked at for every piece of every reply.
    any: AtomicBool,
}

impl ReplyFaults {
    /// The next reply that passes is struck, or the first one after those that are to be struck already.
    pub fn add(&self, fault: ReplyFault) {
        self.with(|waiting| waiting.push_back(fault));
    }

    /// Takes one back that has struck nothing yet; `false`: there is none.
    pub fn take_back(&self, fault: ReplyFault) -> bool {
        self.with(|waiting| {
            let at = waiting.iter().position(|other| *other == fault);
            at.and_then(|at| waiting.remove(at)).is_some()
        })
    }

    /// Octets are about to go on to the client. What they become, and how long they wait before; `None`: nothing happens to
    /// them. `lines` is the connection's.
    pub(crate) fn strike(
        &self,
        lines: &mut ReplyLines,
        octets: &[u8],
    ) -> Option<(Bytes, Duration)> {
        let begins = lines.begins(octets);
        lines.passed(octets);
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let at = begins?;
        match self.with(VecDeque::pop_front)? {
            ReplyFault::Garble => {
                let mut garbled = octets.to_vec();
                for octet in garbled[at..].iter_mut().take(3) {
                    // Digits become the letters p to y.
                    *octet ^= 0x40;
                }
                Some((garbled.into(), Duration::ZERO))
            }
            ReplyFault::Delay(time) => Some((Bytes::copy_from_slice(octets), time)),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut VecDeque<ReplyFault>) -> T) -> T {
        // Nothing that can panic runs under this lock.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let value = act(&mut waiting);
        self.any.store(!waiting.is_empty(), Ordering::Release);
        value
    }
}

/// Where the lines of one connection's replies begin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplyLines {
    /// The octets so far have not ended with a line.
    within: bool,
}

impl ReplyLines {
    /// Where the first line begins that begins in these octets.
    fn begins(self, octets: &[u8]) -> Option<usize> {
        if !self.within {
            return (!octets.is_empty()).then_some(0);
        }
        let end = octets.iter().position(|octet| *octet == b'\n')? + 1;
        (end < octets.len()).then_some(end)
    }

    fn passed(&mut self, octets: &[u8]) {
        if let Some(last) = octets.last() {
            self.within = *last != b'\n';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_strikes_one_reply_at_its_beginning() {
        let faults = ReplyFaults::default();
        let mut lines = ReplyLines::default();
        assert_eq!(faults.strike(&mut lines, b"220 n1"), None);
        faults.add(ReplyFault::Garble);
        faults.add(ReplyFault::Delay(Duration::from_secs(1)));
        faults.add(ReplyFault::Garble);
        assert_eq!(faults.strike(&mut lines, b" ESMTP\r\n"), None);
        let (octets, time) = faults.strike(&mut lines, b"250 ok\r\n").expect("struck");
        assert_eq!((&octets[..], time), (&b"rup ok\r\n"[..], Duration::ZERO));
        let (octets, time) = faults.strike(&mut lines, b"354 go\r\n").expect("struck");
        assert_eq!(
            (&octets[..], time),
            (&b"354 go\r\n"[..], Duration::from_secs(1))
        );
        assert!(faults.take_back(ReplyFault::Garble));
        assert!(!faults.take_back(ReplyFault::Garble));
        assert_eq!(faults.strike(&mut lines, b"250 ok\r\n"), None);
    }

    #[test]
    fn a_line_that_begins_within_a_piece_is_found() {
        let faults = ReplyFaults::default();
        let mut lines = ReplyLines::default();
        faults.strike(&mut lines, b"25");
        faults.add(ReplyFault::Garble);
        let struck = faults.strike(&mut lines, b"0 ok\r\n550 no\r\n");
        assert_eq!(
            struck.expect("struck").0,
            Bytes::from_static(b"0 ok\r\nuup no\r\n")
        );
    }
}
