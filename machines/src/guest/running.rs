//! A guest that runs.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use super::{
    Place, Spec, Stopped,
    control::Control,
    next_tag,
    process::{Begin, Process, socket},
};
use crate::{
    Error,
    qmp::Qmp,
    switch::{Counts, Plug},
};

/// How long a guest may take from QEMU's start until process 1 does what it is told.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);

/// A guest that runs, or is frozen.
#[derive(Debug)]
pub struct Running {
    pub(super) spec: Arc<Spec>,
    pub(super) place: Place,
    // In this order: QEMU goes first, then what it is plugged into.
    pub(super) process: Process,
    pub(super) qmp: Qmp,
    control: Control,
    plug: Plug,
}

/// A guest's memory, as its own kernel counts it; KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What it has.
    pub total_kib: u64,
    /// What it could give to programs.
    pub available_kib: u64,
}

impl Running {
    pub(super) fn start(spec: &Arc<Spec>, place: &Place, begin: &Begin) -> Result<Self, Error> {
        let tag = next_tag(spec);
        let plugged = place.switch.plug(place.host, &spec.directory, &tag);
        let plug = plugged.map_err(Error::io("make the sockets of a network card"))?;
        let mut process = Process::start(spec, &tag, &plug, begin)?;
        let connected = Qmp::connect(&socket(spec, &tag, "qmp"), || process.lives());
        let qmp = match connected {
            Ok(qmp) => qmp,
            Err(error) if process.lives() => return Err(error.into()),
            Err(_ended) => {
                let log = spec.console.with_extension("qemu.log");
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("and said nothing");
                return Err(Error::Failed(format!("QEMU has ended: {last}")));
            }
        };
        let control = Control::connect(&socket(spec, &tag, "ctl"))?;
        Ok(Self {
            spec: spec.clone(),
            place: place.clone(),
            process,
            qmp,
            control,
            plug,
        })
    }

    /// What it is made of.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The number of its QEMU process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// QEMU has not ended.
    pub fn lives(&mut self) -> bool {
        self.process.lives()
    }

    /// Frames of its network card so far.
    pub fn frames(&self) -> Counts {
        self.plug.counts()
    }

    /// Waits until process 1 does what it is told.
    ///
    /// # Errors
    /// QEMU has ended, or the guest does not answer.
    pub fn wait_until_up(&mut self) -> Result<(), Error> {
        self.control.tell_within("uptime", BOOT_PATIENCE).map(drop)
    }

    /// Process 1 does what it is told, as it says within this time.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn is_up(&mut self, patience: Duration) -> Result<bool, Error> {
        match self.control.tell_within("uptime", patience) {
            Ok(_) => Ok(true),
            Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// SIGKILL to QEMU, as when a host loses power: what the guest had not synced is gone. QEMU is gone when this returns.
    #[must_use = "a guest that is dropped is gone with its disk's whereabouts"]
    pub fn kill(self) -> Stopped {
        Stopped {
            spec: self.spec,
            place: self.place,
        }
    }

    /// Presses the power button, and waits until the guest has shut down by itself and QEMU has ended.
    ///
    /// # Errors
    /// With the guest as it is: it does not shut down in this time.
    pub fn shut_down(mut self, patience: Duration) -> Result<Stopped, (Box<Self>, Error)> {
        if let Err(error) = self.qmp.execute("system_powerdown", json!({})) {
            return Err((Box::new(self), error.into()));
        }
        if self.process.ended_within(patience) {
            return Ok(self.kill());
        }
        let error = format!("{} does not shut down within {patience:?}", self.spec.name);
        Err((Box::new(self), Error::Failed(error)))
    }

    /// Stops its processors.
    ///
    /// # Errors
    /// QEMU does not do it.
    pub fn freeze(&mut self) -> Result<(), Error> {
        self.qmp.execute("stop", json!({}))?;
        Ok(())
    }

    /// …and lets them go on.
    ///
    /// # Errors
    /// QEMU does not do it.
    pub fn thaw(&mut self) -> Result<(), Error> {
        self.qmp.execute("cont", json!({}))?;
        Ok(())
    }

    /// Its processors run.
    ///
    /// # Errors
    /// QEMU does not say.
    pub fn is_running(&mut self) -> Result<bool, Error> {
        Ok(self.qmp.execute("query-status", json!({}))?["running"] == true)
    }

    /// Copies its disk as of one moment: its processors are stopped meanwhile. What the guest had not synced is not in the
    /// copy: it is what the disk would be after a loss of power.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn copy_disk(&mut self, to: &Path) -> Result<(), Error> {
        let ran = self.is_running()?;
        if ran {
            self.freeze()?;
        }
        let copied = self.spec.disk.copy_to(to);
        if ran {
            self.thaw()?;
        }
        copied
    }

