use proptest::prelude::*;

use super::*;

const STRICT: Reading = Reading { most_nodes: 250_000, deepest: 64, as_go: false };
const GO: Reading = Reading { as_go: true, ..STRICT };

fn map(text: &str, reading: Reading) -> Entries {
    let (root, flaws) = read(text, reading);
    assert_eq!(flaws, []);
    match &root.unwrap().kind {
        Kind::Map(entries) => entries.clone(),
        other => panic!("{other:?}"),
    }
}

fn flaws(text: &str, reading: Reading) -> Vec<(usize, usize, FlawKind)> {
    let flaws = read(text, reading).1;
    flaws.into_iter().map(|flaw| (flaw.at.line, flaw.at.column, flaw.what)).collect()
}

#[test]
fn scalars_keep_their_spelling_and_their_place() {
    let pairs = map("a: 1.50\nb: yes\nc: 0x1f\nd: 'q'\ne:\nf: true\ng: !!str null\n", GO);
    let texts: Vec<_> = pairs.iter().map(|(_, v)| v.text().unwrap()).collect();
    assert_eq!(texts, ["1.50", "yes", "0x1f", "q", "", "true", "null"]);
    assert_eq!(pairs[3].1.at, Place { line: 4, column: 4 });
    assert_eq!(pairs[3].0.at, Place { line: 4, column: 1 });
    let pairs = map("a:\n  b: [1, x]\n", STRICT);
    let Kind::Map(inner) = &pairs[0].1.kind else { panic!("no map") };
    assert_eq!(inner[0].0.at, Place { line: 2, column: 3 });
    let Kind::List(items) = &inner[0].1.kind else { panic!("no list") };
    assert_eq!(items[1].at, Place { line: 2, column: 10 });
}

#[test]
fn a_place_within_a_text_is_found_in_all_styles() {
    let find = |file: &str, needle: &str| {
        let pairs = map(file, GO);
        let text = pairs[0].1.text().unwrap();
        let place = pairs[0].1.place_within(file, text.find(needle).unwrap());
        (place.line, place.column)
    };
    assert_eq!(find("a: up == x\n", "x"), (1, 10));
    assert_eq!(find("a: 'it''s x'\n", "x"), (1, 11));
    assert_eq!(find("a: \"q\\\"q x\"\n", "x"), (1, 10));
    assert_eq!(find("a: |\n  up\n    == x\n", "x"), (3, 8));
    assert_eq!(find("a: >-\n  up\n  == x\n", "x"), (3, 6));
    assert_eq!(find("a: |- # | x\n  up x\n", "x"), (2, 6));
    assert_eq!(find("a: up\n  == x\n", "x"), (2, 6));
    assert_eq!(find("a: \"\\u00fc x\"\n", "x"), (1, 12));
}

#[test]
fn go_reads_the_first_document_and_we_want_one() {
    assert_eq!(map("# c\n---\na: 1\n---\na: [", GO).len(), 1);
    for empty in ["# nothing\n", "", "---\n"] {
        let (root, flaws) = read(empty, GO);
        assert!(root.is_none_or(|root| matches!(root.kind, Kind::Null)) && flaws.is_empty());
    }
    assert_eq!(flaws("a: 1\n---\nb: 2\n", STRICT), [(2, 1, FlawKind::SecondDocument)]);
}

#[test]
fn a_quoted_text_may_go_on_at_its_parents_indentation_where_go_reads_it() {
    let pairs = map("a:\n  b: \"one\n  two\"\n", GO);
    let Kind::Map(inner) = &pairs[0].1.kind else { panic!() };
    assert_eq!(inner[0].1.text(), Some("one two"));
    assert!(!flaws("a:\n  b: \"one\n  two\"\n", STRICT).is_empty());
}

#[test]
fn keys_given_twice_are_all_told_with_both_places() {
    let twice = |key: &str, first| FlawKind::KeyTwice { key: key.to_owned(), first };
    let found = flaws("a: 1\nb: 2\na: 3\nb: 4\n[x]: 5\n", STRICT);
    let expected = [(3, 1, twice("a", 1)), (4, 1, twice("b", 2)), (5, 1, FlawKind::KeyIsNoText)];
    assert_eq!(found, expected);
    assert!(matches!(flaws("a:\n\tb: 1\n", GO)[..], [(.., FlawKind::NotYaml(_))]));
}

#[test]
fn a_billion_laughs_and_a_deep_well_end() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let nine = vec![format!("*a{}", n - 1); 9].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{nine}]\n"));
    }
    for reading in [STRICT, GO] {
        assert!(matches!(flaws(&text, reading)[..], [(.., FlawKind::TooMany(250_000))]));
        assert!(!flaws(&"[".repeat(100_000), reading).is_empty());
    }
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    assert_eq!(flaws(&deep, STRICT), [(1, 66, FlawKind::TooDeep(64))]);
}

#[test]
fn merge_keys_and_aliases_are_followed() {
    let pairs = map("d: &d {x: 1, y: 2}\ne: {<<: *d, x: 3}\n", STRICT);
    let Kind::Map(merged) = &pairs[1].1.kind else { panic!("no map") };
    let read: Vec<_> = merged.iter().map(|(k, v)| (&*k.text, v.describe())).collect();
    assert_eq!(read, [("x", "`3`".to_owned()), ("y", "`2`".to_owned())]);
    assert_eq!(flaws("a: {<<: b}\n", STRICT), [(1, 9, FlawKind::MergesText)]);
    assert_eq!(flaws("a: *b\n", STRICT).len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c: \\[\\]{}&*<|>'\"#\\n\\t!%,]{0,80}") {
        for reading in [STRICT, GO] {
            if let (Some(node), _) = read(&text, reading) {
                node.place_within(&text, 3);
            }
        }
    }
}
