//! QR codes for terminals and web pages.

use std::fmt::{self, Write as _};

use qrcode::{Color, EcLevel};

use crate::error::{Error, ErrorKind, Result};

/// The margin required by ISO/IEC 18004, in modules.
const QUIET_ZONE: usize = 4;

/// A QR code, for example of a URL that the user opens with a phone.
///
/// In a terminal, each line of text contains two rows of modules. Use
/// [`light_on_dark`](Self::light_on_dark) or [`dark_on_light`](Self::dark_on_light) to match the
/// colors of the terminal, because many scanners do not read inverted codes.
///
/// # Example
///
/// ```
/// use webex_oauth::QrCode;
///
/// let code = QrCode::new("https://oauth-helper-r.wbx2.com/verify?userCode=e9e1")?;
/// println!("{}", code.light_on_dark());
/// assert!(code.to_svg().starts_with("<svg"));
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone)]
pub struct QrCode {
    text: String,
    /// The modules, in row-major order.
    is_dark: Vec<bool>,
    width: usize,
}

impl QrCode {
    /// Creates a QR code of `text` with error correction level L.
    ///
    /// The lowest level yields the smallest code, and screens need no error correction for damage.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `text` is longer than 2,953 bytes, the capacity of a QR code.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let code = qrcode::QrCode::with_error_correction_level(&text, EcLevel::L).map_err(|source| {
            Error::new(ErrorKind::InvalidInput, "text cannot be encoded as a QR code").with_source(source)
        })?;
        let width = code.width();
        let is_dark = code.into_colors().into_iter().map(|color| color == Color::Dark).collect();
        Ok(Self { text, is_dark, width })
    }

    /// Returns the code as text for terminals with light text on a dark background, which is the
    /// common case.
    pub fn light_on_dark(&self) -> String {
        self.half_blocks(false)
    }

    /// Returns the code as text for terminals with dark text on a light background, and for paper.
    pub fn dark_on_light(&self) -> String {
        self.half_blocks(true)
    }

    /// Returns the code as an SVG image, black on white, including the margin.
    ///
    /// The image can be part of an HTML page or stored as a file. It contains the text as its title
    /// for screen readers, has no external references, and scales to the available space.
    pub fn to_svg(&self) -> String {
        let size = self.width + 2 * QUIET_ZONE;
        let title = escape_svg_text(&self.text);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" role=\"img\" \
             shape-rendering=\"crispEdges\"><title>QR code: {title}</title>\
             <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\""
        );
        for (at, _) in self.is_dark.iter().enumerate().filter(|(_, is_dark)| **is_dark) {
            // Writing to a `String` does not fail.
            let _ = write!(svg, "M{} {}h1v1h-1z", at % self.width + QUIET_ZONE, at / self.width + QUIET_ZONE);
        }
        svg + "\" fill=\"#000\"/></svg>"
    }

    /// Renders two rows per line, with `drawn` modules as blocks and the others as spaces.
    fn half_blocks(&self, drawn: bool) -> String {
        let size = self.width + 2 * QUIET_ZONE;
        let mut text = String::with_capacity(3 * (size + 1) * size.div_ceil(2));
        for row in (0..size).step_by(2) {
            for column in 0..size {
                let is_drawn = |row: usize| row < size && self.is_dark(column, row) == drawn;
                text.push(match (is_drawn(row), is_drawn(row + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push('\n');
        }
        text
    }

    /// Returns `true` if a module is dark. Positions include the margin.
    fn is_dark(&self, column: usize, row: usize) -> bool {
        let within = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < self.width);
        let module = within(column).zip(within(row)).and_then(|(x, y)| self.is_dark.get(y * self.width + x));
        module.copied().unwrap_or(false)
    }
}

fn escape_svg_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Hides the text, because it may contain a user code.
impl fmt::Debug for QrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrCode").field("width", &self.width).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "https://oauth-helper-r.wbx2.com/verify?userCode=e9e1&x=<1>";

    /// Returns the text that a scanner reads from a screen of `size` modules.
    fn scan(size: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
        const SCALE: usize = 4;
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(size * SCALE, size * SCALE, |x, y| {
            if is_dark(x / SCALE, y / SCALE) { 0 } else { 255 }
        });
        image.detect_grids()[0].decode().unwrap().1
    }

    /// Returns the modules of a code rendered with half blocks.
    fn modules(text: &str, drawn: bool) -> (usize, Vec<Vec<bool>>) {
        let size = text.lines().next().unwrap().chars().count();
        let mut rows = Vec::new();
        for line in text.lines() {
            for half in ["█▀", "█▄"] {
                rows.push(line.chars().map(|c| half.contains(c) == drawn).collect());
            }
        }
        (size, rows)
    }

    #[test]
    fn terminal_qr_code_is_scannable() {
        for uri in [URI, "x", &format!("https://example.com/{}", "y".repeat(2028))] {
            let code = QrCode::new(uri).unwrap();
            for (text, drawn) in [(code.light_on_dark(), false), (code.dark_on_light(), true)] {
                let (size, rows) = modules(&text, drawn);
                assert_eq!(scan(size, |x, y| rows[y][x]), uri);
                let margin = |at: usize| at < QUIET_ZONE || at >= size - QUIET_ZONE;
                for (y, row) in rows.iter().take(size).enumerate() {
                    let is_quiet = |(x, is_dark): (usize, &bool)| !*is_dark || !(margin(x) || margin(y));
                    assert!(row.iter().enumerate().all(is_quiet), "the margin must be light");
                }
            }
        }
    }

    #[test]
    fn svg_qr_code_is_scannable_with_escaped_title() {
        let svg = QrCode::new(URI).unwrap().to_svg();
        let (head, path) = svg.split_once("<path d=\"").unwrap();
        let size: usize = head.split_once("viewBox=\"0 0 ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        let modules: Vec<(usize, usize)> = path
            .split('M')
            .skip(1)
            .map(|module| {
                let (x, rest) = module.split_once(' ').unwrap();
                (x.parse().unwrap(), rest.split_once('h').unwrap().0.parse().unwrap())
            })
            .collect();
        assert_eq!(scan(size, |x, y| modules.contains(&(x, y))), URI);
        assert!(
            head.contains(
                "<title>QR code: https://oauth-helper-r.wbx2.com/verify?userCode=e9e1&amp;x=&lt;1&gt;</title>"
            )
        );
    }

    #[test]
    fn oversized_qr_text_is_rejected_and_debug_output_is_redacted() {
        assert_eq!(QrCode::new("x".repeat(3000)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(!format!("{:?}", QrCode::new("hunter2").unwrap()).contains("hunter2"));
    }
}
