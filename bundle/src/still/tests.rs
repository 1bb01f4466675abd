//! Every format and every refusal on files that the test itself writes.

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};

use super::*;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Two by one: black, and almost white.
fn rgb_8() -> DynamicImage {
    DynamicImage::ImageRgb8(ImageBuffer::from_fn(2, 1, |x, _| {
        if x == 0 { Rgb([0; 3]) } else { Rgb([250, 251, 252]) }
    }))
}

fn grey_16(left: u16, right: u16) -> DynamicImage {
    DynamicImage::ImageLuma16(ImageBuffer::from_fn(2, 1, |x, _| {
        Luma([if x == 0 { left } else { right }])
    }))
}

fn check(bytes: &[u8], mode: &str, pixels: [u8; 6]) {
    let still = decode(bytes).unwrap();
    assert_eq!((still.mode().as_str(), still.size()), (mode, Size { width: 2, height: 1 }));
    assert_eq!(still.into_rgb().pixels, pixels, "{mode}");
}

fn refuses(bytes: &[u8], words: &str) {
    let told = decode(bytes).unwrap_err().to_string();
    assert!(told.contains(words), "`{words}` is not in `{told}`");
}

#[test]
fn lossless_formats_give_their_pixels() {
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
        check(&encoded(&rgb_8(), format), "rgb 8", [0, 0, 0, 250, 251, 252]);
    }
    let grey = DynamicImage::ImageLuma8(ImageBuffer::from_raw(2, 1, vec![7, 9]).unwrap());
    check(&encoded(&grey, ImageFormat::Png), "grey 8", [7, 7, 7, 9, 9, 9]);
}

#[test]
fn sixteen_bits_become_eight_linearly() {
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        check(&encoded(&grey_16(128, 65535), format), "grey 16", [0, 0, 0, 255, 255, 255]);
        check(&encoded(&grey_16(129, 25700), format), "grey 16", [1, 1, 1, 100, 100, 100]);
    }
    let of = |image: &DynamicImage| decode(&encoded(image, ImageFormat::Png)).unwrap();
    assert_eq!(of(&grey_16(5, 4095)).largest_16_bit(), Some(4095));
    assert_eq!(of(&rgb_8()).largest_16_bit(), None);
}

#[test]
fn alpha_is_dropped_and_told() {
    let image =
        |alpha| DynamicImage::ImageRgba8(ImageBuffer::from_pixel(2, 1, Rgba([1, 2, 3, alpha])));
    let bytes = encoded(&image(0), ImageFormat::Png);
    check(&bytes, "rgb+alpha 8", [1, 2, 3, 1, 2, 3]);
    assert!(decode(&bytes).unwrap().is_transparent());
    assert!(!decode(&encoded(&image(255), ImageFormat::Png)).unwrap().is_transparent());
    let deep = DynamicImage::ImageLumaA16(ImageBuffer::from_pixel(2, 1, LumaA([300, 65534])));
    let deep = decode(&encoded(&deep, ImageFormat::Png)).unwrap();
    assert_eq!((deep.is_transparent(), deep.largest_16_bit()), (true, Some(300)));
}

#[test]
fn small_values_are_above_zero_whatever_the_depth() {
    let above = |image: &DynamicImage| decode(&encoded(image, ImageFormat::Png)).unwrap();
    assert_eq!(above(&grey_16(0, 1)).above_zero(), [false, true]);
    assert_eq!(above(&rgb_8()).above_zero(), [false, true]);
    // What is dropped does not count.
    let clear = DynamicImage::ImageRgba8(ImageBuffer::from_pixel(1, 1, Rgba([0, 0, 0, 255])));
    assert_eq!(above(&clear).above_zero(), [false]);
}

#[test]
fn palettes_are_expanded() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
    encoder.write_header().unwrap().write_image_data(&[0b0100_0000]).unwrap();
    check(&bytes, "rgb 8", [40, 50, 60, 1, 2, 3]);
}

/// An EXIF segment that says nothing but the orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff = [
        b"II\x2a\0\x08\0\0\0\x01\0".as_slice(),
        &[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0],
        &[0; 4],
    ]
    .concat();
    let body = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &body, &jpeg[2..]].concat()
}

