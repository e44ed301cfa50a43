//! The rules of the mock in its documentation: each names its source, the setting that changes it,
//! and the test that checks it. That test must exist.

use std::collections::BTreeSet;

use crate::test_names::tests_below;

const TABLE: &str = include_str!("../../src/testing/rules.md");

struct Row {
    rule: &'static str,
    source: &'static str,
    switch: &'static str,
    test: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule |"));
    lines
        .map(|line| match line.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>()[..] {
            [rule, source, switch, test] => Row { rule, source, switch, test: test.trim_matches('`') },
            _ => panic!("it has not four cells: {line}"),
        })
        .collect()
}

/// Returns `true` if a source is a URL, a link defined below the tables, or a section of an RFC.
fn is_verifiable(source: &str) -> bool {
    let named =
        ["login", "meetings", "core"].into_iter().filter(|name| TABLE.contains(&format!("\n[{name}]: https://")));
    let is_named = named.into_iter().any(|name| source.contains(&format!("[{name}]")));
    let section = source.split_once("RFC ").and_then(|(_, rest)| rest.split_once(" section "));
    let is_section = section.is_some_and(|(number, section)| {
        number.parse::<u32>().is_ok() && section.starts_with(|first: char| first.is_ascii_digit())
    });
    is_named || is_section || source.contains("<https://")
}

#[test]
fn each_rule_is_unique_and_has_existing_test() {
    let (rows, mut stored) = (rows(), tests_below("tests/it", ""));
    stored.extend(tests_below("src/testing", "testing::"));
    assert!(rows.len() > 50, "{}", rows.len());
    assert_eq!(rows.iter().map(|row| row.rule).collect::<BTreeSet<_>>().len(), rows.len());
    for Row { rule, test, .. } in rows {
        assert!(stored.contains(test), "{rule}: there is no test {test}");
    }
}

#[test]
fn each_rule_has_source_or_stated_assumption() {
    for Row { rule, source, .. } in rows() {
        match source.strip_prefix("assumed: ") {
            Some(why) => assert!(why.len() > 30, "{rule}: assumed, but why?"),
            None => assert!(is_verifiable(source), "{rule}: {source}"),
        }
    }
    for vague in ["the same", "seen in answers of Webex's", "Imagicle's knowledge base", "RFC 6749", "[nowhere]"] {
        assert!(!is_verifiable(vague), "{vague}");
    }
}

#[test]
fn each_rule_has_switch_or_reason() {
    for Row { rule, switch, .. } in rows() {
        match switch.strip_prefix("none, because ") {
            Some(why) => assert!(why.len() > 15, "{rule}: no switch, but why?"),
            None => assert!(switch.contains("[`"), "{rule}: {switch:?} is no link"),
        }
    }
}
