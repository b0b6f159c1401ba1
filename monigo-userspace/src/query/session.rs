//! What the tables say about a session as a whole.

use duckdb::{Connection, params};

use super::{
    InstanceRow, LossRow, Overview, ProbeRow, QueryError,
    warnings::{self, Notice, Notices},
};
use crate::store::Reader;

/// The functions of a session, by id. More can come while it goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Functions {
    pub metas: Vec<Meta>,
    pub names: Vec<String>,
}

impl Functions {
    pub fn read(reader: &Reader, session: i64) -> Result<Self, QueryError> {
        let metas = reader.with(|connection| read_functions(connection, session))?;
        let names = metas.iter().map(|meta| meta.name.clone()).collect();
        Ok(Self { metas, names })
    }

    /// If a function counts executions of an async function: the name under which its polls count.
    pub fn polls_of(&self, function: u32) -> Option<&str> {
        let polls = self.counts_executions(function).then(|| function - 1)?;
        self.names.get(polls as usize).map(String::as_str)
    }

    /// As [`super::FunctionRow::counts_executions`].
    pub fn counts_executions(&self, function: u32) -> bool {
        let meta = self.metas.get(function as usize);
        function > 0 && meta.is_some_and(|meta| meta.probe.sites == 0)
    }
}

/// What does not change about a function.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub name: String,
    pub image: String,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub probe: ProbeRow,
    /// Time that the probes of a call take which is only counted, ns.
    pub count_ns: u32,
}

/// The session's row.
pub(super) struct SessionState {
    pub overview: Overview,
    pub pruned_before_ns: Option<i64>,
    pub detailed_from_ns: Option<i64>,
}

/// Values of an enum are stored as its serde names.
pub(super) fn parse<T: serde::de::DeserializeOwned>(name: String) -> Result<T, QueryError> {
    serde_json::from_value(serde_json::Value::String(name))
        .map_err(|error| QueryError::Store(error.to_string()))
}

