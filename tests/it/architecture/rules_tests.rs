//! Tests of the rules: each rule finds a violation in a small crate, and accepts a crate without one.

use super::rules::Architecture;

const ROOT: &str =
    "//! Root.\npub mod low;\nmod mid;\n#[cfg(feature = \"x\")]\npub mod high;\npub use crate::low::Low;\n";

/// Returns the violations of a crate with this code in `mid`, the second of three modules.
fn violations(body: &str) -> Vec<String> {
    violations_in("src/mid.rs", body)
}

fn violations_in(path: &str, body: &str) -> Vec<String> {
    architecture([("src/lib.rs", ROOT), (path, &format!("//! Purpose.\n{body}\n"))]).violations()
}

fn architecture<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Architecture {
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    Architecture { files, pure: &["mid"], ..Architecture::default() }
}

#[track_caller]
fn assert_violation(bodies: &[&str], expected: &str) {
    for body in bodies {
        let found = violations(body);
        assert!(found.len() == 1 && found[0].contains(expected), "{body}\n{found:?}");
    }
}

#[track_caller]
fn assert_clean(bodies: &[&str]) {
    for body in bodies {
        assert_eq!(violations(body), [""; 0], "{body}");
    }
}

#[test]
fn upward_dependency_is_reported_in_every_form() {
    assert_violation(
        &[
            "use crate::high::High;",
            "use crate::{low::Low, high::High};",
            "use crate::high as tall;",
            "use crate::{high as tall};",
            "use crate::high::*;",
            "pub(crate) use crate::{low::{Low, Lower}, high};",
            "fn f() { crate::high::build(); }",
            "fn f(high: &crate::high::High) {}",
            "struct Mid { low: ::std::vec::Vec<crate::high::High> }",
            "fn f(x: u8) { match x { crate::high::LIMIT => {} _ => {} } }",
            "fn f<T: crate::high::Tall>() {}",
            "impl crate::high::Tall for u8 {}",
            "fn f() { <u8 as crate::high::Tall>::grow() }",
            "#[derive(Debug)] #[serde(with = \"x\")] pub struct A(pub crate::high::High);",
            "fn f() { let _ = format!(\"{}\", crate::high::NAME); }",
            "macro_rules! m { () => { $crate::high::High }; }",
            "use super::high::High;",
            "use super::{high};",
            "mod inner { use super::super::high::High; }",
            "mod inner { fn f() { self::super::super::high::build() } }",
        ],
        "points upward: `high` is listed after `mid`",
    );
}

#[test]
fn downward_own_and_external_dependencies_are_allowed() {
    assert_clean(&[
        "use crate::low::{self, Low};",
        "use crate::mid::Mid;",
        "use super::low::*;",
        "mod inner { use super::*; use super::Mid; pub(in crate::mid) struct High; }",
        "use high::High; use ::high::High; fn f() { high::build() }",
        "pub(crate) struct Mid { pub(super) crate_name: u8 }",
        "#[serde(crate = \"serde\")] struct Mid;",
        "/// See [`High`](crate::high::High).\nstruct Mid;",
        "const NAME: &str = \"crate::high::High\"; // crate::high",
    ]);
}

/// Returns the violations of a crate with a folder `mid`, whose `mod.rs` declares `first`, `second`, and `tests`.
fn violations_in_folder(path: &str, body: &str) -> Vec<String> {
    let folder = "//! Purpose.\nmod first;\npub(crate) mod second;\n#[cfg(test)]\nmod tests;\n";
    let body = format!("//! Purpose.\n{}{body}\n", if path == "src/mid/mod.rs" { &folder[13..] } else { "" });
    let hub = ("src/mid/mod.rs", folder);
    let files = [("src/lib.rs", ROOT), hub, (path, body.as_str())];
    architecture(files.into_iter().filter(|file| *file != hub || path != "src/mid/mod.rs")).violations()
}

