//! The ways to authenticate that are configured, and the files that they come from.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{ApiKeys, BasicAuth, GuardError, TokenAccess};
use crate::sync::lock;
use crate::{
    api::settings::{AuthSettings, Secret},
    config::Watch,
};

/// Time between looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Characters that a token has at least.
pub(super) const SHORTEST_TOKEN: usize = 16;

/// Any of these suffices; without any, everybody is let through.
#[derive(Debug, Default)]
pub struct Ways {
    pub basic: Option<BasicAuth>,
    pub keys: Option<ApiKeys>,
    pub token: Option<TokenAccess>,
}

impl Ways {
    /// The setting behind one of them.
    pub fn any(&self) -> Option<&'static str> {
        [
            self.basic.as_ref().map(|_| "auth.users_file"),
            self.keys
                .as_ref()
                .map(|_| "auth.api_keys_file or auth.api_key"),
            self.token.as_ref().map(|_| "auth.token"),
        ]
        .into_iter()
        .flatten()
        .next()
    }
}

/// Where a token is used: cookies are of a port, and know whether they need TLS.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub port: u16,
    pub https: bool,
}

/// The ways that the settings name, read again when their files change.
#[derive(Debug)]
pub struct Credentials {
    auth: AuthSettings,
    place: Place,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    ways: Arc<Ways>,
    files: Vec<Watch>,
    looked: Instant,
}

impl Credentials {
    /// Reads the files. Without any way at all, `otherwise` is the token, and there is none but that.
    pub fn read(
        auth: &AuthSettings,
        place: Place,
        otherwise: Option<Secret>,
    ) -> Result<Self, GuardError> {
        // Before they are read: what is written meanwhile is read again.
        let files = [&auth.users_file, &auth.api_keys_file, &auth.token_file];
        let files = files.into_iter().flatten().map(|path| Watch::new(path));
        let files = files.collect();
        let mut ways = read(auth, place)?;
        if let (None, Some(token)) = (ways.any(), otherwise) {
            ways.token = Some(TokenAccess::new(token, place.port, place.https));
        }
        Ok(Self {
            auth: auth.clone(),
            place,
            current: Mutex::new(Current {
                ways: Arc::new(ways),
                files,
                looked: Instant::now(),
            }),
        })
    }

    /// The ways that are taken now. When changed files cannot be used, what was read before stays in force.
    pub fn now(&self) -> Arc<Ways> {
        let mut current = lock(&self.current);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            // All of them, so that each change counts once.
            let changed = current.files.iter_mut().map(Watch::changed);
            if changed.fold(false, |any, changed| any | changed) {
                match read(&self.auth, self.place) {
                    Ok(ways) => {
                        tracing::info!("read users, keys and token again");
                        current.ways = Arc::new(ways);
                    }
                    Err(error) => {
                        tracing::warn!("the old users, keys and token stay in force: {error}");
                    }
                }
            }
        }
        Arc::clone(&current.ways)
    }
}

fn read(auth: &AuthSettings, place: Place) -> Result<Ways, GuardError> {
    let mut ways = Ways::default();
    if let Some(path) = &auth.users_file {
        let text = read_secret("auth.users_file", path)?;
        let users = BasicAuth::parse(&text).map_err(|reason| GuardError::Users {
            path: path.clone(),
            reason,
        })?;
        ways.basic = Some(users);
    }
    if let Some(path) = &auth.api_keys_file {
        let text = read_secret("auth.api_keys_file", path)?;
        let setting = format!("auth.api_keys_file: {}", path.display());
        ways.keys = Some(keys(&text, setting)?);
    }
    if let Some(key) = &auth.api_key {
        let key = keys(key, "auth.api_key".to_owned())?;
        ways.keys = Some(match ways.keys {
            Some(keys) => keys.and(key),
            None => key,
        });
    }
    let token = match (&auth.token, &auth.token_file) {
        (Some(token), _) => Some((token.clone(), "auth.token")),
        (None, Some(path)) => Some((read_secret("auth.token_file", path)?, "auth.token_file")),
        (None, None) => None,
    };
    if let Some((token, setting)) = token {
        let token = checked(&token, setting)?;
        ways.token = Some(TokenAccess::new(token, place.port, place.https));
    }
    Ok(ways)
}

fn keys(text: &Secret, setting: String) -> Result<ApiKeys, GuardError> {
    ApiKeys::parse(text).map_err(|reason| GuardError::Keys { setting, reason })
}

