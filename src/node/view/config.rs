//! The settings in force, and changing them.

use super::super::house::House;
use crate::config::value::masked;
use crate::config::KEYS;
use crate::rpc::{Changed, ChangedSetting, SettingInfo};

/// What an operator must know of a change by a call.
const HOLDS: &str = "until the next start or SIGHUP, unless the settings file says the same";

impl House {
    /// What `config_show` returns.
    pub(super) fn settings_in_force(&self) -> Vec<SettingInfo> {
        let loaded = self.configuration.loaded();
        let told = KEYS.iter().map(|key| SettingInfo {
            key: key.name,
            value: masked(&(key.get)(&loaded.settings)),
            source: loaded.origin(key.name).to_string(),
            live: key.live,
        });
        told.collect()
    }

    /// Puts other values in force.
    pub(super) fn change_settings(
        &self,
        values: &[(String, String)],
        source: &'static str,
    ) -> Result<Changed, String> {
        let mut changed = Vec::new();
        self.change(|before| {
            let amended = before.amend(values, source).map_err(|e| e.to_string())?;
            for warning in &amended.warnings {
                log::warn!("{warning}");
            }
            for change in before.changes(&amended) {
                let (old, new) = (masked(&change.before), masked(&change.after));
                log::info!("{}: \"{old}\" is now \"{new}\" ({source})", change.key);
                let key = change.key;
                changed.push(ChangedSetting { key, old, new });
            }
            Ok(amended)
        })?;
        Ok(Changed {
            changed,
            holds: HOLDS,
        })
    }
}
