//! What may be said of texts of others, and how. Takes secrets out of them: known values in every form that they may have taken, and text that has the shape of a
//! credential. Never decides what is secret: that is given.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::visible;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Values below this many bytes are not looked for: they would turn up everywhere by chance. They are hidden by the
/// name of their key instead.
const SHORTEST: usize = 6;

/// The forms of known secrets, ready to be looked for. Cheap to copy.
#[derive(Clone, Default)]
pub struct SecretSet(Option<Arc<Needles>>);

/// Forms of known secrets: once there are so many, only the values themselves are added, because what finds them all in one
/// walk takes some 500 bytes a form.
const MOST_FORMS: usize = 50_000;

/// Plain words of fewer letters than this are hidden by the name of their key only: they stand in every second sentence.
const SHORTEST_WORD: usize = 8;

/// Plain words of fewer letters than this are hidden only where they stand alone: what `paperless` says within
/// `paperless-web-1` is no secret. Longer ones are hidden anywhere.
const LONG_WORD: usize = 16;

/// Passwords of sample files, which everybody knows, and which our own sentences use.
const COMMON: [&str; 10] = [
    "changeme",
    "password",
    "passw0rd",
    "postgres",
    "production",
    "development",
    "localhost",
    "container",
    "credential",
    "credentials",
];

/// All forms, and what finds them in one walk over a text; made when it is first needed.
#[derive(Default, Clone)]
struct Needles {
    forms: BTreeSet<String>,
    /// Names that everybody may read: not hidden, although somebody took one for a password.
    spared: BTreeSet<String>,
    finder: OnceLock<Option<AhoCorasick>>,
}

impl Needles {
    /// What is looked for.
    fn wanted(&self) -> impl Iterator<Item = &String> {
        self.forms.iter().filter(|form| !self.spared.contains(*form))
    }
}

impl PartialEq for SecretSet {
    fn eq(&self, other: &Self) -> bool {
        self.forms().eq(other.forms()) && self.spared().eq(other.spared())
    }
}

impl Eq for SecretSet {}

impl std::fmt::Debug for SecretSet {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SecretSet({} forms)", self.forms().count())
    }
}

