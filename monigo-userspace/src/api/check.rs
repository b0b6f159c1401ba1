//! Looking at the settings of the server before it starts.

use std::net::SocketAddr;

use super::{
    HttpSettings, TlsError,
    guard::{GuardError, Guards},
    tls::Tls,
};

impl GuardError {
    /// The setting that is to blame, a dotted path.
    pub fn setting(&self) -> &str {
        match self {
            Self::Unreadable { setting, .. } | Self::Token { setting } => setting,
            Self::Users { .. } => "auth.users_file",
            // With the file behind it.
            Self::Keys { setting, .. } => setting.split(':').next().unwrap_or(setting),
            Self::Contradiction { .. } => "listen.insecure",
            Self::Origin(_) => "listen.cors_origins",
            Self::BasePath(_) => "listen.base_path",
        }
    }
}

impl TlsError {
    /// The setting that is to blame, a dotted path.
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Half { given, .. } => given,
            Self::Unusable { setting, .. } => setting,
            Self::Pair { .. } => "tls.key_file",
        }
    }
}

impl HttpSettings {
    /// What would keep a server with these settings from starting: setting and sentence. Reads the files that they
    /// name.
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut rest = self.clone();
        // What is wrong is left out, so that whatever else there is can be looked at.
        while let Err(error) = Guards::new(&rest, Some(rest.address())) {
            let setting = error.setting().to_owned();
            let known = rest.leave_out(&setting);
            wrong.push((setting, sentence(&error, error.setting())));
            if !known {
                break;
            }
        }
        if let Err(error) = Tls::new(&self.tls) {
            wrong.push((
                error.setting().to_owned(),
                sentence(&error, error.setting()),
            ));
        }
        wrong
    }

    /// A sentence about `listen.address` if others than this host can reach it and nothing says how they are to
    /// authenticate.
    pub fn remark(&self) -> Option<&'static str> {
        let auth = &self.auth;
        let ways = [
            auth.users_file.is_some(),
            auth.api_keys_file.is_some(),
            auth.api_key.is_some(),
            auth.token_file.is_some(),
            auth.token.is_some(),
            self.listen.insecure,
        ];
        let open = !self.listen.address.to_canonical().is_loopback() && !ways.contains(&true);
        open.then_some(
            "other hosts can reach it, and [auth] has no way to authenticate: the server would make a new token at each start and print it; set auth.token_file, auth.api_keys_file or auth.users_file, or listen.insecure",
        )
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.listen.address, self.listen.port)
    }

    /// Whether there is such a setting to leave out.
    fn leave_out(&mut self, setting: &str) -> bool {
        let Self { listen, auth, .. } = self;
        match setting {
            "auth.users_file" => auth.users_file.take().is_some(),
            "auth.api_keys_file" => auth.api_keys_file.take().is_some(),
            "auth.api_key" => auth.api_key.take().is_some(),
            "auth.token_file" => auth.token_file.take().is_some(),
            "auth.token" => auth.token.take().is_some(),
            "listen.insecure" => std::mem::take(&mut listen.insecure),
            "listen.cors_origins" => !std::mem::take(&mut listen.cors_origins).is_empty(),
            "listen.base_path" => {
                let default = Self::default().listen.base_path;
                std::mem::replace(&mut listen.base_path, default.clone()) != default
            }
            _ => false,
        }
    }
}

/// What an error says with its cause, without the name of the setting in front.
pub fn sentence(error: &dyn std::error::Error, setting: &str) -> String {
    let mut text = error.to_string();
    if let Some(cause) = error.source() {
        text = format!("{text}: {cause}");
    }
    match text
        .strip_prefix(setting)
        .and_then(|rest| rest.strip_prefix(": "))
    {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::api::Secret;

    #[test]
    fn everything_that_keeps_a_server_from_starting_is_named() {
        assert_eq!(HttpSettings::default().check(), []);
        let mut settings = HttpSettings::default();
        settings.auth.users_file = Some(PathBuf::from("/nonexistent/users"));
        settings.auth.api_key = Some(Secret::new("a key that nobody guesses"));
        settings.auth.token = Some(Secret::new("short"));
        settings.listen.insecure = true;
        settings.listen.cors_origins = vec!["example.org".to_owned()];
        settings.listen.base_path = "api".to_owned();
        settings.tls.cert_file = Some(PathBuf::from("/nonexistent/cert"));
        let wrong = settings.check();
        let mut keys: Vec<&str> = wrong.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "auth.token",
                "auth.users_file",
                "listen.base_path",
                "listen.cors_origins",
                "listen.insecure",
                "tls.cert_file",
            ]
        );
        for (key, sentence) in wrong {
            let twice = sentence.starts_with(&format!("{key}: "));
            assert!(!twice, "{key}: {sentence}");
        }
    }

    #[test]
    fn an_open_address_without_authentication_is_remarked_on() {
        let mut settings = HttpSettings::default();
        assert_eq!(settings.remark(), None);
        settings.listen.address = [0, 0, 0, 0].into();
        assert!(settings.remark().is_some());
        settings.listen.insecure = true;
        assert_eq!(settings.remark(), None);
        settings.listen.insecure = false;
        settings.auth.token = Some(Secret::new("0123456789abcdef"));
        assert_eq!(settings.remark(), None);
        settings.listen.address = "::1".parse().unwrap();
        settings.auth.token = None;
        assert_eq!(settings.remark(), None);
    }
}
