//! A pipe of the kernel's between two sockets: octets pass without being copied into this process and out of it.

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        os::fd::{AsFd, OwnedFd},
    };

    use bytes::Bytes;
    use nix::{
        fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
        unistd::{pipe2, read},
    };
    use tokio::{io::Interest, net::TcpStream};

    /// Octets that it may hold. The kernel may give less, and does when there are many.
    const ROOM: usize = 1024 * 1024;

    /// The pipe.
    pub(in super::super) struct Pipe {
        reads: OwnedFd,
        writes: OwnedFd,
        filled: usize,
    }

    impl Pipe {
        pub(in super::super) fn new() -> io::Result<Self> {
            let (reads, writes) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
            let room = i32::try_from(ROOM).unwrap_or(i32::MAX);
            let _ = fcntl(&writes, FcntlArg::F_SETPIPE_SZ(room));
            Ok(Self {
                reads,
                writes,
                filled: 0,
            })
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            self.filled == 0
        }

        /// Takes what has come into an empty pipe; 0: nothing more comes.
        pub(in super::super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
            let length =
                from.try_io(Interest::READABLE, || splice_some(from, &self.writes, ROOM))?;
            self.filled += length;
            Ok(length)
        }

        /// Passes on what is in it, as far as the other side takes it.
        pub(in super::super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
            let filled = self.filled;
            let length = to.try_io(Interest::WRITABLE, || splice_some(&self.reads, to, filled))?;
            if length == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.filled -= length;
            Ok(length)
        }

        /// Takes out what is in it.
        pub(in super::super) fn take(mut self) -> io::Result<Bytes> {
            let mut octets = vec![0; self.filled];
            let mut taken = 0;
            while taken < octets.len() {
                match read(&self.reads, &mut octets[taken..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    length => taken += length,
                }
            }
            self.filled = 0;
            Ok(octets.into())
        }
    }

    fn splice_some(from: impl AsFd, to: impl AsFd, length: usize) -> io::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        Ok(splice(from, None, to, None, length, flags)?)
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::Pipe;

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::Pipe;

/// No pipe: octets are read and written.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::{convert::Infallible, io};

    use bytes::Bytes;
    use tokio::net::TcpStream;

    pub(in super::super) struct Pipe(Infallible);

    impl Pipe {
        pub(in super::super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            match self.0 {}
        }

        pub(in super::super) fn fill(&mut self, _: &TcpStream) -> io::Result<usize> {
            match self.0 {}
        }

        pub(in super::super) fn drain(&mut self, _: &TcpStream) -> io::Result<usize> {
            match self.0 {}
        }

        pub(in super::super) fn take(self) -> io::Result<Bytes> {
            match self.0 {}
        }
    }
}
