//! QR codes can be read by a decoder of another project.

use webex_oauth::QrCode;

/// The margin required by ISO/IEC 18004, in modules.
const QUIET_ZONE: usize = 4;

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
        head.contains("<title>QR code: https://oauth-helper-r.wbx2.com/verify?userCode=e9e1&amp;x=&lt;1&gt;</title>")
    );
}
