//! Who answers questions.

use super::{
    Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame, FunctionRow,
    Heatmap, LatencyPoint, LatencyQuestion, Overview, QueryError, ReadingsPoint, ReadingsQuestion,
    Selected, Selection, SeriesPoint, SessionRow, SinceStart, StackRow, Storage, Story, Table,
    Tail, TailQuestion, Window,
};

/// Anything that can answer questions about one session.
///
/// Calls block; asynchronous callers use a blocking task.
pub trait Source: Send + Sync {
    /// The session as a whole.
    fn overview(&self) -> Result<Overview, QueryError>;
    /// Every traced function, by total time, longest first.
    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError>;
    /// Every traced function since the start of the session, by total time, longest first. Sources that forget
    /// nothing need not say it apart.
    fn since_start(&self) -> Result<Vec<SinceStart>, QueryError> {
        let rows = self.functions(Window::default())?;
        let since = |row: FunctionRow| {
            Ok(SinceStart {
                buckets: self.histogram(row.id, Window::default())?,
                timed_ns: row.latency_ns.total,
                row,
            })
        };
        rows.into_iter().map(since).collect()
    }
    /// Where the time of each function went, in the order of [`Source::functions`]. Empty when nothing
    /// was sampled.
    fn breakdown(&self, window: Window) -> Result<Vec<Breakdown>, QueryError>;
    /// Non-empty histogram buckets of a function, ascending.
    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError>;
    /// Rate and latency over time in at most `points` equal steps, of one function or all;
    /// steps without calls are present with zeros.
    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError>;
    /// Latency heatmap in at most `columns` columns.
    fn heatmap(&self, function: u32, window: Window, columns: u32) -> Result<Heatmap, QueryError>;
    /// The slowest recorded calls of a selection, slowest first. Its weight and root mean nothing
    /// here.
    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError>;
    /// The heaviest distinct stacks.
    fn stacks(&self, selection: &Selection, limit: u32) -> Result<Vec<StackRow>, QueryError>;
    /// One stack, innermost frame first; empty when the id is unknown.
    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError>;
    /// All stacks merged from the outermost frame inwards.
    fn flame(&self, selection: &Selection) -> Result<FlameNode, QueryError>;
    /// Which recorded calls a selection is about, and with a range of durations the function's
    /// figures over them. Sources that hold no single calls refuse.
    fn selected(&self, selection: &Selection) -> Result<Selected, QueryError> {
        let _ = selection;
        Err(QueryError::Selection(
            "single calls are not known here".to_owned(),
        ))
    }
    /// What slow calls of a function do that fast ones do not.
    fn tail(&self, question: &TailQuestion) -> Result<Tail, QueryError>;
    /// What happened during one recorded call.
    fn story(&self, call: CallKey) -> Result<Story, QueryError>;
    /// Two sessions of the database, or parts of them, side by side.
    fn compare(&self, question: &CompareQuestion) -> Result<Comparison, QueryError>;
    /// A read-only SQL query, at most `limit` rows.
    fn sql(&self, query: &str, limit: u32) -> Result<Table, QueryError>;
    /// Figures of the service and the host over time: means in at most as many equal steps as asked
    /// for, ascending; steps without any are left out.
    fn readings(&self, question: &ReadingsQuestion) -> Result<Vec<ReadingsPoint>, QueryError> {
        let _ = question;
        Ok(Vec::new())
    }
    /// Calls and latency of each function over time, in steps of whole flush intervals, ascending.
    fn latency_series(&self, question: &LatencyQuestion) -> Result<Vec<LatencyPoint>, QueryError> {
        let _ = question;
        Ok(Vec::new())
    }
    /// When a call of each function completed last: id, and the end of that flush interval in Unix time in ns.
    /// Functions without calls are left out.
    fn last_runs(&self) -> Result<Vec<(u32, i64)>, QueryError> {
        Ok(Vec::new())
    }
    /// All sessions of the database that this one is in, newest first; where there are very many, those that
    /// have not ended and the newest.
    fn sessions(&self) -> Result<Vec<SessionRow>, QueryError> {
        Ok(vec![self.overview()?.into()])
    }
    /// What the database takes, with all its sessions.
    fn storage(&self) -> Result<Storage, QueryError> {
        Ok(Storage::default())
    }
}
