//! A picture of a few hundred thousand points: smooth lines, rectangles, and PNG (RFC 2083).

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::letters;

pub(super) type Colour = [u8; 3];

/// A picture in true colour.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pixels: Vec<Colour>,
    /// How much of each pixel the stroke being drawn covers: a pixel where two of its segments
    /// meet must not be coloured twice.
    cover: Vec<u8>,
}

/// A rectangle, right and bottom excluded.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
}

/// The pixel that a coordinate lies in, within `0..limit`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped; NaN becomes 0
fn pixel(at: f32, limit: usize) -> usize {
    (at.max(0.0) as usize).min(limit)
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize, ground: Colour) -> Self {
        let size = width * height;
        Self { width, height, pixels: vec![ground; size], cover: vec![0; size] }
    }

    pub(super) fn fill(&mut self, area: Area, colour: Colour) {
        let columns = pixel(area.left, self.width)..pixel(area.right, self.width);
        for row in pixel(area.top, self.height)..pixel(area.bottom, self.height) {
            let columns = columns.start + row * self.width..columns.end + row * self.width;
            if let Some(line) = self.pixels.get_mut(columns) {
                line.fill(colour);
            }
        }
    }

    /// Lines from point to point, with round ends. A lone point is a dot.
    pub(super) fn stroke(&mut self, path: &[(f32, f32)], thick: f32, colour: Colour) {
        let half = thick / 2.0;
        let (mut first, mut last) = (self.height, 0);
        let lone = path.iter().take(usize::from(path.len() == 1)).map(|point| (*point, *point));
        let pairs = path.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
        for (from, to) in lone.chain(pairs) {
            if ![from.0, from.1, to.0, to.1].iter().all(|part| part.is_finite()) {
                continue;
            }
            let reach = half + 1.0;
            let rows = pixel(from.1.min(to.1) - reach, self.height)
                ..pixel(from.1.max(to.1) + reach + 1.0, self.height);
            let columns = pixel(from.0.min(to.0) - reach, self.width)
                ..pixel(from.0.max(to.0) + reach + 1.0, self.width);
            (first, last) = (first.min(rows.start), last.max(rows.end));
            for row in rows {
                for column in columns.clone() {
                    let covered = coverage(centre(column, row), from, to, half);
                    if let Some(cover) = self.cover.get_mut(row * self.width + column) {
                        *cover = covered.max(*cover);
                    }
                }
            }
        }
        let touched = first.min(last) * self.width..last * self.width;
        let Some(cover) = self.cover.get_mut(touched.clone()) else { return };
        let Some(pixels) = self.pixels.get_mut(touched) else { return };
        for (pixel, cover) in pixels.iter_mut().zip(cover) {
            for (part, ink) in pixel.iter_mut().zip(colour) {
                *part = blend(*part, ink, *cover);
            }
            *cover = 0;
        }
    }

    /// Writes with its upper left corner at a point; `size` pixels for each unit.
    pub(super) fn write(&mut self, text: &str, at: (f32, f32), size: f32, colour: Colour) {
        for stroke in letters::strokes(text) {
            let points: Vec<(f32, f32)> =
                stroke.iter().map(|(x, y)| (at.0 + x * size, at.1 + y * size)).collect();
            self.stroke(&points, size * 0.75, colour);
        }
    }

    /// The picture as a PNG file.
    pub(super) fn png(&self) -> Vec<u8> {
        let mut file = vec![0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
        let side = |side: usize| u32::try_from(side).unwrap_or(0).to_be_bytes();
        // Eight bits a colour, true colour, the only methods there are.
        let header = [&side(self.width)[..], &side(self.height), &[8, 2, 0, 0, 0]].concat();
        chunk(&mut file, *b"IHDR", &header);
        let mut zipped = ZlibEncoder::new(Vec::new(), Compression::default());
        for row in self.pixels.chunks(self.width.max(1)) {
            // A byte for the row's filter (none). Writing to memory does not fail.
            let _ = zipped.write_all(&[0]);
            let _ = zipped.write_all(row.as_flattened());
        }
        chunk(&mut file, *b"IDAT", &zipped.finish().unwrap_or_default());
        chunk(&mut file, *b"IEND", &[]);
        file
    }
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) {
    file.extend_from_slice(&u32::try_from(content.len()).unwrap_or(0).to_be_bytes());
    let mut sum = Crc::new();
    sum.update(&kind);
    sum.update(content);
    file.extend_from_slice(&kind);
    file.extend_from_slice(content);
    file.extend_from_slice(&sum.sum().to_be_bytes());
}

#[allow(clippy::cast_precision_loss)] // a few hundred
fn centre(column: usize, row: usize) -> (f32, f32) {
    (column as f32 + 0.5, row as f32 + 0.5)
}

/// How much of the pixel at `at` lies within `half` of the segment: 0 to 255.
fn coverage(at: (f32, f32), from: (f32, f32), to: (f32, f32), half: f32) -> u8 {
    let (along, away) = ((to.0 - from.0, to.1 - from.1), (at.0 - from.0, at.1 - from.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let part = if length > 0.0 { (away.0 * along.0 + away.1 * along.1) / length } else { 0.0 };
    let part = part.clamp(0.0, 1.0);
    let distance = (away.0 - part * along.0).hypot(away.1 - part * along.1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    let covered = ((half + 0.5 - distance).clamp(0.0, 1.0) * 255.0) as u8;
    covered
}

fn blend(ground: u8, ink: u8, cover: u8) -> u8 {
    let (ground, ink, cover) = (u16::from(ground), u16::from(ink), u16::from(cover));
    u8::try_from((ground * (255 - cover) + ink * cover + 127) / 255).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_a_png_with_all_rows() {
        let mut canvas = Canvas::new(30, 20, [255; 3]);
        canvas.fill(Area { left: 0.0, top: 0.0, right: 10.0, bottom: 20.0 }, [1, 2, 3]);
        let file = canvas.png();
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x1e\0\0\0\x14\x08\x02"));
        assert!(file.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
        let data = file.windows(4).position(|window| window == b"IDAT").unwrap() + 4;
        let mut rows = Vec::new();
        let mut unzip = flate2::read::ZlibDecoder::new(&file[data..]);
        std::io::Read::read_to_end(&mut unzip, &mut rows).unwrap();
        assert_eq!(rows.len(), 20 * (1 + 30 * 3));
        assert_eq!(&rows[..4], &[0, 1, 2, 3]);
    }

    #[test]
    fn lines_are_smooth_and_never_leave_the_picture() {
        let mut canvas = Canvas::new(20, 20, [255; 3]);
        canvas.stroke(&[(-50.0, 10.0), (70.0, 10.0)], 2.0, [0; 3]);
        let column: Vec<u8> = (0..20).map(|row| canvas.pixels[row * 20 + 7][0]).collect();
        assert_eq!(column[9..11], [0, 0], "{column:?}");
        assert_eq!((column[7], column[12]), (255, 255), "{column:?}");
        canvas.stroke(&[(f32::NAN, 1.0), (3.0, f32::INFINITY)], 2.0, [0; 3]);
        canvas.stroke(&[(5.0, 5.0)], 3.0, [9, 0, 0]);
        assert_eq!(canvas.pixels[5 * 20 + 5], [9, 0, 0]);
        canvas.stroke(&[], 3.0, [0; 3]);
    }
}
