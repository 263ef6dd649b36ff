//! Patterns of manifests and settings, matched without going back.
//!
//! Who may commit may write a pattern, and whoever opens a pull request may try. So no pattern costs more than its
//! length times the text's, whatever stars it holds, and [`Paths`] says what it cost, so that a sum can be bounded.

mod paths;

pub use paths::Paths;

/// Whether a text fits a pattern in which `*` stands for any run of characters, an empty one and dots included. Costs
/// about as much as reading the two: each piece between stars is searched for once, from where the one before ended.
pub fn fits(pattern: &str, text: &str) -> bool {
    walk(pattern, text).is_some()
}

/// The bytes of the text that were searched through; `None` where it does not fit.
fn walk(pattern: &str, text: &str) -> Option<usize> {
    let Some((head, pieces)) = pattern.split_once('*') else {
        return (pattern == text).then_some(text.len());
    };
    let (middle, last) = pieces.rsplit_once('*').unwrap_or(("", pieces));
    let mut rest = text.strip_prefix(head)?;
    let mut searched = head.len();
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let end = rest.find(piece)? + piece.len();
        searched += end;
        rest = rest.get(end..)?;
    }
    rest.ends_with(last).then_some(searched + last.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries everything: right, and slow.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
            (Some((wanted, rest)), Some((c, tail))) => wanted == c && slow(rest, tail),
            (_, _) => false,
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        assert!(fits("services.*.labels.traefik.*", "services.web.labels.traefik.http.x"));
        assert!(!fits("services.*.labels.traefik.*", "services.web.labels.other"));
        assert!(fits("services.web.image", "services.web.image"));
        assert!(!fits("services.web.image", "services.web.images"));
        assert!(fits("*", "anything") && fits("*", "") && fits("", "") && !fits("", "x"));
        assert!(fits("ä*ö", "äöö") && !fits("ä*ö", "ä"));
    }

    #[test]
    fn every_short_pattern_fits_what_the_slow_way_says() {
        for pattern in texts(b"ab*", 5) {
            for text in texts(b"ab", 6) {
                let expected = slow(pattern.as_bytes(), text.as_bytes());
                assert_eq!(fits(&pattern, &text), expected, "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_line_of_stars_is_read_once() {
        let text = "a".repeat(200_000);
        for pattern in ["*".repeat(200_000), "*a".repeat(100_000), "a*".repeat(100_000) + "a"] {
            let searched = walk(&pattern, &text).unwrap_or(text.len());
            assert!(searched <= text.len() + pattern.len(), "{searched}");
        }
        assert!(!fits(&("*a".repeat(100_000) + "b"), &text));
    }

    /// Every text of at most so many letters.
    pub(super) fn texts(letters: &[u8], most: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..most {
            let longer: Vec<String> = all[from..]
                .iter()
                .flat_map(|text| letters.iter().map(move |c| format!("{text}{}", *c as char)))
                .collect();
            from = all.len();
            all.extend(longer);
        }
        all
    }
}
