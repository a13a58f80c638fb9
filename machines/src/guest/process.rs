//! A QEMU process: its command line, its start and its end.
//!
//! Comes in: a [`Spec`], and what it is to begin with (its disk, or a state that comes in). Goes out: a process that is killed
//! when it is dropped, and that the kernel kills when the harness is.

use std::{
    any::Any,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use super::Spec;
use crate::{Error, image, keeper, switch::Plug, tool};

/// What the kernel is told. Software emulation may wait for a processor at any time, and what Linux measures then to learn
/// how fast its clocks are comes out wrong (a guest lived five minutes in one): so it uses the clock that needs no measuring.
const KERNEL: &str = "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check tsc=unstable clocksource=hpet nolapic_timer";

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Called with the number of each QEMU process that is started; what it returns is dropped when that has ended. So a harness
/// can write down what must not outlive it.
#[derive(Clone)]
pub struct Register(Arc<Registering>);

type Registering = dyn Fn(u32) -> Box<dyn Any + Send> + Send + Sync;

impl Register {
    /// By calling this.
    pub fn new(register: impl Fn(u32) -> Box<dyn Any + Send> + Send + Sync + 'static) -> Self {
        Self(Arc::new(register))
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Register")
    }
}

/// With what a QEMU begins.
#[derive(Debug, Clone)]
pub(super) enum Begin {
    /// With its disk: it boots.
    Boot,
    /// With the state that comes in from there (QEMU's `-incoming`): it waits for `cont`, or for the end of a migration.
    Incoming(String),
}

/// A running QEMU. Dropped, it is killed, and gone.
pub(super) struct Process {
    child: Child,
    // Crossed out after the child is gone.
    _registered: Option<Box<dyn Any + Send>>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({})", self.child.id())
    }
}

impl Process {
    /// Starts one. `tag` names its sockets, and is another one for each.
    pub(super) fn start(spec: &Spec, tag: &str, plug: &Plug, begin: &Begin) -> Result<Self, Error> {
        let configuration = spec.directory.join(format!("{}.tar", spec.name));
        if matches!(begin, Begin::Boot) {
            fs::write(&configuration, contents(spec)).map_err(Error::at(&configuration))?;
        }
        let errors = spec.console.with_extension("qemu.log");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&errors);
        let mut command = arguments(spec, tag, plug, begin, &configuration)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_err(Error::at(&errors))?);
        let child = keeper::spawn(command).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => tool::missing("setpriv"),
            _ => Error::io("start QEMU")(error),
        })?;
        let registered = spec
            .register
            .as_ref()
            .map(|register| (register.0)(child.id()));
        Ok(Self {
            child,
            _registered: registered,
        })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// It has not ended by itself.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended by itself; says whether it has.
    pub(super) fn ended_within(&mut self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.lives() {
            if begun.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.ended_within(PATIENCE);
    }
}

/// The disk with the configuration: the guest's files, and what process 1 is to know.
fn contents(spec: &Spec) -> Vec<u8> {
    let command = [&spec.image.program].into_iter().chain(&spec.arguments);
    let command: Vec<&str> = command.map(String::as_str).collect();
    let mut settings = format!(
        "ADDRESS={}/{}\nCOMMAND='{}'\nOUTPUT='{}'\n",
        spec.address,
        spec.prefix,
        command.join(" "),
        spec.output_name
    );
    if !spec.autostart {
        settings.push_str("AUTOSTART=no\n");
    }
    for (name, value) in &spec.environment {
        settings.push_str(&format!("export {name}='{value}'\n"));
    }
    if let Some((outside, inside)) = spec.forward {
        settings.push_str(&format!("FORWARD={outside}:{inside}\n"));
    }
    let files = spec
        .files
        .iter()
        .map(|(name, octets)| (name.as_str(), octets.as_slice()));
    image::archive([("settings", settings.as_bytes())].into_iter().chain(files))
}

fn arguments(
    spec: &Spec,
    tag: &str,
    plug: &Plug,
    begin: &Begin,
    configuration: &Path,
) -> Result<Command, Error> {
    let accelerator = spec.accelerator;
    let mut command = tool::command("qemu-system-x86_64");
    command
        .args(["-accel", accelerator.argument(), "-cpu", accelerator.cpu()])
        .args(["-M", "q35", "-m", &spec.memory_mib.to_string()])
        .args(["-smp", &spec.vcpus.to_string()])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-name", &spec.name]);
    let kernel = match accelerator {
        super::Accelerator::Emulation => KERNEL,
        super::Accelerator::Kvm => "console=ttyS0 quiet panic=-1",
    };
    command.arg("-kernel").arg(&spec.image.kernel);
    command.arg("-initrd").arg(&spec.image.initramfs);
    command.args(["-append", kernel]);
    let qmp = path(&socket(spec, tag, "qmp"))?;
    command.args(["-qmp", &format!("unix:{qmp},server=on,wait=off")]);
    command.args([
        "-chardev",
        &format!("file,id=console,path={},append=on", path(&spec.console)?),
    ]);
    command.args(["-serial", "chardev:console"]);
    let disks = [
        ("data", spec.disk.path(), "cache=writeback"),
        ("root", &spec.image.root, "read-only=on"),
        ("config", configuration, "read-only=on"),
    ];
    for (name, file, how) in disks {
        let drive = format!("if=none,id={name},format=raw,file={},{how}", path(file)?);
        command.args(["-drive", &drive]);
        command.args([
            "-device",
            &format!("virtio-blk-pci,drive={name},serial={name}"),
        ]);
    }
    command.args([
        "-device",
        "virtio-serial-pci",
        "-device",
        "virtio-balloon-pci",
    ]);
    let control = format!(
        "socket,id=control,path={},server=on,wait=off",
        path(&socket(spec, tag, "ctl"))?
    );
    let output = format!("file,id=output,path={},append=on", path(&spec.output)?);
    command.args([
        "-chardev",
        &control,
        "-device",
        "virtserialport,chardev=control,nr=1",
    ]);
    command.args([
        "-chardev",
        &output,
        "-device",
        "virtserialport,chardev=output,nr=2",
    ]);
    let [a, b, c, d, e, f] = spec.mac;
    let card = format!(
        "virtio-net-pci,netdev=net,romfile=,mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
    );
    command.args(["-netdev", &plug.netdev("net"), "-device", &card]);
    if let Begin::Incoming(from) = begin {
        command.args(["-incoming", from]);
    }
    Ok(command)
}

/// The socket of one QEMU for that purpose.
pub(super) fn socket(spec: &Spec, tag: &str, what: &str) -> PathBuf {
    spec.directory.join(format!("{tag}.{what}"))
}

/// A path as QEMU's options have it: a comma is doubled.
fn path(path: &Path) -> Result<String, Error> {
    let text = path.to_str();
    let text = text.ok_or_else(|| Error::Failed(format!("{} is no UTF-8", path.display())))?;
    Ok(text.replace(',', ",,"))
}
