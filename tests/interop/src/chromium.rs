//! One person's browser, with a screen and a keyboard: what is asked of it is what a person sees and does.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Value, json};
use thirtyfour::{Key, WebDriver, WebElement, WindowHandle};

/// How long something may take to appear, on a machine that is busy with other things.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A small telephone, by day and by night, and a usual window; in CSS pixels.
const VIEWPORTS: [(u32, &str); 3] = [(360, "light"), (360, "dark"), (1400, "light")];

/// What the keyboard can reach.
const FOCUSABLE_SELECTOR: &str = "a[href], button, input:not([type=hidden]), select, [tabindex='0']";

/// One person's browser. Another one's shares nothing with it.
#[derive(Debug)]
pub struct Chromium {
    driver: WebDriver,
    /// The addresses of pages that came with a status that the story expects.
    expected_error_urls: Mutex<Vec<String>>,
    /// How often something was pressed that leads to another page.
    navigation_count: AtomicU64,
}

/// One of its tabs.
#[derive(Debug)]
pub struct Tab(WindowHandle);

impl Chromium {
    pub(crate) fn new(driver: WebDriver) -> Self {
        Self { driver, expected_error_urls: Mutex::default(), navigation_count: AtomicU64::new(0) }
    }

    /// Types an address.
    pub async fn open(&self, address: &str) {
        self.driver.goto(address).await.unwrap();
    }

    /// Presses the browser's own button.
    pub async fn back(&self) {
        self.driver.back().await.unwrap();
    }

    /// What stands in the address bar.
    pub async fn address(&self) -> String {
        self.driver.current_url().await.unwrap().into()
    }

    /// Waits for a page with this title, which comes with the status of an error.
    ///
    /// # Panics
    ///
    /// When it has another status.
    pub async fn wait_for_error_page(&self, title: &str, expected: u16) {
        self.wait_for_page(title).await;
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        assert_eq!(self.script(script, vec![]).await, Some(expected.into()), "the status of {title:?}");
        let address = self.address().await;
        self.expected_error_urls.lock().unwrap().push(address);
    }

    /// The text of an element, as it is shown, once there is one.
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

