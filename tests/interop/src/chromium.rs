//! Chromium, controlled through chromedriver. Its methods correspond to what a user sees and does.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Value, json};
use thirtyfour::{Key, WebDriver, WebElement, WindowHandle};

/// The maximum time to wait for a page or an element. It is long because the host may be busy.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The widths in CSS pixels and color schemes of a small phone, in light and dark mode, and of a desktop window.
const VIEWPORTS: [(u32, &str); 3] = [(360, "light"), (360, "dark"), (1400, "light")];

/// The selector of the elements that must be reachable with the keyboard.
const FOCUSABLE_SELECTOR: &str = "a[href], button, input:not([type=hidden]), select, [tabindex='0']";

/// A browser with its own profile.
#[derive(Debug)]
pub struct Chromium {
    driver: WebDriver,
    /// The URLs of pages with an error status that the scenario expects.
    expected_error_urls: Mutex<Vec<String>>,
    /// The number of navigations, which marks the pages.
    navigation_count: AtomicU64,
}

/// A tab of a browser.
#[derive(Debug)]
pub struct Tab(WindowHandle);

impl Chromium {
    pub(crate) fn new(driver: WebDriver) -> Self {
        Self { driver, expected_error_urls: Mutex::default(), navigation_count: AtomicU64::new(0) }
    }

    /// Opens a URL.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Goes back in the history.
    pub async fn back(&self) {
        self.driver.back().await.unwrap();
    }

    /// Returns the URL in the address bar.
    pub async fn url(&self) -> String {
        self.driver.current_url().await.unwrap().into()
    }

    /// Waits for a page with this title and checks its error status.
    ///
    /// # Panics
    ///
    /// Panics if the page has another status.
    pub async fn wait_for_error_page(&self, title: &str, expected: u16) {
        self.wait_for_page(title).await;
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        assert_eq!(self.script(script, vec![]).await, Some(expected.into()), "the status of {title:?}");
        let url = self.url().await;
        self.expected_error_urls.lock().unwrap().push(url);
    }

    /// Waits for an element and returns its visible text.
    pub async fn text(&self, id: &str) -> String {
        self.wait(&format!("#{id}"), async || self.find_text(id).await).await
    }

    /// Waits until an element has this text.
    pub async fn wait_for_text(&self, id: &str, expected: &str) {
        let found = async || self.find_text(id).await.filter(|text| text == expected);
        self.wait(&format!("#{id} with {expected:?}"), found).await;
    }

    /// Waits for a page with this title.
    pub async fn wait_for_page(&self, title: &str) {
        self.wait_for_any_page(&[title]).await;
    }

