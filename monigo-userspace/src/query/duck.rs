//! [`Source`] over an open database.

use std::sync::{Arc, Mutex};

use super::{
    Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame, FunctionRow,
    Heatmap, Latency, LatencyPoint, LatencyQuestion, OpenError, Overview, QueryError,
    ReadingsPoint, ReadingsQuestion, Selected, Selection, SeriesPoint, SessionRow, SinceStart,
    Source, StackRow, Storage, Story, Table, Tail, TailQuestion, Window, breakdown, readings,
    session::{
        Functions, Meta, SessionState, read_notices, read_session, session_ids, session_warnings,
    },
    sessions, sql,
    stacks::Stacks,
    timeline,
    totals::{self, FunctionTotals, Span, Totals},
    warnings,
};
use crate::{histogram::Histogram, store::Reader, sync::lock};

/// Answers questions about one session of an open database. Cheap to ask every second: sums over
/// the whole session are kept, and only what is new is read.
#[derive(Debug)]
pub struct DuckSource {
    pub(super) reader: Reader,
    pub(super) session: i64,
    functions: Mutex<Arc<Functions>>,
    totals: Mutex<Totals>,
    pub(super) stacks: Mutex<Stacks>,
    sampled: Mutex<breakdown::Sums>,
}

impl DuckSource {
    /// Opens a session, or the latest, of the database that `reader` reads.
    pub fn open(reader: Reader, session: Option<i64>) -> Result<Self, OpenError> {
        let available = reader.with(session_ids)?;
        let id = match session {
            Some(id) if available.contains(&id) => id,
            Some(id) if !available.is_empty() => {
                return Err(OpenError::UnknownSession { id, available });
            }
            _ => *available.last().ok_or(OpenError::NoSession)?,
        };
        let functions = Functions::read(&reader, id)?;
        Ok(Self {
            reader,
            session: id,
            totals: Mutex::new(Totals::new(functions.metas.len())),
            functions: Mutex::new(Arc::new(functions)),
            stacks: Mutex::default(),
            sampled: Mutex::default(),
        })
    }

    /// The session this answers about.
    pub fn session(&self) -> i64 {
        self.session
    }

    /// The functions there are now.
    pub(super) fn table(&self) -> Result<Arc<Functions>, QueryError> {
        let count: usize = self.reader.with(|connection| {
            connection.query_row(
                "SELECT count(*) FROM functions WHERE session_id = ?",
                [self.session],
                |row| row.get(0),
            )
        })?;
        let mut functions = lock(&self.functions);
        if functions.metas.len() != count {
            *functions = Arc::new(Functions::read(&self.reader, self.session)?);
        }
        Ok(Arc::clone(&functions))
    }

    pub(super) fn check(&self, function: Option<u32>) -> Result<(), QueryError> {
        let Some(id) = function else { return Ok(()) };
        let known = |functions: &Functions| (id as usize) < functions.metas.len();
        // Apart, or the lock would be held over both.
        let seen = known(&lock(&self.functions));
        if seen || known(&*self.table()?) {
            return Ok(());
        }
        Err(QueryError::UnknownFunction(id))
    }

    /// The window in terms of flushes.
    pub(super) fn span(&self, window: Window) -> Span {
        Span {
            session: self.session,
            after_ns: window.from_ns.unwrap_or(i64::MIN),
            upto_ns: window.to_ns.unwrap_or(i64::MAX),
        }
    }

    pub(super) fn session_row(&self) -> Result<SessionState, QueryError> {
        self.reader
            .with(|connection| read_session(connection, self.session))
    }

    /// The same with the time that the clock skipped.
    fn timed_row(&self) -> Result<SessionState, QueryError> {
        let mut row = self.session_row()?;
        row.overview.skipped_ns = self.with_totals(Totals::skipped_ns)?;
        Ok(row)
    }

    /// Sums of the whole session, brought up to date.
    pub(super) fn with_totals<T>(
        &self,
        answer: impl FnOnce(&Totals) -> T,
    ) -> Result<T, QueryError> {
        let count = self.table()?.metas.len();
        let mut totals = lock(&self.totals);
        totals.grow(count);
        totals.refresh(&self.reader, self.session)?;
        Ok(answer(&totals))
    }

    /// Seconds of the window that lie within the session.
    fn seconds(row: &SessionState, window: Window) -> f64 {
        let overview = &row.overview;
        let begin = overview
            .started_ns
            .max(row.pruned_before_ns.unwrap_or(i64::MIN));
        let end = overview
            .ended_ns
            .or(overview.last_flush_ns)
            .unwrap_or(overview.started_ns);
        let from = window.from_ns.map_or(begin, |from| from.max(begin));
        let to = window.to_ns.map_or(end, |to| to.min(end));
        let skipped = if window == Window::default() {
            overview.skipped_ns
        } else {
            0
        };
        (to.saturating_sub(from).saturating_sub(skipped)).max(0) as f64 / 1e9
    }

