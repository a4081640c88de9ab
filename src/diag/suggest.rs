//! Which known word did somebody mean who wrote an unknown one?

/// Longer words are not compared: nobody mistypes them, and the comparison takes length squared steps.
const LONGEST_COMPARED: usize = 64;

/// The candidate closest to what was written, if one is close enough to be worth proposing. `-` and `_` and upper and
/// lower case count as equal; of several equally close ones the first.
pub(crate) fn did_you_mean<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = simplified(written);
    if written.is_empty() || written.len() > LONGEST_COMPARED {
        return None;
    }
    let farthest = match written.len() {
        0..=2 => 1,
        3..=8 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let word = simplified(candidate);
        if word.is_empty() || word.len() > LONGEST_COMPARED {
            continue;
        }
        let distance = distance(&written, &word);
        // Half of a word being different is no typing mistake.
        let close = distance <= farthest && distance * 2 <= written.len().max(word.len());
        if close && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn simplified(word: &str) -> Vec<char> {
    word.chars().flat_map(char::to_lowercase).map(|letter| if letter == '_' { '-' } else { letter }).collect()
}

/// How many letters must be inserted, left out, replaced or swapped with their neighbour to make `a` into `b`
/// (optimal string alignment distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, other) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(letter != other);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == b[j - 1] && a[i - 1] == *other {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(written: &str, candidates: &[&str], expected: Option<&str>) {
        assert_eq!(did_you_mean(written, candidates.iter().copied()), expected, "{written}");
    }

    #[test]
    fn proposes_the_closest_word() {
        check("nope", &["web", "node", "other"], Some("node"));
        check("roundrobbin", &["leastconn", "roundrobin"], Some("roundrobin"));
        check("defautl_backend", &["backend", "default_backend"], Some("default_backend"));
        check("default-backend", &["default_backend"], Some("default_backend"));
        check("Bind", &["bind"], Some("bind"));
        check("srever", &["server"], Some("server"));
        check("tiemout", &["timeout", "time"], Some("timeout"));
    }

    #[test]
    fn proposes_nothing_far_away() {
        check("x", &["y"], None);
        check("abc", &["xyz"], None);
        check("", &["a"], None);
        check("web", &[], None);
        check("app", &["api-gateway"], None);
        check(&"a".repeat(1_000), &["a"], None);
    }

    proptest! {
        #[test]
        fn one_slip_is_found(word in "[a-z]{4,12}", place in 0usize..4) {
            let mut slipped = word.clone();
            slipped.remove(place);
            prop_assert_eq!(did_you_mean(&slipped, [word.as_str()]), Some(word.as_str()));
        }
    }
}
