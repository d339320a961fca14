//! Numbers as people read them.

use super::page::Quantity;

/// What stands where there is no number.
pub(super) const NONE: &str = "–";

/// Three digits and the letter of a thousand, a million and so on.
pub(super) fn round(number: f64) -> String {
    const LETTERS: [(f64, &str); 4] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    if !number.is_finite() {
        return NONE.to_owned();
    }
    let size = number.abs();
    // 999,999 is a million in three digits.
    let letter = LETTERS.iter().find(|(of, _)| size >= of * 0.9995);
    let (scaled, letter) = match letter {
        Some((of, letter)) => (number / of, *letter),
        None => (number, ""),
    };
    let text = match scaled.abs() {
        _ if letter.is_empty() && number.fract() == 0.0 => format!("{number:.0}"),
        99.95.. => format!("{scaled:.0}"),
        9.995.. => format!("{scaled:.1}"),
        _ => format!("{scaled:.2}"),
    };
    text + letter
}

/// A number of something with its unit.
pub(super) fn amount(number: f64, quantity: Quantity) -> String {
    match quantity {
        _ if !number.is_finite() => NONE.to_owned(),
        Quantity::Count => round(number),
        Quantity::Bytes => {
            let text = round(number);
            let gap = if text.contains(' ') { "" } else { " " };
            text + gap + "B"
        }
        Quantity::Milliseconds => format!("{} ms", short(number)),
    }
}

/// A share in per cent.
pub(super) fn percent(share: f64) -> String {
    match share.is_finite() {
        true => format!("{:.1} %", 100.0 * share),
        false => NONE.to_owned(),
    }
}

/// A share of a whole in per cent; nothing of nothing.
pub(super) fn part(part: u64, whole: u64) -> String {
    percent(part as f64 / whole as f64)
}

/// A number in few characters.
pub(super) fn short(number: f64) -> String {
    match number.abs() {
        _ if !number.is_finite() => NONE.to_owned(),
        size if size == 0.0 || (1e-3..1e4).contains(&size) => {
            let text = format!("{number:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        1e4.. => round(number),
        _ => format!("{number:.2e}"),
    }
}

/// A small number by its power of ten.
pub(super) fn tiny(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number.is_finite() => format!("{number:.1e}"),
        _ => NONE.to_owned(),
    }
}

/// As [`short`] of a number that may be missing.
pub(super) fn short_or_none(number: Option<f64>) -> String {
    number.map_or(NONE.to_owned(), short)
}

/// `1234567` as `1,234,567`.
pub(super) use crate::report::count;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [
            0.0,
            7.0,
            999.0,
            1234.0,
            999_999.0,
            4_089_184_256.0,
            f64::NAN,
        ];
        let texts = texts.map(round);
        assert_eq!(texts, ["0", "7", "999", "1.23 k", "1.00 M", "4.09 G", NONE]);
        assert_eq!(amount(158_300.0, Quantity::Bytes), "158 kB");
        assert_eq!(amount(12.0, Quantity::Bytes), "12 B");
        assert_eq!(amount(0.25, Quantity::Milliseconds), "0.25 ms");
        assert_eq!(part(1, 3), "33.3 %");
        assert_eq!(part(0, 0), NONE);
        assert_eq!(short(1.5e-7), "1.50e-7");
        assert_eq!(short(f64::INFINITY), NONE);
        assert_eq!([0.0, 2.74e-7].map(tiny), ["0", "2.7e-7"]);
    }
}
