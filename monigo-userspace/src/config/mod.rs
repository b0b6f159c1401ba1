//! Settings: their types, where they come from, and which of them can change while monigo runs.

mod values;

pub use self::values::{Size, Span, ValueError};
