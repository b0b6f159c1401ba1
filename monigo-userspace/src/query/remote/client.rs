//! The side that asks.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::Mutex,
    time::Duration,
};

use super::{
    Answer, FlatNode, Hello, MAX_LINE, PROTOCOL, Question,
    flat::{Nested, unflatten},
    short_path, socket_path,
};
use crate::sync::lock;
use crate::{
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame,
        FunctionRow, Heatmap, LatencyPoint, LatencyQuestion, OpenError, Overview, QueryError,
        ReadingsPoint, ReadingsQuestion, Selected, Selection, SeriesPoint, SessionRow, SinceStart,
        Source, StackRow, Storage, Story, Table, Tail, TailQuestion, Window,
    },
    store::StoreError,
};

/// Longest wait for an answer: longer than a query may run.
const PATIENCE: Duration = Duration::from_mins(1);

/// A session that a running monigo records or holds.
#[derive(Debug)]
pub struct RemoteSource {
    stream: Mutex<BufReader<UnixStream>>,
}

impl RemoteSource {
    /// Asks the monigo that records into `database` about a session, or about the one it records.
    /// `locked` says who holds the database, for the error when nobody answers.
    pub fn open(
        database: &Path,
        session: Option<i64>,
        locked: StoreError,
    ) -> Result<Self, OpenError> {
        let socket = socket_path(database);
        let connected = short_path(&socket)
            .and_then(|(address, _keep)| UnixStream::connect(address))
            .and_then(|stream| stream.set_read_timeout(Some(PATIENCE)).map(|()| stream));
        let stream = connected.map_err(|error| OpenError::HeldElsewhere {
            locked,
            socket: socket.display().to_string(),
            reason: error.to_string(),
        })?;
        let source = Self {
            stream: Mutex::new(BufReader::new(stream)),
        };
        let hello = Hello {
            protocol: PROTOCOL,
            session,
        };
        match source.exchange(&hello)? {
            Answer::Welcome(_) => Ok(source),
            Answer::UnknownSession(available) => Err(OpenError::UnknownSession {
                id: session.unwrap_or_default(),
                available,
            }),
            other => Err(unexpected(other).into()),
        }
    }

    fn exchange(&self, line: &impl serde::Serialize) -> Result<Answer, QueryError> {
        let failed = |error: std::io::Error| QueryError::Remote(error.to_string());
        let mut text =
            serde_json::to_string(line).map_err(|error| QueryError::Remote(error.to_string()))?;
        text.push('\n');
        let mut stream = lock(&self.stream);
        stream
            .get_mut()
            .write_all(text.as_bytes())
            .map_err(failed)?;
        let mut answer = String::new();
        let read = stream.by_ref().take(MAX_LINE).read_line(&mut answer);
        if read.map_err(failed)? == 0 {
            return Err(QueryError::Remote(
                "it ended, or refuses this user".to_owned(),
            ));
        }
        serde_json::from_str(&answer).map_err(|error| QueryError::Remote(error.to_string()))
    }
}

/// The error in an answer, or that it is not an answer to the question.
fn unexpected(answer: Answer) -> QueryError {
    match answer {
        Answer::Failed(error) => error,
        _ => QueryError::Remote("its answer does not fit the question".to_owned()),
    }
}

/// The tree that was sent as a list.
fn whole<T: Nested>(flat: Vec<FlatNode<T>>) -> Result<T, QueryError> {
    unflatten(flat).ok_or_else(|| QueryError::Remote("it sent a broken tree".to_owned()))
}

/// Asks, and takes the one kind of answer that fits.
macro_rules! ask {
    ($self:ident, $question:expr, $answer:ident) => {
        match $self.exchange(&$question)? {
            Answer::$answer(value) => Ok(value),
            other => Err(unexpected(other)),
        }
    };
}

