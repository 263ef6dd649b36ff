//! The words of the table, checked while it is compiled: a misspelt one is an error of the build, as it is read.

#![expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses a place that is not there"
)]

const KINDS: [&str; 8] = ["text", "integer", "number", "boolean", "null", "list", "map", "any"];
const STATUSES: [&str; 5] = ["honoured", "refused", "held", "ignored", "moot"];
const PLAIN_RULES: [&str; 6] = ["unique", "open", "x", "names", "container-name", "pull-policy"];
const RULES_WITH_VALUE: [&str; 6] = ["needs", "one", "min", "max", "merge", "cast"];
const MEETINGS: [&str; 10] =
    ["replace", "set", "logging", "subnet", "port", "target", "device", "config", "secret", "path"];
const CASTS: [&str; 3] = ["int", "float", "bool"];

/// Fails to compile where a line has other words than these.
///
/// A word that nobody knows would otherwise be read as some other one of its kind: an attribute with a misspelt `ignored` could count as honoured and never be sent.
pub(super) const fn check(table: &[u8]) {
    let mut at = 0;
    while at < table.len() {
        let end = find(table, at, table.len(), b'\n');
        if table[at] != b'#' {
            check_line(table, at, end);
        }
        at = end + 1;
    }
}

const fn check_line(table: &[u8], from: usize, to: usize) {
    let kinds = next_field(table, from, to);
    let rules = next_field(table, kinds, to);
    let status = next_field(table, rules, to);
    assert!(status < to, "a line of the table has fewer than four fields");
    check_list(table, kinds, field_end(table, kinds, to), b',', &KINDS);
    check_rules(table, rules, field_end(table, rules, to));
    let status_end = field_end(table, status, to);
    assert!(is_one_of(table, status, status_end, &STATUSES), "an unknown status in the table");
}

const fn check_rules(table: &[u8], from: usize, to: usize) {
    let mut at = from;
    while at < to {
        let end = find(table, at, to, b' ');
        let equals = find(table, at, end, b'=');
        if equals == end {
            let known = at == end || is_one_of(table, at, end, &PLAIN_RULES);
            assert!(known, "an unknown rule in the table");
        } else {
            let known = is_one_of(table, at, equals, &RULES_WITH_VALUE);
            assert!(known, "an unknown rule with a value in the table");
            check_value(table, (at, equals), (equals + 1, end));
        }
        at = end + 1;
    }
}

const fn check_value(table: &[u8], name: (usize, usize), value: (usize, usize)) {
    assert!(value.0 < value.1, "a rule of the table lacks its value");
    if is(table, name.0, name.1, "merge") {
        assert!(
            is_one_of(table, value.0, value.1, &MEETINGS),
            "an unknown way to merge in the table"
        );
    }
    if is(table, name.0, name.1, "cast") {
        assert!(is_one_of(table, value.0, value.1, &CASTS), "an unknown cast in the table");
    }
}

const fn check_list(table: &[u8], from: usize, to: usize, between: u8, words: &[&str]) {
    let mut at = from;
    while at < to {
        let end = find(table, at, to, between);
        assert!(is_one_of(table, at, end, words), "an unknown kind in the table");
        at = end + 1;
    }
}

/// Where the field after this one begins; `to` where there is none.
const fn next_field(table: &[u8], from: usize, to: usize) -> usize {
    let mut at = from;
    while at < to && !(table[at] == b'|' && (at == from || table[at - 1] == b' ')) {
        at += 1;
    }
    // ` | ` between fields.
    if at + 2 < to { at + 2 } else { to }
}

/// Where a field ends, without the blanks before the next one.
const fn field_end(table: &[u8], from: usize, to: usize) -> usize {
    // Values of rules hold bars themselves: only ` | ` ends a field.
    let mut at = from;
    while at < to {
        if table[at] == b'|' && (at == from || table[at - 1] == b' ') {
            break;
        }
        at += 1;
    }
    while at > from && table[at - 1] == b' ' {
        at -= 1;
    }
    at
}

const fn find(table: &[u8], from: usize, to: usize, byte: u8) -> usize {
    let mut at = from;
    while at < to && table[at] != byte {
        at += 1;
    }
    at
}

const fn is_one_of(table: &[u8], from: usize, to: usize, words: &[&str]) -> bool {
    let mut index = 0;
    while index < words.len() {
        if is(table, from, to, words[index]) {
            return true;
        }
        index += 1;
    }
    false
}

const fn is(table: &[u8], from: usize, to: usize, word: &str) -> bool {
    let word = word.as_bytes();
    if to - from != word.len() {
        return false;
    }
    let mut index = 0;
    while index < word.len() {
        if table[from + index] != word[index] {
            return false;
        }
        index += 1;
    }
    true
}
