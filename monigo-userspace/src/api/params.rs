//! Query parameters, refused by name when they cannot be used.

use std::{collections::HashMap, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use super::error::ApiError;
use crate::query::{Percentile, Root, Selection, Weight, Window};

/// Parameters of [`Params::selection`].
pub const SELECTION: [&str; 8] = [
    "function",
    "from",
    "to",
    "weight",
    "slower_than",
    "faster_than",
    "percentile",
    "root",
];

/// The query string of a request.
#[derive(Debug, Default)]
pub struct Params(HashMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut params = Self::read(parts)?;
        if parts.extensions.get::<SessionTaken>().is_some() {
            params.0.remove("session");
        }
        Ok(params)
    }
}

/// The parameter `session` was taken, and is none of the endpoint's own.
#[derive(Clone, Copy)]
struct SessionTaken;

impl Params {
    /// Takes the parameter `session` out: which session a request is about.
    pub fn take_session(parts: &mut Parts) -> Result<Option<i64>, ApiError> {
        let session = Self::read(parts)?.session("session")?;
        parts.extensions.insert(SessionTaken);
        Ok(session)
    }

    fn read(parts: &Parts) -> Result<Self, ApiError> {
        Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| {
                ApiError::new(
                    axum::http::StatusCode::BAD_REQUEST,
                    "bad_query",
                    format!("the query string cannot be read: {error}"),
                )
            })
    }

    /// Refuses parameters that the endpoint does not take, so that a misspelt one is noticed.
    pub fn only(self, known: &[&str]) -> Result<Self, ApiError> {
        let mut unknown: Vec<&String> = self
            .0
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .collect();
        unknown.sort_unstable();
        match unknown.first() {
            None => Ok(self),
            Some(name) if known.is_empty() => Err(ApiError::parameter(
                name,
                "is not known; this takes no parameters",
            )),
            Some(name) => Err(ApiError::parameter(
                name,
                format_args!("is not known; this takes {}", known.join(", ")),
            )),
        }
    }

    /// `from` and `to`, Unix time in ns.
    pub fn window(&self) -> Result<Window, ApiError> {
        self.window_of("from", "to")
    }

    /// `function`, an id; all functions when absent.
    pub fn function(&self) -> Result<Option<u32>, ApiError> {
        self.parse("function", "must be the id of a function")
    }

    /// `weight`, `wall` when absent.
    pub fn weight(&self) -> Result<Weight, ApiError> {
        match self.0.get("weight").map(String::as_str) {
            None | Some("wall") => Ok(Weight::Wall),
            Some("calls") => Ok(Weight::Calls),
            Some("cpu") => Ok(Weight::Cpu),
            Some("offcpu") => Ok(Weight::OffCpu),
            Some("time") => Ok(Weight::Time),
            Some(_) => Err(ApiError::parameter(
                "weight",
                "must be wall, calls, cpu, offcpu or time",
            )),
        }
    }

    /// `root`, `callers` when absent.
    fn root(&self) -> Result<Root, ApiError> {
        match self.0.get("root").map(String::as_str) {
            None | Some("callers") => Ok(Root::Callers),
            Some("function") => Ok(Root::Function),
            Some(_) => Err(ApiError::parameter("root", "must be callers or function")),
        }
    }

    /// A duration in ns.
    pub fn duration(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.parse(name, "must be a duration in ns, a whole number")
    }

    /// `percentile`.
    pub fn percentile(&self) -> Result<Option<Percentile>, ApiError> {
        self.parse("percentile", "must be a number above 0 and below 100")
    }

    /// Everything in [`SELECTION`].
    pub fn selection(&self) -> Result<Selection, ApiError> {
        Ok(Selection {
            function: self.function()?,
            window: self.window()?,
            weight: self.weight()?,
            slower_than_ns: self.duration("slower_than")?,
            faster_than_ns: self.duration("faster_than")?,
            percentile: self.percentile()?,
            root: self.root()?,
        })
    }

    /// A window between two other names.
    pub fn window_of(&self, from: &str, to: &str) -> Result<Window, ApiError> {
        let window = Window {
            from_ns: self.time(from)?,
            to_ns: self.time(to)?,
        };
        match (window.from_ns, window.to_ns) {
            (Some(from_ns), Some(to_ns)) if from_ns >= to_ns => Err(ApiError::parameter(
                from,
                format_args!("must be before '{to}'"),
            )),
            _ => Ok(window),
        }
    }

    /// The id of a session.
    pub fn session(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.parse(name, "must be the id of a session")
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A count between 1 and `max`.
    pub fn count(&self, name: &str, default: u32, max: u32) -> Result<u32, ApiError> {
        match self.0.get(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=max).contains(count))
                .ok_or_else(|| {
                    ApiError::parameter(
                        name,
                        format_args!("must be a whole number from 1 to {max}"),
                    )
                }),
        }
    }

    fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.parse(name, "must be Unix time in ns, a whole number")
    }

    fn parse<T: FromStr>(&self, name: &str, problem: &str) -> Result<Option<T>, ApiError> {
        self.0
            .get(name)
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| ApiError::parameter(name, problem))
    }
}
