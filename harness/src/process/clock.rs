//! The wall clocks of nodes that take their time from a file of the harness. No system clock is touched.

use std::{fs, io, path::Path};

/// Sets a clock so many milliseconds ahead, or back. The node reads the file whenever it asks for the time, so it is
/// replaced as a whole.
pub(super) fn set(file: &Path, offset_ms: i64) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{offset_ms}\n"))?;
    fs::rename(new, file)
}
