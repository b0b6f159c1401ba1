//! A recording that is opened anew when reading it fails.
//!
//! Files are replaced, damaged and mended, and the monigo that records into one ends or starts again. A
//! view that stays open for days asks through [`Lasting`], which forgets a source that fails and opens
//! the recording again, at most once a second. It need not be readable at first.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame, FunctionRow,
    Heatmap, LatencyPoint, LatencyQuestion, OpenError, Overview, QueryError, ReadingsPoint,
    ReadingsQuestion, Selected, Selection, SeriesPoint, SessionRow, SinceStart, Source, StackRow,
    Storage, Story, Table, Tail, TailQuestion, Window, open_source,
};
use crate::sync::lock;

/// Least time between two attempts to open.
const WAIT: Duration = Duration::from_secs(1);

/// A source that recovers.
pub struct Lasting {
    path: PathBuf,
    state: Mutex<State>,
    failed: Option<Listener>,
}

/// Told why the recording cannot be read.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

struct State {
    source: Option<Arc<dyn Source>>,
    /// The session that is shown; `None` for the latest, as long as none could be opened.
    session: Option<i64>,
    /// When it was opened last, or was tried to be, and why that failed.
    tried: Instant,
    error: String,
}

impl Lasting {
    /// Opens session `session` of the recording at `path`, or the latest. What may pass, damage and locks, is no
    /// error: questions have that answer until it has passed.
    pub fn open(path: &Path, session: Option<i64>) -> Result<Self, OpenError> {
        let mut state = State {
            source: None,
            session,
            tried: Instant::now(),
            error: String::new(),
        };
        match state.open(path) {
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) => state.error = error.to_string(),
            Ok(_) => {}
        }
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new(state),
            failed: None,
        })
    }

    /// Has `listener` told, once each time, why the recording cannot be read any more, and now if it cannot.
    #[must_use]
    pub fn on_failure(mut self, listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        if let Some(problem) = self.problem() {
            listener(&problem);
        }
        self.failed = Some(Box::new(listener));
        self
    }

    /// The session that it answers about; `None` while none was named and the recording cannot be read.
    pub fn session(&self) -> Option<i64> {
        lock(&self.state).session
    }

    /// Why the recording cannot be read; `None` if it can.
    pub fn problem(&self) -> Option<String> {
        let state = lock(&self.state);
        state.source.is_none().then(|| state.error.clone())
    }

    /// The source, opened if it is time to try.
    fn source(&self) -> Result<Arc<dyn Source>, QueryError> {
        let mut state = lock(&self.state);
        if let Some(source) = &state.source {
            return Ok(Arc::clone(source));
        }
        if state.tried.elapsed() < WAIT {
            return Err(QueryError::Unavailable(state.error.clone()));
        }
        state.tried = Instant::now();
        match state.open(&self.path) {
            Ok(source) => {
                tracing::info!("{} can be read again", self.path.display());
                Ok(source)
            }
            Err(error) => {
                state.error = error.to_string();
                Err(QueryError::Unavailable(state.error.clone()))
            }
        }
    }

    /// Forgets a source that failed.
    fn forget(&self, failed: &Arc<dyn Source>, error: &QueryError) {
        let mut state = lock(&self.state);
        if state
            .source
            .as_ref()
            .is_some_and(|source| Arc::ptr_eq(source, failed))
        {
            tracing::warn!("{}: {error}; trying again", self.path.display());
            state.source = None;
            state.error = error.to_string();
            drop(state);
            if let Some(listener) = &self.failed {
                listener(&error.to_string());
            }
        }
    }

    fn ask<T>(
        &self,
        question: impl Fn(&dyn Source) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let source = self.source()?;
        match question(&*source) {
            Err(error @ (QueryError::Store(_) | QueryError::Remote(_))) => {
                self.forget(&source, &error);
                // The file has to be closed before it is opened again.
                drop(source);
                self.source()
                    .and_then(|again| question(&*again))
                    .map_err(|_| QueryError::Unavailable(error.to_string()))
            }
            answer => answer,
        }
    }
}

impl State {
    /// Opens the session.
    fn open(&mut self, path: &Path) -> Result<Arc<dyn Source>, OpenError> {
        let source: Arc<dyn Source> = Arc::from(open_source(path, self.session)?);
        self.session = Some(source.overview()?.session);
        self.source = Some(Arc::clone(&source));
        Ok(source)
    }
}

