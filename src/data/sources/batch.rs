//! The original binary files of CIFAR: records without a header, each some bytes of labels and the planes of an image.

/// The records: the last label, the pixels (`pixels` bytes: the planes of red, green and blue, each row-major).
///
/// On an error, says what is wrong.
pub(super) fn records(
    content: &[u8],
    labels: usize,
    pixels: usize,
) -> Result<impl Iterator<Item = (u8, &[u8])>, String> {
    let record = labels + pixels;
    if content.is_empty() || !content.len().is_multiple_of(record) {
        return Err(format!(
            "its {} bytes are no multiple of the {record} of a record",
            content.len()
        ));
    }
    Ok(content.chunks_exact(record).filter_map(move |record| {
        let (labels, pixels) = record.split_at_checked(labels)?;
        Some((*labels.last()?, pixels))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_label_counts_and_a_cut_file_is_an_error() {
        let content = [1, 2, 30, 31, 3, 4, 50, 51];
        let found: Vec<_> = records(&content, 2, 2).expect("two records").collect();
        assert_eq!(found, [(2, [30, 31].as_slice()), (4, &[50, 51])]);
        let found: Vec<_> = records(&content, 1, 3).expect("two records").collect();
        assert_eq!(found, [(1, [2, 30, 31].as_slice()), (3, &[4, 50, 51])]);
        for cut in [0, 1, 4, 7] {
            let problem = records(&content[..cut], 2, 3).err().expect("cut");
            assert_eq!(
                problem,
                format!("its {cut} bytes are no multiple of the 5 of a record")
            );
        }
    }
}