    /// Takes memory from the guest, or gives it back: it has this much now, MiB. Waits until the guest has given it up.
    ///
    /// # Errors
    /// QEMU does not do it, or the guest does not give the memory up within this time.
    pub fn balloon(&mut self, mib: u32, patience: Duration) -> Result<Duration, Error> {
        let begun = Instant::now();
        let wanted = u64::from(mib) << 20;
        self.qmp.execute("balloon", json!({ "value": wanted }))?;
        loop {
            let actual = self.qmp.execute("query-balloon", json!({}))?["actual"].as_u64();
            if actual == Some(wanted) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > patience {
                let has = actual.unwrap_or_default() >> 20;
                return Err(Error::Failed(format!(
                    "the guest was to have {mib} MiB, and has {has}"
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its memory, as it counts it itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn memory(&mut self) -> Result<Memory, Error> {
        let said = self.control.tell("memory")?;
        let mut numbers = said.split(' ').map_while(|word| word.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(total_kib), Some(available_kib)) => Ok(Memory {
                total_kib,
                available_kib,
            }),
            _ => Err(Error::Failed(format!(
                "the guest says of its memory: {said}"
            ))),
        }
    }

    /// A random number that its kernel has drawn at its boot: another boot has another.
    ///
    /// # Errors
    /// It does not answer.
    pub fn boot_id(&mut self) -> Result<String, Error> {
        self.control.tell("boot-id")
    }

    /// How long its kernel has run, by its own clock.
    ///
    /// # Errors
    /// It does not answer.
    pub fn uptime(&mut self) -> Result<Duration, Error> {
        let said = self.control.tell("uptime")?;
        let seconds = said.parse().map_err(|_no_number| said.clone());
        let uptime = seconds.and_then(|s| Duration::try_from_secs_f64(s).map_err(|_no_time| said));
        uptime.map_err(|said| Error::Failed(format!("the guest says of its uptime: {said}")))
    }

    /// Has the guest keep a word in its memory, where nothing but its memory has it.
    ///
    /// # Errors
    /// It does not answer.
    pub fn remember(&mut self, word: &str) -> Result<(), Error> {
        self.control.tell(&format!("remember {word}")).map(drop)
    }

    /// The word that it keeps; empty when it keeps none.
    ///
    /// # Errors
    /// It does not answer.
    pub fn recall(&mut self) -> Result<String, Error> {
        self.control.tell("recall")
    }

    /// Starts the program again, after it was [killed](Self::kill_program).
    ///
    /// # Errors
    /// It does not answer.
    pub fn start_program(&mut self) -> Result<(), Error> {
        self.control.tell("start").map(drop)
    }

    /// The program was started, and has not ended.
    ///
    /// # Errors
    /// It does not answer.
    pub fn program_lives(&mut self) -> Result<bool, Error> {
        Ok(self.control.tell("alive")? == "yes")
    }

    /// SIGKILL to the program. It is gone when this returns.
    ///
    /// # Errors
    /// It does not answer.
    pub fn kill_program(&mut self) -> Result<(), Error> {
        self.control.tell("kill").map(drop)
    }

    /// Writes a word to a file of `/data`, and does not sync: it is in the guest's page cache.
    ///
    /// # Errors
    /// It does not answer.
    pub fn write(&mut self, file: &str, word: &str) -> Result<(), Error> {
        self.control.tell(&format!("write {file} {word}")).map(drop)
    }

    /// What a file of `/data` has; empty when there is none.
    ///
    /// # Errors
    /// It does not answer.
    pub fn read(&mut self, file: &str) -> Result<String, Error> {
        self.control.tell(&format!("read {file}"))
    }

    /// Has its kernel write to the disk what is only in memory.
    ///
    /// # Errors
    /// It does not answer.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.control.tell("sync").map(drop)
    }

    /// Removes a file of `/data`, and syncs.
    ///
    /// # Errors
    /// It does not answer.
    pub fn remove(&mut self, file: &str) -> Result<(), Error> {
        self.control.tell(&format!("remove {file}")).map(drop)
    }

    /// How far its wall clock is ahead of this machine's; negative: behind. Seconds, as exact as an answer is fast.
    ///
    /// # Errors
    /// It does not answer.
    pub fn clock_ahead(&mut self) -> Result<f64, Error> {
        let asked = SystemTime::now();
        let said = self.control.tell("clock")?;
        let half = asked.elapsed().unwrap_or_default() / 2;
        let here = (asked + half)
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let there: f64 = said
            .parse()
            .map_err(|_no_number| Error::Failed(format!("the guest says of its clock: {said}")))?;
        Ok(there - here.as_secs_f64())
    }

    /// Sets its wall clock to this machine's, plus so many milliseconds, as a time service would by a step. The guest's tool
    /// takes whole seconds, so it is told when one begins.
    ///
    /// # Errors
    /// It does not answer.
    pub fn set_clock(&mut self, ahead_ms: i64) -> Result<(), Error> {
        let (second, wait) = next_second(ahead_ms);
        std::thread::sleep(wait);
        self.control.tell(&format!("set-clock {second}")).map(drop)
    }
}

/// The next whole second of a clock that is so many milliseconds ahead of this machine's, and the time until it begins.
pub fn next_second(ahead_ms: i64) -> (i64, Duration) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let target_ms = now_ms.saturating_add(ahead_ms);
    let second = target_ms.div_euclid(1000) + 1;
    let wait = u64::try_from(second * 1000 - target_ms).unwrap_or(0);
    (second, Duration::from_millis(wait))
}
