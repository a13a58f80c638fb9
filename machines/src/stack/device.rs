//! smoltcp's network card: two queues of frames.

use std::collections::VecDeque;

use smoltcp::{
    phy::{self, DeviceCapabilities, Medium},
    time::Instant,
};

/// An MTU of 1500 and the Ethernet header.
const FRAME: usize = 1514;

/// Frames that came, and frames that are to go.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) received: VecDeque<Vec<u8>>,
    pub(super) sent: VecDeque<Vec<u8>>,
}

pub(super) struct Receiving(Vec<u8>);

pub(super) struct Sending<'d>(&'d mut VecDeque<Vec<u8>>);

impl phy::RxToken for Receiving {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl phy::Device for Device {
    type RxToken<'d> = Receiving;
    type TxToken<'d> = Sending<'d>;

    fn receive(&mut self, _now: Instant) -> Option<(Receiving, Sending<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Receiving(frame), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}
