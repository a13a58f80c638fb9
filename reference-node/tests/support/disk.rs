//! A node's environment whose disk can be full.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::StorageBackend;
use reference_node::{
    env::{BoxFuture, BoxStream, Environment, Listener, Timestamp},
    production::Production,
};

pub(crate) struct SmallDisk {
    pub(crate) inner: Production,
    pub(crate) full: Arc<AtomicBool>,
}

impl Environment for SmallDisk {
    fn wall_clock(&self) -> Timestamp {
        self.inner.wall_clock()
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        self.inner.connect(address)
    }

    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        self.inner.listen(address)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn(task);
    }

    fn storage(&self, file: &str) -> io::Result<Box<dyn StorageBackend>> {
        let inner = self.inner.storage(file)?;
        Ok(Box::new(File {
            inner,
            full: self.full.clone(),
        }))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.inner.blocking(work)
    }

    fn track(&self, line: &str) {
        self.inner.track(line);
    }
}

#[derive(Debug)]
struct File {
    inner: Box<dyn StorageBackend>,
    full: Arc<AtomicBool>,
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}