#[test]
fn the_orientation_is_applied() {
    let left_dark = DynamicImage::ImageLuma8(ImageBuffer::from_fn(32, 16, |x, _| {
        Luma([if x < 16 { 0 } else { 255 }])
    }));
    let jpeg = encoded(&left_dark, ImageFormat::Jpeg);
    let corner = |bytes: &[u8]| {
        let image = decode(bytes).unwrap().into_rgb();
        (image.size.width, image.size.height, image.pixels[0] > 127)
    };
    assert_eq!(corner(&jpeg), (32, 16, false));
    assert_eq!(corner(&with_orientation(&jpeg, 1)), (32, 16, false));
    assert_eq!(corner(&with_orientation(&jpeg, 3)), (32, 16, true));
    assert_eq!(corner(&with_orientation(&jpeg, 8)), (16, 32, true));
    assert_eq!(corner(&with_orientation(&jpeg, 6)), (16, 32, false));
    // A value that EXIF does not know.
    assert_eq!(corner(&with_orientation(&jpeg, 77)), (32, 16, false));
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let noise = DynamicImage::ImageRgb8(ImageBuffer::from_fn(64, 64, |x, y| {
        Rgb([0, 1, 2].map(|c| u8::try_from((x * 37 + y * 91 + c * 53 + x * y) % 256).unwrap()))
    }));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff] {
        let bytes = encoded(&noise, format);
        assert!(decode(&bytes).is_ok(), "{format:?}");
        for kept in [bytes.len() / 4, bytes.len() / 2, bytes.len() * 9 / 10] {
            assert!(decode(&bytes[..kept]).is_err(), "{format:?} of {kept} bytes");
        }
    }
    refuses(&encoded(&noise, ImageFormat::Jpeg)[..2000], "cut off");
}

#[test]
fn what_would_be_a_guess_is_refused() {
    refuses(b"", "is empty");
    refuses(b"no image", "is no image that is known");
    refuses(b"GIF89a..........", "is image/gif; PNG, JPEG, BMP and TIFF are read");
    let mut cmyk = encoded(&rgb_8(), ImageFormat::Jpeg);
    let frame = cmyk.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    cmyk[frame + 9] = 4;
    refuses(&cmyk, "CMYK");
    let float = DynamicImage::ImageRgb32F(ImageBuffer::from_pixel(1, 1, Rgb([0.5; 3])));
    refuses(&encoded(&float, ImageFormat::Tiff), "floating-point");

    let mut animation = Vec::new();
    let mut encoder = png::Encoder::new(&mut animation, 1, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1]).unwrap();
    writer.write_image_data(&[2]).unwrap();
    writer.finish().unwrap();
    refuses(&animation, "animation");

    let mut pages = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut pages).unwrap();
    for page in [[1], [2]] {
        encoder.write_image::<tiff::encoder::colortype::Gray8>(1, 1, &page).unwrap();
    }
    refuses(&pages.into_inner(), "several pages");
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    for (width, height) in [(30_000, 30_000), (u32::from(u16::MAX), 1), (i32::MAX as u32, 1)] {
        let mut png = Vec::new();
        drop(png::Encoder::new(&mut png, width, height).write_header().unwrap());
        assert!(png.len() < 100);
        assert!(decode(&png).is_err(), "PNG of {width}x{height}");
    }
    // A header of its own is enough for BMP.
    let mut bmp = encoded(&rgb_8(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&30_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&30_000_u32.to_le_bytes());
    refuses(&bmp, "30000x30000");
    let mut jpeg = encoded(&rgb_8(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xfe, 0xff, 0xfe]);
    refuses(&jpeg, "65534x65534");
}

#[test]
fn files_are_read_and_other_things_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    // The content decides, not the name.
    std::fs::write(&path, encoded(&rgb_8(), ImageFormat::Bmp)).unwrap();
    assert_eq!(read(&path).unwrap().size(), Size { width: 2, height: 1 });
    assert!(matches!(read(folder.path()), Err(StillError::NoFile)));
    assert!(matches!(read(&folder.path().join("b.png")), Err(StillError::Read(_))));
}

#[test]
fn names_of_images_are_known() {
    for (name, expected) in
        [("a.png", true), ("a.JPG", true), ("a.tiff", true), ("._a.png", false), ("a.gif", false)]
    {
        assert_eq!(is_named_as_image(Path::new(name)), expected, "{name}");
    }
}
