//! The rules of the architecture, and the violations found in a set of source files.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;
use syn::spanned::Spanned as _;

use super::source_reader::{Path, SourceFile, without_tests};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 60;
/// The maximum depth of a module: `src/a/b/c.rs`.
const MAX_DEPTH: usize = 3;

/// Names that describe where code was put, not its purpose.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "type", "types", "misc"];

/// Source files, and the exceptions from the rules.
#[derive(Debug, Default)]
pub(super) struct Architecture {
    /// Path from the root of the package, such as `src/clock.rs`, and content.
    pub(super) files: Vec<(String, String)>,
    /// The modules that contain no `async` or `await`, with everything below them.
    pub(super) pure: &'static [&'static str],
    /// Files that exceed [`MAX_FILE_LINES`], each with the reason.
    pub(super) long_files: &'static [(&'static str, &'static str)],
    /// Functions that exceed [`MAX_FUNCTION_LINES`] as `src/file.rs: name`, each with the reason.
    pub(super) long_functions: &'static [(&'static str, &'static str)],
}

impl Architecture {
    /// Returns all violations, one line each.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = Violations::default();
        let tree = match Tree::read(&self.files, &mut found) {
            Ok(tree) => tree,
            Err(error) => return vec![error],
        };
        for (path, text) in &self.files {
            if !text.starts_with("//! ") {
                found.add(path, 1, "the file does not begin with a `//!` line that describes its purpose");
            }
            if path != "src/lib.rs" {
                self.check_file(&tree, path, text, &mut found);
            }
        }
        for module in self.pure {
            if !tree.modules.contains(*module) {
                found.lines.push(format!("pure: `{module}` does not exist"));
            }
        }
        found.add_unused("long_files", self.long_files);
        found.add_unused("long_functions", self.long_functions);
        found.lines
    }

    fn check_file(&self, tree: &Tree, path: &str, text: &str, found: &mut Violations) {
        let module = module_of(path);
        let file = match SourceFile::read(&module, text) {
            Ok(file) => file,
            Err(error) => return found.add(path, error.span().start().line, error),
        };
        tree.check_place(path, &module, found);
        for name in module.iter().copied().chain(file.modules.iter().map(String::as_str)) {
            if EMPTY_NAMES.contains(&name) {
                found.add(path, 1, format_args!("`{name}` describes nothing: name the module after its content"));
            }
        }
        for used in &file.paths {
            tree.check_dependency(path, &module, used, found);
            check_source(path, used, found);
        }
        let name = module.join("::");
        let is_pure = |pure: &&&str| name == **pure || name.starts_with(&format!("{pure}::"));
        if let Some(pure) = self.pure.iter().find(is_pure) {
            for line in &file.awaits {
                found.add(path, *line, format_args!("`{pure}` is pure, but this awaits"));
            }
        }
        if !tree.is_test(&module) {
            self.check_length(path, text, &file, found);
        }
    }

    fn check_length(&self, path: &str, text: &str, file: &SourceFile, found: &mut Violations) {
        let lines = text.lines().count().saturating_sub(file.test_lines);
        if lines > MAX_FILE_LINES && !found.allows(self.long_files, path) {
            found.add(path, lines, format_args!("{lines} lines without tests exceed {MAX_FILE_LINES}"));
        }
        for function in file.functions.iter().filter(|function| function.lines > MAX_FUNCTION_LINES) {
            let name = format!("{path}: {}", function.name);
            if !found.allows(self.long_functions, &name) {
                let message =
                    format!("`{}` has {} lines, more than {MAX_FUNCTION_LINES}", function.name, function.lines);
                found.add(path, function.line, message);
            }
        }
    }
}

#[derive(Default)]
struct Violations {
    lines: Vec<String>,
    used_allowances: BTreeSet<String>,
}

impl Violations {
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
                self.lines.push(format!("{list}: `{name}` needs no exception: remove it from the list"));
            }
        }
    }
}

/// The module tree: the order of the `mod` lines in each folder.
struct Tree {
    /// The children of each folder in order. The root is the empty string.
    children: BTreeMap<String, Vec<String>>,
    modules: BTreeSet<String>,
    /// The modules declared under `#[cfg(test)]`. They may use everything.
    tests: BTreeSet<String>,
}

impl Tree {
    fn read(files: &[(String, String)], found: &mut Violations) -> Result<Self, String> {
        if !files.iter().any(|(path, _)| path == "src/lib.rs") {
            return Err("src/lib.rs is missing".to_owned());
        }
        let (mut children, mut tests) = (BTreeMap::new(), BTreeSet::new());
        for (path, text) in files.iter().filter(|(path, _)| path == "src/lib.rs" || path.ends_with("/mod.rs")) {
            let module = if path == "src/lib.rs" { String::new() } else { module_of(path).join("::") };
            let declared = declared_modules(path, text, found).map_err(|error| format!("{path}: {error}"))?;
            tests.extend(declared.tests.iter().map(|name| format!("{module}::{name}")));
            children.insert(module, [declared.modules, declared.tests].concat());
        }
        let declared = children.iter().flat_map(|(folder, names)| {
            names.iter().map(move |name| if folder.is_empty() { name.clone() } else { format!("{folder}::{name}") })
        });
        let modules = declared.collect();
        Ok(Self { children, modules, tests })
    }