#[test]
fn order_of_modules_is_checked_in_folders() {
    for (path, body, expected) in [
        (
            "src/mid/second.rs",
            "use crate::high::High;",
            "`crate::high::High` points upward: `high` is listed after `mid`",
        ),
        ("src/mid/second.rs", "use super::super::high::High;", "`high` is listed after `mid`"),
        ("src/mid/first.rs", "use crate::mid::second::B;", "`second` is listed after `first`"),
        ("src/mid/first.rs", "use super::second;", "`second` is listed after `first`"),
        ("src/mid/second.rs", "use super::Mid;", "uses the `mod.rs` of its own folder"),
        ("src/mid/second.rs", "fn f() { crate::mid::build() }", "uses the `mod.rs` of its own folder"),
        ("src/mid/mod.rs", "use crate::high::second;", "`high` is listed after `mid`"),
    ] {
        let found = violations_in_folder(path, body);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {body}\n{found:?}");
    }
    for (path, body) in [
        ("src/mid/second.rs", "use crate::mid::first::A; use super::first; use crate::low::Low;"),
        ("src/mid/second.rs", "struct B; mod inner { use super::B; use super::super::first; }"),
        ("src/mid/mod.rs", "use crate::mid::second::B; use self::first::A; use crate::low::Low;"),
        ("src/mid/tests.rs", "use crate::mid::Mid; use crate::high::High; use super::Mid;"),
    ] {
        assert_eq!(violations_in_folder(path, body), [""; 0], "{path}: {body}");
    }
}

#[test]
fn path_through_crate_root_is_reported() {
    assert_violation(
        &[
            "use crate::Low;",
            "use crate::{Low as Deep};",
            "use crate::*;",
            "use crate as webex;",
            "use crate::{self as webex};",
            "use super::Low;",
            "use super::*;",
            "fn f() -> crate::Low { todo!() }",
            "fn f() { vec![crate::Low]; }",
        ],
        "goes through lib.rs",
    );
    assert_eq!(violations_in("src/high.rs", "use crate::low::Low;"), [""; 0]);
}

#[test]
fn async_code_in_pure_module_is_reported() {
    assert_violation(
        &[
            "async fn f() {}",
            "fn f() { let _ = async { 1 }; }",
            "trait T { async fn f(); }",
            "fn f() { run!(g().await) }",
        ],
        "`mid` is pure, but this awaits",
    );
    assert_eq!(violations_in("src/high.rs", "#[async_trait] trait T { async fn f() { g().await } }"), [""; 0]);
}

#[test]
fn code_under_cfg_test_is_exempt() {
    assert_clean(&[
        "#[cfg(test)]\nmod tests { use crate::high::High; async fn f() { g().await } }",
        "/// Doc.\n#[cfg(test)]\n#[allow(dead_code)]\nfn f() { crate::high::build(crate::Low, Instant::now()) }",
        "impl Mid { #[cfg(test)] fn f(&self) -> crate::high::High { rand::random() } }",
        "#[cfg(all(test, unix))]\nuse crate::high::High;",
    ]);
    for body in ["#[cfg(not(test))] use crate::high::High;", "#[cfg(test)] use crate::high::A; use crate::high::B;"] {
        assert_eq!(violations(body).len(), 1, "{body}");
    }
}

#[test]
fn definitions_in_crate_root_are_reported() {
    for definition in ["struct S;", "const N: u8 = 1;", "macro_rules! m { () => {} }", "mod inline {}", "fn f() {}"] {
        let found = architecture([("src/lib.rs", format!("{ROOT}{definition}").as_str())]).violations();
        assert!(found.len() == 1 && found[0].starts_with("src/lib.rs:7: lib.rs defines something"), "{found:?}");
    }
    for free in ["#[cfg(test)] mod tests {}", "#[cfg(doctest)] struct Readme;", "pub use crate::high::High;"] {
        assert_eq!(architecture([("src/lib.rs", format!("{ROOT}{free}").as_str())]).violations(), [""; 0]);
    }
}

