//! Asks a guest for a frame every two milliseconds, so that its silence can be measured: who has your address? (RFC 826).
//! Its kernel answers, whatever its programs do.

use std::{net::Ipv4Addr, time::Duration};

use tokio::task::AbortHandle;

use crate::switch::{Host, Mac, Switch};

/// Asked so often.
const EVERY: Duration = Duration::from_millis(2);

/// Nobody else is this host: no rule concerns it.
const HOST: Host = Host(u16::MAX);

/// Its Ethernet address, a locally administered one.
const MAC: Mac = [0x52, 0x54, 0x00, 0xff, 0xff, 0xfe];

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct Pulse {
    task: AbortHandle,
}

impl Pulse {
    /// Begins to ask.
    pub(crate) fn start(switch: &Switch, mac: Mac, address: Ipv4Addr) -> Self {
        let mut cable = switch.cable(HOST);
        let frame = question(mac, address);
        let task = switch.runtime().spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            loop {
                every.tick().await;
                cable.send(frame.clone());
                while cable.try_receive().is_some() {}
            }
        });
        Self {
            task: task.abort_handle(),
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who has this address? Addressed to its owner alone, as when a neighbour is asked whether it is still there.
fn question(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    // A host that asks without an address of its own (RFC 5227 §2.1.1) changes nobody's table.
    let sender = Ipv4Addr::UNSPECIFIED;
    let mut frame = [&mac[..], &MAC, &[0x08, 0x06]].concat();
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&MAC);
    frame.extend_from_slice(&sender.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&address.octets());
    frame.resize(60, 0);
    frame
}
