//! The same work on the device and on the CPU, and twice on the device.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};

use super::cases::{self, Case};
use super::golden::golden;

/// Largest difference of two tensors over the largest number of the expected one; 0 only for equal bits, infinite where
/// there is a NaN, on whichever side.
fn error(found: &Tensor, expected: &Tensor) -> Result<f64> {
    let numbers = |x: &Tensor| {
        x.to_device(&Device::Cpu)?
            .to_dtype(DType::F64)?
            .flatten_all()?
            .to_vec1::<f64>()
    };
    let (found, expected) = (numbers(found)?, numbers(expected)?);
    if found.len() != expected.len() {
        candle_core::bail!("{} numbers instead of {}", found.len(), expected.len());
    }
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |a, b| a.max(b.abs()));
    let mut worst: f64 = 0.0;
    for (a, b) in found.iter().zip(&expected) {
        let difference = (a - b).abs();
        worst = match difference.is_nan() {
            true => f64::INFINITY,
            false => worst.max(difference),
        };
    }
    Ok(worst / largest)
}

fn worst(found: &[Tensor], expected: &[Tensor]) -> Result<f64> {
    if found.len() != expected.len() {
        candle_core::bail!("{} results instead of {}", found.len(), expected.len());
    }
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| error(a, b))
        .try_fold(0.0, |worst: f64, error| Ok(worst.max(error?)))
}

fn each(
    names: &[String],
    inputs: Option<&Path>,
    mut check: impl FnMut(&Case) -> Result<(bool, String)>,
) -> usize {
    let mut failed = 0;
    let recorded = inputs.map(golden).unwrap_or_default();
    for case in cases::all().into_iter().chain(recorded) {
        if !names.is_empty() && !names.iter().any(|name| case.name.contains(name.as_str())) {
            continue;
        }
        let (good, text) = check(&case).unwrap_or_else(|error| (false, error.to_string()));
        failed += usize::from(!good);
        println!(
            "{} {:<44} {text}",
            if good { "ok    " } else { "FAILED" },
            case.name
        );
    }
    failed
}

/// Against the CPU.
pub fn parity(device: &Device, names: &[String], inputs: Option<&Path>) -> usize {
    each(names, inputs, |case| {
        let expected = (case.work)(&Device::Cpu)?;
        let error = worst(&(case.work)(device)?, &expected)?;
        let text = if error == 0.0 {
            "the same bits".to_string()
        } else {
            format!("{error:.1e} (at most {:.0e})", case.tolerance)
        };
        Ok((error <= case.tolerance, text))
    })
}

/// Against itself.
pub fn determinism(device: &Device, names: &[String], inputs: Option<&Path>) -> usize {
    each(names, inputs, |case| {
        let (first, second) = ((case.work)(device)?, (case.work)(device)?);
        let same = worst(&second, &first)? == 0.0;
        Ok((
            same,
            if same { "the same bits" } else { "other bits" }.to_string(),
        ))
    })
}
