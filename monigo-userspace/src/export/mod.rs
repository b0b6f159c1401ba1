//! What leaves monigo as text or files: tables, JSON, CSV, folded stacks and flame graphs.

pub mod format;
