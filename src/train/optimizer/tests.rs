use super::*;
use candle_core::Device;

/// `torch.optim`, torch 2.x, two steps on `w = [1, -2]` with gradients `[0.5, -1]` and `[0.25, 2]`, weight decay .1.
fn two_steps(settings: &OptimizerSettings) -> Vec<f32> {
    let var = Var::new(&[1f32, -2.0], &Device::Cpu).expect("var");
    let mut optimizer = Optimizer::new(settings, vec![var.clone()]);
    for gradient in [[0.5f32, -1.0], [0.25, 2.0]] {
        let slope = Tensor::new(&gradient, &Device::Cpu).expect("tensor");
        let loss = (var.as_tensor() * slope).and_then(|p| p.sum_all()).expect("loss");
        optimizer
            .step(&loss.backward().expect("gradients"), 0.1)
            .expect("step");
    }
    var.as_tensor().to_vec1().expect("values")
}

#[test]
fn sgd_with_momentum_by_hand() {
    let settings = OptimizerSettings {
        name: OptimizerKind::Sgd,
        lr: 0.1,
        weight_decay: 0.1,
        momentum: Some(0.9),
        nesterov: false,
    };
    // v1 = g + .1 w = [.6, -1.2], w1 = [.94, -1.88]; v2 = .9 v1 + g + .1 w1 = [.884, .732]; w2 = w1 - .1 v2.
    let w = two_steps(&settings);
    assert!(
        (w[0] - 0.8516).abs() < 1e-6 && (w[1] + 1.9532).abs() < 1e-6,
        "{w:?}"
    );
}

#[test]
fn adam_by_hand() {
    let settings = OptimizerSettings {
        name: OptimizerKind::Adam,
        lr: 0.1,
        weight_decay: 0.1,
        momentum: None,
        nesterov: false,
    };
    let mut expected = [1f64, -2.0];
    for (w, gradients) in expected.iter_mut().zip([[0.5, 0.25], [-1.0, 2.0]]) {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in gradients.into_iter().enumerate() {
            let g: f64 = g + 0.1 * *w;
            let t = i32::try_from(t).expect("small") + 1;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            *w -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
        }
    }
    let w = two_steps(&settings);
    assert!(
        w.iter()
            .zip(expected)
            .all(|(&a, b)| (f64::from(a) - b).abs() < 1e-5),
        "{w:?} {expected:?}"
    );
}

/// Three steps on `w = [1, -2, .5]` with learning rate .1, as torch 2.15 does them:
/// `o = torch.optim.SGD([w], lr=.1, weight_decay=.1, momentum=.9, nesterov=True)`, then for every `g`
/// `w.grad = torch.tensor(g); o.step()`; with `clip`, `clip_grad_norm_([w], 1.0)` before each step.
fn three_steps(settings: &OptimizerSettings, max: Option<f64>) -> Vec<f32> {
    let var = Var::new(&[1f32, -2.0, 0.5], &Device::Cpu).expect("var");
    let mut optimizer = Optimizer::new(settings, vec![var.clone()]);
    for gradient in [[0.5f32, -1.0, 0.0], [0.25, 2.0, -3.0], [-0.75, 0.125, 1.0]] {
        let mut gradients = vec![Some(Tensor::new(&gradient, &Device::Cpu).expect("tensor"))];
        if let Some(max) = max {
            clip(&mut gradients, max).expect("clipped");
        }
        optimizer.apply(&gradients, 0.1).expect("step");
    }
    var.as_tensor().to_vec1().expect("values")
}

#[test]
fn optimisers_are_pytorchs() {
    let settings = |name, weight_decay, momentum, nesterov| OptimizerSettings {
        name,
        lr: 0.1,
        weight_decay,
        momentum,
        nesterov,
    };
    let (sgd, adamw) = (OptimizerKind::Sgd, OptimizerKind::AdamW);
    let cases: [(_, _, [f32; 3]); 6] = [
        (
            settings(OptimizerKind::Adam, 0.1, None, false),
            None,
            [0.796_864_33, -1.942_361_4, 0.505_350_23],
        ),
        (
            settings(adamw, 0.1, None, false),
            None,
            [0.788_200_9, -1.910_655_6, 0.593_176_3],
        ),
        (
            settings(sgd, 0.1, None, false),
            None,
            [0.971_544, -2.053_088, 0.682_149_5],
        ),
        (
            settings(sgd, 0.1, Some(0.9), false),
            None,
            [0.838_524, -2.012_048, 0.939_189_5],
        ),
        (
            settings(sgd, 0.1, Some(0.9), true),
            None,
            [0.829_711_14, -2.066_647_3, 1.072_616_9],
        ),
        (
            settings(sgd, 0.0, Some(0.9), false),
            Some(1.0),
            [0.925_364_85, -1.872_701_4, 0.578_107_95],
        ),
    ];
    for (settings, max, expected) in cases {
        let found = three_steps(&settings, max);
        // Moments of gradients that cancel lose a few bits, to one rounding or the other.
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 3e-6);
        assert!(close, "{settings:?}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn keys_of_another_optimiser_are_named() {
    let with = |name, momentum, nesterov| {
        OptimizerSettings {
            name,
            momentum,
            nesterov,
            ..OptimizerSettings::default()
        }
        .foreign()
    };
    assert_eq!(with(OptimizerKind::Adam, Some(0.9), false), Some("momentum"));
    assert_eq!(with(OptimizerKind::AdamW, None, true), Some("nesterov"));
    assert_eq!(with(OptimizerKind::Sgd, None, true), Some("nesterov"));
    assert_eq!(with(OptimizerKind::Sgd, Some(0.9), true), None);
}
