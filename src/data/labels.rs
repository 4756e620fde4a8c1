//! What labels tell.

/// The number of classes of a set whose labels are all that tells it.
pub(super) fn classes(labels: &[u32]) -> Result<usize, String> {
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let mut counts = vec![0_usize; classes];
    for &label in labels {
        counts[label as usize] += 1;
    }
    match counts.iter().position(|&count| count == 0) {
        None => Ok(classes),
        Some(class) => Err(format!(
            "labels go up to {}, but no training image has label {class}: labels are to count from 0 without gaps",
            classes - 1
        )),
    }
}

/// The label that the values of a row tell: the only one, or, of one for each class, the place of the 1 among zeros.
pub(super) fn class_of(values: &[i64]) -> Result<i64, String> {
    if let [label] = values {
        return Ok(*label);
    }
    let ones = values.iter().filter(|&&value| value == 1).count();
    let zeros = values.iter().filter(|&&value| value == 0).count();
    match (0..).zip(values).find(|(_, value)| **value == 1) {
        Some((class, _)) if ones == 1 && zeros == values.len() - 1 => Ok(class),
        _ => Err(format!(
            "is a list of {} numbers, neither one label nor a 1 among zeros: one label for each image is needed",
            values.len()
        )),
    }
}
