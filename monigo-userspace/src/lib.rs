//! monigo: attach to functions of running programs and see exact call counts, true latency
//! percentiles and the stacks that explain them.
//!
//! Data flows one way: [`target`] and [`symbols`] say what there is, [`plan`] which instructions
//! to probe, [`probe`] attaches, [`collect`] drains, [`unwind`] walks copied stacks, [`store`] keeps, [`query`] answers, and the
//! views ([`cli`], [`tui`], [`api`], [`export`]) show.

pub mod api;
mod certificates;
pub mod cli;
pub mod collect;
pub mod config;
pub mod discover;
pub mod embed;
pub mod export;
pub mod goroutines;
pub mod histogram;
pub mod lifecycle;
pub mod plan;
pub mod probe;
pub mod query;
pub mod service;
pub mod store;
pub mod symbols;
mod sync;
pub mod system;
pub mod target;
pub mod telemetry;
pub mod tui;
pub mod unwind;

pub use embed::Monigo;
