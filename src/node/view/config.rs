//! The settings in force, and changing them.

use super::super::house::House;
use crate::config::KEYS;
use crate::rpc::{Changed, SettingInfo};

impl House {
    /// What `config_show` returns.
    pub(super) fn settings_in_force(&self) -> Vec<SettingInfo> {
        let settings = self.settings();
        let told = KEYS.iter().map(|key| SettingInfo {
            key: key.name,
            value: (key.get)(&settings),
            source: String::new(),
            live: key.live,
        });
        told.collect()
    }

    /// Puts other values in force.
    pub(super) fn change_settings(
        &self,
        _values: &[(String, String)],
        _source: &'static str,
    ) -> Result<Changed, String> {
        Err("not yet".to_owned())
    }
}
