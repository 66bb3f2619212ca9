//! Reads pairing codes as the camera of a phone does.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use png::{Decoder, Transformations};
use rqrr::PreparedImage;
use std::io::Cursor;

/// How many pixels a square of a code in a terminal gets.
const SCALE: usize = 4;

/// The text in a PNG picture.
pub fn picture(png: &[u8]) -> String {
    let mut decoder = Decoder::new(Cursor::new(png));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    read(info.width as usize, info.height as usize, |x, y| pixels[y * info.line_size + x])
}

/// The text in a code that is drawn with half blocks, on a dark terminal: a block is light.
pub fn terminal(output: &str) -> String {
    let lines: Vec<Vec<char>> =
        output.lines().filter(|line| line.starts_with(['█', '▀', '▄'])).map(|line| line.chars().collect()).collect();
    let is_light = |column: usize, row: usize| match lines[row / 2].get(column) {
        Some('█') => true,
        Some('▀') => row.is_multiple_of(2),
        Some('▄') => !row.is_multiple_of(2),
        _ => false,
    };
    let shade = |x: usize, y: usize| if is_light(x / SCALE, y / SCALE) { u8::MAX } else { 0 };
    read(lines[0].len() * SCALE, lines.len() * 2 * SCALE, shade)
}

fn read(width: usize, height: usize, shade: impl FnMut(usize, usize) -> u8) -> String {
    let mut image = PreparedImage::prepare_from_greyscale(width, height, shade);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code");
    grids[0].decode().unwrap().1
}

/// The pairing code in an address.
pub fn code_in(address: &str) -> &str {
    address.split_once("token=").unwrap().1
}
