//! Free SQL: one statement that only reads.
//!
//! Three layers keep it harmless: the statement is checked to be a single reading one, it runs in
//! a read-only transaction, and the database was opened without access to files, extensions or
//! settings (see `store::Database`).

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use duckdb::{Connection, types::ValueRef};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::QueryError;
use crate::store::{Reader, message_of};

/// Result of a free SQL query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows; numbers that fit JSON stay numbers, the rest are strings.
    pub rows: Vec<Vec<Value>>,
}

/// A query is cancelled after this long: it may run inside a monigo that is recording.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Statements that can be wrapped in `SELECT … FROM (…) LIMIT n`.
const WRAPPABLE: [&str; 10] = [
    "SELECT",
    "WITH",
    "FROM",
    "VALUES",
    "TABLE",
    "SHOW",
    "DESCRIBE",
    "DESC",
    "SUMMARIZE",
    "PIVOT",
];
/// Pragmas that only show something.
const PRAGMAS: [&str; 6] = [
    "TABLE_INFO",
    "SHOW_TABLES",
    "SHOW_TABLES_EXPANDED",
    "DATABASE_SIZE",
    "STORAGE_INFO",
    "VERSION",
];

/// Runs `query` and returns at most `limit` rows.
pub(super) fn run(reader: &Reader, query: &str, limit: u32) -> Result<Table, QueryError> {
    let statement = check(query)?;
    reader.with(|connection| {
        let cancel = Cancel::after(TIMEOUT, connection);
        connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
        let answer = match statement {
            Statement::Wrappable(query) => wrapped(connection, query, limit),
            Statement::Other(query) => table(connection, query, limit),
        };
        let rolled_back = connection.execute_batch("ROLLBACK");
        let timed_out = cancel.stop();
        match answer {
            Ok(table) => rolled_back.map(|()| table).map_err(QueryError::from),
            Err(_) if timed_out => Err(QueryError::Sql(format!(
                "the query was cancelled after {} s; add a WHERE or LIMIT",
                TIMEOUT.as_secs()
            ))),
            Err(error) => Err(QueryError::Sql(message_of(&error))),
        }
    })
}

/// A checked statement, without its semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statement<'a> {
    Wrappable(&'a str),
    Other(&'a str),
}

/// Checks that `query` is one statement that only reads.
fn check(query: &str) -> Result<Statement<'_>, QueryError> {
    let refused = |why: String| Err(QueryError::Sql(why));
    if query.contains('\0') {
        return refused("the query contains a NUL character".to_owned());
    }
    let statement = query.trim_matches(|c: char| c.is_whitespace() || c == ';');
    let mut words = Words(statement);
    let Some(first) = words.next() else {
        return refused("the query is empty; try SHOW TABLES".to_owned());
    };
    if separates(statement) {
        return refused(
            "only one statement is allowed; run several one after the other, and write chr(59) for a semicolon beside comments or escapes".to_owned(),
        );
    }
    let first = first.to_ascii_uppercase();
    if WRAPPABLE.contains(&first.as_str()) || first == "(" {
        return Ok(Statement::Wrappable(statement));
    }
    match first.as_str() {
        "EXPLAIN" => Ok(Statement::Other(statement)),
        "PRAGMA" => {
            let name = words.next().unwrap_or_default().to_ascii_uppercase();
            if PRAGMAS.contains(&name.as_str()) {
                Ok(Statement::Other(statement))
            } else {
                refused(format!("PRAGMA {name} is not allowed here"))
            }
        }
        other => refused(format!(
            "{other} is not allowed: a query only reads (SELECT, WITH, FROM, SHOW, DESCRIBE, SUMMARIZE, EXPLAIN)"
        )),
    }
}

/// Whether a semicolon may separate statements. Certain only without comments, dollar quotes and
/// backslashes, whose nesting rules are the parser's secret: with those any semicolon counts.
fn separates(statement: &str) -> bool {
    if !statement.contains(';') {
        return false;
    }
    if ["--", "/*", "$", "\\"]
        .iter()
        .any(|form| statement.contains(form))
    {
        return true;
    }
    let mut quote = None;
    for c in statement.chars() {
        match (quote, c) {
            (None, ';') => return true,
            // A doubled quote is two strings in a row, which is the same here.
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    false
}

/// Words and single symbols of SQL, without comments.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start();
            let skip = comment_length(self.0);
            if skip == 0 {
                break;
            }
            self.0 = &self.0[skip..];
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let first = self.0.chars().next()?;
        let length = if word(first) {
            self.0.find(|c| !word(c)).unwrap_or(self.0.len())
        } else {
            first.len_utf8()
        };
        let (item, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(item)
    }
}

/// Length of the comment that `text` begins with, 0 if none.
fn comment_length(text: &str) -> usize {
    if text.starts_with("--") {
        text.find('\n').map_or(text.len(), |end| end + 1)
    } else if text.starts_with("/*") {
        text.find("*/").map_or(text.len(), |end| end + 2)
    } else {
        0
    }
}

/// Runs a statement that can stand in `FROM (…)`. `DuckDB` renders the types that JSON lacks.
fn wrapped(connection: &Connection, query: &str, limit: u32) -> Result<Table, duckdb::Error> {
    // The line break ends a trailing comment.
    let mut describe = connection.prepare(&format!("DESCRIBE FROM (\n{query}\n)"))?;
    let columns = describe
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, String)>, _>>()?;
    let selected: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, (_, kind))| {
            let position = index + 1;
            if is_plain(kind) {
                format!("#{position}")
            } else {
                format!("CAST(#{position} AS VARCHAR)")
            }
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM (\n{query}\n) LIMIT {limit}",
        selected.join(", ")
    );
    let mut table = table(connection, &sql, limit)?;
    table.columns = columns.into_iter().map(|(name, _)| name).collect();
    Ok(table)
}

