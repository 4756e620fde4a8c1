//! Which mean and standard deviation pixels are normalised with.

use serde::{Deserialize, Serialize};

use super::{DataError, DatasetSettings, Normalisation};

/// The largest value of a byte, which is 1 after scaling.
const SCALE: f32 = 255.0;

/// Mean and standard deviation of each channel, of pixels from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
}

impl Moments {
    /// Of images `[N, C, H, W]`: `mean = sum(x) / n`, `std = sqrt(sum(x^2) / n - mean^2)`, from exact counts of the 256
    /// values, so that they do not depend on the order of summation. A channel of one colour has standard deviation 1:
    /// nothing is to be divided there.
    pub(super) fn of(pixels: &[u8], [channels, height, width]: [usize; 3]) -> Self {
        let plane = (height * width).max(1);
        let mut counts = vec![[0_u64; 256]; channels];
        for (index, plane) in pixels.chunks(plane).enumerate() {
            let counts = &mut counts[index % channels];
            for &pixel in plane {
                counts[usize::from(pixel)] += 1;
            }
        }
        let moments = counts.iter().map(|counts| {
            let sum = |power: u32| -> f64 {
                let terms = (0_u64..).zip(counts);
                terms
                    .map(|(value, &n)| (u128::from(value.pow(power)) * u128::from(n)) as f64)
                    .sum()
            };
            let n = sum(0).max(1.0);
            let mean = sum(1) / n;
            let std = (sum(2) / n - mean * mean).max(0.0).sqrt();
            let scale = f64::from(SCALE);
            (mean / scale, if std > 0.0 { std / scale } else { 1.0 })
        });
        let (mean, std) = moments.unzip();
        Self { mean, std }
    }
}

/// Where mean and standard deviation come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stats {
    /// From the settings, or those that go with a known set.
    Given { mean: Vec<f64>, std: Vec<f64> },
    /// From the training images.
    OfTraining,
}

impl Stats {
    /// As the settings say, or as `usual` is.
    ///
    /// Errors where they name only one of the two, or a standard deviation that nothing can be divided by.
    pub(super) fn new(
        settings: &DatasetSettings,
        usual: Option<(&[f32], &[f32])>,
    ) -> Result<Self, DataError> {
        // Through decimal digits: 0.1307 as f32, widened, would be another number than the one written down.
        let wide = |values: &[f32]| {
            values
                .iter()
                .map(|v| v.to_string().parse().unwrap_or(f64::from(*v)))
                .collect()
        };
        match (&settings.mean, &settings.std) {
            (Some(mean), Some(std)) => {
                if let Some(bad) = std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
                    return impossible(format!("`dataset.std` has {bad}, but must be above 0"));
                }
                if let Some(bad) = mean.iter().find(|mean| !mean.is_finite()) {
                    return impossible(format!("`dataset.mean` has {bad}"));
                }
                Ok(Self::Given {
                    mean: mean.clone(),
                    std: std.clone(),
                })
            }
            (None, None) => Ok(usual.map_or(Self::OfTraining, |(mean, std)| Self::Given {
                mean: wide(mean),
                std: wide(std),
            })),
            (Some(_), None) => impossible("`dataset.mean` is given without `dataset.std`".to_owned()),
            (None, Some(_)) => impossible("`dataset.std` is given without `dataset.mean`".to_owned()),
        }
    }

    /// For images of so many channels, whose training part has these moments.
    pub(super) fn normalisation(
        &self,
        name: &str,
        channels: usize,
        moments: &Moments,
    ) -> Result<Normalisation, DataError> {
        let (mean, std) = match self {
            Self::Given { mean, std } => (mean, std),
            Self::OfTraining => (&moments.mean, &moments.std),
        };
        for (key, values) in [("mean", mean), ("std", std)] {
            if values.len() != channels {
                let found = values.len();
                return impossible(format!(
                    "`dataset.{key}` has {found} values, but images of `{name}` have {channels} channels"
                ));
            }
        }
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        Ok(Normalisation {
            scale: SCALE,
            mean: narrow(mean),
            std: narrow(std),
        })
    }
}

fn impossible<T>(problem: String) -> Result<T, DataError> {
    Err(DataError::Impossible {
        what: "normalise the images",
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_each_channel() {
        // Two images of two channels of two pixels. Channel 0: 0 255 0 255, channel 1: all 51.
        let moments = Moments::of(&[0, 255, 51, 51, 0, 255, 51, 51], [2, 1, 2]);
        assert_eq!(moments.mean, [0.5, 0.2]);
        assert_eq!(moments.std, [0.5, 1.0]);
    }

    #[test]
    fn settings_win_and_must_fit() {
        let mut settings = DatasetSettings::named("x");
        let usual: (&[f32], &[f32]) = (&[0.1307], &[0.3081]);
        let moments = Moments {
            mean: vec![0.25],
            std: vec![0.75],
        };
        let stats = |settings: &DatasetSettings, usual| {
            Stats::new(settings, usual).and_then(|stats| stats.normalisation("x", 1, &moments))
        };
        assert_eq!(stats(&settings, Some(usual)).expect("usual").mean, [0.1307]);
        assert_eq!(stats(&settings, None).expect("computed").std, [0.75]);
        settings.mean = Some(vec![0.5]);
        assert!(
            stats(&settings, None)
                .expect_err("one of two")
                .to_string()
                .contains("without `dataset.std`")
        );
        settings.std = Some(vec![0.25]);
        assert_eq!(stats(&settings, Some(usual)).expect("given").std, [0.25]);
        settings.std = Some(vec![0.0]);
        assert!(
            stats(&settings, None)
                .expect_err("zero")
                .to_string()
                .contains("above 0")
        );
        settings.std = Some(vec![0.1, 0.2]);
        let problem = stats(&settings, None).expect_err("two values").to_string();
        assert!(
            problem.contains("`dataset.std` has 2 values, but images of `x` have 1 channels"),
            "{problem}"
        );
    }
}
