//! The rules of the house, and the faults they find in a set of source files.

use std::collections::BTreeSet;

use syn::Item;
use syn::spanned::Spanned as _;

use super::reading::{Path, Reading, without_tests};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 50;

/// Names that say where something was put, not what it is.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "type", "types", "misc"];

/// Source files and what the rules let them do.
#[derive(Debug, Default)]
pub(super) struct House {
    /// Path from the package's root, such as `src/clock.rs`, and text.
    pub(super) files: Vec<(String, String)>,
    /// The floors that may wait; all others are pure.
    pub(super) awaiting: &'static [&'static str],
    /// Files over 500 lines, each with the reason.
    pub(super) long_files: &'static [(&'static str, &'static str)],
    /// Functions over 50 lines as `src/file.rs: name`, each with the reason.
    pub(super) long_functions: &'static [(&'static str, &'static str)],
}

impl House {
    /// Every breach of a rule, one line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Faults::default();
        let Some((_, roof)) = self.files.iter().find(|(path, _)| path == "src/lib.rs") else {
            return vec!["src/lib.rs is missing".to_owned()];
        };
        let floors = match floors(roof, &mut faults) {
            Ok(floors) => floors,
            Err(error) => return vec![format!("src/lib.rs: {error}")],
        };
        for (path, text) in &self.files {
            if !text.starts_with("//! ") {
                faults.add(path, 1, "begins without a `//!` line that says what the file is for");
            }
            if path != "src/lib.rs" {
                self.check_file(&floors, path, text, &mut faults);
            }
        }
        faults.add_unused("long_files", self.long_files);
        faults.add_unused("long_functions", self.long_functions);
        faults.lines
    }

    fn check_file(&self, floors: &[String], path: &str, text: &str, faults: &mut Faults) {
        let module = module_of(path);
        let reading = match Reading::of(&module, text) {
            Ok(reading) => reading,
            Err(error) => return faults.add(path, error.span().start().line, error),
        };
        check_place(floors, path, &module, faults);
        for name in module.iter().copied().chain(reading.modules.iter().map(String::as_str)) {
            if EMPTY_NAMES.contains(&name) {
                faults.add(path, 1, format_args!("`{name}` names no thing: name the module for what it holds"));
            }
        }
        for place in &reading.paths {
            check_arrow(floors, path, place, faults);
            check_source(path, place, faults);
        }
        if !self.awaiting.contains(&module[0]) {
            for line in &reading.waits {
                faults.add(path, *line, format_args!("the floor `{}` is pure, but this waits", module[0]));
            }
        }
        self.check_length(path, text, &reading, faults);
    }

    fn check_length(&self, path: &str, text: &str, reading: &Reading, faults: &mut Faults) {
        let lines = text.lines().count().saturating_sub(reading.test_lines);
        if lines > FILE_LINES && !faults.allows(self.long_files, path) {
            faults.add(
                path,
                lines,
                format_args!("{lines} lines without tests, of {FILE_LINES}: is it still one noun?"),
            );
        }
        for function in reading.functions.iter().filter(|function| function.lines > FUNCTION_LINES) {
            let name = format!("{path}: {}", function.name);
            if !faults.allows(self.long_functions, &name) {
                let message = format!("`{}` has {} lines, of {FUNCTION_LINES}", function.name, function.lines);
                faults.add(path, function.line, message);
            }
        }
    }
}

#[derive(Default)]
struct Faults {
    lines: Vec<String>,
    used_allowances: BTreeSet<String>,
}

impl Faults {
    fn add(&mut self, path: &str, line: usize, message: impl std::fmt::Display) {
        self.lines.push(format!("{path}:{line}: {message}"));
    }

    fn allows(&mut self, list: &[(&str, &str)], name: &str) -> bool {
        let is_allowed = list.iter().any(|(allowed, reason)| *allowed == name && !reason.is_empty());
        if is_allowed {
            self.used_allowances.insert(name.to_owned());
        }
        is_allowed
    }

    fn add_unused(&mut self, list: &str, allowances: &[(&str, &str)]) {
        for (name, _) in allowances {
            if !self.used_allowances.contains(*name) {
                self.lines.push(format!("{list}: `{name}` needs no allowance: take it off the list"));
            }
        }
    }
}

/// The top-level modules in the order of the roof's `mod` lines. The roof itself defines nothing.
fn floors(roof: &str, faults: &mut Faults) -> syn::Result<Vec<String>> {
    let (tokens, _) = without_tests(syn::parse_str(roof)?);
    let mut floors = Vec::new();
    for item in syn::parse2::<syn::File>(tokens)?.items {
        match item {
            Item::Mod(floor) if floor.content.is_none() => floors.push(floor.ident.to_string()),
            Item::Use(_) => {}
            other => {
                let line = other.span().start().line;
                faults.add(
                    "src/lib.rs",
                    line,
                    "defines something: the roof holds documentation, `mod` and `use` alone",
                );
            }
        }
    }
    Ok(floors)
}

/// `src/clock.rs` is `clock`; `src/client/mod.rs` is `client`; `src/client/keys.rs` is `client::keys`.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.trim_end_matches("/mod").split('/').collect()
}

fn check_place(floors: &[String], path: &str, module: &[&str], faults: &mut Faults) {
    if !floors.iter().any(|floor| floor == module[0]) {
        faults.add(path, 1, format_args!("no `mod {};` in src/lib.rs", module[0]));
    }
    if module.len() > 2 {
        faults.add(path, 1, "a folder in a folder: one level is enough");
    }
}

/// A module uses only what stands above it in the list, by the path of its home.
fn check_arrow(floors: &[String], path: &str, place: &Path, faults: &mut Faults) {
    let Some(target) = root_name(place) else { return };
    let written = place.segments.join("::");
    let own = &place.module[0];
    let height = |name: &str| floors.iter().position(|floor| floor == name);
    match (height(target), height(own)) {
        (None, _) => {
            faults.add(path, place.line, format_args!("`{written}` goes through the roof: import it from its home"));
        }
        (Some(there), Some(here)) if there > here => {
            faults.add(path, place.line, format_args!("`{written}` points upward: `{target}` comes after `{own}`"));
        }
        _ => {}
    }
}

/// The name in the crate's root that a path goes through, or nothing where it stays in its own module or leaves the
/// crate.
fn root_name(place: &Path) -> Option<&str> {
    let mut names = place.segments.iter().map(String::as_str).peekable();
    let mut depth = match names.peek() {
        Some(&"crate") => 0,
        Some(&("self" | "super")) => place.module.len(),
        _ => return None,
    };
    while let Some(step) = names.next_if(|name| matches!(*name, "crate" | "self" | "super")) {
        depth -= usize::from(step == "super" && depth > 0);
    }
    (depth == 0).then(|| names.next().unwrap_or("crate"))
}

/// Time comes from the clock alone, randomness from its one source.
fn check_source(path: &str, place: &Path, faults: &mut Faults) {
    let written = place.segments.join("::");
    let names: Vec<_> = place.segments.iter().map(String::as_str).collect();
    let holds = |pair: [&str; 2]| names.windows(2).any(|window| window == pair);
    let is_time = holds(["SystemTime", "now"]) || holds(["Instant", "now"]) || holds(["time", "sleep"]);
    if is_time && path != "src/clock.rs" {
        faults.add(path, place.line, format_args!("`{written}`: take the time from `crate::clock`"));
    }
    let is_random = names[0] == "rand" || names.contains(&"SysRng") || names.contains(&"getrandom");
    if is_random && path != "src/random.rs" {
        faults.add(path, place.line, format_args!("`{written}`: take randomness from `crate::random`"));
    }
}