    /// Completed calls of a function by their durations.
    pub(super) fn histogram_of(
        &self,
        function: u32,
        window: Window,
    ) -> Result<Histogram, QueryError> {
        self.check(Some(function))?;
        let index = function as usize;
        if window == Window::default() {
            return self.with_totals(|totals| totals.functions[index].histogram.clone());
        }
        let span = self.span(window);
        let mut sums = vec![FunctionTotals::default(); index + 1];
        self.reader
            .with(|connection| totals::add_buckets(connection, span, Some(function), &mut sums))?;
        Ok(sums.swap_remove(index).histogram)
    }

    /// Totals of each function over the window, its latency, and what is open at its end.
    pub(super) fn window_totals(
        &self,
        window: Window,
    ) -> Result<Vec<(FunctionTotals, Latency, u64)>, QueryError> {
        let session: Vec<FunctionTotals> = self.with_totals(|totals| totals.functions.clone())?;
        if window == Window::default() {
            let row = |totals: FunctionTotals| {
                let (latency, open) = (totals.latency(), totals.in_flight());
                (totals, latency, open)
            };
            return Ok(session.into_iter().map(row).collect());
        }
        let span = self.span(window);
        let mut inside = vec![FunctionTotals::default(); session.len()];
        // What is open at the end depends on everything before it.
        let mut until = session.clone();
        self.reader.with(|connection| {
            totals::add_counters(connection, span, &mut inside)?;
            totals::add_buckets(connection, span, None, &mut inside)?;
            if window.to_ns.is_some() {
                until = vec![FunctionTotals::default(); session.len()];
                let after_ns = i64::MIN;
                totals::add_counters(connection, Span { after_ns, ..span }, &mut until)?;
            }
            Ok::<_, QueryError>(())
        })?;
        let rows = inside.into_iter().zip(&session).zip(&until);
        Ok(rows
            .map(|((totals, session), until)| {
                let latency = totals.latency_within(session);
                (totals, latency, until.in_flight())
            })
            .collect())
    }
}

