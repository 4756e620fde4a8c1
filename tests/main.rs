//! All integration tests in one binary: linking candle is what costs time.

mod data;
mod golden;
mod manifest;
mod report;
mod shared;
mod torch;
