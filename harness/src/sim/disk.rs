//! The platter of one simulated node: what was synced, apart from what was only written.
//!
//! Comes in: what redb writes and syncs through [`SimFile`]. Goes out: the same octets, and after a crash
//! only those that the crash has left. Called by [`SimEnvironment`](super::SimEnvironment) for storage and
//! by [`SimCluster`](super::SimCluster) for crashes, snapshots and reverts.
//!
//! A file is two images made of shared pages: the current one, and the durable one. A sync copies the
//! pointers of the pages that differ; a snapshot copies all pointers. No octets are copied by either.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

const PAGE: usize = 4096;

/// Octets that one file may have. Bounds the table of pages, and makes a runaway writer an error.
const LONGEST_FILE: u64 = 16 << 30;

type Page = Arc<[u8; PAGE]>;

/// A node's disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<Platter>>,
}

/// What stood on the platter, synced, at one moment.
#[derive(Clone, Default)]
pub struct SimSnapshot {
    files: BTreeMap<String, Image>,
}

/// A file as one incarnation of the node has opened it. After a crash every call is an error.
pub struct SimFile {
    disk: SimDisk,
    name: String,
    generation: u64,
}

#[derive(Default)]
struct Platter {
    /// Handles of earlier generations are dead.
    generation: u64,
    files: BTreeMap<String, FileState>,
    /// No block is free.
    full: bool,
    /// Nothing can be written.
    read_only: bool,
}

#[derive(Clone, Default)]
struct Image {
    len: u64,
    /// By number; `None`, and what is beyond the table, is zeros.
    pages: Vec<Option<Page>>,
}

#[derive(Default)]
struct FileState {
    current: Image,
    durable: Image,
    /// A file that was never synced is not in the directory after power loss.
    synced_once: bool,
    /// Numbers of pages that may differ between the two images.
    dirty: Vec<usize>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the file of that name, or makes it. It becomes durable with its first sync.
    pub fn open(&self, file: &str) -> SimFile {
        let mut platter = self.lock();
        platter.files.entry(file.to_owned()).or_default();
        SimFile {
            disk: self.clone(),
            name: file.to_owned(),
            generation: platter.generation,
        }
    }

    /// The process ends: what it wrote is in the page cache and stays. Its handles are dead.
    pub fn process_crash(&self) {
        self.lock().generation += 1;
    }

    /// The host loses power: what was not synced is gone. All handles are dead.
    pub fn host_crash(&self) {
        let mut platter = self.lock();
        platter.generation += 1;
        platter.files.retain(|_, file| file.synced_once);
        for file in platter.files.values_mut() {
            file.lose_unsynced();
        }
    }

    /// The file systems are unmounted after the process has ended: everything written is on the platter. All handles are
    /// dead. A disk that fails keeps what it has.
    pub fn unmount(&self) {
        let mut platter = self.lock();
        platter.generation += 1;
        if !platter.read_only {
            platter.files.values_mut().for_each(FileState::sync);
        }
    }

    /// A copy of what is durable now.
    pub fn snapshot(&self) -> SimSnapshot {
        let durable = |(name, file): (&String, &FileState)| (name.clone(), file.durable.clone());
        let platter = self.lock();
        SimSnapshot {
            files: platter
                .files
                .iter()
                .filter(|(_, file)| file.synced_once)
                .map(durable)
                .collect(),
        }
    }

    /// The disk goes back to `snapshot`: files made since are gone, too. All handles are dead.
    pub fn revert(&self, snapshot: &SimSnapshot) {
        let restored = |(name, image): (&String, &Image)| {
            let file = FileState {
                current: image.clone(),
                durable: image.clone(),
                synced_once: true,
                dirty: Vec::new(),
            };
            (name.clone(), file)
        };
        let mut platter = self.lock();
        platter.generation += 1;
        platter.files = snapshot.files.iter().map(restored).collect();
    }

    /// Removes a file, durably. All handles are dead, those of other files as well.
    pub fn remove(&self, file: &str) {
        let mut platter = self.lock();
        platter.generation += 1;
        platter.files.remove(file);
    }

    /// Removes everything. All handles are dead.
    pub fn wipe(&self) {
        self.revert(&SimSnapshot::default());
    }

    /// Whether the disk is full from now on: what has blocks can be overwritten, nothing gets a new one. It stays so
    /// whatever happens to the files.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// The disk begins to fail: nothing can be written or synced, what was not synced is lost when the disk is repaired,
    /// or at the next loss of power. It stays so whatever happens to the files.
    pub fn set_read_only(&self) {
        self.lock().read_only = true;
    }

    /// The disk can be written again. What was not synced is gone. All handles are dead.
    pub fn repair(&self) {
        self.host_crash();
        self.lock().read_only = false;
    }

