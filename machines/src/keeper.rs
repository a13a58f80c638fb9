//! The thread that starts QEMU.
//!
//! A child of ours is killed by the kernel when its parent dies (`setpriv --pdeathsig`), and the kernel means the *thread*
//! that started it. So all are started by one thread, which lives as long as this process.

use std::{
    io,
    process::{Child, Command},
    sync::{OnceLock, mpsc},
    thread,
};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a command that must not outlive this process: it is killed with it, by SIGKILL too.
pub(crate) fn spawn(program: Command) -> io::Result<Child> {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    start(command)
}

fn start(mut command: Command) -> io::Result<Child> {
    // Ctrl-C in a terminal is for the harness, which then ends its guests.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts programs is gone");
    keeper()?
        .send((command, answer))
        .map_err(|_closed| gone())?;
    child.recv().map_err(|_closed| gone())?
}

fn keeper() -> io::Result<&'static mpsc::Sender<Order>> {
    static KEEPER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    if let Some(keeper) = KEEPER.get() {
        return Ok(keeper);
    }
    let (sender, orders) = mpsc::channel::<Order>();
    let body = move || {
        for (mut command, answer) in orders {
            // Whoever asked has gone: the child is dropped, and not killed; that nobody asks and goes is in `start`.
            let _ = answer.send(command.spawn());
        }
    };
    thread::Builder::new()
        .name("machines-keeper".into())
        .spawn(body)?;
    // When two threads came at once, the other's keeper ends with its sender.
    Ok(KEEPER.get_or_init(|| sender))
}
