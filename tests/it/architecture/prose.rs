//! The rules for the prose of the crate: documentation, error texts, log events, README, and changelog.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, ImplItem, Item, TraitItem, Visibility};

use super::source_reader::without_tests;

/// Words and phrases with a plainer or more standard alternative. See the second element.
const AVOIDED: &[(&str, &str)] = &[
    ("answer", "response"),
    ("answers", "responds, responses"),
    ("answered", "responded"),
    ("refuse", "reject"),
    ("refuses", "rejects"),
    ("refused", "rejected"),
    ("refusal", "rejection"),
    ("alive", "valid"),
    ("dead", "expired, revoked"),
    ("lives", "is valid"),
    ("tell", "report, return"),
    ("tells", "reports, returns"),
    ("told", "reported, returned"),
    ("hear", "receive"),
    ("hears", "receives"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("beside", "alongside"),
    ("prove", "verify"),
    ("proves", "verifies"),
    ("proven", "verified"),
    ("nobody", "name the actor"),
    ("somebody", "name the actor"),
    ("anybody", "name the actor"),
    ("whoever", "name the actor"),
    ("by itself", "automatically"),
    ("of its own", "separate"),
    ("at hand", "available"),
    ("comes to", "results in"),
    ("in passing", "briefly"),
    ("all the same", "anyway"),
    ("hand out", "return, issue"),
    ("handed out", "returned, issued"),
    ("hands out", "returns, issues"),
];

/// No documentation begins with one of these.
const QUESTION_WORDS: &[&str] = &["what", "who", "whose", "where", "whether", "why", "how", "when", "which"];

/// The verbs that begin the documentation of a public function.
const VERBS: &[&str] = &[
    "Returns",
    "Sets",
    "Adds",
    "Creates",
    "Opens",
    "Reads",
    "Parses",
    "Sends",
    "Fetches",
    "Verifies",
    "Checks",
    "Stores",
    "Removes",
    "Refreshes",
    "Waits",
    "Starts",
    "Stops",
    "Logs",
    "Registers",
    "Builds",
    "Converts",
    "Encrypts",
    "Decrypts",
    "Attaches",
    "Requires",
    "Completes",
    "Begins",
    "Exchanges",
    "Revokes",
    "Lists",
    "Marks",
    "Imports",
    "Invalidates",
    "Clears",
    "Enables",
    "Disables",
    "Trusts",
    "Limits",
    "Overrides",
    "Replaces",
    "Allows",
    "Appends",
    "Requests",
    "Runs",
    "Calls",
    "Reports",
    "Selects",
    "Edits",
    "Advances",
    "Omits",
    "Closes",
    "Serializes",
    "Deserializes",
    "Takes",
    "Restores",
    "Approves",
    "Denies",
    "Sweeps",
];

/// Doc code that is longer is cut off by rustdoc's layout.
const MAX_CODE_COLUMNS: usize = 92;

pub(super) struct Prose<'a> {
    /// The path and text of each file.
    pub(super) files: &'a [(String, String)],
    /// Sentences with an avoided word that stay, each as a path and a fragment of its line.
    pub(super) exceptions: &'a [(&'a str, &'a str)],
}

impl Prose<'_> {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut unused: Vec<_> = self.exceptions.to_vec();
        for (path, text) in self.files {
            let lines = if path.ends_with(".rs") {
                match source_lines(path, text, &mut faults) {
                    Ok(lines) => lines,
                    Err(error) => {
                        faults.push(format!("{path}: {error}"));
                        continue;
                    }
                }
            } else {
                markdown_lines(text)
            };
            for (line, prose) in lines {
                let exception = |(file, part): &(&str, &str)| path == file && prose.contains(part);
                let Some((word, instead)) = avoided(&prose) else { continue };
                if self.exceptions.iter().any(exception) {
                    unused.retain(|own| !exception(own));
                } else {
                    faults.push(format!("{path}:{line}: \"{word}\" ({instead}): {}", prose.trim()));
                }
            }
        }
        faults.extend(unused.iter().map(|(path, part)| format!("{path}: the exception {part:?} is not needed")));
        faults
    }
}

/// Returns the first avoided word of a line, outside code in backticks, link targets, and format arguments.
fn avoided(line: &str) -> Option<(&'static str, &'static str)> {
    let without_code = line.split('`').step_by(2).collect::<Vec<_>>().join(" ").replace('{', "{_");
    let without_targets = |part: &str| part.split_once(')').map_or(String::new(), |(_, rest)| rest.to_owned());
    let mut parts = without_code.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    let without_code = parts.fold(first, |text, part| text + " " + &without_targets(part));
    let words: Vec<_> = without_code
        .to_lowercase()
        .replace("keep-alive", "")
        .split(|char: char| !char.is_alphanumeric() && char != '-' && char != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let text = format!(" {} ", words.join(" "));
    AVOIDED.iter().find(|(word, _)| text.contains(&format!(" {word} "))).copied()
}

/// The lines of a Markdown text outside code blocks.
fn markdown_lines(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push((number + 1, line.to_owned()));
        }
    }
    lines
}

