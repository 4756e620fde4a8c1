use super::policy::Operation;
use super::*;
use crate::seed::generator;

/// Results of Pillow; the file says how it was made.
const PILLOW: &str = include_str!("../../../tests/data/augment.txt");

/// The images of `scripts/augment_fixture.py`.
fn image(kind: &str, width: usize, height: usize, channels: usize) -> Image {
    let mut state = (width * 1000 + height * 10 + channels) as u64;
    let mut pixels = vec![0; channels * height * width];
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let noise = (state >> 56) as usize;
                let value = match kind {
                    "noise" => noise,
                    "smooth" => (20 + x * 5 + y * 2 + c * 10 + noise % 16).min(255),
                    _ => (noise >> 6) * 60 + 20,
                };
                pixels[(c * height + y) * width + x] = value as u8;
            }
        }
    }
    Image {
        channels,
        height,
        width,
        pixels,
    }
}

/// Pixels with their channels together, as Pillow has them.
fn interleaved(image: &Image) -> Vec<u8> {
    let plane = image.height * image.width;
    let of = |at: usize| (0..image.channels).map(move |c| image.pixels[c * plane + at]);
    (0..plane).flat_map(of).collect()
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |value, &byte| {
        (value ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn operation(name: &str) -> Operation {
    match name {
        "shear-x" => Operation::ShearX,
        "shear-y" => Operation::ShearY,
        "translate-x" => Operation::TranslateX,
        "translate-y" => Operation::TranslateY,
        "rotate" => Operation::Rotate,
        "color" => Operation::Color,
        "posterize" => Operation::Posterize,
        "solarize" => Operation::Solarize,
        "contrast" => Operation::Contrast,
        "sharpness" => Operation::Sharpness,
        "brightness" => Operation::Brightness,
        "auto-contrast" => Operation::AutoContrast,
        "equalize" => Operation::Equalize,
        "invert" => Operation::Invert,
        other => panic!("no operation `{other}`"),
    }
}

#[test]
fn all_operations_give_pillows_bytes() {
    let images = [
        image("noise", 32, 32, 3),
        image("smooth", 32, 32, 3),
        image("poster", 17, 13, 3),
        image("smooth", 28, 28, 1),
    ];
    let mut seen = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for line in PILLOW.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let (index, sign) = (words[1].parse().expect("index"), words[2].parse().expect("sign"));
        seen.insert(words[0]);
        let apply = |image: &Image| {
            let mut image = image.clone();
            operation(words[0]).apply(&mut image, index, sign);
            interleaved(&image)
        };
        for (i, (image, expected)) in images.iter().zip(&words[3..7]).enumerate() {
            if format!("{:016x}", fnv(&apply(image))) != *expected {
                wrong.push(format!("{} {index} {sign} of image {i}", words[0]));
            }
        }
        if words[7] != "-" {
            let bytes = (0..words[7].len() / 2).map(|i| u8::from_str_radix(&words[7][2 * i..2 * i + 2], 16));
            let expected: Result<Vec<u8>, _> = bytes.collect();
            let found = apply(&image("smooth", 8, 6, 3));
            assert_eq!(Ok(found), expected, "{} {index} {sign}", words[0]);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(seen.len(), 14);
}

#[test]
fn crops_are_windows_of_the_image_with_a_border_of_zeros() {
    let original = image("noise", 5, 4, 2);
    for padding in [0, 1, 3, 9] {
        for (top, left) in [
            (0, 0),
            (0, 2 * padding),
            (padding, padding),
            (2 * padding, 1.min(padding)),
        ] {
            let mut cropped = original.clone();
            geometry::crop(&mut cropped, padding, top, left);
            for c in 0..2 {
                for (y, x) in (0..4).flat_map(|y| (0..5).map(move |x| (y, x))) {
                    let from = (y + top)
                        .checked_sub(padding)
                        .zip((x + left).checked_sub(padding));
                    let expected = from
                        .filter(|&(y, x)| y < 4 && x < 5)
                        .map_or(0, |(y, x)| original.pixels[(c * 4 + y) * 5 + x]);
                    assert_eq!(
                        cropped.pixels[(c * 4 + y) * 5 + x],
                        expected,
                        "{padding} {top} {left}"
                    );
                }
            }
        }
    }
    let mut twice = original.clone();
    geometry::flip(&mut twice);
    assert_eq!(twice.pixels[..5], [4, 3, 2, 1, 0].map(|x| original.pixels[x]));
    geometry::flip(&mut twice);
    assert_eq!(twice, original);
}

/// Image i is all i.
fn batch(count: usize, shape: [usize; 3]) -> Vec<f32> {
    let size: usize = shape.iter().product();
    (0..count)
        .flat_map(|i| std::iter::repeat_n(i as f32, size))
        .collect()
}

#[test]
fn mixtures_have_the_shares_they_say() {
    let shape = [2, 6, 5];
    let size = 60;
    for (name, seed) in [
        ("cutmix", 0),
        ("cutmix", 1),
        ("cutmix", 2),
        ("mixup", 0),
        ("mixup", 1),
    ] {
        let list: Vec<Augmentation> = serde_json::from_value(serde_json::json!([
            { "name": name, "probability": 1.0 }
        ]))
        .expect("augmentations");
        let mut values = batch(7, shape);
        let mut rng = generator(seed, "mix", &[]);
        let mix = Augmenter::new(&list)
            .batch(shape, &mut values, &mut rng)
            .expect("mixed");
        let mut sorted = mix.partners.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        assert!((0.0..=1.0).contains(&mix.share));
        for (i, partner) in mix.partners.iter().enumerate() {
            let mean = values[i * size..][..size].iter().sum::<f32>() / size as f32;
            let expected = mix.share * i as f64 + (1.0 - mix.share) * *partner as f64;
            assert!(
                (f64::from(mean) - expected).abs() < 1e-5,
                "{name} {mean} {expected}"
            );
        }
    }
    let never: Vec<Augmentation> =
        serde_json::from_value(serde_json::json!([{ "name": "mixup", "probability": 0.0 }])).expect("list");
    let mut values = batch(3, shape);
    let mut rng = generator(0, "mix", &[]);
    assert_eq!(Augmenter::new(&never).batch(shape, &mut values, &mut rng), None);
    assert_eq!(values, batch(3, shape));
}

#[test]
fn a_pasted_part_stays_within_the_range_of_the_image() {
    let shape = [1, 8, 9];
    let values: Vec<f32> = (0..72u8).map(f32::from).collect();
    let mut changed = 0;
    for seed in 0..200 {
        let mut pasted = values.clone();
        mix::crop_paste(&mut pasted, shape, 1.0, 0.5, &mut generator(seed, "paste", &[]));
        assert!(pasted.iter().all(|v| (-1e-3..=71.001).contains(v)), "{pasted:?}");
        changed += usize::from(pasted != values);
    }
    assert!(changed > 150, "{changed}");
    // Never flipped, and as small as nothing: the image as it is.
    let mut same = values.clone();
    let tiny = [1, 1, 72];
    mix::crop_paste(&mut same, tiny, 1.0, 0.0, &mut generator(1, "paste", &[]));
    assert_eq!(same, values);
}

#[test]
fn the_order_of_application_is_the_references_and_draws_are_the_generators() {
    let list = |json: serde_json::Value| -> Vec<Augmentation> { serde_json::from_value(json).expect("list") };
    let one = Augmenter::new(&list(serde_json::json!(["auto-augment", "flip", "random-crop"])));
    let other = Augmenter::new(&list(serde_json::json!(["random-crop", "flip", "auto-augment"])));
    let image = image("noise", 32, 32, 3);
    let shape = [3, 32, 32];
    let vary = |with: &Augmenter, seed| with.bytes(shape, &image.pixels, &mut generator(seed, "sample", &[]));
    let mut distinct = std::collections::BTreeSet::new();
    for seed in 0..50 {
        assert_eq!(vary(&one, seed), vary(&other, seed));
        distinct.insert(vary(&one, seed));
    }
    assert!(distinct.len() > 45, "{}", distinct.len());
}

#[test]
fn names_and_tables_mean_the_same_and_mistakes_are_named() {
    let read = |json| serde_json::from_value::<Augmentation>(json);
    let name = read(serde_json::json!("random-crop")).expect("name");
    let table = read(serde_json::json!({ "name": "random-crop", "padding": 4 })).expect("table");
    assert_eq!(name, table);
    assert_eq!(serde_json::to_value(name).expect("json")["padding"], 4);
    let problem = |json| read(json).expect_err("a mistake").to_string();
    assert!(problem(serde_json::json!("random-corp")).contains("unknown variant `random-corp`"));
    assert!(problem(serde_json::json!({ "name": "flip", "padding": 4 })).contains("unknown field `padding`"));
    assert!(problem(serde_json::json!({ "name": "flip", "probability": 2 })).contains("between 0 and 1"));
    assert!(problem(serde_json::json!({ "name": "mixup", "alpha": 0 })).contains("`alpha` must be"));
    let both = [
        read(serde_json::json!("cutmix")),
        read(serde_json::json!("mixup")),
    ]
    .map(|a| a.expect("name"));
    assert!(Augmentation::problem(&both).is_some_and(|problem| problem.contains("exclude")));
    assert!(Augmentation::problem(&[name, name]).is_some_and(|problem| problem.contains("twice")));
    assert_eq!(Augmentation::problem(&[name, both[0]]), None);
}