#[test]
fn time_and_randomness_have_one_source() {
    let time = [
        "fn f() { SystemTime::now(); }",
        "fn f() { std::time::Instant::now(); }",
        "use tokio::time::{sleep, Duration};",
        "async fn f() { tokio::time::sleep(d) }",
    ];
    for body in time {
        let found = violations_in("src/high.rs", body);
        assert!(found.len() == 1 && found[0].contains("use `crate::clock`"), "{body}\n{found:?}");
    }
    let random = ["use rand::rngs::StdRng;", "use getrandom::fill;", "fn f() { rand::random() }"];
    assert_violation(&random, "use `crate::random`");
    assert_clean(&["use std::time::{Duration, Instant};", "fn f(clock: &dyn Clock) { clock.now(); clock.sleep(d); }"]);

    let root = "//! Root.\nmod clock;\nmod random;\n";
    let clock = "//! Time.\nfn f() { Instant::now(); }\n";
    let random = "//! Randomness.\nuse rand::rngs::SysRng;\n";
    let mut crate_ = architecture([("src/lib.rs", root), ("src/clock.rs", clock), ("src/random.rs", random)]);
    crate_.pure = &[];
    assert_eq!(crate_.violations(), [""; 0]);
}

#[test]
fn file_without_purpose_valid_name_or_mod_is_reported() {
    let root = "//! Root.\nmod mid;\nmod utils;\n";
    for (path, text, expected) in [
        ("src/mid.rs", "use std::fmt;\n", "does not begin with a `//!` line"),
        ("src/utils.rs", "//! Purpose.\n", "describes nothing"),
        ("src/utils/mod.rs", "//! Purpose.\n", "describes nothing"),
        ("src/mid.rs", "//! Purpose.\nmod misc { fn f() {} }\n", "describes nothing"),
        ("src/lost.rs", "//! Purpose.\n", "no `mod lost;` in src/lib.rs"),
        ("src/mid/lost.rs", "//! Purpose.\n", "no `mod lost;` in src/mid/mod.rs"),
        ("src/mid.rs", "//! Purpose.\nfn f( {\n", "src/mid.rs:"),
    ] {
        let found = architecture([("src/lib.rs", root), (path, text)]).violations();
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {found:?}");
    }
    let folders = [("src/mid/mod.rs", "mod a;"), ("src/mid/a/mod.rs", "mod b;"), ("src/mid/a/b/mod.rs", "mod c;")];
    let deep = folders.map(|(path, text)| (path, format!("//! Purpose.\n{text}\n")));
    let mut files = vec![("src/lib.rs", root), ("src/mid/a/b/c.rs", "//! Purpose.\n")];
    files.extend(deep.iter().map(|(path, text)| (*path, text.as_str())));
    assert_eq!(architecture(files).violations(), ["src/mid/a/b/c.rs:1: more than 3 levels"]);
}

#[test]
fn long_code_and_unused_allowances_are_reported() {
    let lines = |count: usize| "// A line.\n".repeat(count);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", lines(500));
    assert_eq!(violations(&format!("{}{tests}", lines(399))), [""; 0]);
    assert_violation(&[format!("{}{tests}", lines(500)).as_str()], "501 lines without tests exceed 500");
    assert_eq!(violations(&format!("fn f() {{\n{}}}", lines(58))), [""; 0]);
    let long = format!("impl M {{ pub(crate) fn f<T>() -> T where T: Copy {{\n{}}} }}", lines(59));
    assert_violation(&[long.as_str()], "`f` has 61 lines, more than 60");

    let text = format!("//! Purpose.\n{long}\n{}", lines(500));
    let mut crate_ = architecture([("src/lib.rs", ROOT), ("src/mid.rs", text.as_str())]);
    crate_.long_files = &[("src/mid.rs", "a table")];
    crate_.long_functions = &[("src/mid.rs: f", "a table too")];
    assert_eq!(crate_.violations(), [""; 0]);
    crate_.long_files = &[("src/mid.rs", "")];
    assert!(crate_.violations().iter().any(|line| line.contains("lines without tests")), "an empty reason is none");
    crate_.long_files = &[("src/mid.rs", "a table"), ("src/low.rs", "it was long once")];
    assert_eq!(crate_.violations(), ["long_files: `src/low.rs` needs no exception: remove it from the list"]);
}
