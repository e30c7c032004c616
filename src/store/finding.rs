//! The findings of an examination of a store.

use serde::Serialize;

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was checked, such as `persistence`.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found and what follows from it, on one line.
    pub reason: String,
    /// The command or setting that fixes it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The servers that the finding is about; empty if it is about all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It could not be checked.
    Unknown,
    /// It works, but could be better.
    Warning,
    /// Something does not work.
    Problem,
}

impl Finding {
    /// A finding that needs no fix.
    pub fn new(check: &'static str, severity: Severity, reason: impl Into<String>) -> Self {
        Self { check, severity, reason: reason.into(), remedy: None, servers: Vec::new() }
    }

    /// The same finding with a fix.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
