//! A document as one HTML file that needs nothing from elsewhere and no script.

mod parts;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::numbers::amount;
use super::page::{Page, PageSection, Quantity, Reproduction};
use crate::charts::{STYLE, readable};
use parts::Drawing;

/// What the page looks like.
const LOOK: &str = include_str!("page.css");
/// Sections from which on a list of them helps.
const MANY: usize = 4;

/// The document as HTML.
pub fn html(page: &Page) -> String {
    let drawing = Drawing::default();
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) }
                style { (PreEscaped(LOOK)) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p class="over" { "secateur" }
                    h1 { (page.title) }
                    p class="summary" { (page.summary) }
                    (contents(page))
                }
                main { (body(page, &drawing)) }
                footer { p { "Made by secateur " (page.reproduction.secateur) "." } }
            }
        }
    };
    readable(text.0)
}

fn contents(page: &Page) -> Markup {
    html! {
        @if page.sections.len() >= MANY {
            nav aria-label="Contents" {
                ul {
                    @for (place, section) in page.sections.iter().enumerate() {
                        li { a href={ "#section-" (place) } { (section.heading) } }
                    }
                }
            }
        }
    }
}

fn body(page: &Page, drawing: &Drawing) -> Markup {
    html! {
        @if !page.verdicts.is_empty() {
            section aria-labelledby="verdicts" {
                h2 id="verdicts" { "Verdict" }
                (parts::verdicts(&page.verdicts))
            }
        }
        @if !page.costs.is_empty() {
            section aria-labelledby="costs" {
                h2 id="costs" { (parts::heading_of(&page.costs)) }
                (parts::costs(&page.costs))
            }
        }
        @if !page.warnings.is_empty() {
            section aria-labelledby="warnings" {
                h2 id="warnings" { "What to know" }
                (parts::warnings(&page.warnings))
            }
        }
        @for (place, section) in page.sections.iter().enumerate() {
            (one(section, &format!("section-{place}"), 2, drawing))
        }
        (reproduction(&page.reproduction))
    }
}

fn one(section: &PageSection, id: &str, level: usize, drawing: &Drawing) -> Markup {
    html! {
        section aria-labelledby=(id) {
            (parts::heading(level, id, &section.heading))
            @for part in &section.parts { (drawing.part(part)) }
            @for (place, within) in section.sections.iter().enumerate() {
                (one(within, &format!("{id}-{place}"), level + 1, drawing))
            }
        }
    }
}

fn reproduction(of: &Reproduction) -> Markup {
    html! {
        section aria-labelledby="reproduce" {
            h2 id="reproduce" { "How to reproduce" }
            @if !of.command.is_empty() { pre tabindex="0" { code { (of.command) } } }
            dl class="facts" {
                div { dt { "secateur" } dd { (of.secateur) } }
                @if let Some(version) = &of.onnxruntime {
                    div { dt { "onnxruntime" } dd { (version) } }
                }
                @for input in &of.inputs {
                    div {
                        dt { (input.path) }
                        dd { (amount(input.bytes as f64, Quantity::Bytes)) ", BLAKE3 " code { (input.blake3) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples::{HOSTILE, of_layers};

    /// The names of all elements that are opened, and that every one is closed where it has to be.
    fn elements(text: &str) -> Vec<&str> {
        const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
        let (mut open, mut all) = (Vec::new(), Vec::new());
        let styled = text.find("<style>").zip(text.find("</style>"));
        let (start, end) = styled.expect("a style");
        for part in [&text[..start], &text[end..]] {
            for tag in part.split('<').skip(1) {
                let tag = tag.split('>').next().expect("a tag");
                let name = tag.split(' ').next().expect("a name");
                match name.strip_prefix('/') {
                    Some("style") => (),
                    Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
                    None if VOID.contains(&name) => all.push(name),
                    None => {
                        open.push(name);
                        all.push(name);
                    }
                }
            }
        }
        assert!(open.is_empty(), "{open:?} are open");
        all
    }

    #[test]
    fn names_out_of_files_stay_text() {
        for layers in [0, 1, 3, 300] {
            let text = html(&of_layers(layers));
            let elements = elements(&text);
            assert!(!elements.contains(&"script"));
            assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
            assert!(text.contains("&lt;script&gt;alert(1)"));
            for number in ["NaN", "inf"] {
                let attribute = format!("\"{number}");
                assert!(!text.contains(&attribute) && !text.contains(&format!(" {number} ")));
            }
        }
        assert!(HOSTILE.contains("<script>"));
    }

    #[test]
    fn pictures_have_names_of_their_own() {
        let text = html(&of_layers(300));
        let ids: Vec<&str> = text
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len());
        let pictures = text.matches("role=\"img\"").count();
        assert_eq!(pictures, 2 * (1 + 60));
        for attribute in ["aria-labelledby=\"", "aria-describedby=\"", "href=\"#"] {
            for rest in text.split(attribute).skip(1) {
                let id = rest.split('"').next().expect("an id");
                assert!(ids.contains(&id), "{id} is not there");
            }
        }
    }

    #[test]
    fn an_empty_document_is_one() {
        let text = html(&Page::default());
        assert!(elements(&text).contains(&"main"));
        assert!(text.contains("How to reproduce"));
    }
}
