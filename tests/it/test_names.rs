//! The names of tests, read from their source code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the tests in the files of a folder, each as `<prefix><file>::<name>`.
pub(crate) fn tests_below(folder: &str, prefix: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let mut path = entry.unwrap().path();
        if path.join("mod.rs").is_file() {
            // The module of `rules/mod.rs` is `rules`.
            let module = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            path.push("mod.rs");
            tests.extend(tests_in(&module, &fs::read_to_string(&path).unwrap()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
            tests.extend(tests_in(&module, &fs::read_to_string(&path).unwrap()));
        }
    }
    tests
}

/// Returns the tests in the source code of a file, each as `<module>::<name>`.
///
/// A function is a test if it has an attribute `#[test]` or `#[tokio::test]` and is not ignored.
///
/// # Panics
///
/// Panics if a name occurs twice.
pub(crate) fn tests_in(module: &str, text: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    collect_tests(&syn::parse_file(text).unwrap().items, module, &mut tests);
    tests
}

fn collect_tests(items: &[syn::Item], module: &str, tests: &mut BTreeSet<String>) {
    for item in items {
        match item {
            syn::Item::Fn(function) => {
                let has = |name| function.attrs.iter().any(|own| own.path().segments.last().unwrap().ident == name);
                if has("test") && !has("ignore") {
                    let name = format!("{module}::{}", function.sig.ident);
                    assert!(tests.insert(name.clone()), "{name} exists twice");
                }
            }
            syn::Item::Mod(inner) => {
                let items = inner.content.as_ref().map_or(&[][..], |(_, items)| items);
                // Unit tests are in a module `tests`, which is not part of the names in the tables.
                let inner =
                    if inner.ident == "tests" { module.to_owned() } else { format!("{module}::{}", inner.ident) };
                collect_tests(items, &inner, tests);
            }
            _ => {}
        }
    }
}
