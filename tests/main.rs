//! All integration tests in one binary: linking candle is what costs time.

mod cli;
mod data;
mod golden;
mod identities;
mod manifest;
mod report;
mod schedule;
mod shared;
mod torch;
