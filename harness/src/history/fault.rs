//! The faults of a run, as its history names them.

use serde::{Deserialize, Serialize};

use crate::toxics::{Stream, Toxic};

/// A fault, as the history records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Fault {
    /// The node's process ends at once; its disk and the kernel's page cache stay.
    ProcessCrash {
        /// The node.
        node: String,
    },
    /// The node's host loses power: what was not synced is gone, its connections fall silent.
    HostCrash {
        /// The node.
        node: String,
    },
    /// Host crash, and its disk is lost: it comes back with a new transport database, or never.
    Destroy {
        /// The node.
        node: String,
    },
    /// The node is stopped in the middle of whatever it does.
    Freeze {
        /// The node.
        node: String,
    },
    /// The node's disk goes back to an earlier snapshot, and the node starts from it.
    Revert {
        /// The node.
        node: String,
    },
    /// The node's disk has no room for anything more.
    DiskFull {
        /// The node.
        node: String,
    },
    /// The node's disk begins to fail: nothing can be written to it any more, and what was not synced is lost.
    DiskReadOnly {
        /// The node.
        node: String,
    },
    /// The node's wall clock is wrong from now on. Its monotonic clock is not touched.
    ClockJump {
        /// The node.
        node: String,
        /// How far it is ahead (behind, when negative) of a clock that is right; milliseconds of documented time.
        offset_ms: i64,
    },
    /// The node's process gets less of a processor than it wants.
    CpuStarved {
        /// The node.
        node: String,
        /// So much of one processor, in hundredths.
        percent: u32,
    },
    /// The node's memory and disk are saved, and it stops; it goes on from there when it is resumed.
    Save {
        /// The node.
        node: String,
    },
    /// The node's guest moves to another host while it runs: it stands still for a moment (the blackout), and its
    /// connections go on. Healed when it is there.
    Migration {
        /// The node.
        node: String,
    },
    /// The node's guest is shut down in an orderly way: the service ends, everything written is on the disk.
    Shutdown {
        /// The node.
        node: String,
    },
    /// So much of the guest's memory is taken from it while it works.
    Ballooned {
        /// The node.
        node: String,
        /// Megabytes (1024 × 1024 octets).
        megabytes: u32,
    },
    /// Nothing goes from one host to the other (or both ways); it is sent again after healing, as TCP does.
    Partition {
        /// One side.
        a: String,
        /// The other.
        b: String,
        /// Only from `a` to `b`.
        one_way: bool,
    },
    /// Octets on a link vanish for good; its connections never recover.
    BlackHole {
        /// The link.
        link: String,
        /// Only in this direction; both when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
    },
    /// Octets on a link arrive later.
    Delay {
        /// The link.
        link: String,
        /// By how much, microseconds.
        latency_us: u64,
    },
    /// Open connections of a link are reset.
    Reset {
        /// The link.
        link: String,
    },
    /// A toxic works on a link.
    Toxic {
        /// The link.
        link: String,
        /// The toxic, as in Toxiproxy.
        toxic: Toxic,
    },
    /// A link refuses connections, and its open ones are reset.
    Down {
        /// The link.
        link: String,
    },
    /// The next reply on a link is garbled: it has no code any more.
    Garble {
        /// The link.
        link: String,
    },
    /// The next reply on a link is held up.
    DelayReply {
        /// The link.
        link: String,
        /// For how long, microseconds.
        latency_us: u64,
    },
}

impl Fault {
    /// The node that the fault strikes, when it strikes a node.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::ProcessCrash { node }
            | Self::HostCrash { node }
            | Self::Destroy { node }
            | Self::Freeze { node }
            | Self::Revert { node }
            | Self::DiskFull { node }
            | Self::DiskReadOnly { node }
            | Self::ClockJump { node, .. }
            | Self::CpuStarved { node, .. }
            | Self::Save { node }
            | Self::Migration { node }
            | Self::Shutdown { node }
            | Self::Ballooned { node, .. } => Some(node),
            Self::Partition { .. }
            | Self::BlackHole { .. }
            | Self::Delay { .. }
            | Self::Reset { .. }
            | Self::Toxic { .. }
            | Self::Down { .. }
            | Self::Garble { .. }
            | Self::DelayReply { .. } => None,
        }
    }

    /// The link `from>to` that the fault strikes, when it strikes a link.
    pub fn link(&self) -> Option<(&str, &str)> {
        match self {
            Self::BlackHole { link, .. }
            | Self::Delay { link, .. }
            | Self::Reset { link }
            | Self::Toxic { link, .. }
            | Self::Down { link }
            | Self::Garble { link }
            | Self::DelayReply { link, .. } => link.split_once('>'),
            _ => None,
        }
    }

    /// The node runs on while it lasts.
    pub fn leaves_node_running(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::DiskReadOnly { .. }
                | Self::ClockJump { .. }
                | Self::CpuStarved { .. }
                | Self::Migration { .. }
                | Self::Ballooned { .. }
        )
    }

    /// It takes its time, and is over by itself: whoever injects it waits for its end.
    pub fn ends_by_itself(&self) -> bool {
        matches!(self, Self::Migration { .. } | Self::Shutdown { .. })
    }
}
