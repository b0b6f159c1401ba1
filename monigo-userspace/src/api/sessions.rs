//! The sessions that a server shows.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    Content, LiveState,
    live::{self, Watching},
};
use crate::sync::lock;
use crate::{
    collect::unix_ns,
    query::{DuckSource, Lasting, OpenError, QueryError, SessionRow, Source, Standing, sessions},
    service::Recorded,
    store::Reader,
};

/// Sessions of a database that are kept open, those asked about last.
const MOST_OPEN: usize = 8;
/// How long a list of sessions serves.
const LIST_LIVES: Duration = Duration::from_secs(1);

/// Sessions that are not, or no longer, recorded by this process.
pub trait Stored: Send + Sync {
    /// As [`Source::sessions`]. Blocks.
    fn list(&self) -> Result<Vec<SessionRow>, QueryError>;
    /// Answers about one of them. Blocks.
    fn open(&self, session: i64) -> Result<Arc<dyn Source>, OpenError>;
}

impl Stored for Reader {
    fn list(&self) -> Result<Vec<SessionRow>, QueryError> {
        sessions(self)
    }

    fn open(&self, session: i64) -> Result<Arc<dyn Source>, OpenError> {
        Ok(Arc::new(DuckSource::open(self.clone(), Some(session))?))
    }
}

/// A recording in a file, which another monigo may be writing.
struct File {
    path: PathBuf,
    first: Arc<Lasting>,
}

impl Stored for File {
    fn list(&self) -> Result<Vec<SessionRow>, QueryError> {
        self.first.sessions()
    }

    fn open(&self, session: i64) -> Result<Arc<dyn Source>, OpenError> {
        if self.first.session() == Some(session) {
            return Ok(Arc::clone(&self.first) as Arc<dyn Source>);
        }
        Ok(Arc::new(Lasting::open(&self.path, Some(session))?))
    }
}

/// A recording that this process makes.
struct Running {
    label: Option<String>,
    content: Content,
}

/// A stored session that is kept open.
struct Opened {
    session: i64,
    content: Content,
    _watching: Option<Watching>,
}

/// A list of sessions, and when it was made.
type Listed = (Instant, Arc<[SessionRow]>);

/// The sessions that a server shows: one, those of a database, those that this process records, or both.
#[derive(Default)]
pub struct Sessions {
    only: Option<Content>,
    running: Mutex<BTreeMap<i64, Running>>,
    stored: Option<Box<dyn Stored>>,
    /// Shown by default in place of the latest.
    named: Option<i64>,
    opened: Mutex<VecDeque<Opened>>,
    listed: Mutex<Option<Listed>>,
}

impl From<Content> for Arc<Sessions> {
    /// One session, and no other.
    fn from(content: Content) -> Self {
        Arc::new(Sessions {
            only: Some(content),
            ..Sessions::default()
        })
    }
}

impl Sessions {
    /// Those of the database that `stored` reads, and those that are [begun](Self::begin).
    pub fn of(stored: impl Stored + 'static) -> Self {
        Self {
            stored: Some(Box::new(stored)),
            ..Self::default()
        }
    }

    /// Those of the recording at `path`, finished or being written by another monigo, of which `first` is one that
    /// is open. By default `named` is shown, or the latest.
    pub fn of_file(path: &Path, first: Arc<Lasting>, named: Option<i64>) -> Self {
        let path = path.to_owned();
        Self {
            named,
            ..Self::of(File { path, first })
        }
    }

    /// This process records `session`, of a target that is called `label` where there are several.
    pub fn begin(&self, session: i64, label: Option<String>, content: Content) {
        *lock(&self.listed) = None;
        lock(&self.running).insert(session, Running { label, content });
    }

    /// `session` is over, and what was stored of it is shown from now on.
    pub fn end(&self, session: i64) {
        lock(&self.running).remove(&session);
        *lock(&self.listed) = None;
    }

    /// What there is to see of `session` if this process records it; without one of the latest that it does.
    pub fn running(&self, session: Option<i64>) -> Option<Content> {
        let running = lock(&self.running);
        let found = match session {
            Some(id) => running.get(&id),
            None => running.last_key_value().map(|(_, running)| running),
        };
        found.map(|running| running.content.clone())
    }

