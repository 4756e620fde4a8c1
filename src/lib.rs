//! `runner`: declarative experiments in neural network model fusion.
//!
//! A manifest becomes jobs, jobs become records, records become tables:
//!
//! ```text
//! manifest -> plan -> schedule -> job -> record (result) -> report
//! ```
//!
//! One direction, each stage testable without the next. Arrows below say "may use"; a test holds the code to them.
//!
//! | module | what | may use |
//! | --- | --- | --- |
//! | [`cli`] | commands; the only place that prints and reads the environment | everything |
//! | [`manifest`] | layers of configuration, axes, typed settings, problems with line and column | data, arch, fusion, importance, files, train (parameter types and name tables) |
//! | [`plan`] | jobs, keys, filters, groups of models; pure | manifest, fusion, metrics, result, seed |
//! | [`schedule`] | what runs and why; dispatcher, executors, Slurm | plan, job, event, result, checkpoint, files, process, manifest (`[slurm]`, `[resources]`) |
//! | [`job`] | one job: specification to record | plan, manifest, fusion, gpu, importance, arch, data, checkpoint, train, metrics, seed, event, files, result |
//! | [`event`] | the seam between schedule and user interface | result |
//! | [`result`] | record, index, atomic store, claims | files, process |
//! | [`report`] | statistics, tables, figures, pages | files, guard, result, importance, fusion (names) |
//! | [`fusion`] | one file per method | arch, gpu, importance, linalg, nn, seed, train, tick |
//! | [`importance`] | scores of neurons | arch, gpu, nn, tick |
//! | [`arch`] | networks: layers, levels, passes | gpu, nn |
//! | [`nn`] | operations of networks: own kernels, the same on any number of threads | gpu |
//! | [`gpu`] | CUDA: devices, kernels with twins on the CPU; all of the `unsafe` | nothing of ours |
//! | [`data`] | data sets, splits, fusion sets | files, guard |
//! | [`checkpoint`] | safetensors, PyTorch files | arch, files, result |
//! | [`train`] | optimisers, schedules, losses, loop | arch, gpu |
//! | [`metrics`] | loss, accuracy, F1, AUC, confusion | result |
//! | [`linalg`] | least squares, assignment | gpu, tick |
//! | [`tick`] | progress of long computations, and whether to go on | nothing of ours |
//! | [`seed`] | generators by purpose | nothing of ours |
//! | [`files`] | atomic writes, reading of files and of nothing else; patterns and the order of names | process |
//! | [`guard`] | work that may panic, on a stack of its own | nothing of ours |
//! | [`process`] | who this process is among all that share a folder | nothing of ours |

pub mod arch;
pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod event;
pub mod files;
pub mod fusion;
pub mod gpu;
pub mod guard;
pub mod importance;
pub mod job;
pub mod linalg;
pub mod manifest;
pub mod metrics;
pub mod nn;
pub mod plan;
pub mod process;
pub mod report;
pub mod result;
pub mod schedule;
pub mod seed;
pub mod tick;
pub mod train;

#[cfg(test)]
mod testing;
