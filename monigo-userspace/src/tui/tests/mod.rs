//! Screens compared with snapshots, keys, and the flow of questions and answers.

mod fixture;
mod keys;
mod questions;
mod screens;
