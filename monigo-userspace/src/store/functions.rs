//! The tables of what does not change about functions.

use duckdb::{Connection, params};

use super::{
    ExitProbe, Instance, NewFunction,
    table::{Table, measured, signed32},
};
use crate::plan::CostClass;

/// Appends functions with ids from `first` on.
pub(super) fn append(
    connection: &Connection,
    session: i64,
    first: u32,
    functions: &[NewFunction],
) -> Result<(), duckdb::Error> {
    let functions: Vec<(i32, &NewFunction)> = (first as i32..).zip(functions).collect();
    Table::of(&functions)
        .with(|_| session)
        .with(|(id, _)| *id)
        .with(|(_, function)| function.name.as_str())
        .with(|(_, function)| function.linkage_name.as_str())
        .with(|(_, function)| function.image.as_str())
        .with(|(_, function)| function.file.as_deref())
        .with(|(_, function)| function.line.map(signed32))
        .with(|(_, function)| function.entry_address)
        .with(|(_, function)| exit_name(function.exit))
        .with(|(_, function)| signed32(function.sites))
        .with(|(_, function)| cost_name(function.cost_class))
        .with(|(_, function)| measured(function.cost_ns))
        .with(|(_, function)| measured(function.floor_ns))
        .with(|(_, function)| measured(function.count_ns))
        .append(connection, "functions")?;
    let instances: Vec<(i32, &Instance)> = functions
        .iter()
        .flat_map(|&(id, function)| {
            function
                .instances
                .iter()
                .map(move |instance| (id, instance))
        })
        .collect();
    Table::of(&instances)
        .with(|_| session)
        .with(|(id, _)| *id)
        .with(|(_, instance)| instance.name.as_str())
        .with(|(_, instance)| instance.linkage_name.as_str())
        .with(|(_, instance)| instance.address)
        .with(|(_, instance)| instance.file.as_deref())
        .with(|(_, instance)| instance.line.map(signed32))
        .with(|(_, instance)| signed32(instance.sites))
        .with(|(_, instance)| cost_name(instance.cost_class))
        .append(connection, "instances")
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

/// As in the `functions` table.
pub(crate) fn exit_name(exit: ExitProbe) -> &'static str {
    match exit {
        ExitProbe::Ret => "ret",
        ExitProbe::Uretprobe => "uretprobe",
    }
}

/// As in the `functions` table.
pub(crate) fn cost_name(cost: CostClass) -> &'static str {
    match cost {
        CostClass::Nop5 => "nop5",
        CostClass::Emulated => "emulated",
        CostClass::SingleStep => "single-step",
    }
}
