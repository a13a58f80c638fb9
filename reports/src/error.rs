//! What can go wrong when a report is written or read back.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The JUnit file could not be written.
    #[error("cannot write the report as JUnit XML")]
    Junit(#[from] quick_junit::SerializeError),
    /// The text is no JSON, or not that of a report.
    #[error("not a report: {0}")]
    Json(#[from] serde_json::Error),
    /// The report has another version than this crate reads and writes.
    #[error("report format version {found}, where this version of gauntlet knows only {known}", known = crate::REPORT_VERSION)]
    Version {
        /// The report's version.
        found: u32,
    },
}
