//! All integration tests in one binary: linking candle is what costs time.

mod checkpoints;
mod cli;
mod data;
mod fuzz;
mod golden;
mod identities;
mod manifest;
mod report;
mod residual;
mod schedule;
mod sequential;
mod shared;
mod torch;