impl Source for Lasting {
    fn overview(&self) -> Result<Overview, QueryError> {
        self.ask(|source| source.overview())
    }

    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        self.ask(|source| source.functions(window))
    }

    fn since_start(&self) -> Result<Vec<SinceStart>, QueryError> {
        self.ask(|source| source.since_start())
    }

    fn breakdown(&self, window: Window) -> Result<Vec<Breakdown>, QueryError> {
        self.ask(|source| source.breakdown(window))
    }

    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError> {
        self.ask(|source| source.histogram(function, window))
    }

    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        self.ask(|source| source.series(function, window, points))
    }

    fn heatmap(&self, function: u32, window: Window, columns: u32) -> Result<Heatmap, QueryError> {
        self.ask(|source| source.heatmap(function, window, columns))
    }

    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        self.ask(|source| source.slowest(selection, limit))
    }

    fn stacks(&self, selection: &Selection, limit: u32) -> Result<Vec<StackRow>, QueryError> {
        self.ask(|source| source.stacks(selection, limit))
    }

    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError> {
        self.ask(|source| source.stack(id))
    }

    fn flame(&self, selection: &Selection) -> Result<FlameNode, QueryError> {
        self.ask(|source| source.flame(selection))
    }

    fn selected(&self, selection: &Selection) -> Result<Selected, QueryError> {
        self.ask(|source| source.selected(selection))
    }

    fn tail(&self, question: &TailQuestion) -> Result<Tail, QueryError> {
        self.ask(|source| source.tail(question))
    }

    fn story(&self, call: CallKey) -> Result<Story, QueryError> {
        self.ask(|source| source.story(call))
    }

    fn compare(&self, question: &CompareQuestion) -> Result<Comparison, QueryError> {
        self.ask(|source| source.compare(question))
    }

    fn sql(&self, query: &str, limit: u32) -> Result<Table, QueryError> {
        self.ask(|source| source.sql(query, limit))
    }

    fn readings(&self, question: &ReadingsQuestion) -> Result<Vec<ReadingsPoint>, QueryError> {
        self.ask(|source| source.readings(question))
    }

    fn latency_series(&self, question: &LatencyQuestion) -> Result<Vec<LatencyPoint>, QueryError> {
        self.ask(|source| source.latency_series(question))
    }

    fn sessions(&self) -> Result<Vec<SessionRow>, QueryError> {
        self.ask(|source| source.sessions())
    }

    fn last_runs(&self) -> Result<Vec<(u32, i64)>, QueryError> {
        self.ask(|source| source.last_runs())
    }

    fn storage(&self) -> Result<Storage, QueryError> {
        self.ask(|source| source.storage())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::{Database, fixture};

    /// Makes the next question try to open the recording, without waiting.
    fn now(lasting: &Lasting) {
        if let Some(then) = Instant::now().checked_sub(WAIT * 2) {
            lock(&lasting.state).tried = then;
        }
    }

    #[test]
    fn a_recording_that_was_damaged_and_mended_is_read_again() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("run.duckdb");
        fixture::record(&mut Database::open(&file).expect("opens"));
        let lasting = Lasting::open(&file, None).expect("opens");
        let calls = || {
            now(&lasting);
            lasting
                .functions(Window::default())
                .map(|rows| rows[0].calls)
        };
        assert_eq!(calls(), Ok(1001));
        let sound = fs::read(&file).expect("reads");
        let mut damaged = sound.clone();
        for byte in &mut damaged[4096..12_288] {
            *byte ^= 0x55;
        }
        fs::write(&file, &damaged).expect("damages");
        // What was read before may be remembered; a failure opens the file again.
        let source = lasting.source().expect("open");
        lasting.forget(&source, &QueryError::Store("damaged".to_owned()));
        drop(source);
        let error = calls().expect_err("damaged");
        assert!(matches!(error, QueryError::Unavailable(_)), "{error:?}");
        let error = error.to_string();
        assert!(
            error.contains("damaged") || error.contains("corrupt"),
            "{error}"
        );
        fs::write(&file, &sound).expect("mends");
        assert_eq!(calls(), Ok(1001));
    }

    #[test]
    fn a_recording_that_is_damaged_at_first_is_read_once_it_is_mended() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("run.duckdb");
        fixture::record(&mut Database::open(&file).expect("opens"));
        let sound = fs::read(&file).expect("reads");
        let mut damaged = sound.clone();
        for byte in &mut damaged[4096..12_288] {
            *byte ^= 0x55;
        }
        fs::write(&file, &damaged).expect("damages");
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let lasting = Lasting::open(&file, None)
            .expect("may pass")
            .on_failure(move |why| lock(&tell).push(why.to_owned()));
        let problem = lasting.problem().expect("damaged");
        assert_eq!(lock(&told).as_slice(), std::slice::from_ref(&problem));
        now(&lasting);
        let error = lasting.overview().expect_err("damaged");
        assert_eq!(error, QueryError::Unavailable(problem));
        fs::write(&file, &sound).expect("mends");
        now(&lasting);
        assert_eq!(lasting.overview().expect("mended").session, 1);
        assert_eq!(lasting.problem(), None);
        assert_eq!(lock(&told).len(), 1);
    }

    #[test]
    fn what_waiting_does_not_mend_is_an_error_at_once() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("run.duckdb");
        for (session, what) in [(None, "missing"), (Some(7), "no such session")] {
            let error = Lasting::open(&file, session).err().expect(what);
            assert!(!error.may_pass(), "{what}: {error}");
            fixture::record(&mut Database::open(&file).expect("opens"));
        }
    }

    #[test]
    fn attempts_are_spaced() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("run.duckdb");
        fixture::record(&mut Database::open(&file).expect("opens"));
        let lasting = Lasting::open(&file, None).expect("opens");
        let source = lasting.source().expect("open");
        lasting.forget(&source, &QueryError::Remote("it ended".to_owned()));
        lock(&lasting.state).tried = Instant::now() + Duration::from_mins(1);
        let error = lasting.overview().expect_err("too early");
        assert!(error.to_string().contains("it ended"), "{error}");
        now(&lasting);
        assert_eq!(lasting.overview().expect("again").session, 1);
    }
}