/// It goes into an address and a cookie.
fn checked(token: &Secret, setting: &'static str) -> Result<Secret, GuardError> {
    let token = token.expose().trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if token.len() >= SHORTEST_TOKEN && token.bytes().all(plain) {
        Ok(Secret::new(token))
    } else {
        Err(GuardError::Token { setting })
    }
}

fn read_secret(setting: &'static str, path: &Path) -> Result<Secret, GuardError> {
    let unreadable = |source| GuardError::Unreadable {
        setting,
        path: PathBuf::from(path),
        source,
    };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(
            "{setting}: every user of this host may read {}; `chmod 600` it",
            path.display()
        );
    }
    fs::read_to_string(path)
        .map(Secret::new)
        .map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::{super::keys::Offer, *};
    use crate::api::guard::hash_password;

    const FIRST: &str = "first-key-0123456789";
    const SECOND: &str = "second-key-0123456789";

    fn basic(name: &str, password: &str) -> HeaderMap {
        let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
        let value = HeaderValue::try_from(format!("Basic {pair}")).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    fn key(key: &'static str) -> HeaderMap {
        let name = super::super::keys::HEADER.parse().unwrap();
        HeaderMap::from_iter([(name, HeaderValue::from_static(key))])
    }

    /// Waits until the files were read again.
    async fn other(credentials: &Credentials, before: &Arc<Ways>) -> Arc<Ways> {
        loop {
            let now = credentials.now();
            if !Arc::ptr_eq(before, &now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn changed_files_are_read_again_and_broken_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let user = |name: &str| {
            let hash = hash_password(&Secret::new(format!("{name}'s"))).unwrap();
            format!("{name}:{hash}\n")
        };
        write("users", &user("ann"));
        write("keys", FIRST);
        write("token", FIRST);
        let auth = AuthSettings {
            users_file: path("users"),
            api_keys_file: path("keys"),
            api_key: Some(Secret::new("from-the-environment")),
            token_file: path("token"),
            ..AuthSettings::default()
        };
        let place = Place {
            port: 1,
            https: true,
        };
        let credentials = Credentials::read(&auth, place, None).unwrap();
        let before = credentials.now();
        let users = before.basic.as_ref().unwrap();
        assert_eq!(users.verify(&basic("ann", "ann's")).await, Offer::Right);

        write("users", &user("bob"));
        let after = other(&credentials, &before).await;
        let users = after.basic.as_ref().unwrap();
        assert_eq!(users.verify(&basic("bob", "bob's")).await, Offer::Right);
        // Not by what was found right before, either.
        assert_eq!(users.seen(&basic("ann", "ann's")), Offer::Wrong);
        assert_eq!(users.verify(&basic("ann", "ann's")).await, Offer::Wrong);

        write("keys", SECOND);
        let after = other(&credentials, &after).await;
        let keys = after.keys.as_ref().unwrap();
        assert_eq!(keys.offer(&key(FIRST)), Offer::Wrong);
        assert_eq!(keys.offer(&key(SECOND)), Offer::Right);
        assert_eq!(keys.offer(&key("from-the-environment")), Offer::Right);

        // Neither no users, which must not mean everybody, nor a short token.
        write("users", "");
        write("token", "short");
        fs::remove_file(folder.path().join("keys")).unwrap();
        let stays = {
            let current = || credentials.current.lock().unwrap().looked;
            let looked = current();
            while current() == looked {
                credentials.now();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            credentials.now()
        };
        assert!(Arc::ptr_eq(&stays, &after));

        write("users", &user("ann"));
        write("keys", FIRST);
        write("token", SECOND);
        let mended = other(&credentials, &after).await;
        assert_eq!(mended.token.as_ref().unwrap().token().expose(), SECOND);
        let users = mended.basic.as_ref().unwrap();
        assert_eq!(users.verify(&basic("ann", "ann's")).await, Offer::Right);
    }

    #[test]
    fn what_is_made_up_is_only_for_those_without_any_way() {
        let place = Place {
            port: 1,
            https: false,
        };
        let token = || Some(Secret::new(FIRST));
        let none = AuthSettings::default();
        let credentials = Credentials::read(&none, place, token()).unwrap();
        assert!(credentials.now().token.is_some());
        let some = AuthSettings {
            api_key: Some(Secret::new(SECOND)),
            ..none
        };
        let ways = Credentials::read(&some, place, token()).unwrap().now();
        assert!(ways.token.is_none() && ways.keys.is_some());
    }
}