    /// Waits for a page with one of these titles and returns the title.
    pub async fn wait_for_any_page<'a>(&self, titles: &[&'a str]) -> &'a str {
        let found = async || {
            let current = self.driver.title().await.ok()?;
            titles.iter().find(|title| **title == current).copied()
        };
        self.wait(&format!("page {titles:?}"), found).await
    }

    /// Returns `true` if there is an element with this ID.
    pub async fn has(&self, id: &str) -> bool {
        self.find_text(id).await.is_some()
    }

    /// Returns the visible text of the page.
    pub async fn page_text(&self) -> String {
        let text = self.script("return document.body.innerText", vec![]).await.unwrap();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Parses a JSON response that is shown as a page.
    pub async fn json(&self) -> Value {
        let text = self.script("return document.querySelector('pre').textContent", vec![]).await.unwrap();
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    }

    /// Waits for a button or link whose text begins with `label`, clicks it, and waits for the next page. Without that wait, a URL
    /// that is opened next could be overridden by the pending navigation.
    pub async fn press(&self, label: &str) {
        let script =
            "const visible = [...document.querySelectorAll('a[href], button')].filter(e => e.checkVisibility());
            const exact = visible.filter(e => e.innerText.trim() === arguments[0]);
            const found = exact.length ? exact : visible.filter(e => e.innerText.trim().startsWith(arguments[0]));
            return found.length === 1 ? found[0] : null";
        let found = self.element(&format!("one button or link {label:?}"), script, label).await;
        self.wait_for_navigation(async || found.click().await.unwrap()).await;
    }

    /// Replaces the value of the field with this label.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = self.find_field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Selects an option in the list with this label.
    pub async fn select(&self, label: &str, option: &str) {
        // Typing selects the option that begins with the typed text.
        self.find_field(label).await.send_keys(option).await.unwrap();
    }

    /// Types into the focused element.
    pub async fn type_keys(&self, text: &str) {
        self.driver.action_chain().send_keys(text).perform().await.unwrap();
    }

    /// Presses the Enter key and waits for the next page.
    pub async fn press_enter(&self) {
        self.wait_for_navigation(async || self.press_key(Key::Enter).await).await;
    }

    /// Presses the Down key.
    pub async fn press_arrow_down(&self) {
        self.press_key(Key::Down).await;
    }

    /// Moves the focus to the button or link with this text with the Tab key, and presses Enter.
    pub async fn press_enter_on(&self, label: &str) {
        self.tab_to(label).await;
        self.press_enter().await;
    }

    /// Presses the Tab key until the button or link with this text, or the field with this label, has the focus.
    pub async fn tab_to(&self, label: &str) {
        let script = "const e = document.activeElement; return e.labels?.length ? e.labels[0].innerText : e.innerText";
        let reached = async || {
            let focused = self.script(script, vec![]).await?;
            if focused.as_str()?.trim() == label {
                return Some(());
            }
            self.press_key(Key::Tab).await;
            None
        };
        self.wait(&format!("focus on {label:?}"), reached).await;
    }

    /// Returns the current tab.
    pub async fn tab(&self) -> Tab {
        Tab(self.driver.window().await.unwrap())
    }

    /// Opens a new tab and switches to it.
    pub async fn new_tab(&self) -> Tab {
        let tab = Tab(self.driver.new_tab().await.unwrap());
        self.switch_to(&tab).await;
        tab
    }

    /// Switches to another tab.
    pub async fn switch_to(&self, tab: &Tab) {
        self.driver.switch_to_window(tab.0.clone()).await.unwrap();
    }

    /// Returns the names of the cookies for the current URL.
    pub async fn cookie_names(&self) -> Vec<String> {
        self.driver.get_all_cookies().await.unwrap().into_iter().map(|cookie| cookie.name).collect()
    }

    /// Deletes the cookies for the current URL whose names begin with `prefix`, and returns their number.
    pub async fn delete_cookies_with_prefix(&self, prefix: &str) -> usize {
        let names: Vec<_> = self.cookie_names().await.into_iter().filter(|name| name.starts_with(prefix)).collect();
        for name in &names {
            self.driver.delete_cookie(name).await.unwrap();
        }
        names.len()
    }

    /// Deletes all cookies for the current URL.
    pub async fn delete_cookies(&self) {
        self.driver.delete_all_cookies().await.unwrap();
    }

    /// Checks that the page fits into all viewports, and that every focusable element is reachable with the Tab key and shows its
    /// focus. Saves screenshots of the page in the target folder.
    ///
    /// # Panics
    ///
    /// Panics if a check fails.
    pub async fn check_layout(&self, name: &str) {
        for (width, scheme) in VIEWPORTS {
            self.capture_screenshot(name, width, scheme).await;
        }
        self.command("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
        self.command("Emulation.clearDeviceMetricsOverride", json!({})).await;
        self.check_keyboard_focus(name).await;
    }

    async fn capture_screenshot(&self, name: &str, width: u32, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", media).await;
        let metrics = |height| json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", metrics(600)).await;
        let sizes = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth, e.scrollHeight]";
        let sizes: Vec<u32> = serde_json::from_value(self.script(sizes, vec![]).await.unwrap()).unwrap();
        let [content_width, window_width, height] = sizes[..] else { panic!("{sizes:?}") };
        assert!(content_width <= window_width, "{name}: {content_width} pixels wide, in a window of {window_width}");
        self.command("Emulation.setDeviceMetricsOverride", metrics(height)).await;
        let folder = screenshot_folder();
        fs::create_dir_all(&folder).unwrap();
        self.driver.screenshot(&folder.join(format!("{name}-{width}-{scheme}.png"))).await.unwrap();
    }

    /// Checks the focus of each element with the Tab key.
    async fn check_keyboard_focus(&self, name: &str) {
        let count = "return document.querySelectorAll(arguments[0]).length";
        let count = self.script(count, vec![FOCUSABLE_SELECTOR.into()]).await.unwrap().as_u64().unwrap();
        let script = "const e = document.activeElement, all = [...document.querySelectorAll(arguments[0])];
            const style = getComputedStyle(e), box = e.getBoundingClientRect();
            const isVisible = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
                && box.bottom > 0 && box.top < innerHeight;
            return [all.indexOf(e), isVisible, e.outerHTML.slice(0, 200)]";
        let mut reached = vec![false; usize::try_from(count).unwrap()];
        // The focus may also be on the page itself or on a control of the browser.
        for _ in 0..count + 3 {
            self.press_key(Key::Tab).await;
            let focused = self.script(script, vec![FOCUSABLE_SELECTOR.into()]).await.unwrap();
            let Some(index) = focused[0].as_u64() else { continue };
            assert_eq!(focused[1], true, "on {name}, the focus is not visible on {}", focused[2]);
            reached[usize::try_from(index).unwrap()] = true;
        }
        assert!(
            reached.iter().all(|reached| *reached),
            "on {name}, elements of {FOCUSABLE_SELECTOR} that have been focused: {reached:?}"
        );
    }

    /// Returns the messages in the browser's console, except those about expected error pages.
    pub(crate) async fn console_errors(&self) -> Vec<String> {
        let (log, expected_urls) = (self.driver.browser_log().await.unwrap(), self.expected_error_urls.lock().unwrap());
        let is_expected = |message: &str| {
            expected_urls.iter().any(|url| message.starts_with(&format!("{url} - Failed to load resource: ")))
        };
        log.into_iter().map(|entry| entry.message).filter(|message| !is_expected(message)).collect()
    }

    pub(crate) async fn close(self) {
        self.driver.quit().await.unwrap();
    }

    async fn press_key(&self, key: Key) {
        self.driver.action_chain().send_keys(key).perform().await.unwrap();
    }

    async fn find_field(&self, label: &str) -> WebElement {
        let script =
            "return [...document.querySelectorAll('label')].find(l => l.innerText.trim() === arguments[0])?.control";
        self.element(&format!("field {label:?}"), script, label).await
    }

    async fn find_text(&self, id: &str) -> Option<String> {
        let text = self.script("return document.getElementById(arguments[0])?.innerText", vec![id.into()]).await?;
        Some(text.as_str()?.trim().to_owned())
    }

    async fn element(&self, description: &str, script: &str, argument: &str) -> WebElement {
        let find = async || self.driver.execute(script, vec![argument.into()]).await.ok()?.element().ok();
        self.wait(description, find).await
    }

    async fn script(&self, script: &str, arguments: Vec<Value>) -> Option<Value> {
        // Scripts fail while the browser leaves the page.
        Some(self.driver.execute(script, arguments).await.ok()?.json().clone())
    }

    async fn command(&self, name: &str, parameters: Value) {
        self.driver.cdp().send_raw(name, parameters).await.unwrap();
    }

    /// Performs an action that leads to another page, and waits until that page is loaded.
    async fn wait_for_navigation(&self, action: impl AsyncFnOnce()) {
        // A page from the history may still have an earlier mark, so each mark is different.
        let mark = Value::from(self.navigation_count.fetch_add(1, Ordering::Relaxed));
        self.script("window.navigationMark = arguments[0]", vec![mark.clone()]).await;
        action().await;
        let script = "return window.navigationMark !== arguments[0] && document.readyState === 'complete'";
        let is_loaded = async || self.script(script, vec![mark.clone()]).await?.as_bool()?.then_some(());
        self.wait("other page", is_loaded).await;
    }

    /// Polls until there is a value.
    ///
    /// # Panics
    ///
    /// Panics after [`WAIT_TIMEOUT`].
    async fn wait<T>(&self, description: &str, poll: impl AsyncFn() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = poll().await {
                return value;
            }
            if start.elapsed() > WAIT_TIMEOUT {
                panic!("there is no {description} at {}:\n{}", self.url().await, self.page_text().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Returns a folder in the target folder. The path of this program is `<target>/debug/deps/<program>`.
fn screenshot_folder() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).expect("this program is in the target folder").join("pages")
}
