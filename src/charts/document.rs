//! A picture as a document of its own.

use maud::{Markup, PreEscaped, html};

/// How a picture is drawn, by variables that a page may set; without, as on paper. Colours are those of Okabe and Ito, which
/// people with any colour vision tell apart.
pub(crate) const STYLE: &str = include_str!("chart.css");

/// A drawing with its title and description in front.
pub(super) fn svg(
    [title, description]: [&str; 2],
    id: &str,
    [width, height]: [f64; 2],
    drawing: &Markup,
) -> Markup {
    html! {
        svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby={ (id) "-title" }
            aria-describedby={ (id) "-text" } viewBox={ "0 0 " (width) " " (height) } {
            title id={ (id) "-title" } { (title) }
            desc id={ (id) "-text" } { (description) }
            (drawing)
        }
    }
}

/// The same with its own style on a white ground, for a file.
pub(super) fn alone(svg: &Markup) -> String {
    let ground =
        format!("<style>{STYLE}</style><rect class=\"ground\" width=\"100%\" height=\"100%\"/>");
    let text = svg.0.replacen("</desc>", &format!("</desc>{ground}"), 1);
    readable(PreEscaped(text).0)
}

/// A document without characters that it cannot hold, or that make a text look like another.
pub(crate) fn readable(mut text: String) -> String {
    const DIRECTIONS: [std::ops::RangeInclusive<char>; 2] =
        ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || DIRECTIONS.iter().any(|range| range.contains(&c))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    text.retain(|c| !hidden(c));
    text
}
