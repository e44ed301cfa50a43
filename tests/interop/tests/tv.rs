//! The example `tv` in a terminal: the screen while the login is pending, and after the user has decided.

#![cfg(target_os = "linux")]

use std::time::Duration;

use webex_oauth::testing::MockWebex;
use webex_oauth_interop::Terminal;

/// Columns and lines. The QR code of a URL of Webex has 25 lines, or 27 with some user codes. The rest is for the text.
const SCREEN_SIZE: (usize, usize) = (80, 40);

async fn webex() -> MockWebex {
    MockWebex::builder().device_interval(Duration::from_secs(1)).start().await
}

fn terminal(size: (usize, usize), mock: &MockWebex, program: String) -> Terminal {
    let variables = [
        ("TV", program),
        ("WEBEX_CLIENT_ID", mock.client_id()),
        ("WEBEX_CLIENT_SECRET", mock.client_secret()),
        ("WEBEX_SCOPES", mock.scopes().to_string()),
        ("WEBEX_BASE_URL", mock.uri()),
    ];
    Terminal::with_size(size, variables)
}

/// Decodes the QR code on a screen. `is_light` is `true` for dark text on a light background.
fn scan_qr_code(screen: &str, is_light: bool) -> String {
    // Each line has two rows of modules. A space shows the background of the terminal.
    let halves = |character: char| match character {
        '█' => [true, true],
        '▀' => [true, false],
        '▄' => [false, true],
        _ => [false, false],
    };
    let lines: Vec<Vec<_>> = screen.lines().map(|line| line.chars().map(halves).collect()).collect();
    let is_dark = |x: usize, y: usize| {
        let is_drawn = lines.get(y / 2).and_then(|line| line.get(x)).is_some_and(|halves| halves[y % 2]);
        is_drawn == is_light
    };
    const SCALE: usize = 4;
    let (width, height) = (SCREEN_SIZE.0 * SCALE, SCREEN_SIZE.1 * 2 * SCALE);
    let mut image =
        rqrr::PreparedImage::prepare_from_greyscale(
            width,
            height,
            |x, y| {
                if is_dark(x / SCALE, y / SCALE) { 0 } else { 255 }
            },
        );
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one QR code on the screen:\n{screen}");
    grids[0].decode().unwrap().1
}

#[test]
fn screen_shows_url_code_and_qr_code_then_user_name() {
    Terminal::run_scenario_with_example("tv", async |program| {
        for (command, is_light) in [("$TV", false), ("$TV --light", true)] {
            let mock = webex().await;
            let mut terminal = terminal(SCREEN_SIZE, &mock, program.clone());

            terminal.start_command(command);
            let code = terminal.wait_for_output("and enter ").trim_end_matches('.').to_owned();
            terminal.wait_for_output("Waiting");

            let screen = terminal.screen();
            let page = format!("{}/verify", mock.service().authorization_endpoint().split("/v1").next().unwrap());
            assert!(screen.contains(&format!("Open {page} and enter {code}.")), "{screen}");
            let link = scan_qr_code(&screen, is_light);
            assert!(link.starts_with(&format!("{page}?userCode=")), "{link}:\n{screen}");
            assert!(!screen.contains("Hello") && mock.exchanges() == 0, "{screen}");

            mock.approve_device(&code);
            let output = terminal.wait_for_exit();
            assert!(output.code == 0 && output.text.ends_with("\nHello, Jane Doe!"), "{}", output.text);
            assert_eq!(scan_qr_code(&terminal.screen(), is_light), link, "the QR code is still visible");
        }
    });
}

#[test]
fn denied_device_login_shows_retry_advice() {
    Terminal::run_scenario_with_example("tv", async |program| {
        let mock = webex().await;
        let mut terminal = terminal((80, 50), &mock, program);
        terminal.start_command("$TV");
        let code = terminal.wait_for_output("and enter ").trim_end_matches('.').to_owned();

        mock.deny_device(code);

        let output = terminal.wait_for_exit();
        assert_eq!(output.code, 1, "{}", output.text);
        assert!(output.text.contains("Start again for a new code.\nerror: "), "{}", output.text);
        assert!(!output.text.contains("Hello"), "{}", output.text);
    });
}
