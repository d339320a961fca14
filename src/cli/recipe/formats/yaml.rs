//! YAML 1.2 with its core types, from the events of `saphyr-parser`: what a recipe has no use for (anchors, tags, several
//! documents) is refused before it can do anything.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

use super::{Misfit, add, empty, number};
use crate::cli::recipe::tree::{DEEPEST, RecipeNode, RecipeValue, Spot, too_deep};

/// What is open: a list, or a table whose next name is read or known.
enum Open {
    List(Vec<RecipeNode>, Spot),
    Table(Vec<(String, RecipeNode)>, Spot, Option<(String, Spot)>),
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    root: Option<RecipeNode>,
    documents: usize,
}

pub(super) fn parse(text: &str, source: usize) -> Result<RecipeNode, Misfit> {
    let mut reader = Reader::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|fault| {
            let line = fault.marker().line();
            (
                Spot { source, line },
                format!("it is no YAML: {}", fault.info()),
            )
        })?;
        let line = span.start.line();
        reader.take(event, Spot { source, line })?;
    }
    let nothing = empty(Spot { source, line: 0 });
    Ok(reader.root.unwrap_or(nothing))
}

impl Reader {
    fn take(&mut self, event: Event<'_>, spot: Spot) -> Result<(), Misfit> {
        let (anchored, tagged) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor > 0, tag.is_some()),
            Event::Alias(_) => (true, false),
            _ => (false, false),
        };
        if anchored || tagged {
            let reason = "anchors, aliases and tags have no meaning in a recipe; write the value out, or use `extends`";
            return Err((spot, reason.to_owned()));
        }
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let reason = "a second document begins here; a recipe is one";
                    return Err((spot, reason.to_owned()));
                }
                Ok(())
            }
            Event::Scalar(text, style, ..) => match self.open.last_mut() {
                Some(Open::Table(_, _, name @ None)) => {
                    *name = Some((text.into_owned(), spot));
                    Ok(())
                }
                _ => {
                    let value = RecipeValue::Plain(plain(&text, style, spot)?);
                    self.value(RecipeNode { value, spot })
                }
            },
            Event::SequenceStart(..) => self.begin(Open::List(Vec::new(), spot), spot),
            Event::MappingStart(..) => self.begin(Open::Table(Vec::new(), spot, None), spot),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items, spot)) => self.value(RecipeNode {
                    value: RecipeValue::List(items),
                    spot,
                }),
                Some(Open::Table(rows, spot, _)) => self.value(RecipeNode {
                    value: RecipeValue::Table(rows),
                    spot,
                }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, spot: Spot) -> Result<(), Misfit> {
        if matches!(self.open.last(), Some(Open::Table(_, _, None))) {
            return Err((spot, "a name is a text, and no list or table".to_owned()));
        }
        if self.open.len() > DEEPEST {
            return Err((spot, too_deep()));
        }
        self.open.push(open);
        Ok(())
    }

    /// A value is whole: it goes where it belongs.
    fn value(&mut self, node: RecipeNode) -> Result<(), Misfit> {
        match self.open.last_mut() {
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Table(rows, _, name)) => {
                let (name, spot) = name.take().unwrap_or((String::new(), node.spot));
                add(rows, name, RecipeNode { spot, ..node })?;
            }
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// What a scalar means: texts in quotes are texts, others what the core schema of YAML 1.2 says.
fn plain(text: &str, style: ScalarStyle, spot: Spot) -> Result<Value, Misfit> {
    if style != ScalarStyle::Plain {
        return Ok(text.into());
    }
    let integer = |digits: &str, radix: u32| {
        let number = i64::from_str_radix(digits, radix);
        number.map_err(|_| (spot, format!("the number '{text}' is too large")))
    };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(true.into()),
        "false" | "False" | "FALSE" => Ok(false.into()),
        _ if is_digits(unsigned) => Ok(integer(text, 10)?.into()),
        _ if text.starts_with("0x") && text[2..].bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(integer(&text[2..], 16)?.into())
        }
        _ if begins => Ok(text.parse().ok().and_then(number).unwrap_or(text.into())),
        _ => Ok(text.into()),
    }
}