    fn is_test(&self, module: &[&str]) -> bool {
        (1..=module.len()).any(|depth| self.tests.contains(&module[..depth].join("::")))
    }

    fn position(&self, folder: &[String], name: &str) -> Option<usize> {
        self.children.get(&folder.join("::"))?.iter().position(|child| child == name)
    }

    fn check_place(&self, path: &str, module: &[&str], found: &mut Violations) {
        let names: Vec<_> = module.iter().map(|name| (*name).to_owned()).collect();
        if let Some((name, folder)) = names.split_last()
            && self.position(folder, name).is_none()
        {
            let home =
                if folder.is_empty() { "src/lib.rs".to_owned() } else { format!("src/{}/mod.rs", folder.join("/")) };
            found.add(path, 1, format_args!("no `mod {name};` in {home}"));
        }
        if module.len() > MAX_DEPTH && !self.is_test(module) {
            found.add(path, 1, format_args!("more than {MAX_DEPTH} levels"));
        }
    }

    /// Checks that a module uses only modules listed above it, at every level, and that the modules
    /// of a folder do not use its `mod.rs`.
    fn check_dependency(&self, path: &str, module: &[&str], used: &Path, found: &mut Violations) {
        if self.is_test(module) {
            return;
        }
        let Some(target) = absolute(used) else { return };
        let written = used.segments.join("::");
        let is_module = |depth: &usize| self.modules.contains(&target[..*depth].join("::"));
        let depth = (1..=target.len()).rev().find(is_module).unwrap_or(0);
        let home = &target[..depth];
        if home.is_empty() {
            return found.add(
                path,
                used.line,
                format_args!("`{written}` goes through lib.rs: import it from its module"),
            );
        }
        let common = home.iter().zip(module).take_while(|(one, other)| one == *other).count();
        if common == home.len() && common < module.len() {
            let message =
                format!("`{written}` uses the `mod.rs` of its own folder: move the item to a file of its own");
            return found.add(path, used.line, message);
        }
        if common == module.len() || common == home.len() {
            return; // A `mod.rs` uses the modules in its folder, and a file uses itself.
        }
        let folder = &home[..common];
        let (there, here) = (self.position(folder, &home[common]), self.position(folder, module[common]));
        if there > here {
            let message = format!("`{written}` points upward: `{}` is listed after `{}`", home[common], module[common]);
            found.add(path, used.line, message);
        }
    }
}

/// The modules that a file declares by `mod name;`, in order.
struct DeclaredModules {
    modules: Vec<String>,
    tests: Vec<String>,
}

/// Returns the declared modules of `lib.rs` or a `mod.rs`. `lib.rs` must define nothing.
fn declared_modules(path: &str, text: &str, found: &mut Violations) -> syn::Result<DeclaredModules> {
    let mut modules = Vec::new();
    let (kept, _) = without_tests(syn::parse_str(text)?);
    for item in syn::parse2::<syn::File>(kept)?.items {
        match item {
            Item::Mod(module) if module.content.is_none() => modules.push(module.ident.to_string()),
            Item::Use(_) => {}
            other if path == "src/lib.rs" => {
                let line = other.span().start().line;
                found.add(path, line, "lib.rs defines something: it contains only documentation, `mod`, and `use`");
            }
            _ => {}
        }
    }
    let all = syn::parse_str::<syn::File>(text)?.items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
        _ => None,
    });
    let tests = all.filter(|name| !modules.contains(name)).collect();
    Ok(DeclaredModules { modules, tests })
}

/// Returns the module of a file: `src/client/mod.rs` is `client`, and `src/client/env.rs` is
/// `client::env`.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.trim_end_matches("/mod").split('/').collect()
}

/// Returns a path from the root of the crate, or `None` if it leaves the crate or is relative.
fn absolute(used: &Path) -> Option<Vec<String>> {
    let mut names = used.segments.iter().map(String::as_str).peekable();
    let mut base = match names.peek() {
        Some(&"crate") => Vec::new(),
        Some(&("self" | "super")) => used.module.clone(),
        _ => return None,
    };
    while let Some(step) = names.next_if(|name| matches!(*name, "crate" | "self" | "super")) {
        if step == "super" {
            base.pop();
        }
    }
    base.extend(names.map(str::to_owned));
    Some(base)
}

/// Checks that time is read only in `clock`, and random numbers are drawn only in `random`.
fn check_source(path: &str, used: &Path, found: &mut Violations) {
    let written = used.segments.join("::");
    let names: Vec<_> = used.segments.iter().map(String::as_str).collect();
    let contains = |pair: [&str; 2]| names.windows(2).any(|window| window == pair);
    let is_time = contains(["SystemTime", "now"]) || contains(["Instant", "now"]) || contains(["time", "sleep"]);
    if is_time && path != "src/clock.rs" {
        found.add(path, used.line, format_args!("`{written}`: use `crate::clock`"));
    }
    let is_random = names[0] == "rand" || names.contains(&"SysRng") || names.contains(&"getrandom");
    if is_random && path != "src/random.rs" {
        found.add(path, used.line, format_args!("`{written}`: use `crate::random`"));
    }
}
