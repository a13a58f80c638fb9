//! The environment's storage as redb takes it, and a database that is opened anew after its disk was full.

use std::{
    io,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError};

use super::StoreError;
use crate::{
    env::Environment,
    sabotage::{Sabotage, active},
};

/// How much of a database is kept in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// A database file. After a write that failed redb wants it opened anew.
pub(super) struct DatabaseFile {
    env: Arc<dyn Environment>,
    name: &'static str,
    sabotage: Option<Sabotage>,
    /// `None` while there is no room.
    open: Mutex<Option<Arc<Database>>>,
    full: AtomicBool,
}

impl DatabaseFile {
    pub(super) fn open(
        env: &Arc<dyn Environment>,
        name: &'static str,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, OpenError> {
        let database = open(&**env, name, sabotage)?;
        Ok(Self {
            env: env.clone(),
            name,
            sabotage,
            open: Mutex::new(Some(Arc::new(database))),
            full: AtomicBool::new(false),
        })
    }

    /// For readers.
    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.slot()
            .clone()
            .ok_or_else(|| StoreError(NO_ROOM.into()))
    }

    /// For the writer: opens the file again if it has to.
    pub(super) fn opened(&self) -> Result<Arc<Database>, OpenError> {
        let mut slot = self.slot();
        match &*slot {
            Some(database) => Ok(database.clone()),
            None => {
                let database = Arc::new(open(&*self.env, self.name, self.sabotage)?);
                Ok(slot.insert(database).clone())
            }
        }
    }

    /// A write found no room.
    pub(super) fn close(&self) {
        self.full.store(true, Ordering::SeqCst);
        *self.slot() = None;
    }

    /// A write found room.
    pub(super) fn written(&self) {
        if active(self.sabotage, Sabotage::StayFull) {
            return;
        }
        self.full.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Database>>> {
        // Only whole values are put into it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said while the disk is full.
const NO_ROOM: &str = "no room on the disk";

/// The disk is full; or the file that was closed for that is being read still.
pub(super) fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | AddrInUse)
}

fn open(
    env: &dyn Environment,
    file: &str,
    sabotage: Option<Sabotage>,
) -> Result<Database, OpenError> {
    let inner = env.storage(file).map_err(|error| OpenError::Storage {
        file: file.into(),
        error,
    })?;
    begin_anew(&*inner).map_err(|error| OpenError::Storage {
        file: file.into(),
        error,
    })?;
    let backend = Backend {
        inner,
        never_sync: active(sabotage, Sabotage::NoFsync),
    };
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|error| OpenError::Database {
            file: file.into(),
            error,
        })
}

/// redb writes the first octets of a new file last, when everything else of it is durable. A file that has room and lacks
/// them is one that the host lost power over while it was made: no message was ever in it, and it is made anew.
fn begin_anew(file: &dyn StorageBackend) -> io::Result<()> {
    let mut magic = [0; 9];
    if file.len()? < magic.len() as u64 {
        return file.set_len(0);
    }
    file.read(0, &mut magic)?;
    if magic == [0; 9] {
        file.set_len(0)?;
    }
    Ok(())
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be opened or made.
    #[error("{file} cannot be opened: {error}")]
    Storage {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// It is no database, or a broken one.
    #[error("{file} is no usable database: {error}")]
    Database {
        /// The file.
        file: String,
        /// What redb said.
        error: DatabaseError,
    },
}

impl OpenError {
    /// It may be opened a little later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Storage { error, .. }
            | Self::Database {
                error: DatabaseError::Storage(StorageError::Io(error)),
                ..
            } => may_pass(error),
            Self::Database { .. } => false,
        }
    }
}

#[derive(Debug)]
struct Backend {
    inner: Box<dyn StorageBackend>,
    never_sync: bool,
}

impl StorageBackend for Backend {
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
        if self.never_sync {
            Ok(())
        } else {
            self.inner.sync_data()
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
