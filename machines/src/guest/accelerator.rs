//! What executes the guest's instructions: the processor (KVM), or software.

use std::{
    fmt,
    fs::{self, OpenOptions},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{Error, image::Image, keeper, qmp::Qmp, tool};

/// How long a kernel may take to come up and go down again.
const PROBE: Duration = Duration::from_secs(10);

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// QEMU's software emulation, `tcg`: the same behaviour, about ten times as slow.
    Emulation,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Emulation => "software emulation",
        })
    }
}

impl Accelerator {
    /// KVM where it works, and else emulation, with the reason. That `/dev/kvm` is there proves nothing (within containers
    /// and virtual machines it may be there and fail, and then not before a kernel runs), so the image's kernel is booted with
    /// it. What came out is kept beside the image until this machine starts anew.
    pub fn probe(image: &Image) -> (Self, Option<String>) {
        match probe_kvm(image) {
            Ok(()) => (Self::Kvm, None),
            Err(reason) => (Self::Emulation, Some(reason)),
        }
    }

    /// QEMU's `-accel`.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "tcg",
        }
    }

    /// QEMU's `-cpu`: with a generator of random numbers, or the guest waits for chance before it starts anything.
    pub(super) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Emulation => "qemu64,+rdrand",
        }
    }
}

/// QEMU's version, e.g. `7.2.22`.
///
/// # Errors
/// [`Error::Missing`]: QEMU is not installed.
pub fn qemu_version() -> Result<String, Error> {
    let said = tool::run("qemu-system-x86_64", ["--version".as_ref()])?;
    let words = said.lines().next().unwrap_or_default();
    let version = words
        .split_whitespace()
        .nth(3)
        .unwrap_or("of unknown version");
    Ok(version.to_owned())
}

fn probe_kvm(image: &Image) -> Result<(), String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(|error| format!("/dev/kvm: {error}"))?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let name = format!("kvm-{}-{}", image.release, boot.trim());
    let kept = image.initramfs.with_file_name(name);
    let outcome = match fs::read_to_string(&kept) {
        Ok(outcome) => outcome,
        Err(_not_probed) => {
            let outcome = boots(image).err().unwrap_or_default();
            // It is probed again where it cannot be kept.
            let _ = fs::write(&kept, &outcome);
            outcome
        }
    };
    if outcome.is_empty() {
        Ok(())
    } else {
        Err(outcome)
    }
}

/// The image's kernel comes up under KVM, and shuts down.
fn boots(image: &Image) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let socket = place.path().join("qmp");
    let mut command = tool::command("qemu-system-x86_64");
    command
        .args(["-accel", "kvm", "-cpu", "host", "-M", "q35", "-m", "128"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initramfs)
        .args(["-append", "quiet panic=-1 gauntlet.probe", "-qmp"])
        .arg(format!("unix:{},server=on,wait=off", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = keeper::spawn(command).map_err(|error| error.to_string())?;
    let outcome = watch(&socket, || matches!(child.try_wait(), Ok(None)));
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    outcome
}

/// Waits until the guest has shut down by itself, or stops in the middle of something.
fn watch(socket: &Path, lives: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    let mut qmp = Qmp::connect(socket, lives).map_err(|_ended| "QEMU cannot use /dev/kvm here")?;
    while begun.elapsed() < PROBE {
        match qmp.event("SHUTDOWN", Duration::from_millis(100)) {
            Ok(Some(event)) if event.data["reason"] == "guest-shutdown" => return Ok(()),
            Ok(Some(event)) => {
                return Err(format!("a kernel ends under KVM: {}", event.data["reason"]));
            }
            Ok(None) => {}
            Err(_ended) => return Err("QEMU ends under KVM".into()),
        }
        let status = qmp.execute("query-status", json!({}));
        let status = status.map_err(|_ended| "QEMU ends under KVM")?;
        if status["running"] != true {
            return Err(format!(
                "a kernel does not run under KVM here: {}",
                status["status"]
            ));
        }
    }
    Err("a kernel does not come up under KVM".into())
}
