use proptest::prelude::*;

use super::*;
use crate::data::fixtures::{planes, png};

/// 12 x 20 pixels, quality 80, colour at half the resolution both ways; written by Pillow.
const JPEG: &[u8] = include_bytes!("pillow.jpg");

fn decoded(bytes: &[u8], size: [usize; 2]) -> Result<Vec<u8>, String> {
    let mut planes = vec![0; 3 * size[0] * size[1]];
    decode(bytes, [3, size[0], size[1]], &mut planes).map(|()| planes)
}

#[test]
fn a_png_is_decoded_to_its_planes() {
    let planes = planes(5, 3);
    let bytes = png(&planes, 5, ColorType::Rgb);
    assert_eq!(decoded(&bytes, [5, 5]), Ok(planes));
}

/// Row 5 of each plane, and blake3 of all three, by Pillow 13.0.0 with libjpeg-turbo 3.2.0. Other decoders in Rust get
/// a pixel in six wrong.
#[test]
fn a_jpeg_is_decoded_to_pillows_bytes() {
    let planes = decoded(JPEG, [12, 20]).expect("sound");
    let red = [
        18, 29, 45, 55, 76, 80, 140, 148, 87, 124, 185, 141, 185, 186, 193, 196, 195, 212, 231, 237,
    ];
    let blue = [
        27, 40, 63, 90, 143, 132, 131, 128, 100, 133, 155, 96, 149, 148, 144, 141, 135, 139, 138, 135,
    ];
    assert_eq!(planes[5 * 20..][..20], red);
    assert_eq!(planes[2 * 240 + 5 * 20..][..20], blue);
    let hash = "3dc77e99bab71404a6e30db2d8a3147941fe0db684196072e3bad50b79f27156";
    assert_eq!(blake3::hash(&planes).to_hex().as_str(), hash);
}

#[test]
fn what_is_no_image_of_the_size_says_so() {
    let rgb = png(&planes(5, 1), 5, ColorType::Rgb);
    let problem = |bytes: &[u8], size| decoded(bytes, size).expect_err("unsound");
    assert_eq!(problem(&rgb, [5, 6]), "PNG: it has 5 x 5 pixels instead of 5 x 6");
    assert_eq!(
        problem(JPEG, [32, 32]),
        "JPEG: it has 12 x 20 pixels instead of 32 x 32"
    );
    assert_eq!(problem(b"GIF89a", [5, 5]), "neither PNG nor JPEG but GIF");
    assert_eq!(problem(b"", [5, 5]), "neither PNG nor JPEG but an empty file");
    assert_eq!(
        problem(b"RIFF\x30\0\0\0WEBPVP8 ", [5, 5]),
        "neither PNG nor JPEG but WebP"
    );
    assert_eq!(
        problem(&[1, 2, 0xff], [5, 5]),
        "neither PNG nor JPEG but a file that begins with the bytes 01 02 ff (hexadecimal)"
    );
}

#[test]
fn grey_images_are_grey_alone_and_equal_channels_among_colours() {
    let grey: Vec<u8> = (0..64).collect();
    let encoded = [
        png(&grey, 8, ColorType::Grayscale),
        libjpeg_turbo_rs::Encoder::new(&[9; 64], 8, 8, PixelFormat::Grayscale)
            .encode()
            .expect("grey"),
    ];
    for (bytes, expected) in encoded.iter().zip([grey, vec![9; 64]]) {
        assert_eq!(header(bytes), Ok([1, 8, 8]));
        let mut plane = vec![0; 64];
        decode(bytes, [1, 8, 8], &mut plane).expect("sound");
        assert_eq!(plane, expected);
        assert_eq!(decoded(bytes, [8, 8]), Ok(expected.repeat(3)));
    }
    let rgb = png(&planes(8, 1), 8, ColorType::Rgb);
    assert_eq!((header(&rgb), header(JPEG)), (Ok([3, 8, 8]), Ok([3, 12, 20])));
    assert_eq!(
        decode(&rgb, [1, 8, 8], &mut [0; 64]),
        Err("it has colours, but images of this set are grey".to_owned())
    );
}

/// The fixture's fourth channel is the first again: opaque nowhere but where that is 255.
#[test]
fn an_alpha_channel_must_be_opaque() {
    let clear = png(&planes(4, 1), 4, ColorType::Rgba);
    assert_eq!(
        decoded(&clear, [4, 4]),
        Err("it is transparent in places: save it without an alpha channel".to_owned())
    );
    let mut opaque = planes(4, 1);
    opaque[..16].fill(255);
    assert_eq!(decoded(&png(&opaque, 4, ColorType::Rgba), [4, 4]), Ok(opaque));
    assert_eq!(header(&clear), Ok([3, 4, 4]));
}

/// But for the last bytes, which hold no pixels: those of the end markers, and the last bits' padding.
#[test]
fn a_cut_image_is_an_error() {
    let rgb = png(&planes(5, 1), 5, ColorType::Rgb);
    for length in 0..rgb.len() - 12 {
        assert!(decoded(&rgb[..length], [5, 5]).is_err(), "{length} bytes of PNG");
    }
    for length in 0..JPEG.len() - 4 {
        assert!(
            decoded(&JPEG[..length], [12, 20]).is_err(),
            "{length} bytes of JPEG"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), jpeg: bool) {
        let mut bytes = if jpeg { JPEG.to_vec() } else { png(&planes(5, 1), 5, ColorType::Rgb) };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = header(&bytes);
        let _ = decoded(&bytes, if jpeg { [12, 20] } else { [5, 5] });
    }
}
