//! Two sessions, or two parts of one, side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    DiffNode, DuckSource, FlameNode, FunctionRow, OpenError, QueryError, Selection, Source, Weight,
    Window,
};

/// Two recordings to compare, of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CompareQuestion {
    /// What to compare with.
    pub before: Part,
    /// What to look at.
    pub after: Part,
    /// Only this function, by its full name; both must have it.
    #[serde(default)]
    pub function: Option<String>,
    /// What the flame graphs weigh.
    #[serde(default)]
    pub weight: Weight,
}

/// A part of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The session; `None` for the one that is asked.
    #[serde(default)]
    pub session: Option<i64>,
    /// When calls ended.
    #[serde(default)]
    pub window: Window,
}

/// Two recordings side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What is compared with.
    pub before: PartSummary,
    /// What is looked at.
    pub after: PartSummary,
    /// Every function of either, by name: those whose time changed most first.
    pub functions: Vec<FunctionChange>,
    /// What the weights of `tree` mean.
    pub unit: DiffUnit,
    /// The difference of the flame graphs.
    pub tree: DiffNode,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// What a difference weighs, so that recordings of different lengths can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffUnit {
    /// ns per call of the one function.
    NsPerCall,
    /// ns per second of recording.
    #[default]
    NsPerSecond,
    /// Calls per 1,000 seconds of recording.
    CallsPerKilosecond,
}

impl DiffUnit {
    /// The unit's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NsPerCall => "ns per call",
            Self::NsPerSecond => "ns per second",
            Self::CallsPerKilosecond => "calls per 1,000 s",
        }
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartSummary {
    /// Session id.
    pub session: i64,
    /// Target path.
    pub target: String,
    /// Start of the part, Unix time in ns.
    pub from_ns: i64,
    /// Its length, ns.
    pub duration_ns: u64,
}

/// One function on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionChange {
    /// Its name.
    pub name: String,
    /// Before; `None` when it was not traced.
    pub before: Option<Figures>,
    /// After; `None` when it was not traced.
    pub after: Option<Figures>,
}

impl FunctionChange {
    /// Time in its calls per second of recording: after over before. `None` when one is missing or
    /// zero.
    pub fn time_ratio(&self) -> Option<f64> {
        let (before, after) = (self.before?, self.after?);
        (before.busy > 0.0 && after.busy > 0.0).then(|| after.busy / before.busy)
    }

    /// Change of the time in its calls per second of recording, s/s.
    fn change(&self) -> f64 {
        let busy = |figures: Option<Figures>| figures.map_or(0.0, |figures| figures.busy);
        (busy(self.after) - busy(self.before)).abs()
    }
}

/// A function's figures on one side. As in [`FunctionRow`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Completed calls.
    pub calls: u64,
    /// Half the width of the 95 % interval of `calls`; 0 when they were counted.
    pub calls_error: u64,
    /// Completed calls per second.
    pub rate: f64,
    /// Mean duration, ns.
    pub mean_ns: u64,
    /// Median, ns.
    pub p50_ns: u64,
    /// 99th percentile, ns.
    pub p99_ns: u64,
    /// Summed duration, ns.
    pub total_ns: u64,
    /// Summed duration per second of recording, s/s.
    pub busy: f64,
    /// Durations below this cannot be told from none, ns.
    pub floor_ns: u32,
}

impl From<(&FunctionRow, f64)> for Figures {
    fn from((row, seconds): (&FunctionRow, f64)) -> Self {
        let latency = row.latency_ns;
        Self {
            calls: row.calls,
            calls_error: row.calls_error,
            rate: row.rate,
            mean_ns: latency.mean,
            p50_ns: latency.p50,
            p99_ns: latency.p99,
            total_ns: latency.total,
            busy: if seconds > 0.0 {
                latency.total as f64 / 1e9 / seconds
            } else {
                0.0
            },
            floor_ns: row.probe.floor_ns,
        }
    }
}

/// What one side answers.
struct Answers {
    summary: PartSummary,
    rows: Vec<FunctionRow>,
    flame: FlameNode,
    /// Completed calls of the one function.
    calls: u64,
}

impl Answers {
    fn seconds(&self) -> f64 {
        self.summary.duration_ns as f64 / 1e9
    }

