//! The house rules can fail: each is shown a small house that breaks it, and one beside it that does not.

use super::rules::House;

const ROOF: &str =
    "//! Roof.\npub mod low;\nmod mid;\n#[cfg(feature = \"x\")]\npub mod high;\npub use crate::low::Low;\n";

/// The faults of a house whose module `mid` (floor two of three) has this body.
fn faults_of(body: &str) -> Vec<String> {
    faults_of_file("src/mid.rs", body)
}

fn faults_of_file(path: &str, body: &str) -> Vec<String> {
    house([("src/lib.rs", ROOF), (path, &format!("//! Purpose.\n{body}\n"))]).faults()
}

fn house<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> House {
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    House { files, awaiting: &["high"], ..House::default() }
}

#[track_caller]
fn assert_faults(bodies: &[&str], expected: &str) {
    for body in bodies {
        let faults = faults_of(body);
        assert!(faults.len() == 1 && faults[0].contains(expected), "{body}\n{faults:?}");
    }
}

#[track_caller]
fn assert_clean(bodies: &[&str]) {
    for body in bodies {
        assert_eq!(faults_of(body), [""; 0], "{body}");
    }
}

#[test]
fn upward_dependency_is_reported_in_every_form() {
    assert_faults(
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
        "points upward: `high` comes after `mid`",
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

#[test]
fn file_in_folder_has_position_of_parent_module() {
    assert_eq!(faults_of_file("src/mid/inner.rs", "use super::Mid; use crate::mid::Other;"), [""; 0]);
    let faults = faults_of_file("src/mid/inner.rs", "use super::super::high::High;");
    assert!(faults.len() == 1 && faults[0].starts_with("src/mid/inner.rs:2: `super::super::high::High` points"));
    let faults = faults_of_file("src/mid/mod.rs", "use super::high::High;");
    assert!(faults.len() == 1 && faults[0].starts_with("src/mid/mod.rs:2: `super::high::High` points"));
}

#[test]
fn path_through_crate_root_is_reported() {
    assert_faults(
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
        "goes through the roof",
    );
    assert_eq!(faults_of_file("src/high.rs", "use crate::low::Low;"), [""; 0]);
}

#[test]
fn async_code_in_pure_module_is_reported() {
    assert_faults(
        &[
            "async fn f() {}",
            "fn f() { let _ = async { 1 }; }",
            "trait T { async fn f(); }",
            "fn f() { run!(g().await) }",
        ],
        "the floor `mid` is pure, but this waits",
    );
    assert_eq!(faults_of_file("src/high.rs", "#[async_trait] trait T { async fn f() { g().await } }"), [""; 0]);
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
        assert_eq!(faults_of(body).len(), 1, "{body}");
    }
}

#[test]
fn definitions_in_crate_root_are_reported() {
    for definition in ["struct S;", "const N: u8 = 1;", "macro_rules! m { () => {} }", "mod inline {}", "fn f() {}"] {
        let faults = house([("src/lib.rs", format!("{ROOF}{definition}").as_str())]).faults();
        assert!(faults.len() == 1 && faults[0].starts_with("src/lib.rs:7: defines something"), "{faults:?}");
    }
    for free in ["#[cfg(test)] mod tests {}", "#[cfg(doctest)] struct Readme;", "pub use crate::high::High;"] {
        assert_eq!(house([("src/lib.rs", format!("{ROOF}{free}").as_str())]).faults(), [""; 0]);
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
        let faults = faults_of_file("src/high.rs", body);
        assert!(faults.len() == 1 && faults[0].contains("take the time from `crate::clock`"), "{body}\n{faults:?}");
    }
    let random = ["use rand::rngs::StdRng;", "use getrandom::fill;", "fn f() { rand::random() }"];
    assert_faults(&random, "take randomness from `crate::random`");
    assert_clean(&["use std::time::{Duration, Instant};", "fn f(clock: &dyn Clock) { clock.now(); clock.sleep(d); }"]);

    let roof = "//! Roof.\nmod clock;\nmod random;\n";
    let clock = "//! Time.\nfn f() { Instant::now(); }\n";
    let random = "//! Randomness.\nuse rand::rngs::SysRng;\n";
    let house = house([("src/lib.rs", roof), ("src/clock.rs", clock), ("src/random.rs", random)]);
    assert_eq!(house.faults(), [""; 0]);
}

#[test]
fn file_without_purpose_valid_name_or_mod_is_reported() {
    let roof = "//! Roof.\nmod mid;\nmod utils;\n";
    for (path, text, expected) in [
        ("src/mid.rs", "use std::fmt;\n", "begins without a `//!` line"),
        ("src/utils.rs", "//! Purpose.\n", "names no thing"),
        ("src/mid/helpers.rs", "//! Purpose.\n", "names no thing"),
        ("src/mid.rs", "//! Purpose.\nmod misc { fn f() {} }\n", "names no thing"),
        ("src/lost.rs", "//! Purpose.\n", "no `mod lost;` in src/lib.rs"),
        ("src/mid/a/b.rs", "//! Purpose.\n", "a folder in a folder"),
        ("src/mid.rs", "//! Purpose.\nfn f( {\n", "src/mid.rs:"),
    ] {
        let faults = house([("src/lib.rs", roof), (path, text)]).faults();
        assert!(faults.len() == 1 && faults[0].contains(expected), "{path}: {faults:?}");
    }
}

#[test]
fn long_code_and_unused_allowances_are_reported() {
    let lines = |count: usize| "// A line.\n".repeat(count);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", lines(500));
    assert_eq!(faults_of(&format!("{}{tests}", lines(399))), [""; 0]);
    assert_faults(&[format!("{}{tests}", lines(500)).as_str()], "501 lines without tests, of 500");
    assert_eq!(faults_of(&format!("fn f() {{\n{}}}", lines(48))), [""; 0]);
    let long = format!("impl M {{ pub(crate) fn f<T>() -> T where T: Copy {{\n{}}} }}", lines(49));
    assert_faults(&[long.as_str()], "`f` has 51 lines, of 50");

    let text = format!("//! Purpose.\n{long}\n{}", lines(500));
    let mut house = house([("src/lib.rs", ROOF), ("src/mid.rs", text.as_str())]);
    house.long_files = &[("src/mid.rs", "a table")];
    house.long_functions = &[("src/mid.rs: f", "a table too")];
    assert_eq!(house.faults(), [""; 0]);
    house.long_files = &[("src/mid.rs", "")];
    assert!(house.faults().iter().any(|fault| fault.contains("lines without tests")), "an empty reason is none");
    house.long_files = &[("src/mid.rs", "a table"), ("src/low.rs", "it was long once")];
    assert_eq!(house.faults(), ["long_files: `src/low.rs` needs no allowance: take it off the list"]);
}
