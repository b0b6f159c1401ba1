//! Which sessions a database has.

use duckdb::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{Overview, QueryError, session::parse};
use crate::{store::Reader, symbols::Language};

/// Sessions in a list: those that have not ended, and the newest of the others.
const MOST_SESSIONS: u32 = 500;
/// Flushes that may be late before a recording counts as cut off.
const LATE_FLUSHES: i64 = 5;

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Id in the database.
    pub session: i64,
    /// What the configuration calls the target, if it does.
    pub label: Option<String>,
    /// Target path.
    pub target: String,
    /// Language of the target.
    pub language: Language,
    /// Pids seen, ascending.
    pub pids: Vec<u32>,
    /// Start, Unix time in ns.
    pub started_ns: i64,
    /// End, Unix time in ns; `None` while recording (or after a kill).
    pub ended_ns: Option<i64>,
    /// Time of the last flush, Unix time in ns.
    pub last_flush_ns: Option<i64>,
    /// Flush interval, ns.
    pub flush_ns: i64,
}

/// Where a recording stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Recording,
    /// It has ended.
    Ended,
    /// Neither ended nor flushed for long: its monigo was killed.
    CutOff,
}

impl SessionRow {
    /// Where it stands at `now_ns`, Unix time in ns.
    pub fn standing(&self, now_ns: i64) -> Standing {
        let last = self.last_flush_ns.unwrap_or(self.started_ns);
        let patience = self
            .flush_ns
            .max(1_000_000_000)
            .saturating_mul(LATE_FLUSHES);
        if self.ended_ns.is_some() {
            Standing::Ended
        } else if now_ns.saturating_sub(last) > patience {
            Standing::CutOff
        } else {
            Standing::Recording
        }
    }
}

impl From<Overview> for SessionRow {
    fn from(overview: Overview) -> Self {
        Self {
            session: overview.session,
            label: None,
            target: overview.target,
            language: overview.language,
            pids: overview.pids,
            started_ns: overview.started_ns,
            ended_ns: overview.ended_ns,
            last_flush_ns: overview.last_flush_ns,
            flush_ns: overview.flush_ns,
        }
    }
}

/// The sessions of the database that `reader` reads, by id, newest first: all that have not ended, and at most
/// 500 in all.
pub fn sessions(reader: &Reader) -> Result<Vec<SessionRow>, QueryError> {
    let mut rows = reader.with(read)?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.session));
    Ok(rows)
}

fn read(connection: &Connection) -> Result<Vec<SessionRow>, QueryError> {
    let mut statement = connection.prepare_cached(
        "WITH listed AS (
             FROM sessions ORDER BY ended_ns IS NULL DESC, session_id DESC LIMIT ?
         )
         SELECT session_id, label, target_path, language, started_ns, ended_ns, flush_ns,
                (SELECT max(at_ns) FROM flushes f WHERE f.session_id = s.session_id),
                (SELECT string_agg(DISTINCT pid, ',') FROM processes p WHERE p.session_id = s.session_id)
         FROM listed s",
    )?;
    let mut rows = statement.query(params![MOST_SESSIONS])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let pids: Option<String> = row.get(8)?;
        let mut pids: Vec<u32> = pids
            .iter()
            .flat_map(|pids| pids.split(','))
            .filter_map(|pid| pid.parse().ok())
            .collect();
        pids.sort_unstable();
        found.push(SessionRow {
            session: row.get(0)?,
            label: row.get(1)?,
            target: row.get(2)?,
            language: parse(row.get(3)?)?,
            pids,
            started_ns: row.get(4)?,
            ended_ns: row.get(5)?,
            last_flush_ns: row.get(7)?,
            flush_ns: row.get(6)?,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Database, Store as _, fixture};

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_recording_goes_on_until_its_flushes_stop() {
        let row = |ended_ns, last_flush_ns| SessionRow {
            session: 1,
            label: None,
            target: "/bin/true".to_owned(),
            language: Language::C,
            pids: Vec::new(),
            started_ns: 100 * SECOND,
            ended_ns,
            last_flush_ns,
            flush_ns: 2 * SECOND,
        };
        let last = Some(200 * SECOND);
        for (row, now, expected) in [
            (row(Some(200 * SECOND), last), 201, Standing::Ended),
            (row(None, last), 209, Standing::Recording),
            (row(None, last), 211, Standing::CutOff),
            (row(None, None), 101, Standing::Recording),
            (row(None, None), 200, Standing::CutOff),
        ] {
            let standing = row.standing(now * SECOND);
            assert_eq!(standing, expected, "{row:?} at {now}");
        }
    }

    #[test]
    fn sessions_are_listed_newest_first_with_their_processes() {
        let mut database = Database::in_memory().unwrap();
        let reader = database.reader().unwrap();
        assert_eq!(sessions(&reader), Ok(Vec::new()));
        let first = fixture::record(&mut database);
        let second = crate::store::NewSession {
            label: Some("shop".to_owned()),
            ..fixture::session()
        };
        let second = database.begin_session(&second).unwrap();
        let rows = sessions(&reader).unwrap();
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.session, row.label.as_deref(), row.pids.len()))
            .collect();
        assert_eq!(told, [(second, Some("shop"), 0), (first, None, 1)]);
        assert_eq!(rows[1].target, "/srv/orders");
        assert!(rows[1].last_flush_ns.is_some());
    }
}
