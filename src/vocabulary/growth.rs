//! How much longer a tokenizer may make a text before it cuts it.

use super::json::OrderedJson;

/// How many times as long a text may become. What is in use writes one character for another, or a few.
const MOST: f64 = 1024.0;

/// That texts stay of a size that memory has room for.
///
/// # Errors
/// What is put in the place of characters is much longer than these.
pub(super) fn check_growth(json: &OrderedJson) -> Result<(), String> {
    let times = json.get("normalizer").map_or(1.0, growth);
    match times <= MOST {
        true => Ok(()),
        false => Err(format!(
            "its normalizer can make a text {times:.0} times as long, and {MOST} times is the most that is read"
        )),
    }
}

/// How many times as long a part can make a text: parts in a row multiply.
fn growth(part: &OrderedJson) -> f64 {
    let inner = part.get("normalizers").map_or(&[][..], OrderedJson::items);
    let length = |text: Option<&OrderedJson>| {
        let text = text.and_then(OrderedJson::text);
        text.map_or(1.0, |text| text.chars().count().max(1) as f64)
    };
    let pattern = part.get("pattern").and_then(|of| of.get("String"));
    let own = match part.get("content") {
        Some(content) => (length(Some(content)) / length(pattern)).max(1.0),
        None => length(part.get("prepend")),
    };
    inner.iter().map(growth).product::<f64>() * own
}