impl SecretSet {
    /// A set of nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    fn forms(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flat_map(|needles| &needles.forms)
    }

    fn forms_count(&self) -> usize {
        self.0.as_ref().map_or(0, |needles| needles.forms.len())
    }

    fn spared(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flat_map(|needles| &needles.spared)
    }

    /// Adds what is not known yet.
    fn insert(&mut self, forms: impl Iterator<Item = String>) {
        let known = |form: &String| self.holds(form);
        let new: Vec<String> = forms.filter(|form| !known(form)).collect();
        if !new.is_empty() {
            self.change(|needles| needles.forms.extend(new));
        }
    }

    fn holds(&self, form: &str) -> bool {
        self.0.as_ref().is_some_and(|needles| needles.forms.contains(form))
    }

    fn change(&mut self, with: impl FnOnce(&mut Needles)) {
        let mut needles = self.0.take().map(Arc::unwrap_or_clone).unwrap_or_default();
        needles.finder = OnceLock::new();
        with(&mut needles);
        self.0 = Some(Arc::new(needles));
    }

    /// Names that stay readable: of stacks, services, images, hosts. A sample file's password is often one of them.
    pub fn spare(&mut self, names: impl IntoIterator<Item = String>) {
        let known =
            |name: &String| self.0.as_ref().is_some_and(|needles| needles.spared.contains(name));
        let new: Vec<String> = names.into_iter().filter(|name| !known(name)).collect();
        if !new.is_empty() {
            self.change(|needles| needles.spared.extend(new));
        }
    }

    /// Where known secrets are in a text, also where they overlap.
    fn find(&self, text: &str) -> Vec<(usize, usize)> {
        let Some(needles) = &self.0 else { return Vec::new() };
        let finder = needles.finder.get_or_init(|| AhoCorasick::new(needles.wanted()).ok());
        let mut found: Vec<(usize, usize)> = match finder {
            Some(finder) => {
                finder.find_overlapping_iter(text).map(|it| (it.start(), it.end())).collect()
            }
            // Too many for one walk: one after the other.
            None => needles
                .wanted()
                .flat_map(|form| {
                    text.match_indices(form.as_str()).map(|(at, it)| (at, at + it.len()))
                })
                .collect(),
        };
        found.retain(|(begin, end)| stands_alone(text, *begin, *end));
        found
    }

    /// From where the first known secret begins in a text to where the last one ends.
    pub fn extent(&self, text: &str) -> Option<(usize, usize)> {
        let found = self.find(text);
        let from = found.iter().map(|(from, _)| *from).min()?;
        Some((from, found.iter().map(|(_, to)| *to).max()?))
    }

    /// A set of these values.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        for value in values {
            set.add(value);
        }
        set
    }

    /// Adds a value in all its forms: raw, each of its lines, base64 (at any offset in a longer text), escaped for
    /// URLs, forms and JSON. Values of less than 6 bytes are passed over.
    pub fn add(&mut self, value: &str) {
        let value = value.trim();
        let is_short = value.len() < SHORTEST || is_word(value) && value.len() < SHORTEST_WORD;
        // What is known in its first form is known in all.
        if is_short || self.holds(value) || COMMON.contains(&value.to_ascii_lowercase().as_str()) {
            return;
        }
        self.add_forms(value);
        for line in value.lines().map(str::trim).filter(|line| *line != value) {
            if SHORTEST <= line.len() {
                self.add_forms(line);
            }
        }
        let joined: String = value.lines().collect();
        if joined != value {
            self.add_forms(&joined);
        }
    }

    /// Adds everything that another set looks for.
    pub fn extend(&mut self, other: &Self) {
        let Some(others) = &other.0 else { return };
        match &self.0 {
            None => self.0 = Some(Arc::clone(others)),
            Some(own) if Arc::ptr_eq(own, others) => {}
            Some(_) => {
                self.insert(others.forms.iter().cloned());
                self.spare(others.spared.iter().cloned());
            }
        }
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.forms().next().is_none()
    }

    fn add_forms(&mut self, value: &str) {
        if MOST_FORMS < self.forms_count() {
            self.insert(std::iter::once(value.to_owned()));
            return;
        }
        let percent: String = value.bytes().map(|byte| escape_byte(byte, is_unreserved)).collect();
        let lower: String = value.bytes().map(escape_byte_lower).collect();
        let form = percent.replace("%20", "+");
        let json = serde_json::to_string(value).unwrap_or_default();
        let json = json.trim_matches('"').to_owned();
        let path: String = value
            .bytes()
            .map(|byte| escape_byte(byte, |b| is_unreserved(b) || b"!$&'()*+,;=:@/".contains(&b)))
            .collect();
        let slashed = json.replace('/', "\\/");
        let ascii: String = json.chars().flat_map(ascii_escape).collect();
        let forms = [
            value.to_owned(),
            percent,
            lower,
            form,
            json,
            slashed,
            ascii,
            path,
            STANDARD.encode(value),
        ];
        let long = forms.into_iter().filter(|form| SHORTEST <= form.len());
        self.insert(long.chain(base64_anywhere(value.as_bytes())));
    }
}

/// Letters and what joins them.
pub(super) fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte))
}

/// Whether a place in a text is hidden: anything but a plain word is, and a plain word that is not part of a longer one.
fn stands_alone(text: &str, begin: usize, end: usize) -> bool {
    let Some(found) = text.get(begin..end) else { return true };
    // Capitals within are not how people write words: base64 has them.
    let is_plain = is_word(found) && !found.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    if !is_plain || LONG_WORD <= found.len() {
        return true;
    }
    let joins = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let before = text.get(..begin).and_then(|before| before.chars().next_back());
    let after = text.get(end..).and_then(|after| after.chars().next());
    // `-psecret` is how some programs take a password.
    let is_option = text.get(..begin).is_some_and(|before| before.ends_with(" -p"));
    (is_option || !before.is_some_and(joins)) && !after.is_some_and(joins)
}

