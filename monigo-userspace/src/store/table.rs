//! Rows to append, column by column: so DuckDB keeps them, and so they get there in a fraction of the
//! time that value by value takes.

use std::sync::Arc;

use duckdb::{
    Connection, Error,
    arrow::{
        array::{
            Array as _, ArrayRef, BooleanArray, Float64Array, Int16Array, Int32Array, Int64Array,
            RecordBatch, StringArray, UInt64Array,
        },
        datatypes::{Field, Schema},
    },
};

/// Rows that are turned into columns at a time: as many as DuckDB handles at a time, so that little memory
/// is needed beside the rows.
const ROWS: usize = 2048;

/// A value of a column, or NULL. The type is that of the column, in SQL.
pub(super) trait Cell: Sized {
    /// Values from the first row on.
    fn column(values: impl Iterator<Item = Self>) -> ArrayRef;
}

macro_rules! cells {
    ($($cell:ty => $array:ident),*) => {$(
        impl Cell for $cell {
            fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new($array::from_iter_values(values))
            }
        }

        impl Cell for Option<$cell> {
            fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new($array::from_iter(values))
            }
        }
    )*};
}

cells!(
    i64 => Int64Array,
    i32 => Int32Array,
    i16 => Int16Array,
    u64 => UInt64Array,
    f64 => Float64Array,
    &str => StringArray
);

impl Cell for bool {
    fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
        Arc::new(values.map(Some).collect::<BooleanArray>())
    }
}

/// Makes a column of rows.
type Column<'a, R> = Box<dyn Fn(&'a [R]) -> ArrayRef + 'a>;

/// Rows, and what their columns are, in the order of those of the table.
pub(super) struct Table<'a, R> {
    rows: &'a [R],
    columns: Vec<Column<'a, R>>,
}

impl<'a, R> Table<'a, R> {
    pub(super) fn of(rows: &'a [R]) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// Adds a column.
    pub(super) fn with<C: Cell>(mut self, cell: impl Fn(&'a R) -> C + 'a) -> Self {
        let column = move |rows: &'a [R]| C::column(rows.iter().map(&cell));
        self.columns.push(Box::new(column));
        self
    }

    /// Appends the rows to table `name`, which has to have these columns.
    pub(super) fn append(self, connection: &Connection, name: &str) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut appender = connection.appender(name)?;
        for rows in self.rows.chunks(ROWS) {
            let columns: Vec<ArrayRef> = self.columns.iter().map(|column| column(rows)).collect();
            let fields: Vec<Field> = columns
                .iter()
                .map(|column| Field::new("", column.data_type().clone(), true))
                .collect();
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
                .map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))?;
            appender.append_record_batch(batch)?;
        }
        appender.flush()
    }
}

/// Counts and durations fit in 63 bits for centuries; a corrupt one must not abort a batch.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn signed32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// What was not measured is NULL.
pub(super) fn measured(ns: u32) -> Option<i64> {
    (ns > 0).then_some(ns.into())
}