    /// What there is to see of `session`; without one of the latest, preferably one that goes on. Blocks. Where
    /// another monigo records it, to be called on a runtime.
    pub fn content(&self, session: Option<i64>) -> Result<Content, OpenError> {
        if let Some(content) = &self.only {
            return match session {
                Some(id) => is_it(content, id),
                None => Ok(content.clone()),
            };
        }
        let id = match session.or(self.named) {
            Some(id) => id,
            None => self.latest()?,
        };
        if let Some(content) = self.running(Some(id)) {
            return Ok(content);
        }
        if let Some(content) = self.kept_open(id) {
            return Ok(content);
        }
        let stored = self.stored.as_ref().ok_or(OpenError::NoSession)?;
        let opened = opened(id, stored.open(id)?)?;
        let content = opened.content.clone();
        let mut all = lock(&self.opened);
        all.retain(|other| other.session != id);
        all.push_front(opened);
        all.truncate(MOST_OPEN);
        Ok(content)
    }

    /// All sessions, newest first. Blocks.
    pub fn list(&self) -> Result<Arc<[SessionRow]>, OpenError> {
        if let Some(content) = &self.only {
            return Ok([content.source.overview()?.into()].into());
        }
        if let Some((at, list)) = &*lock(&self.listed)
            && at.elapsed() < LIST_LIVES
        {
            return Ok(Arc::clone(list));
        }
        let stored = self.stored.as_ref().map(|stored| stored.list());
        let list: Arc<[SessionRow]> = stored.transpose()?.unwrap_or_default().into();
        *lock(&self.listed) = Some((Instant::now(), Arc::clone(&list)));
        Ok(list)
    }

    /// The recordings that this process makes, with the names of their targets; where it makes none, what is
    /// shown by default, if there is anything. Blocks.
    pub fn current(&self) -> Result<Vec<(Option<Label>, Content)>, OpenError> {
        let running = labelled(&lock(&self.running));
        if !running.is_empty() {
            return Ok(running);
        }
        match self.content(None) {
            Ok(content) => Ok(vec![(None, content)]),
            Err(OpenError::NoSession) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn latest(&self) -> Result<i64, OpenError> {
        if let Some((id, _)) = lock(&self.running).last_key_value() {
            return Ok(*id);
        }
        let list = self.list()?;
        let now_ns = unix_ns();
        let goes_on = |row: &&SessionRow| row.standing(now_ns) == Standing::Recording;
        let latest = list.iter().find(goes_on).or(list.first());
        latest.map(|row| row.session).ok_or(OpenError::NoSession)
    }

    fn kept_open(&self, session: i64) -> Option<Content> {
        let mut all = lock(&self.opened);
        let index = all.iter().position(|opened| opened.session == session)?;
        let opened = all.remove(index)?;
        let content = opened.content.clone();
        all.push_front(opened);
        Some(content)
    }
}

/// What a target is called beside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// As configured.
    pub target: String,
    /// Its session, if a newer one of the target goes on as well.
    pub session: Option<i64>,
}

fn labelled(running: &BTreeMap<i64, Running>) -> Vec<(Option<Label>, Content)> {
    let newest: BTreeMap<_, _> = running
        .iter()
        .map(|(id, running)| (&running.label, id))
        .collect();
    running
        .iter()
        .map(|(id, running)| {
            let label = running.label.clone().map(|target| Label {
                target,
                session: (newest.get(&running.label) != Some(&id)).then_some(*id),
            });
            (label, running.content.clone())
        })
        .collect()
}

/// The only session there is, if it is number `id`.
fn is_it(content: &Content, id: i64) -> Result<Content, OpenError> {
    let session = content.source.overview()?.session;
    if session == id {
        return Ok(content.clone());
    }
    Err(OpenError::UnknownSession {
        id,
        available: vec![session],
    })
}

fn opened(session: i64, source: Arc<dyn Source>) -> Result<Opened, OpenError> {
    let row: SessionRow = source.overview()?.into();
    let (live, watching) = match row.standing(unix_ns()) {
        // The overview's warnings say so when it was cut off.
        Standing::Ended | Standing::CutOff => (LiveState::finished(""), None),
        Standing::Recording => {
            let (live, watching) = live::poll(Arc::clone(&source));
            (live, Some(watching))
        }
    };
    Ok(Opened {
        session,
        content: Content {
            service: Arc::new(Recorded::new(Arc::clone(&source))),
            source,
            live,
            discoverer: None,
        },
        _watching: watching,
    })
}
