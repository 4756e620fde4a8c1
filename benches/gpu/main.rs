//! What a GPU has to show, in one program without cargo: `gpu parity|determinism|speed [--device cuda:0]
//! [--inputs FOLDER] [NAME...]`.
//!
//! | command | what |
//! | --- | --- |
//! | `parity` | operations, kernels, architectures and methods on the device against the CPU: error, tolerance |
//! | `determinism` | the same work twice on the device: the same bits? |
//! | `speed` | fusion and training at the sizes of the paper, and the device's own ceilings |
//!
//! With `--inputs`, parity and determinism also fuse the recorded cases, which `scripts/cuda.sh inputs` packs into FOLDER.
//! Names keep the lines that contain one of them. With `--device cpu` everything runs on the CPU, which tests this program.
//! The exit code is 1 where something failed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cases;
mod golden;
mod parity;
mod speed;

use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::{Device, Result, Tensor};

/// As the program has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Numbers between -1 and 1, the same everywhere.
fn random(shape: &[usize], seed: u64) -> Tensor {
    use rand::RngExt;
    let mut rng = runner::seed::generator(seed, "gpu", &[]);
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("numbers of a shape")
}

/// Any error as candle's.
fn plain<T, E: std::error::Error>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        candle_core::Error::Msg(text)
    })
}

fn device(text: &str) -> std::result::Result<Device, String> {
    let index = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        other => match other.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
            Some(index) => index,
            None => return Err(format!("unknown device `{other}`")),
        },
    };
    let (device, info) =
        runner::gpu::open(index).map_err(|error| format!("{error}\nhint: {}", error.hint()))?;
    println!(
        "device {} ({} MiB, compute capability {}.{})",
        info.name,
        info.memory >> 20,
        info.capability.0,
        info.capability.1
    );
    Ok(device)
}

fn main() -> ExitCode {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut command, mut on, mut names) = (None, "cuda:0".to_string(), Vec::new());
    let mut inputs: Option<PathBuf> = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--device" => on = arguments.next().unwrap_or_default(),
            "--inputs" => inputs = arguments.next().map(PathBuf::from),
            _ if command.is_none() => command = Some(argument),
            _ => names.push(argument),
        }
    }
    let device = match device(&on) {
        Ok(device) => device,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let failed = match command.as_deref() {
        Some("parity") => parity::parity(&device, &names, inputs.as_deref()),
        Some("determinism") => parity::determinism(&device, &names, inputs.as_deref()),
        Some("speed") => speed::speed(&device, &names),
        _ => {
            eprintln!("usage: gpu parity|determinism|speed [--device cuda:0] [--inputs FOLDER] [NAME...]");
            return ExitCode::from(2);
        }
    };
    println!("{failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
