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

    #[test]
    fn oversized_qr_text_is_rejected_and_debug_output_is_redacted() {
        assert_eq!(QrCode::new("x".repeat(3000)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(!format!("{:?}", QrCode::new("hunter2").unwrap()).contains("hunter2"));
    }
}