impl Source for RemoteSource {
    fn overview(&self) -> Result<Overview, QueryError> {
        ask!(self, Question::Overview, Overview).map(|overview: Box<_>| *overview)
    }

    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        let mut rows: Vec<FunctionRow> = ask!(self, Question::Functions { window }, Functions)?;
        for row in &mut rows {
            // An older monigo, which timed every call.
            if row.self_ns.is_none() && row.timed == 0 {
                row.timed = row.calls;
            }
        }
        Ok(rows)
    }

    fn since_start(&self) -> Result<Vec<SinceStart>, QueryError> {
        ask!(self, Question::SinceStart, SinceStart)
    }

    fn breakdown(&self, window: Window) -> Result<Vec<Breakdown>, QueryError> {
        match self.exchange(&Question::Breakdown { window })? {
            Answer::Breakdown(parts) => Ok(parts),
            // An older monigo does not know this question, and nothing else depends on it.
            Answer::Failed(QueryError::Remote(_)) => Ok(Vec::new()),
            other => Err(unexpected(other)),
        }
    }

    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError> {
        ask!(self, Question::Histogram { function, window }, Histogram)
    }

    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        let question = Question::Series {
            function,
            window,
            points,
        };
        ask!(self, question, Series)
    }

    fn heatmap(&self, function: u32, window: Window, columns: u32) -> Result<Heatmap, QueryError> {
        let question = Question::Heatmap {
            function,
            window,
            columns,
        };
        ask!(self, question, Heatmap)
    }

    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        let selection = *selection;
        ask!(self, Question::Slowest { selection, limit }, Slowest)
    }

    fn stacks(&self, selection: &Selection, limit: u32) -> Result<Vec<StackRow>, QueryError> {
        let selection = *selection;
        ask!(self, Question::Stacks { selection, limit }, Stacks)
    }

    fn selected(&self, selection: &Selection) -> Result<Selected, QueryError> {
        let selection = *selection;
        ask!(self, Question::Selected { selection }, Selected).map(|selected: Box<_>| *selected)
    }

    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError> {
        ask!(self, Question::Stack { id }, Stack)
    }

    fn flame(&self, selection: &Selection) -> Result<FlameNode, QueryError> {
        let selection = *selection;
        let flat = ask!(self, Question::Flame { selection }, Flame)?;
        whole(flat)
    }

    fn tail(&self, question: &TailQuestion) -> Result<Tail, QueryError> {
        let tail = *question;
        match self.exchange(&Question::Tail { tail })? {
            Answer::Tail(tail, tree) => Ok(Tail {
                tree: whole(tree)?,
                ..*tail
            }),
            other => Err(unexpected(other)),
        }
    }

    fn story(&self, call: CallKey) -> Result<Story, QueryError> {
        ask!(self, Question::Story { call }, Story).map(|story: Box<_>| *story)
    }

    fn compare(&self, question: &CompareQuestion) -> Result<Comparison, QueryError> {
        let compare = question.clone();
        match self.exchange(&Question::Compare { compare })? {
            Answer::Compare(comparison, tree) => Ok(Comparison {
                tree: whole(tree)?,
                ..*comparison
            }),
            other => Err(unexpected(other)),
        }
    }

    fn sql(&self, query: &str, limit: u32) -> Result<Table, QueryError> {
        let query = query.to_owned();
        ask!(self, Question::Sql { query, limit }, Sql)
    }

    fn readings(&self, question: &ReadingsQuestion) -> Result<Vec<ReadingsPoint>, QueryError> {
        let readings = question.clone();
        ask!(self, Question::Readings { readings }, Readings)
    }

    fn latency_series(&self, question: &LatencyQuestion) -> Result<Vec<LatencyPoint>, QueryError> {
        let latency = question.clone();
        ask!(self, Question::Latency { latency }, Latency)
    }

    fn last_runs(&self) -> Result<Vec<(u32, i64)>, QueryError> {
        ask!(self, Question::LastRuns, LastRuns)
    }

    fn sessions(&self) -> Result<Vec<SessionRow>, QueryError> {
        ask!(self, Question::Sessions, Sessions)
    }

    fn storage(&self) -> Result<Storage, QueryError> {
        ask!(self, Question::Storage, Storage)
    }
}