/// Returns the lines of documentation and the strings of a source file, and checks how documentation begins.
fn source_lines(path: &str, text: &str, faults: &mut Vec<String>) -> syn::Result<Vec<(usize, String)>> {
    let file: syn::File = syn::parse_str(text)?;
    public_functions(&file.items, &mut |attributes, name| {
        let Some((line, first)) = first_doc(attributes) else { return };
        let verb = first.split_whitespace().next().unwrap_or_default();
        if !VERBS.contains(&verb) {
            faults.push(format!("{path}:{line}: the documentation of `{name}` begins with {verb:?}, no listed verb"));
        }
    });
    for item in &file.items {
        if let Item::Enum(item) = item
            && item.variants.iter().any(|variant| variant.ident == "Yes" || variant.ident == "No")
        {
            faults.push(format!("{path}: `{}` has a variant `Yes` or `No`: name what it means", item.ident));
        }
    }
    let (tokens, _) = without_tests(syn::parse_str(text)?);
    let mut found = Vec::new();
    collect(tokens, &mut found);
    let (mut lines, mut is_code, mut last) = (Vec::new(), false, usize::MAX);
    for Text { line, text, is_doc } in found {
        if !is_doc {
            lines.push((line, text));
            continue;
        }
        let is_first = last.wrapping_add(1) != line;
        last = line;
        if is_first {
            is_code = false;
            let word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
            if QUESTION_WORDS.contains(&word.trim_end_matches(',')) {
                faults.push(format!("{path}:{line}: documentation begins with \"{word}\":{text}"));
            }
        }
        if text.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push((line, text));
        } else if !text.trim_start().starts_with("# ") && !text.trim_start_matches(' ').is_empty() {
            let columns = text.strip_prefix(' ').unwrap_or(&text).chars().count();
            if columns > MAX_CODE_COLUMNS {
                faults.push(format!("{path}:{line}: doc code of {columns} columns"));
            }
        }
    }
    Ok(lines)
}

struct Text {
    line: usize,
    text: String,
    is_doc: bool,
}

/// Collects doc comments and string literals.
fn collect(tokens: TokenStream, found: &mut Vec<Text>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (position, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Literal(literal) => {
                let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { continue };
                let is_doc = matches!(&tokens[..position], [.., TokenTree::Ident(name), TokenTree::Punct(_)]
                    if name == "doc");
                found.push(Text { line: literal.span().start().line, text: text.value(), is_doc });
            }
            _ => {}
        }
    }
}

fn first_doc(attributes: &[Attribute]) -> Option<(usize, String)> {
    attributes.iter().find_map(|attribute| {
        let value = attribute.meta.require_name_value().ok().filter(|value| value.path.is_ident("doc"))?;
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &value.value else { return None };
        Some((text.span().start().line, text.value()))
    })
}

fn public_functions(items: &[Item], check: &mut impl FnMut(&[Attribute], String)) {
    let is_public = |visibility: &Visibility| matches!(visibility, Visibility::Public(_));
    for item in items {
        match item {
            Item::Fn(function) if is_public(&function.vis) => check(&function.attrs, function.sig.ident.to_string()),
            Item::Mod(module) => {
                public_functions(module.content.as_ref().map_or(&[], |(_, items)| items), check);
            }
            Item::Impl(block) if block.trait_.is_none() => {
                for item in &block.items {
                    if let ImplItem::Fn(function) = item
                        && is_public(&function.vis)
                    {
                        check(&function.attrs, function.sig.ident.to_string());
                    }
                }
            }
            Item::Trait(definition) if is_public(&definition.vis) => {
                for item in &definition.items {
                    if let TraitItem::Fn(function) = item {
                        check(&function.attrs, function.sig.ident.to_string());
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn avoided_words_are_found_outside_code_only() {
    assert_eq!(avoided("The server's Answer is lost.").unwrap().0, "answer");
    assert_eq!(avoided("This happens by itself, always.").unwrap().0, "by itself");
    assert!(avoided("Keep-alive, `dead` and answering_machine").is_none());
}

#[test]
fn doc_beginnings_and_long_doc_code_are_reported() {
    let long = "x".repeat(93);
    let text = format!(
        "impl T {{\n/// Whether it works.\npub fn a() {{}}\n/// Returns it.\n///\n/// ```\n/// {long}\n/// # {long}\n/// ```\n\
         pub fn b() {{}}\n/// It works.\nfn c() {{}}\n}}\nenum E {{ Yes, Maybe }}"
    );
    let mut faults = Vec::new();
    let lines = source_lines("src/t.rs", &text, &mut faults).unwrap();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults[0].contains("`a` begins with \"Whether\"") && faults[2].contains("begins with \"whether\""));
    assert!(faults[1].contains("`E` has a variant"), "{faults:?}");
    assert!(faults[3].contains("doc code of 93 columns"));
}
