//! A guest's memory and devices leave their QEMU: into a file, or into another QEMU.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Place, Running, Spec, Stopped, next_tag, process::Begin};
use crate::{Error, qmp::Qmp, stack::Pulse, switch::Gap};

/// How long a state may take from one place to another.
const PATIENCE: Duration = Duration::from_secs(120);

/// A guest whose memory and devices are in a file. Its QEMU has ended.
#[derive(Debug)]
pub struct Saved {
    spec: Arc<Spec>,
    place: Place,
    state: PathBuf,
    /// How long it took.
    pub took: Duration,
}

/// What a live migration was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Migration {
    /// From the command until the guest runs in the second QEMU and the first has ended.
    pub took: Duration,
    /// How long neither QEMU ran the guest, as QEMU counts it.
    pub downtime: Duration,
    /// The longest time without a frame of the guest's, which is asked for one every two milliseconds.
    pub blackout: Gap,
}

impl Running {
    /// Stops the guest, writes its memory and devices to that file, and ends QEMU. Its disk stays as it is.
    ///
    /// # Errors
    /// The state cannot be written; the guest is lost then, as by [`kill`](Self::kill).
    pub fn save(mut self, state: &Path) -> Result<Saved, Error> {
        let begun = Instant::now();
        self.freeze()?;
        self.write_state(state)?;
        // QEMU hangs up before it can answer.
        let _ = self.qmp.execute("quit", json!({}));
        self.process.ended_within(PATIENCE);
        let Stopped { spec, place } = self.kill();
        Ok(Saved {
            spec,
            place,
            state: state.to_owned(),
            took: begun.elapsed(),
        })
    }

    /// Writes memory, devices and disk of one moment to these files. The guest goes on after that.
    ///
    /// # Errors
    /// They cannot be written; the guest goes on all the same.
    pub fn snapshot(&mut self, state: &Path, disk: &Path) -> Result<(), Error> {
        self.freeze()?;
        let written = self
            .write_state(state)
            .and_then(|()| self.spec.disk.copy_to(disk));
        self.thaw()?;
        written
    }

    fn write_state(&mut self, state: &Path) -> Result<(), Error> {
        let uri = format!("exec:cat > {}", quoted(state)?);
        self.qmp.execute("migrate", json!({ "uri": uri }))?;
        migrated(&mut self.qmp).map(drop)
    }

    /// Moves the guest to a new QEMU while it runs, as to another host with the same storage.
    ///
    /// # Errors
    /// It cannot be moved; it goes on where it was.
    pub fn migrate(&mut self) -> Result<Migration, Error> {
        let begun = Instant::now();
        let door = self
            .spec
            .directory
            .join(format!("{}.mig", next_tag(&self.spec)));
        let door = door
            .to_str()
            .ok_or_else(|| Error::Failed("the directory's path is no UTF-8".into()))?;
        let uri = format!("unix:{door}");
        let mut second = Self::start(&self.spec, &self.place, &Begin::Incoming(uri.clone()))?;
        self.place.switch.watch(self.place.host);
        let pulse = Pulse::start(&self.place.switch, self.spec.mac, self.spec.address);
        let moved = self
            .qmp
            .execute("migrate", json!({ "uri": uri }))
            .map_err(Error::from)
            .and_then(|_| migrated(&mut self.qmp))
            .and_then(|info| second.arrived().map(|()| info));
        if moved.is_ok() {
            // The first frame from its new place ends the blackout.
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(pulse);
        let blackout = self.place.switch.unwatch(self.place.host);
        // Its socket's file is left by QEMU.
        let _ = fs::remove_file(door);
        let info = match moved {
            Ok(info) => info,
            Err(error) => {
                drop(second);
                // A migration that failed may have left it stopped.
                self.thaw()?;
                return Err(error);
            }
        };
        // The first QEMU ends here, with its port.
        *self = second;
        Ok(Migration {
            took: begun.elapsed(),
            downtime: Duration::from_millis(info["downtime"].as_u64().unwrap_or_default()),
            blackout: blackout.unwrap_or_default(),
        })
    }

    /// Waits until the state that comes in is there, and the guest runs.
    fn arrived(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        while !self.is_running()? {
            if begun.elapsed() > PATIENCE {
                return Err(Error::Failed(
                    "the guest does not run in its new place".into(),
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Saved {
    /// Lets the guest go on in a new QEMU, from exactly where it was. Its wall clock goes on from there, too.
    ///
    /// # Errors
    /// With the guest as it is: QEMU does not take the state.
    pub fn resume(self) -> Result<Running, (Box<Self>, Error)> {
        let resumed = restore(&self.spec, &self.place, &self.state);
        resumed.map_err(|error| (Box::new(self), error))
    }

    /// Throws memory and devices away.
    #[must_use = "a guest that is dropped is gone with its disk's whereabouts"]
    pub fn discard(self) -> Stopped {
        // It is in a directory that does not stay.
        let _ = fs::remove_file(&self.state);
        Stopped {
            spec: self.spec,
            place: self.place,
        }
    }
}

impl Stopped {
    /// Lets a guest go on from a [snapshot](Running::snapshot) of memory, devices and disk. The snapshot stays.
    ///
    /// # Errors
    /// With the guest as it is: its disk cannot be put back, or QEMU does not take the state.
    pub fn revert(self, state: &Path, disk: &Path) -> Result<Running, (Self, Error)> {
        let back = self
            .spec
            .disk
            .put_back(disk)
            .and_then(|()| restore(&self.spec, &self.place, state));
        back.map_err(|error| (self, error))
    }
}

fn restore(spec: &Arc<Spec>, place: &Place, state: &Path) -> Result<Running, Error> {
    let from = format!("exec:cat {}", quoted(state)?);
    let mut running = Running::start(spec, place, &Begin::Incoming(from))?;
    let begun = Instant::now();
    loop {
        let status = running.qmp.execute("query-status", json!({}))?;
        match status["status"].as_str() {
            Some("inmigrate") if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Some("inmigrate") | None => {
                return Err(Error::Failed("the saved state does not come in".into()));
            }
            Some(_there) => break,
        }
    }
    running.thaw()?;
    Ok(running)
}

/// Waits until the state is out; answers with what QEMU tells of it.
fn migrated(qmp: &mut Qmp) -> Result<Value, Error> {
    let begun = Instant::now();
    loop {
        let info = qmp.execute("query-migrate", json!({}))?;
        match info["status"].as_str() {
            Some("completed") => return Ok(info),
            Some(status @ ("failed" | "cancelled")) => {
                let why = info["error-desc"].as_str().unwrap_or("no reason given");
                return Err(Error::Failed(format!(
                    "the guest's state: {status} ({why})"
                )));
            }
            _ if begun.elapsed() > PATIENCE => {
                return Err(Error::Failed("the guest's state is not out in time".into()));
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// For the shell that QEMU runs.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path.to_str();
    let text = text.ok_or_else(|| Error::Failed(format!("{} is no UTF-8", path.display())))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell() {
        let quoted = quoted(Path::new("/tmp/it's here")).expect("UTF-8");
        assert_eq!(quoted, r"'/tmp/it'\''s here'");
    }
}