    fn ask(
        source: &dyn Source,
        window: Window,
        name: Option<&str>,
        weight: Weight,
    ) -> Result<Self, QueryError> {
        let overview = source.overview()?;
        let ended = overview.ended_ns.or(overview.last_flush_ns);
        let ended = ended.unwrap_or(overview.started_ns);
        let from_ns = window
            .from_ns
            .map_or(overview.started_ns, |from| from.max(overview.started_ns));
        let to_ns = window.to_ns.map_or(ended, |to| to.min(ended));
        let mut rows = source.functions(window)?;
        if let Some(name) = name {
            rows.retain(|row| row.name == name);
            if rows.is_empty() {
                return Err(QueryError::Selection(format!(
                    "session {} has no function {name}",
                    overview.session
                )));
            }
        }
        let function = name.and(rows.first()).map(|row| row.id);
        Ok(Self {
            flame: source.flame(&Selection::of(function, window, weight))?,
            calls: rows.iter().map(|row| row.calls).sum(),
            rows,
            summary: PartSummary {
                session: overview.session,
                target: overview.target,
                from_ns,
                duration_ns: u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0),
            },
        })
    }
}

/// Compares parts of two recordings, which may be of different databases. With [`Weight::Time`] where one of
/// them has no samples, wall-clock time is compared.
pub fn compare(
    before: (&dyn Source, Window),
    after: (&dyn Source, Window),
    function: Option<&str>,
    weight: Weight,
) -> Result<Comparison, QueryError> {
    let ask = |(source, window), weight| Answers::ask(source, window, function, weight);
    let mut notes = Vec::new();
    let mut weight = weight;
    let mut sides = [ask(before, weight)?, ask(after, weight)?];
    if weight == Weight::Time && sides.iter().any(|side| side.flame.value == 0) {
        weight = Weight::Wall;
        sides = [ask(before, weight)?, ask(after, weight)?];
        notes.push(
            "one of the two has no samples, so the flame graph is of wall-clock time by the stacks of calls"
                .to_owned(),
        );
    }
    let [before, after] = &sides;
    let unit = match (weight, function) {
        (Weight::Calls, _) => DiffUnit::CallsPerKilosecond,
        (_, Some(_)) => DiffUnit::NsPerCall,
        (_, None) => DiffUnit::NsPerSecond,
    };
    let factor = |side: &Answers| {
        let per = |count: f64| if count > 0.0 { 1.0 / count } else { 0.0 };
        match unit {
            DiffUnit::CallsPerKilosecond => 1000.0 * per(side.seconds()),
            DiffUnit::NsPerCall => per(side.calls as f64),
            DiffUnit::NsPerSecond => per(side.seconds()),
        }
    };
    let tree = DiffNode::of(&before.flame, &after.flame, [factor(before), factor(after)]);
    for side in &sides {
        if side.rows.iter().all(|row| row.calls == 0) {
            notes.push(format!(
                "session {}: no call completed in this part",
                side.summary.session
            ));
        }
    }
    if before.summary.target != after.summary.target {
        notes.push(format!(
            "the targets differ: {} and {}",
            before.summary.target, after.summary.target
        ));
    }
    Ok(Comparison {
        functions: changes(before, after),
        before: before.summary.clone(),
        after: after.summary.clone(),
        unit,
        tree,
        notes,
    })
}

fn changes(before: &Answers, after: &Answers) -> Vec<FunctionChange> {
    let mut by_name: BTreeMap<&str, [Option<Figures>; 2]> = BTreeMap::new();
    for (index, side) in [before, after].into_iter().enumerate() {
        for row in &side.rows {
            let figures = Figures::from((row, side.seconds()));
            by_name.entry(&row.name).or_default()[index] = Some(figures);
        }
    }
    let change = |(name, [before, after]): (&str, [Option<Figures>; 2])| FunctionChange {
        name: name.to_owned(),
        before,
        after,
    };
    let mut changes: Vec<FunctionChange> = by_name.into_iter().map(change).collect();
    changes.sort_by(|a, b| {
        b.change()
            .total_cmp(&a.change())
            .then_with(|| a.name.cmp(&b.name))
    });
    changes
}

impl DuckSource {
    /// Compares parts of sessions of this database.
    pub(super) fn compare_parts(
        &self,
        question: &CompareQuestion,
    ) -> Result<Comparison, QueryError> {
        let open = |part: Part| match part.session {
            Some(id) if id != self.session => Self::open(self.reader.clone(), Some(id)).map(Some),
            _ => Ok(None),
        };
        let failed = |error: OpenError| match error {
            OpenError::Query(error) => error,
            other => QueryError::Selection(other.to_string()),
        };
        let before = open(question.before).map_err(failed)?;
        let after = open(question.after).map_err(failed)?;
        compare(
            (before.as_ref().unwrap_or(self), question.before.window),
            (after.as_ref().unwrap_or(self), question.after.window),
            question.function.as_deref(),
            question.weight,
        )
    }
}
