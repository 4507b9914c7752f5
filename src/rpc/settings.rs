//! What `config_show` and `GET /config` return, and what a change comes to.

use serde::Serialize;

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingInfo {
    /// `section.key`
    pub key: &'static str,
    /// The value, as the settings file would have it; secrets are masked.
    pub value: String,
    /// Where it came from.
    pub source: String,
    /// Whether it can change in a running node.
    pub live: bool,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The settings that have another value now.
    pub changed: Vec<ChangedSetting>,
    /// Until when that holds.
    pub holds: &'static str,
}

/// One setting that has another value now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedSetting {
    /// `section.key`
    pub key: &'static str,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}
