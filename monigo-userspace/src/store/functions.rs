//! The tables of what does not change about functions.

use duckdb::{Connection, params};

use super::{
    NewFunction,
    append::{cost_name, exit_name, measured, signed32},
};

/// Appends functions with ids from `first` on.
pub(super) fn append(
    connection: &Connection,
    session: i64,
    first: u32,
    functions: &[NewFunction],
) -> Result<(), duckdb::Error> {
    let mut appender = connection.appender("functions")?;
    for (id, function) in (first..).zip(functions) {
        appender.append_row(params![
            session,
            id as i32,
            function.name,
            function.linkage_name,
            function.image,
            function.file,
            function.line.map(signed32),
            function.entry_address,
            exit_name(function.exit),
            signed32(function.sites),
            cost_name(function.cost_class),
            measured(function.cost_ns),
            measured(function.floor_ns),
            measured(function.count_ns),
        ])?;
    }
    appender.flush()?;
    let mut appender = connection.appender("instances")?;
    for (id, function) in (first..).zip(functions) {
        for instance in &function.instances {
            appender.append_row(params![
                session,
                id as i32,
                instance.name,
                instance.linkage_name,
                instance.address,
                instance.file,
                instance.line.map(signed32),
                signed32(instance.sites),
                cost_name(instance.cost_class),
            ])?;
        }
    }
    appender.flush()
}

/// Removes functions with ids from `first` on, of which nothing was measured.
pub(super) fn remove(
    connection: &Connection,
    session: i64,
    first: u32,
) -> Result<(), duckdb::Error> {
    for table in ["functions", "instances"] {
        let sql = format!("DELETE FROM {table} WHERE session_id = ? AND function_id >= ?");
        connection.execute(&sql, params![session, first])?;
    }
    Ok(())
}