impl Source for DuckSource {
    fn overview(&self) -> Result<Overview, QueryError> {
        let SessionState {
            mut overview,
            pruned_before_ns,
            detailed_from_ns,
        } = self.session_row()?;
        (
            overview.recorded,
            overview.beside_share,
            overview.skipped_ns,
        ) = self
            .with_totals(|totals| (totals.recorded, totals.beside_share(), totals.skipped_ns()))?;
        let mut sentences = self
            .reader
            .with(|connection| session_warnings(connection, self.session))?;
        let notices = self
            .reader
            .with(|connection| read_notices(connection, self.session))?;
        sentences.extend(warnings::notices(&notices, overview.started_ns));
        sentences.extend(overview.losses.iter().map(warnings::loss));
        if overview.ended_ns.is_none() && !self.reader.recording() {
            sentences.push(warnings::KILLED.to_owned());
        }
        sentences.extend(pruned_before_ns.map(|ns| warnings::pruned(&in_words(ns))));
        let details = detailed_from_ns.filter(|from| Some(*from) > pruned_before_ns);
        sentences.extend(details.map(|ns| warnings::details_pruned(&in_words(ns))));
        overview.warnings = sentences;
        Ok(overview)
    }

    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        let sums = self.window_totals(window)?;
        let functions = self.table()?;
        let seconds = Self::seconds(&self.timed_row()?, window);
        let all: u64 = sums.iter().map(|(_, latency, _)| latency.total).sum();
        let row = |(id, (meta, (totals, latency_ns, in_flight)))| FunctionRow {
            in_flight,
            ..function_row(id, meta, &totals, latency_ns, seconds, all)
        };
        let mut rows: Vec<_> = (0..)
            .zip(functions.metas.iter().zip(sums))
            .map(row)
            .collect();
        sort(&mut rows, |row| row);
        Ok(rows)
    }

    fn since_start(&self) -> Result<Vec<SinceStart>, QueryError> {
        let sums = self.with_totals(Totals::since_start)?;
        let functions = self.table()?;
        let overview = self.timed_row()?.overview;
        let seconds = overview.duration_ns() as f64 / 1e9;
        let all: u64 = sums.iter().map(FunctionTotals::total_ns).sum();
        let row = |(id, (meta, totals)): (u32, (&Meta, FunctionTotals))| SinceStart {
            row: function_row(id, meta, &totals, totals.latency(), seconds, all),
            timed_ns: totals.timed_ns(),
            buckets: Bucket::all(&totals.histogram),
        };
        let rows = (0..).zip(functions.metas.iter().zip(sums));
        let mut rows: Vec<SinceStart> = rows.map(row).collect();
        sort(&mut rows, |since| &since.row);
        Ok(rows)
    }

    fn breakdown(&self, window: Window) -> Result<Vec<Breakdown>, QueryError> {
        let rows = self.functions(window)?;
        if window != Window::default() {
            let span = self.span(window);
            let sums = self
                .reader
                .with(|connection| breakdown::Sums::of(connection, span))?;
            return Ok(breakdown::combine(&rows, &sums));
        }
        let Some(upto_ns) = self.with_totals(|totals| totals.upto_ns)? else {
            return Ok(Vec::new());
        };
        let mut sampled = lock(&self.sampled);
        sampled.refresh(&self.reader, self.session, upto_ns)?;
        Ok(breakdown::combine(&rows, &sampled))
    }

    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError> {
        Ok(Bucket::all(&self.histogram_of(function, window)?))
    }

    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        self.check(function)?;
        let span = self.span(window);
        self.reader
            .with(|connection| timeline::series(connection, span, function, points))
    }

    fn heatmap(&self, function: u32, window: Window, columns: u32) -> Result<Heatmap, QueryError> {
        self.check(Some(function))?;
        let span = self.span(window);
        self.reader
            .with(|connection| timeline::heatmap(connection, span, function, columns))
    }

    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        self.selected_calls(selection, limit)
    }

    fn stacks(&self, selection: &Selection, limit: u32) -> Result<Vec<StackRow>, QueryError> {
        self.selected_stacks(selection, limit)
    }

    fn selected(&self, selection: &Selection) -> Result<Selected, QueryError> {
        self.selected_figures(selection)
    }

    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError> {
        let mut stacks = lock(&self.stacks);
        if !stacks.by_id.contains_key(&id) {
            stacks.refresh(&self.reader, self.session, None)?;
        }
        Ok(stacks.frames_of(id))
    }

    fn flame(&self, selection: &Selection) -> Result<FlameNode, QueryError> {
        self.selected_flame(selection)
    }

    fn tail(&self, question: &TailQuestion) -> Result<Tail, QueryError> {
        self.tail_of(question)
    }

    fn story(&self, call: CallKey) -> Result<Story, QueryError> {
        self.story_of(call)
    }

    fn compare(&self, question: &CompareQuestion) -> Result<Comparison, QueryError> {
        self.compare_parts(question)
    }

    fn sql(&self, query: &str, limit: u32) -> Result<Table, QueryError> {
        sql::run(&self.reader, query, limit)
    }

    fn readings(&self, question: &ReadingsQuestion) -> Result<Vec<ReadingsPoint>, QueryError> {
        self.reader
            .with(|connection| readings::read(connection, self.session, question))
    }

    fn latency_series(&self, question: &LatencyQuestion) -> Result<Vec<LatencyPoint>, QueryError> {
        for function in &question.functions {
            self.check(Some(*function))?;
        }
        let span = self.span(question.window);
        self.reader
            .with(|connection| timeline::latency(connection, span, question))
    }

    fn last_runs(&self) -> Result<Vec<(u32, i64)>, QueryError> {
        self.reader
            .with(|connection| timeline::last_runs(connection, self.session))
    }

    fn sessions(&self) -> Result<Vec<SessionRow>, QueryError> {
        sessions(&self.reader)
    }

    fn storage(&self) -> Result<Storage, QueryError> {
        Storage::of(&self.reader)
    }
}

/// An instant in RFC 3339.
fn in_words(unix_ns: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(unix_ns.into());
    time.map_or_else(|_| unix_ns.to_string(), |time| time.to_string())
}

/// What is shown of a function.
fn function_row(
    id: u32,
    meta: &Meta,
    totals: &FunctionTotals,
    latency_ns: Latency,
    seconds: f64,
    all_ns: u64,
) -> FunctionRow {
    FunctionRow {
        id,
        name: meta.name.clone(),
        image: meta.image.clone(),
        file: meta.file.clone(),
        line: meta.line,
        calls: totals.calls,
        calls_error: totals.calls_error(),
        timed: totals.timed,
        unwound: totals.unwound,
        in_flight: totals.in_flight(),
        unmatched: totals.unmatched,
        rate: ratio(totals.calls as f64, seconds),
        share: ratio(totals.total_ns() as f64, all_ns as f64),
        latency_ns,
        self_ns: totals.self_ns(),
        probes_ns: totals.probes_ns(meta.probe.cost_ns, meta.count_ns),
        probe: meta.probe.clone(),
    }
}

/// By total time, longest first.
fn sort<T>(rows: &mut [T], of: impl Fn(&T) -> &FunctionRow) {
    rows.sort_by(|a, b| {
        let (a, b) = (of(a), of(b));
        (b.latency_ns.total, b.calls)
            .cmp(&(a.latency_ns.total, a.calls))
            .then_with(|| a.name.cmp(&b.name))
    });
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
