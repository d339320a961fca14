//! Characters out of files that must not reach a terminal, or a recipe, as they are.

/// Characters that change the direction of writing, so that a text looks like another.
const DIRECTIONS: std::ops::RangeInclusive<char> = '\u{202a}'..='\u{202e}';

/// Whether a character does something to what it is written on.
pub(super) fn has_power(c: char) -> bool {
    c.is_control() || DIRECTIONS.contains(&c)
}
