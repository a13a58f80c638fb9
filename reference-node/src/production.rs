//! The environment of a real node: sockets, files, the system's clock and random numbers.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use redb::{StorageBackend, backends::FileBackend};
use tokio::net::{TcpListener, TcpStream};

use crate::env::{BoxFuture, BoxStream, Environment, Listener, Timestamp};

/// See the module.
pub struct Production {
    /// `None`: there are no files.
    files: Option<Files>,
    /// How far the wall clock is off, milliseconds.
    clock_offset: Option<PathBuf>,
}

struct Files {
    data: PathBuf,
    tracking: Mutex<File>,
}

impl Production {
    /// An environment whose files are in `data`, which is made when it is not there.
    ///
    /// # Errors
    /// The directory or the tracking log cannot be made.
    pub fn new(data: &Path) -> io::Result<Self> {
        fs::create_dir_all(data)?;
        let tracking = OpenOptions::new()
            .create(true)
            .append(true)
            .open(data.join("tracking.jsonl"))?;
        let files = Files {
            data: data.to_owned(),
            tracking: Mutex::new(tracking),
        };
        Ok(Self {
            files: Some(files),
            clock_offset: None,
        })
    }

    /// An environment that writes nothing: a front end's (SC-15).
    pub fn without_files() -> Self {
        Self {
            files: None,
            clock_offset: None,
        }
    }

    /// With a wall clock that is off by what a file says: whole milliseconds, negative when it is behind. The file is
    /// read whenever the time is asked for, so whoever changes it replaces it; while it is not there, or has no number,
    /// the clock is right. Monotonic time goes on as it does.
    #[must_use]
    pub fn with_clock_offset(self, file: Option<PathBuf>) -> Self {
        Self {
            clock_offset: file,
            ..self
        }
    }
}

impl Environment for Production {
    fn wall_clock(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let offset = self
            .clock_offset
            .as_ref()
            .and_then(|file| fs::read_to_string(file).ok())
            .and_then(|text| text.trim().parse::<i64>().ok());
        Timestamp(now.saturating_add_signed(offset.unwrap_or(0)))
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }

    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let address = address.to_owned();
        Box::pin(async move {
            let listener = TcpListener::bind(&address).await?;
            let address = listener.local_addr()?.to_string();
            Ok(Box::new(Socket { listener, address }) as Box<dyn Listener>)
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn storage(&self, file: &str) -> io::Result<Box<dyn StorageBackend>> {
        let data = match &self.files {
            Some(files) => &files.data,
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        let path = data.join(file);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        // A new file is on disk only once its directory is.
        File::open(data)?.sync_all()?;
        let backend = FileBackend::new(file).map_err(|e| match e {
            redb::DatabaseError::DatabaseAlreadyOpen => io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("{} is in use by another node", path.display()),
            ),
            other => io::Error::other(other.to_string()),
        })?;
        Ok(Box::new(backend))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // A panic in the work is seen by whoever waits for its result, which never comes.
            let _ = tokio::task::spawn_blocking(work).await;
        })
    }

    fn track(&self, line: &str) {
        let Some(files) = &self.files else { return };
        let mut file = files
            .tracking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The log is a service to readers: mail goes on when it cannot be written.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

struct Socket {
    listener: TcpListener,
    address: String,
}

impl Listener for Socket {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxStream, format!("[{}]", from.ip())))
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}