/// Types that have a JSON counterpart.
fn is_plain(kind: &str) -> bool {
    let name = kind.split('(').next().unwrap_or(kind);
    !kind.ends_with(']')
        && matches!(
            name,
            "BOOLEAN"
                | "TINYINT"
                | "SMALLINT"
                | "INTEGER"
                | "BIGINT"
                | "HUGEINT"
                | "UTINYINT"
                | "USMALLINT"
                | "UINTEGER"
                | "UBIGINT"
                | "FLOAT"
                | "DOUBLE"
                | "DECIMAL"
                | "VARCHAR"
        )
}

fn table(connection: &Connection, sql: &str, limit: u32) -> Result<Table, duckdb::Error> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let columns = rows
        .as_ref()
        .map_or_else(Vec::new, duckdb::Statement::column_names);
    let mut table = Table {
        columns,
        rows: Vec::new(),
    };
    while table.rows.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        let values = (0..table.columns.len())
            .map(|column| row.get_ref(column).map(value))
            .collect::<Result<_, _>>()?;
        table.rows.push(values);
    }
    Ok(table)
}

/// Numbers that fit JSON stay numbers, the rest are strings.
fn value(value: ValueRef<'_>) -> Value {
    let float = |number: f64| {
        Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
    };
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Boolean(truth) => Value::Bool(truth),
        ValueRef::TinyInt(number) => number.into(),
        ValueRef::SmallInt(number) => number.into(),
        ValueRef::Int(number) => number.into(),
        ValueRef::BigInt(number) => number.into(),
        ValueRef::UTinyInt(number) => number.into(),
        ValueRef::USmallInt(number) => number.into(),
        ValueRef::UInt(number) => number.into(),
        ValueRef::UBigInt(number) => number.into(),
        ValueRef::HugeInt(number) => {
            i64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::from)
        }
        ValueRef::Float(number) => float(number.into()),
        ValueRef::Double(number) => float(number),
        ValueRef::Decimal(decimal) => {
            let text = decimal.to_string();
            text.parse().map_or(Value::String(text), float)
        }
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        // Only statements that cannot be wrapped get here, and they return text.
        other => format!("{other:?}").into(),
    }
}

/// Interrupts a connection's query unless stopped in time.
struct Cancel {
    stop: mpsc::Sender<()>,
    watchdog: thread::JoinHandle<bool>,
}

impl Cancel {
    fn after(timeout: Duration, connection: &Connection) -> Self {
        let handle = connection.interrupt_handle();
        let (stop, stopped) = mpsc::channel();
        let watchdog = thread::spawn(move || {
            let late = stopped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
            if late {
                handle.interrupt();
            }
            late
        });
        Self { stop, watchdog }
    }

    /// Ends the watch; whether it had fired.
    fn stop(self) -> bool {
        drop(self.stop);
        self.watchdog.join().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str) -> String {
        match check(query) {
            Err(QueryError::Sql(why)) => why,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn reading_statements_pass() {
        for query in [
            "SELECT 1",
            "  select 1 ;  ",
            "-- why\n/* because */ WITH a AS (SELECT 1) FROM a ;",
            "FROM calls",
            "(SELECT 1) UNION ALL SELECT 2",
            "VALUES (1)",
            "SHOW TABLES",
            "describe calls",
            "SUMMARIZE calls",
            "EXPLAIN SELECT 1",
            "PRAGMA table_info('calls')",
            "SELECT string_split('a;b', ';') AS \"x;y\", 'it''s; fine'",
            "SELECT $$a$$ -- done",
        ] {
            assert!(check(query).is_ok(), "{query}: {:?}", check(query));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for query in [
            "DELETE FROM calls",
            "INSERT INTO calls VALUES (1)",
            "SELECT 1; DROP TABLE calls",
            "SELECT ''; DROP TABLE calls",
            "SELECT $$a$$; DROP TABLE calls",
            "SELECT E'\\''); COMMIT; DROP TABLE calls; SELECT (1 --'",
            "/* /* */ SELECT ' */ 1; COMMIT; DROP TABLE calls --'",
            "/* SELECT */ COPY calls TO 'x'",
            "ATTACH 'x'",
            "SET threads = 9",
            "PRAGMA memory_limit='9GB'",
            "CALL force_checkpoint()",
            "COMMIT",
            "INSTALL httpfs",
            "CHECKPOINT",
        ] {
            assert!(refusal(query).contains("allowed"), "{query}");
        }
        assert!(refusal(" -- nothing\n").contains("empty"));
        assert!(refusal(" ; ").contains("empty"));
        assert!(refusal("SELECT '\0'").contains("NUL"));
    }
}
