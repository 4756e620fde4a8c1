//! All integration tests in one binary: linking candle is what costs time.

/// As the program has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod checkpoints;
mod claims;
mod cli;
mod data;
mod experiments;
mod fuzz;
mod golden;
mod identities;
mod manifest;
mod report;
mod residual;
mod schedule;
mod sequential;
mod shared;
mod ticks;
mod torch;
