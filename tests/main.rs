//! All integration tests in one binary: linking candle is what costs time.

mod data;
mod golden;
mod identities;
mod manifest;
mod report;
mod shared;
mod torch;