/// The base64 digits that a value leaves in an encoded longer text, for each of the three places it may begin at.
fn base64_anywhere(value: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for lead in 0..3_usize {
        let padded: Vec<u8> = std::iter::repeat_n(0, lead).chain(value.iter().copied()).collect();
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // The first and last digits also carry bits of the neighbours.
            let skip = (lead * 8).div_ceil(6);
            let keep = padded.len() * 8 / 6;
            if let Some(core) = encoded.get(skip..keep)
                && 8 <= core.len()
            {
                found.push(core.to_owned());
            }
        }
    }
    found
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn escape_byte(byte: u8, plain: impl Fn(u8) -> bool) -> String {
    if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}

fn escape_byte_lower(byte: u8) -> String {
    if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

fn ascii_escape(c: char) -> Vec<char> {
    if c.is_ascii() {
        return vec![c];
    }
    let mut units = [0; 2];
    c.encode_utf16(&mut units)
        .iter()
        .flat_map(|unit| format!("\\u{unit:04x}").chars().collect::<Vec<_>>())
        .collect()
}

/// The text with every known secret, and everything that has the shape of a credential, replaced by `***`, and with
/// characters that are not seen shown as what they are. Lines stay lines.
pub fn mask(text: &str, secrets: &SecretSet) -> String {
    let hidden = without(text, secrets);
    match visible::text(&hidden) {
        Cow::Borrowed(_) => hidden,
        Cow::Owned(shown) => shown,
    }
}

/// The same in one line: a line end in it is shown too.
pub fn mask_line(text: &str, secrets: &SecretSet) -> String {
    visible::line(&without(text, secrets)).into_owned()
}

/// The same for a terminal: our own colours stay.
pub fn mask_coloured(text: &str, secrets: &SecretSet) -> String {
    visible::coloured(&without(text, secrets)).into_owned()
}

/// The text without secrets, and otherwise as it is: for data that programs read.
pub fn without(text: &str, secrets: &SecretSet) -> String {
    let mut hidden = secrets.find(text);
    hidden.extend(shapes(text));
    replace(text, hidden)
}

fn replace(text: &str, mut hidden: Vec<(usize, usize)>) -> String {
    hidden.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (begin, end) in hidden {
        if done <= begin {
            out.push_str(text.get(done..begin).unwrap_or_default());
            if !out.ends_with(MASK) || done != begin {
                out.push_str(MASK);
            }
        }
        done = done.max(end);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Beginnings of well-known tokens, and how many more characters make one.
const PREFIXES: [(&str, usize); 14] = [
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("ATATT3", 20),
    ("AKIA", 16),
    ("xoxb-", 16),
    ("eyJ", 40),
    ("AGE-SECRET-KEY-", 20),
];

fn shapes(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (prefix, least) in PREFIXES {
        for (at, _) in text.match_indices(prefix) {
            let begins = text.get(..at).and_then(|before| before.chars().next_back());
            if begins.is_some_and(|c| c.is_ascii_alphanumeric()) {
                continue;
            }
            let tail = text.get(at + prefix.len()..).unwrap_or_default();
            let length = tail
                .find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
                .unwrap_or(tail.len());
            if least <= length {
                found.push((at, at + prefix.len() + length));
            }
        }
    }
    found.extend(user_infos(text));
    found.extend(private_keys(text));
    found
}

/// `user:password` between `://` and `@`.
fn user_infos(text: &str) -> Vec<(usize, usize)> {
    text.match_indices("://")
        .filter_map(|(at, sign)| {
            let begin = at + sign.len();
            let tail = text.get(begin..)?;
            let end = tail
                .find(|c: char| c.is_whitespace() || "/\"'<>`".contains(c))
                .unwrap_or(tail.len());
            let authority = tail.get(..end)?;
            let (user, _) = authority.rsplit_once('@')?;
            user.contains(':').then_some((begin, begin + user.len()))
        })
        .collect()
}

/// PEM blocks of private keys, up to their end or the text's.
fn private_keys(text: &str) -> Vec<(usize, usize)> {
    text.match_indices("-----BEGIN ")
        .filter_map(|(at, _)| {
            let tail = text.get(at..)?;
            let line = tail.lines().next()?;
            if !line.contains("PRIVATE KEY") {
                return None;
            }
            let end = tail.find("-----END ").map_or(tail.len(), |end| {
                let rest = tail.get(end + 9..).unwrap_or_default();
                end + 9 + rest.find("-----").map_or(rest.len(), |dashes| dashes + 5)
            });
            Some((at, at + end))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "pa ss/wörd+\"42\"\\x";

    #[test]
    fn a_known_secret_is_hidden_in_every_form() {
        let secrets = SecretSet::of([VALUE]);
        let encoded = [
            VALUE.to_owned(),
            STANDARD.encode(VALUE),
            STANDARD.encode(format!("user:{VALUE}")),
            STANDARD.encode(format!("x{VALUE}y")),
            URL_SAFE_NO_PAD.encode(format!("ab{VALUE}")),
            "pa%20ss%2Fw%C3%B6rd%2B%2242%22%5Cx".to_owned(),
            "pa%20ss%2fw%c3%b6rd%2b%2242%22%5cx".to_owned(),
            "pa+ss%2Fw%C3%B6rd%2B%2242%22%5Cx".to_owned(),
            serde_json::to_string(VALUE).unwrap(),
            "pa ss/w\\u00f6rd+\\\"42\\\"\\\\x".to_owned(),
        ];
        for form in encoded {
            let shown = mask(&format!("before {form} after"), &secrets);
            assert!(shown.contains(MASK), "{form} -> {shown}");
            for leak in ["rd+", "w%C3", "w%c3", "d29y", "wör"] {
                assert!(!shown.contains(leak), "{form} -> {shown}");
            }
        }
    }

    #[test]
    fn lines_of_a_secret_are_hidden_alone_and_joined() {
        let secrets = SecretSet::of(["first-line\nsecond-line"]);
        assert_eq!(mask("a second-line b", &secrets), "a *** b");
        assert_eq!(mask("first-linesecond-line", &secrets), "***");
    }

    #[test]
    fn overlapping_secrets_leave_no_rest() {
        let secrets = SecretSet::of(["abcd3fgh", "3fghijkl"]);
        assert_eq!(mask("abcd3fghijkl", &secrets), "***");
        let same = SecretSet::of(["777777"]);
        assert_eq!(mask("77777777", &same), "***");
    }

    #[test]
    fn short_values_and_plain_text_stay() {
        let secrets = SecretSet::of(["true", "80"]);
        assert_eq!(
            mask("true, and port 80 on http://host:80/a@b", &secrets),
            "true, and port 80 on http://host:80/a@b"
        );
    }

    #[test]
    fn text_with_the_shape_of_a_credential_is_hidden() {
        let none = SecretSet::default();
        let cases = [
            ("token ghp_0123456789abcdefghijABCDEFGHIJ012345!", "token ***!"),
            ("ghs_123456_eyJhbGciOi.eyJpc3MiOi.c2lnbmF0dXJl", "***"),
            ("https://bob:hunter2@example.com/x", "https://***@example.com/x"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "*** x"),
            ("glpat-abcdefghij0123456789", "***"),
        ];
        for (text, shown) in cases {
            assert_eq!(mask(text, &none), shown);
        }
    }

    #[test]
    fn a_name_that_is_also_a_password_stays_readable() {
        let mut secrets = SecretSet::of(["paperless", "correcthorse"]);
        assert_eq!(mask("pw paperless, paperless-db-1", &secrets), "pw ***, paperless-db-1");
        secrets.spare(["paperless".to_owned()]);
        let mut all = SecretSet::of(["other-secret-1"]);
        all.extend(&secrets);
        assert_eq!(mask("paperless@local: correcthorse", &all), "paperless@local: ***");
        assert_eq!(mask("mysql -pcorrecthorse", &all), "mysql -p***");
        let plain = SecretSet::of(["secret", "password", "changeme"]);
        assert_eq!(mask("the secret password: changeme", &plain), "the secret password: changeme");
    }

    #[test]
    fn what_is_said_holds_no_characters_that_act() {
        let none = SecretSet::none();
        assert_eq!(mask("a\u{202e}b\nc\u{1b}[1m", &none), "a\\u{202e}b\nc\\u{1b}[1m");
        assert_eq!(mask_line("a\nb", &none), "a\\nb");
    }

    #[test]
    fn masking_twice_is_masking_once() {
        let secrets = SecretSet::of([VALUE, "hunter22"]);
        let once = mask(&format!("hunter22hunter22 {VALUE}"), &secrets);
        assert_eq!(mask(&once, &secrets), once);
    }
}
