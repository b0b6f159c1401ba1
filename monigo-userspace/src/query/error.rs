//! Why a question has no answer.

use serde::{Deserialize, Serialize};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum QueryError {
    /// The user's SQL was refused or is wrong.
    #[error("{0}")]
    Sql(String),
    /// No such function id in this session.
    #[error("no function with id {0} in this session")]
    UnknownFunction(u32),
    /// The selection contradicts itself.
    #[error("{0}")]
    Selection(String),
    /// No recorded call has such a duration.
    #[error("{0}")]
    NoSuchCalls(String),
    /// The store failed.
    #[error("reading the database failed: {0}")]
    Store(String),
    /// The recording cannot be read now; a sentence with the reason.
    #[error("{0}")]
    Unavailable(String),
    /// The running monigo that holds the database did not answer.
    #[error("the running monigo did not answer: {0}")]
    Remote(String),
}

impl From<duckdb::Error> for QueryError {
    fn from(error: duckdb::Error) -> Self {
        Self::Store(crate::store::message_of(&error))
    }
}