pub(super) fn session_ids(connection: &Connection) -> Result<Vec<i64>, QueryError> {
    let mut statement =
        connection.prepare("SELECT session_id FROM sessions ORDER BY session_id")?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub(super) fn session_warnings(
    connection: &Connection,
    session: i64,
) -> Result<Vec<String>, QueryError> {
    let mut statement =
        connection.prepare_cached("SELECT sentence FROM session_warnings WHERE session_id = ?")?;
    let sentences = statement.query_map([session], |row| row.get(0))?;
    Ok(sentences.collect::<Result<_, _>>()?)
}

/// Distinct notices, in the order in which each was last given; no more than can be shown.
pub(super) fn read_notices(connection: &Connection, session: i64) -> Result<Notices, QueryError> {
    let mut statement = connection.prepare_cached(
        "SELECT sentence, count(*)::BIGINT, min(at_ns), max(at_ns), count(*) OVER ()::BIGINT
         FROM notices WHERE session_id = ?
         GROUP BY sentence ORDER BY max(at_ns) DESC, min(at_ns) DESC, sentence LIMIT ?",
    )?;
    let mut rows = statement.query(params![session, warnings::MOST_NOTICES])?;
    let mut notices = Notices::default();
    while let Some(row) = rows.next()? {
        notices.newest.push(Notice {
            sentence: row.get(0)?,
            times: row.get(1)?,
            first_ns: row.get(2)?,
            last_ns: row.get(3)?,
        });
        notices.distinct = row.get(4)?;
    }
    notices.newest.reverse();
    Ok(notices)
}

fn read_functions(connection: &Connection, session: i64) -> Result<Vec<Meta>, QueryError> {
    let mut statement = connection.prepare(
        "SELECT name, image, file, line, entry_address, exit_probe, sites, cost_class,
                coalesce(cost_ns, 0), coalesce(floor_ns, 0), coalesce(count_ns, 0)
         FROM functions WHERE session_id = ? ORDER BY function_id",
    )?;
    let mut rows = statement.query([session])?;
    let mut functions = Vec::new();
    while let Some(row) = rows.next()? {
        functions.push(Meta {
            name: row.get(0)?,
            image: row.get(1)?,
            file: row.get(2)?,
            line: row.get(3)?,
            probe: ProbeRow {
                entry: format!("{:#x}", row.get::<_, u64>(4)?),
                exit: parse(row.get(5)?)?,
                sites: row.get(6)?,
                cost_class: parse(row.get(7)?)?,
                cost_ns: row.get(8)?,
                floor_ns: row.get(9)?,
                instances: Vec::new(),
            },
            count_ns: row.get(10)?,
        });
    }
    read_instances(connection, session, &mut functions)?;
    Ok(functions)
}

/// Gives each function its bodies, if it has several.
fn read_instances(
    connection: &Connection,
    session: i64,
    functions: &mut [Meta],
) -> Result<(), QueryError> {
    let mut statement = connection.prepare(
        "SELECT function_id, name, linkage_name, address, file, line, sites, cost_class
         FROM instances WHERE session_id = ? ORDER BY function_id, address",
    )?;
    let mut rows = statement.query([session])?;
    while let Some(row) = rows.next()? {
        let Some(function) = functions.get_mut(row.get::<_, u32>(0)? as usize) else {
            continue;
        };
        function.probe.instances.push(InstanceRow {
            name: row.get(1)?,
            linkage_name: row.get(2)?,
            address: format!("{:#x}", row.get::<_, u64>(3)?),
            file: row.get(4)?,
            line: row.get(5)?,
            sites: row.get(6)?,
            cost_class: parse(row.get(7)?)?,
        });
    }
    Ok(())
}

pub(super) fn read_session(
    connection: &Connection,
    session: i64,
) -> Result<SessionState, QueryError> {
    let mut statement = connection.prepare_cached(
        "SELECT target_path, language, host, kernel, monigo_version, started_ns, ended_ns,
                (SELECT max(at_ns) FROM flushes f WHERE f.session_id = s.session_id), flush_ns,
                pruned_before_ns, detailed_from_ns, runtime_version, retention
         FROM sessions s WHERE session_id = ?",
    )?;
    let mut rows = statement.query([session])?;
    let row = rows
        .next()?
        .ok_or_else(|| QueryError::Store(format!("session {session} was deleted")))?;
    let overview = Overview {
        session,
        target: row.get(0)?,
        language: parse(row.get(1)?)?,
        pids: read_pids(connection, session)?,
        host: row.get(2)?,
        kernel: row.get(3)?,
        monigo_version: row.get(4)?,
        runtime_version: row.get(11)?,
        retention: row.get(12)?,
        started_ns: row.get(5)?,
        ended_ns: row.get(6)?,
        last_flush_ns: row.get(7)?,
        flush_ns: row.get(8)?,
        recorded: 0,
        losses: read_losses(connection, session)?,
        warnings: Vec::new(),
        beside_share: 0.0,
        skipped_ns: 0,
    };
    Ok(SessionState {
        overview,
        pruned_before_ns: row.get(9)?,
        detailed_from_ns: row.get(10)?,
    })
}

fn read_pids(connection: &Connection, session: i64) -> Result<Vec<u32>, QueryError> {
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT pid FROM processes WHERE session_id = ? ORDER BY pid")?;
    let pids = statement.query_map([session], |row| row.get(0))?;
    Ok(pids.collect::<Result<_, _>>()?)
}

fn read_losses(connection: &Connection, session: i64) -> Result<Vec<LossRow>, QueryError> {
    let mut statement = connection.prepare_cached(
        "SELECT cause, sum(count)::BIGINT
         FROM (SELECT session_id, cause, count FROM losses UNION ALL FROM deleted_losses)
         WHERE session_id = ? GROUP BY cause ORDER BY cause",
    )?;
    let losses = statement.query_map([session], |row| {
        Ok(LossRow {
            cause: row.get(0)?,
            count: row.get(1)?,
        })
    })?;
    Ok(losses.collect::<Result<_, _>>()?)
}