    /// Names of the files, and their lengths in octets as a running process sees them.
    pub fn files(&self) -> BTreeMap<String, u64> {
        let platter = self.lock();
        platter
            .files
            .iter()
            .map(|(name, file)| (name.clone(), file.current.len))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        // Nothing that can panic half way runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call does to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl SimFile {
    fn with<T>(
        &self,
        access: Access,
        act: impl FnOnce(&mut FileState, bool) -> Result<T, io::Error>,
    ) -> Result<T, io::Error> {
        let mut platter = self.disk.lock();
        let full = platter.full;
        if platter.read_only && access == Access::Write {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if platter.generation != self.generation {
            return Err(io::Error::other(
                "the process that opened this file is gone",
            ));
        }
        match platter.files.get_mut(&self.name) {
            Some(file) => act(file, full),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl StorageBackend for SimFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.with(Access::Read, |file, _| Ok(file.current.len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with(Access::Read, |file, _| file.current.read(offset, out))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.with(Access::Write, |file, full| {
            match full && len > file.current.len {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => file.set_len(len),
            }
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.with(Access::Write, |file, _| {
            file.sync();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.with(Access::Write, |file, full| file.write(offset, data, full))
    }
}

impl Image {
    fn page(&self, number: usize) -> Option<&Page> {
        self.pages.get(number).and_then(Option::as_ref)
    }

    fn set_page(&mut self, number: usize, page: Option<Page>) {
        if number >= self.pages.len() {
            self.pages.resize(number + 1, None);
        }
        self.pages[number] = page;
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let end = end_of(offset, out.len())?;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (number, within) in pieces(offset, out.len()) {
            let piece = &mut out[done..done + within.len()];
            done += within.len();
            match self.page(number) {
                Some(page) => piece.copy_from_slice(&page[within]),
                None => piece.fill(0),
            }
        }
        Ok(())
    }
}

impl FileState {
    /// On a full disk the pages before the first that needs a new block are written all the same.
    fn write(&mut self, offset: u64, data: &[u8], full: bool) -> Result<(), io::Error> {
        let end = end_of(offset, data.len())?;
        let mut done = 0;
        for (number, within) in pieces(offset, data.len()) {
            if full && self.current.page(number).is_none() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let piece = &data[done..done + within.len()];
            done += within.len();
            self.page_mut(number)[within].copy_from_slice(piece);
        }
        self.current.len = self.current.len.max(end);
        Ok(())
    }

    /// The page, for writing: no other image shares it, and a sync will find it.
    fn page_mut(&mut self, number: usize) -> &mut [u8; PAGE] {
        self.mark(number);
        if number >= self.current.pages.len() {
            self.current.pages.resize(number + 1, None);
        }
        let page = self.current.pages[number].get_or_insert_with(|| Arc::new([0; PAGE]));
        Arc::make_mut(page)
    }

    fn mark(&mut self, number: usize) {
        let clean = match (self.current.page(number), self.durable.page(number)) {
            (None, None) => true,
            (Some(current), Some(durable)) => Arc::ptr_eq(current, durable),
            _ => false,
        };
        if clean {
            self.dirty.push(number);
        }
    }

    fn set_len(&mut self, len: u64) -> Result<(), io::Error> {
        if len > LONGEST_FILE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if len < self.current.len {
            // Bounded by LONGEST_FILE, so it fits.
            let kept = len.div_ceil(PAGE as u64) as usize;
            for number in kept..self.current.pages.len() {
                self.mark(number);
                self.current.pages[number] = None;
            }
            let rest = (len % PAGE as u64) as usize;
            if rest > 0 && self.current.page(kept - 1).is_some() {
                self.page_mut(kept - 1)[rest..].fill(0);
            }
        }
        self.current.len = len;
        Ok(())
    }

    fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            let page = self.current.page(number).cloned();
            self.durable.set_page(number, page);
        }
        self.durable.len = self.current.len;
        self.synced_once = true;
    }

    fn lose_unsynced(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            let page = self.durable.page(number).cloned();
            self.current.set_page(number, page);
        }
        self.current.len = self.durable.len;
    }
}

/// Where a transfer ends, when that is a place that a file can have.
fn end_of(offset: u64, len: usize) -> Result<u64, io::Error> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= LONGEST_FILE => Ok(end),
        _ => Err(io::ErrorKind::StorageFull.into()),
    }
}

/// Cuts `len` octets from `offset` at the borders of pages: page number, and the range within it.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    // `end_of` has bounded it, so it fits.
    let mut at = offset as usize;
    let end = at + len;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (number, start) = (at / PAGE, at % PAGE);
        let stop = PAGE.min(start + (end - at));
        at += stop - start;
        Some((number, start..stop))
    })
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("files", &self.files())
            .finish()
    }
}

impl fmt::Debug for SimSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths: BTreeMap<_, _> = self.files.iter().map(|(n, i)| (n, i.len)).collect();
        f.debug_struct("SimSnapshot")
            .field("files", &lengths)
            .finish()
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("name", &self.name)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
