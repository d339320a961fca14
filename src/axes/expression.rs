//! Sizes that a model writes as an expression of others, as in `past_sequence_length + sequence_length`.

/// A product: its number and the names of its other factors.
pub(crate) type Term<'a> = (i64, Vec<&'a str>);

/// The sum that `text` is, where it is more than one name: sums and differences of products of names and
/// numbers. A minus needs spaces around it, for names have hyphens. `None` for anything else.
pub(crate) fn terms(text: &str) -> Option<Vec<Term<'_>>> {
    let mut out = Vec::new();
    for part in text.split('+') {
        for (place, part) in part.split(" - ").enumerate() {
            let sign = if place == 0 { 1 } else { -1 };
            out.push(product(part, sign)?);
        }
    }
    let plain = matches!(&out[..], [(1, names)] if names.len() == 1);
    (!plain).then_some(out)
}

fn product(text: &str, sign: i64) -> Option<Term<'_>> {
    let (mut number, mut names) = (sign, Vec::new());
    for factor in text.split('*').map(str::trim) {
        match factor.parse::<i64>() {
            Ok(factor) => number = number.checked_mul(factor)?,
            Err(_) if is_name(factor) => names.push(factor),
            Err(_) => return None,
        }
    }
    Some((number, names))
}

fn is_name(text: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::terms;

    #[test]
    fn sums_and_products_of_names_and_numbers_are_read() {
        assert_eq!(
            terms("past + 2*seq"),
            Some(vec![(1, vec!["past"]), (2, vec!["seq"])])
        );
        assert_eq!(terms("s0 - 1"), Some(vec![(1, vec!["s0"]), (-1, vec![])]));
        assert_eq!(terms("a*b+3"), Some(vec![(1, vec!["a", "b"]), (3, vec![])]));
    }

    #[test]
    fn names_stay_names() {
        for name in [
            "batch",
            "batch-size",
            "unk__12",
            "floor(s0/2)",
            "batch size",
            "a//2",
            "+",
            "",
        ] {
            assert_eq!(terms(name), None, "{name}");
        }
    }
}
