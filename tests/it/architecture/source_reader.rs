//! The parts of a source file that the rules check, read from its tokens. Macros hide nothing.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser as _};

/// A source file without its documentation and the code under `#[cfg(test)]`.
#[derive(Debug, Default)]
pub(super) struct SourceFile {
    pub(super) paths: Vec<Path>,
    pub(super) functions: Vec<Function>,
    /// The inline modules.
    pub(super) modules: Vec<String>,
    /// The lines with `async` or `await`.
    pub(super) awaits: Vec<usize>,
    /// The number of lines under `#[cfg(test)]`.
    pub(super) test_lines: usize,
}

/// A path without groups: `use a::{b, c::*}` results in `a::b` and `a::c::*`.
#[derive(Debug)]
pub(super) struct Path {
    /// The module that contains it.
    pub(super) module: Vec<String>,
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

impl SourceFile {
    /// Reads the file of the module `module`.
    pub(super) fn read(module: &[&str], text: &str) -> syn::Result<Self> {
        let (tokens, test_lines) = without_tests(syn::parse_str(text)?);
        let module = module.iter().map(|name| (*name).to_owned()).collect();
        let mut reader = Reader { module, file: Self { test_lines, ..Self::default() } };
        reader.read(tokens);
        Ok(reader.file)
    }
}

/// Removes the items under `#[cfg(test)]`, and returns the number of their lines.
pub(super) fn without_tests(tokens: TokenStream) -> (TokenStream, usize) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    let (mut kept, mut lines) = (TokenStream::new(), 0);
    while let [first, after @ ..] = rest {
        let behind = rest_after_test(rest);
        if behind.len() < rest.len() {
            let last = &rest[rest.len() - behind.len() - 1];
            lines += last.span().end().line - first.span().start().line + 1;
            rest = behind;
            continue;
        }
        rest = after;
        kept.extend([match first {
            TokenTree::Group(group) => {
                let (inside, inner_lines) = without_tests(group.stream());
                lines += inner_lines;
                let mut own = Group::new(group.delimiter(), inside);
                own.set_span(group.span());
                TokenTree::from(own)
            }
            other => other.clone(),
        }]);
    }
    (kept, lines)
}

/// Returns the tokens after the test-only item at the beginning, or all of them if there is none.
fn rest_after_test(tokens: &[TokenTree]) -> &[TokenTree] {
    let mut rest = tokens;
    let mut is_test = false;
    while let [hash, TokenTree::Group(attribute), after @ ..] = rest
        && is_punct(hash, '#')
    {
        is_test |= is_test_condition(attribute.stream());
        rest = after;
    }
    if !is_test {
        return tokens;
    }
    let behind = |input: ParseStream<'_>| {
        input.parse::<syn::Item>()?;
        input.parse::<TokenStream>()
    };
    let parsed = behind.parse2(rest.iter().cloned().collect());
    parsed.map_or(tokens, |behind| &tokens[tokens.len() - behind.into_iter().count()..])
}

/// Returns `true` if an attribute restricts an item to test builds.
fn is_test_condition(attribute: TokenStream) -> bool {
    let text = attribute.to_string().replace(char::is_whitespace, "");
    matches!(text.as_str(), "cfg(test)" | "cfg(doctest)") || text.starts_with("cfg(all(test,")
}

struct Reader {
    module: Vec<String>,
    file: SourceFile,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            rest = self.step(rest);
        }
    }

    /// Reads one item or token, and returns the rest.
    fn step<'t>(&mut self, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        match tokens {
            [TokenTree::Ident(word), TokenTree::Group(reach), after @ ..]
                if word == "pub" && is_visibility_scope(reach) =>
            {
                after
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), body @ TokenTree::Group(_), after @ ..]
                if word == "mod" && is_braces(body) =>
            {
                self.file.modules.push(name.to_string());
                self.module.push(name.to_string());
                self.step(std::slice::from_ref(body));
                self.module.pop();
                after
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), after @ ..] if word == "fn" => {
                let line = word.span().start().line;
                let lines = end_of_function(after).map_or(1, |end| end - line + 1);
                self.file.functions.push(Function { name: name.to_string(), line, lines });
                after
            }
            [TokenTree::Ident(word), after @ ..] if word == "async" || word == "await" => {
                self.file.awaits.push(word.span().start().line);
                after
            }
            [TokenTree::Ident(_), ..] => self.path(&[], tokens),
            [TokenTree::Group(group), after @ ..] => {
                self.read(group.stream());
                after
            }
            [_, after @ ..] => after,
            [] => tokens,
        }
    }

    /// Reads one path with all its branches, and returns the rest.
    fn path<'t>(&mut self, prefix: &[String], tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        let mut segments = prefix.to_vec();
        let mut rest = tokens;
        loop {
            rest = match rest {
                [TokenTree::Ident(name), after @ ..] => {
                    segments.push(name.to_string());
                    after
                }
                [star, after @ ..] if is_punct(star, '*') => {
                    segments.push("*".to_owned());
                    after
                }
                [branches @ TokenTree::Group(group), after @ ..] if is_braces(branches) => {
                    let branches: Vec<_> = group.stream().into_iter().collect();
                    for branch in branches.split(|token| is_punct(token, ',')) {
                        self.path(&segments, branch);
                    }
                    return after;
                }
                _ => break,
            };
            match rest {
                [first, second, after @ ..] if is_colons(first, second) => rest = after,
                _ => break,
            }
        }
        if let Some(first) = tokens.first() {
            self.add_path(segments, prefix, first.span().start().line, rest);
        }
        rest
    }

    fn add_path(&mut self, mut segments: Vec<String>, prefix: &[String], line: usize, rest: &[TokenTree]) {
        let is_branch = !prefix.is_empty();
        if is_branch && segments.last().is_some_and(|last| last == "self") {
            segments.pop(); // `use a::{self}` is `a`
        }
        // A single word is a path only if it is renamed: `use crate as webex`.
        let is_renamed = matches!(rest, [TokenTree::Ident(word), ..] if word == "as");
        if segments.len() > 1 || is_branch || is_renamed {
            self.file.paths.push(Path { module: self.module.clone(), segments, line });
        }
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Returns `true` for `::`, but not for the `: :` of a field with a type that begins with `::`.
fn is_colons(first: &TokenTree, second: &TokenTree) -> bool {
    let is_joint = matches!(first, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint);
    is_joint && is_punct(first, ':') && is_punct(second, ':')
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Returns `true` for the scope of a visibility: `(crate)`, `(super)`, `(in crate::client)`.
fn is_visibility_scope(parentheses: &Group) -> bool {
    let mut words = parentheses.stream().into_iter().map(|word| word.to_string());
    match words.next().as_deref() {
        Some("in") => true,
        Some("crate" | "super" | "self") => words.next().is_none(),
        _ => false,
    }
}

/// Returns the last line of a function with a body.
fn end_of_function(signature: &[TokenTree]) -> Option<usize> {
    let end = signature.iter().find(|token| is_punct(token, ';') || is_braces(token))?;
    is_braces(end).then(|| end.span().end().line)
}
