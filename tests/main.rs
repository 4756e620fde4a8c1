//! All integration tests in one binary: linking candle is what costs time.

mod cli;
mod data;
mod manifest;
mod report;
mod schedule;
mod shared;
mod torch;
