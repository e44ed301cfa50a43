//! What a source file says, as far as the house rules ask: read from its tokens, so that no macro hides anything.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser as _};

/// A file's own words; code under `#[cfg(test)]` and documentation are left out.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) paths: Vec<Path>,
    pub(super) functions: Vec<Function>,
    /// The modules written inside the file.
    pub(super) modules: Vec<String>,
    /// The lines with `async` or `await`.
    pub(super) waits: Vec<usize>,
    /// How many lines stand under `#[cfg(test)]`.
    pub(super) test_lines: usize,
}

/// A path with its groups unfolded: `use a::{b, c::*}` is `a::b` and `a::c::*`.
#[derive(Debug)]
pub(super) struct Path {
    /// The module it stands in.
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

impl Reading {
    /// Reads the text of the file that is the module `module`.
    pub(super) fn of(module: &[&str], text: &str) -> syn::Result<Self> {
        let (tokens, test_lines) = without_tests(syn::parse_str(text)?);
        let module = module.iter().map(|name| (*name).to_owned()).collect();
        let mut reader = Reader { module, reading: Self { test_lines, ..Self::default() } };
        reader.read(tokens);
        Ok(reader.reading)
    }
}

/// The same tokens without the items under `#[cfg(test)]`, and how many lines those had.
pub(super) fn without_tests(tokens: TokenStream) -> (TokenStream, usize) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    let (mut kept, mut lines) = (TokenStream::new(), 0);
    while let [first, after @ ..] = rest {
        let behind = behind_test(rest);
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

/// What stands behind the test-only item that `tokens` begins with; all of `tokens` when there is none.
fn behind_test(tokens: &[TokenTree]) -> &[TokenTree] {
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

/// Whether an attribute keeps what follows out of every build but the tests'.
fn is_test_condition(attribute: TokenStream) -> bool {
    let text = attribute.to_string().replace(char::is_whitespace, "");
    matches!(text.as_str(), "cfg(test)" | "cfg(doctest)") || text.starts_with("cfg(all(test,")
}

struct Reader {
    module: Vec<String>,
    reading: Reading,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            rest = self.step(rest);
        }
    }

    /// Reads what `tokens` begins with; returns what stands behind it.
    fn step<'t>(&mut self, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        match tokens {
            [TokenTree::Ident(word), TokenTree::Group(reach), after @ ..] if word == "pub" && is_reach(reach) => after,
            [TokenTree::Ident(word), TokenTree::Ident(name), body @ TokenTree::Group(_), after @ ..]
                if word == "mod" && is_braces(body) =>
            {
                self.reading.modules.push(name.to_string());
                self.module.push(name.to_string());
                self.step(std::slice::from_ref(body));
                self.module.pop();
                after
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), after @ ..] if word == "fn" => {
                let line = word.span().start().line;
                let lines = end_of_function(after).map_or(1, |end| end - line + 1);
                self.reading.functions.push(Function { name: name.to_string(), line, lines });
                after
            }
            [TokenTree::Ident(word), after @ ..] if word == "async" || word == "await" => {
                self.reading.waits.push(word.span().start().line);
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

    /// Reads the path that `tokens` begins with, all its branches too; returns what stands behind it.
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
            self.keep(segments, prefix, first.span().start().line, rest);
        }
        rest
    }

    fn keep(&mut self, mut segments: Vec<String>, prefix: &[String], line: usize, rest: &[TokenTree]) {
        let is_branch = !prefix.is_empty();
        if is_branch && segments.last().is_some_and(|last| last == "self") {
            segments.pop(); // `use a::{self}` is `a`
        }
        // A lone word is a path only where it gets another name: `use crate as webex`.
        let is_renamed = matches!(rest, [TokenTree::Ident(word), ..] if word == "as");
        if segments.len() > 1 || is_branch || is_renamed {
            self.reading.paths.push(Path { module: self.module.clone(), segments, line });
        }
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether two tokens are `::`, not the `: :` of a field whose type begins with `::`.
fn is_colons(first: &TokenTree, second: &TokenTree) -> bool {
    let is_joint = matches!(first, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint);
    is_joint && is_punct(first, ':') && is_punct(second, ':')
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether the parentheses after `pub` say how far it reaches: `(crate)`, `(super)`, `(in crate::client)`.
fn is_reach(parentheses: &Group) -> bool {
    let mut words = parentheses.stream().into_iter().map(|word| word.to_string());
    match words.next().as_deref() {
        Some("in") => true,
        Some("crate" | "super" | "self") => words.next().is_none(),
        _ => false,
    }
}

/// The line on which a function ends, if it has a body.
fn end_of_function(signature: &[TokenTree]) -> Option<usize> {
    let end = signature.iter().find(|token| is_punct(token, ';') || is_braces(token))?;
    is_braces(end).then(|| end.span().end().line)
}