    /// Waits for a page with one of these titles, and gives that.
    pub async fn wait_for_any_page<'a>(&self, titles: &[&'a str]) -> &'a str {
        let found = async || {
            let shown = self.driver.title().await.ok()?;
            titles.iter().find(|title| **title == shown).copied()
        };
        self.wait(&format!("page {titles:?}"), found).await
    }

    /// Whether there is an element of this id.
    pub async fn has(&self, id: &str) -> bool {
        self.find_text(id).await.is_some()
    }

    /// All that is shown.
    pub async fn page_text(&self) -> String {
        let text = self.script("return document.body.innerText", vec![]).await.unwrap();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The page as JSON, where it is no page.
    pub async fn json(&self) -> Value {
        let text = self.script("return document.querySelector('pre').textContent", vec![]).await.unwrap();
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    }

    /// Clicks on the button or link whose words begin with these, once there is one, and waits for the page that it leads to:
    /// an address typed while the old page is still being left may lose against it.
    pub async fn press(&self, words: &str) {
        let script = "const shown = [...document.querySelectorAll('a[href], button')].filter(e => e.checkVisibility());
            const exact = shown.filter(e => e.innerText.trim() === arguments[0]);
            const found = exact.length ? exact : shown.filter(e => e.innerText.trim().startsWith(arguments[0]));
            return found.length === 1 ? found[0] : null";
        let found = self.element(&format!("one button or link {words:?}"), script, words).await;
        self.wait_for_navigation(async || found.click().await.unwrap()).await;
    }

    /// Types into the field of this label, in place of what it holds.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = self.find_field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Chooses of the list of this label.
    pub async fn choose(&self, label: &str, option: &str) {
        // The keyboard finds an option by how it begins.
        self.find_field(label).await.send_keys(option).await.unwrap();
    }

    /// Types on, wherever the focus is.
    pub async fn type_keys(&self, text: &str) {
        self.driver.action_chain().send_keys(text).perform().await.unwrap();
    }

    /// Presses the Enter key, wherever the focus is, and waits for the page that it leads to.
    pub async fn press_enter(&self) {
        self.wait_for_navigation(async || self.press_key(Key::Enter).await).await;
    }

    /// Presses the key with the arrow that points down, wherever the focus is.
    pub async fn press_arrow_down(&self) {
        self.press_key(Key::Down).await;
    }

    /// Presses the Tab key until the focus is on the button or link with these words, and then Enter.
    pub async fn press_enter_on(&self, words: &str) {
        self.tab_to(words).await;
        self.press_enter().await;
    }

    /// Presses the Tab key until the focus is on the button or link with these words, or on the field of this label.
    pub async fn tab_to(&self, words: &str) {
        let script = "const e = document.activeElement; return e.labels?.length ? e.labels[0].innerText : e.innerText";
        let reached = async || {
            let focused = self.script(script, vec![]).await?;
            if focused.as_str()?.trim() == words {
                return Some(());
            }
            self.press_key(Key::Tab).await;
            None
        };
        self.wait(&format!("the focus on {words:?}"), reached).await;
    }

    /// The tab that is looked at.
    pub async fn tab(&self) -> Tab {
        Tab(self.driver.window().await.unwrap())
    }

    /// Opens another tab, and looks at it.
    pub async fn new_tab(&self) -> Tab {
        let tab = Tab(self.driver.new_tab().await.unwrap());
        self.switch_to(&tab).await;
        tab
    }

    /// Looks at another tab.
    pub async fn switch_to(&self, tab: &Tab) {
        self.driver.switch_to_window(tab.0.clone()).await.unwrap();
    }

    /// The names of the cookies that are sent with the page's address.
    pub async fn cookies(&self) -> Vec<String> {
        self.driver.get_all_cookies().await.unwrap().into_iter().map(|cookie| cookie.name).collect()
    }

    /// Forgets the cookies whose names begin so, of those that are sent with the page's address, and says how many there were.
    pub async fn delete_cookies_with_prefix(&self, prefix: &str) -> usize {
        let names: Vec<_> = self.cookies().await.into_iter().filter(|name| name.starts_with(prefix)).collect();
        for name in &names {
            self.driver.delete_cookie(name).await.unwrap();
        }
        names.len()
    }

    /// Forgets all cookies that are sent with the page's address.
    pub async fn delete_cookies(&self) {
        self.driver.delete_all_cookies().await.unwrap();
    }

    /// Looks at the page closely: nothing of it lies outside of a narrow window or of a wide one, and whatever the keyboard
    /// reaches shows it. Pictures of it go into the target folder.
    ///
    /// # Panics
    ///
    /// When it is not so.
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
        let screen = |height| json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", screen(600)).await;
        let sizes = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth, e.scrollHeight]";
        let sizes: Vec<u32> = serde_json::from_value(self.script(sizes, vec![]).await.unwrap()).unwrap();
        let [wanted, there, height] = sizes[..] else { panic!("{sizes:?}") };
        assert!(wanted <= there, "{name} is {wanted} pixels wide in a window of {width}, of which {there} are free");
        self.command("Emulation.setDeviceMetricsOverride", screen(height)).await;
        let folder = screenshot_folder();
        fs::create_dir_all(&folder).unwrap();
        self.driver.screenshot(&folder.join(format!("{name}-{width}-{scheme}.png"))).await.unwrap();
    }

    /// Goes through the page with the Tab key.
    async fn check_keyboard_focus(&self, name: &str) {
        let count = "return document.querySelectorAll(arguments[0]).length";
        let count = self.script(count, vec![FOCUSABLE_SELECTOR.into()]).await.unwrap().as_u64().unwrap();
        let script = "const e = document.activeElement, all = [...document.querySelectorAll(arguments[0])];
            const style = getComputedStyle(e), box = e.getBoundingClientRect();
            const isSeen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
                && box.bottom > 0 && box.top < innerHeight;
            return [all.indexOf(e), isSeen, e.outerHTML.slice(0, 200)]";
        let mut reached = vec![false; usize::try_from(count).unwrap()];
        // The browser's own controls, or the page itself, may be on the way.
        for _ in 0..count + 3 {
            self.press_key(Key::Tab).await;
            let focused = self.script(script, vec![FOCUSABLE_SELECTOR.into()]).await.unwrap();
            let Some(place) = focused[0].as_u64() else { continue };
            assert_eq!(focused[1], true, "on {name}, the focus is not visible on {}", focused[2]);
            reached[usize::try_from(place).unwrap()] = true;
        }
        assert!(
            reached.iter().all(|reached| *reached),
            "on {name}, the keyboard reaches of {FOCUSABLE_SELECTOR}: {reached:?}"
        );
    }

    /// What is in the browser's console, beside pages that were to be refused.
    pub(crate) async fn console_errors(&self) -> Vec<String> {
        let (log, refusals) = (self.driver.browser_log().await.unwrap(), self.expected_error_urls.lock().unwrap());
        let is_expected = |message: &str| {
            refusals.iter().any(|address| message.starts_with(&format!("{address} - Failed to load resource: ")))
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
        self.element(&format!("a field {label:?}"), script, label).await
    }

    async fn find_text(&self, id: &str) -> Option<String> {
        let text = self.script("return document.getElementById(arguments[0])?.innerText", vec![id.into()]).await?;
        Some(text.as_str()?.trim().to_owned())
    }

    async fn element(&self, what: &str, script: &str, argument: &str) -> WebElement {
        let find = async || self.driver.execute(script, vec![argument.into()]).await.ok()?.element().ok();
        self.wait(what, find).await
    }

    async fn script(&self, script: &str, arguments: Vec<Value>) -> Option<Value> {
        // A page that is about to go runs no more scripts.
        Some(self.driver.execute(script, arguments).await.ok()?.json().clone())
    }

    async fn command(&self, name: &str, parameters: Value) {
        self.driver.cdp().send_raw(name, parameters).await.unwrap();
    }

    /// Does what leads to another page, and waits until that is there.
    async fn wait_for_navigation(&self, act: impl AsyncFnOnce()) {
        // A page that one goes back to may come with what was written on it before.
        let mark = Value::from(self.navigation_count.fetch_add(1, Ordering::Relaxed));
        self.script("window.isLeftBy = arguments[0]", vec![mark.clone()]).await;
        act().await;
        let script = "return window.isLeftBy !== arguments[0] && document.readyState === 'complete'";
        let is_there = async || self.script(script, vec![mark.clone()]).await?.as_bool()?.then_some(());
        self.wait("other page", is_there).await;
    }

    /// Asks until there is an answer, or no patience left.
    async fn wait<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            if begin.elapsed() > WAIT_TIMEOUT {
                panic!("there is no {what} at {}:\n{}", self.address().await, self.page_text().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// In the target folder, which this program is in too: `<target>/debug/deps/<program>`.
fn screenshot_folder() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).expect("cargo has built this program").join("pages")
}
