//! What people may see of a value, and which fields others own.

/// Words that make a name a secret's, wherever they stand in it. Too much is masked rather than too little: a masked value
/// is still compared, and its change still told.
const SECRET_WORDS: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "CREDENTIAL",
    "PRIVATE",
    "REQUIREPASS",
    "_PASS",
    "_PWD",
    "AUTH",
];

/// What stands for a value that nobody may see.
pub(super) const MASK: &str = "***";

/// Whether a name says that its value is a secret: `DB_PASSWORD`, `--api-key`, `AWS_SECRET_ACCESS_KEY`.
///
/// What a drift shows ends in commit statuses and pull requests, which in a public repository the whole world reads.
/// `AUTHOR` is masked by `AUTH`, and that is the better mistake.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let key =
        name == "KEY" || name.ends_with("_KEY") || name.contains("_KEY_") || name.ends_with("KEYS");
    let pass = name == "PASS" || name == "PWD_" || name.ends_with("PASS");
    key || pass || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A value as people may see it, given the name that it belongs to.
pub(super) fn show(name: &str, text: &str) -> String {
    if is_secret_name(name) { MASK.to_owned() } else { show_text(text) }
}

/// The password of `user:password` after an option that takes both.
///
/// `curl -u`, `--proxy-user`, `redis-cli --user`: the name is worth showing, what follows the first `:` is not.
fn is_login_option(word: &str) -> bool {
    matches!(word, "-u" | "--user" | "--auth" | "--basic-auth" | "--proxy-user")
}

/// Programs that take a password right behind `-p`.
///
/// Elsewhere `-p` is a port, a path or a profile, so only programs that are known for it count.
fn takes_p(word: &str) -> bool {
    let program = word.rsplit('/').next().unwrap_or(word);
    ["mysql", "mariadb", "sshpass"].iter().any(|name| program.starts_with(name))
}

/// What a word holds that nobody may read, given the words before it: the part of it that is shown, if not all of it.
pub fn hidden_in(
    word: &str,
    before: Option<&str>,
    program: Option<&str>,
) -> Option<(usize, usize)> {
    if before.is_some_and(is_login_option)
        && let Some((user, _)) = word.split_once(':')
    {
        return Some((user.len() + 1, word.len()));
    }
    let glued = program.is_some_and(takes_p) && word.len() > 2 && word.starts_with("-p");
    glued.then_some((2, word.len()))
}

/// A text without the credentials of URLs in it (`scheme://user:password@host`).
///
/// Everything before the last `@` of the authority (RFC 3986, `userinfo`), since passwords hold `@` in practice
/// although they should be escaped. A user name alone is masked too: forges take tokens in its place.
pub(super) fn show_text(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after
            .find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace() || c == '"')
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend([MASK, "@", host]),
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// A list of words (a command) without what looks like secrets: `--password=x`, `--requirepass x`, `TOKEN=x`.
pub(super) fn show_words(words: &[String]) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut hide_next = false;
    let (mut before, mut program) = (None, None);
    for word in words {
        program = program.or_else(|| takes_p(word).then_some(word.as_str()));
        let hidden = hidden_in(word, before, program);
        before = Some(word.as_str());
        if let Some(kept) = hidden.and_then(|(from, _)| word.get(..from)) {
            shown.push(format!("{kept}{MASK}"));
            hide_next = false;
            continue;
        }
        let is_flag = word.starts_with('-');
        if hide_next && !is_flag {
            shown.push(MASK.to_owned());
            hide_next = false;
            continue;
        }
        let assigned = assigned_secret(word);
        hide_next = assigned.is_none() && is_flag && is_secret_name(word.trim_start_matches('-'));
        shown.push(assigned.unwrap_or_else(|| show_shell(word)));
    }
    serde_json::to_string(&shown).unwrap_or_default()
}

/// `--password=x` and `TOKEN=x` with the value masked; `None` for any other word.
fn assigned_secret(word: &str) -> Option<String> {
    let (name, _) = word.split_once('=')?;
    let is_secret = is_secret_name(name.trim_start_matches('-')) && !name.contains(' ');
    is_secret.then(|| format!("{name}={MASK}"))
}

/// A shell line inside one word (`sh -c "mysql --password=x"`), masked word by word.
fn show_shell(word: &str) -> String {
    if !word.contains(' ') {
        return show_text(word);
    }
    let mut hide_next = false;
    let (mut before, mut program) = (None, None);
    let shown: Vec<String> = word
        .split(' ')
        .map(|part| {
            program = program.or_else(|| takes_p(part).then_some(part));
            let hidden = hidden_in(part, before, program);
            before = Some(part);
            if let Some(kept) = hidden.and_then(|(from, _)| part.get(..from)) {
                hide_next = false;
                return format!("{kept}{MASK}");
            }
            if hide_next && !part.starts_with('-') && !part.is_empty() {
                hide_next = false;
                return MASK.to_owned();
            }
            if let Some((name, _)) = part.split_once('=')
                && is_secret_name(name.trim_start_matches('-'))
            {
                return format!("{name}={MASK}");
            }
            hide_next = part.starts_with('-') && is_secret_name(part.trim_start_matches('-'));
            show_text(part)
        })
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_speak_of_secrets_are_masked() {
        for name in ["DB_PASSWORD", "API_KEY", "TOKEN", "aws_secret_access_key", "POSTGRES_PASS"] {
            assert_eq!(show(name, "x"), MASK, "{name}");
        }
        for name in ["LOG_LEVEL", "KEYBOARD", "COMPASS_PORT", "MONKEY"] {
            assert_eq!(show(name, "x"), "x", "{name}");
        }
    }

    #[test]
    fn credentials_in_urls_and_commands_are_masked() {
        assert_eq!(show_text("postgres://u:p@db/x"), "postgres://***@db/x");
        let words = ["redis", "--requirepass", "hunter2", "--token=abc"].map(str::to_owned);
        assert_eq!(show_words(&words), r#"["redis","--requirepass","***","--token=***"]"#);
        for (line, shown) in [
            ("mysqldump -psecret1 shop", "mysqldump -p*** shop"),
            ("curl -u bob:secret1 http://x", "curl -u bob:*** http://x"),
            ("serve -p8080:80", "serve -p8080:80"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let expected: Vec<&str> = shown.split(' ').collect();
            assert_eq!(show_words(&words), serde_json::to_string(&expected).unwrap());
            assert_eq!(show_shell(line), shown);
        }
        let line = ["sh".to_owned(), "mysqladmin --password=abc ping".to_owned()];
        assert_eq!(show_words(&line), r#"["sh","mysqladmin --password=*** ping"]"#);
    }
}
