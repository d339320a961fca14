//! A `tokenizer.json` and what it says of ids.

use std::collections::HashMap;

use super::growth::check_growth;
use super::json::OrderedJson;

/// How texts become pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceModel {
    /// The longest piece first.
    WordPiece,
    /// A piece per word.
    WordLevel,
    /// Characters or bytes, merged by rank.
    Bpe,
    /// The pieces of the largest sum of scores.
    Unigram,
}

/// A merge of two pieces to one. Its rank is its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) made: u32,
}

/// A `tokenizer.json`.
pub(super) struct Document {
    pub(super) json: OrderedJson,
    /// Whether it was written for people.
    pub(super) has_lines: bool,
    pub(super) model: PieceModel,
    /// The pieces of the model with their ids, in the order of the file.
    pub(super) pieces: Vec<NumberedPiece>,
    /// Their ids; of equal ones the last.
    pub(super) ids: HashMap<String, u32>,
    /// Scores by piece; empty unless the model has any.
    pub(super) scores: Vec<f64>,
    /// By place in the list; `None` where the list says something else.
    pub(super) merges: Vec<Option<Merge>>,
    /// Pieces that are looked for before the model sees a text.
    pub(super) added: Vec<NumberedPiece>,
    /// What stands before a piece inside of a word.
    pub(super) prefix: Option<String>,
    /// What stands behind the last piece of a word.
    pub(super) suffix: Option<String>,
    /// The piece for what is unknown.
    pub(super) unknown: Option<u32>,
    /// Whether bytes stand for characters that are no piece.
    pub(super) has_byte_pieces: bool,
    /// Whether texts are bytes written as 256 characters.
    pub(super) is_byte_level: bool,
}

/// A piece and its id.
pub(super) type NumberedPiece = (String, u32);

/// What is wrong with a file.
pub(super) type Said<T> = Result<T, String>;

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no tokenizer, or contradicts itself.
    pub(super) fn read(bytes: &[u8]) -> Said<Document> {
        let json = OrderedJson::read(bytes).map_err(|fault| {
            format!(
                "it is no tokenizer.json: {fault}; give the tokenizer.json that belongs to the model"
            )
        })?;
        let stands = json
            .get("model")
            .filter(|model| model.get("vocab").is_some());
        let section = stands.ok_or(
            "it is no tokenizer.json, which has `model` with `vocab`; give the tokenizer.json that belongs to the model",
        )?;
        let model = model_of(section)?;
        let (pieces, scores) = match model {
            PieceModel::Unigram => scored(section)?,
            _ => (numbered(section)?, Vec::new()),
        };
        let ids: HashMap<String, u32> = pieces.iter().cloned().collect();
        let option = |name: &str| section.get(name).and_then(OrderedJson::text);
        let prefix = option("continuing_subword_prefix").map(str::to_owned);
        let merges = match model {
            PieceModel::Bpe => merges(section, &ids, prefix.as_deref().unwrap_or(""))?,
            _ => Vec::new(),
        };
        let unknown = match section.get("unk_id").and_then(OrderedJson::number) {
            Some(id) => Some(small(id)?),
            None => option("unk_token").and_then(|piece| ids.get(piece).copied()),
        };
        other_ids(&mut json.beside("model"), &mut Ok)?;
        check_growth(&json)?;
        Ok(Document {
            has_lines: memchr::memchr(b'\n', bytes.trim_ascii_end()).is_some(),
            model,
            merges,
            added: added(&json)?,
            suffix: option("end_of_word_suffix").map(str::to_owned),
            unknown,
            has_byte_pieces: section.get("byte_fallback").is_some_and(OrderedJson::is_on),
            is_byte_level: ["pre_tokenizer", "normalizer"]
                .iter()
                .filter_map(|part| json.get(part))
                .any(has_byte_level),
            prefix,
            pieces,
            ids,
            scores,
            json,
        })
    }

    /// The pieces that a word begins with up to where none goes on; empty where it has pieces throughout, or is too
    /// long to be looked at. Longest pieces come first.
    pub(super) fn begins(&self, word: &str) -> Vec<u32> {
        let longest = self
            .json
            .get("model")
            .and_then(|m| m.get("max_input_chars_per_word"));
        let longest = longest
            .and_then(OrderedJson::number)
            .and_then(|n| n.as_u64());
        let longest = longest.and_then(|count| usize::try_from(count).ok());
        if longest.is_some_and(|longest| word.chars().nth(longest).is_some()) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut rest = word;
        while !rest.is_empty() {
            let before = match found.is_empty() {
                true => "",
                false => self.prefix.as_deref().unwrap_or(""),
            };
            let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
            let ends: Vec<usize> = ends.collect();
            let piece =
                |end: usize| Some((end, *self.ids.get(&format!("{before}{}", &rest[..end]))?));
            match ends.into_iter().rev().find_map(piece) {
                Some((end, id)) => {
                    found.push(id);
                    rest = &rest[end..];
                }
                None => return found,
            }
        }
        Vec::new()
    }

    /// The share of merges that are left out at random.
    pub(super) fn dropout(&self) -> f64 {
        let said = self
            .json
            .get("model")
            .and_then(|model| model.get("dropout"));
        let said = said.and_then(OrderedJson::number);
        said.and_then(|share| share.as_f64()).unwrap_or(0.0)
    }
}

fn model_of(section: &OrderedJson) -> Said<PieceModel> {
    let has = |name| section.get(name).is_some();
    let scored = section
        .get("vocab")
        .is_some_and(|vocab| !vocab.items().is_empty());
    match section.get("type").and_then(OrderedJson::text) {
        Some("WordPiece") => Ok(PieceModel::WordPiece),
        Some("WordLevel") => Ok(PieceModel::WordLevel),
        Some("BPE") => Ok(PieceModel::Bpe),
        Some("Unigram") => Ok(PieceModel::Unigram),
        Some(other) => Err(format!(
            "its model is of the type '{other}', and known are WordPiece, WordLevel, BPE and Unigram"
        )),
        // Files of old versions say no type.
        None if has("merges") => Ok(PieceModel::Bpe),
        None if scored => Ok(PieceModel::Unigram),
        None if has("max_input_chars_per_word") => Ok(PieceModel::WordPiece),
        None => Ok(PieceModel::WordLevel),
    }
}

fn small(number: &serde_json::Number) -> Said<u32> {
    let id = number.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| format!("the id {number} is no number of 32 bits"))
}

fn id_of(piece: &str, value: &OrderedJson) -> Said<u32> {
    let number = value.number();
    let number = number.ok_or_else(|| format!("the piece '{piece}' has no number as its id"))?;
    small(number).map_err(|why| format!("the piece '{piece}': {why}"))
}

fn numbered(section: &OrderedJson) -> Said<Vec<NumberedPiece>> {
    let Some(OrderedJson::Object(members)) = section.get("vocab") else {
        return Err("`vocab` of its model is no object of pieces and their ids".to_owned());
    };
    let mut pieces = Vec::with_capacity(members.len());
    let mut known: HashMap<u32, &str> = HashMap::with_capacity(members.len());
    for (piece, value) in members {
        let id = id_of(piece, value)?;
        if let Some(other) = known.insert(id, piece) {
            return Err(format!(
                "the pieces '{other}' and '{piece}' have both the id {id}"
            ));
        }
        pieces.push((piece.clone(), id));
    }
    Ok(pieces)
}

/// Pieces whose ids are their places, with their scores.
fn scored(section: &OrderedJson) -> Said<(Vec<NumberedPiece>, Vec<f64>)> {
    let Some(OrderedJson::List(items)) = section.get("vocab") else {
        return Err("`vocab` of its model is no list of pieces and their scores".to_owned());
    };
    let read = |(place, item): (usize, &OrderedJson)| {
        let (piece, score) = match item.items() {
            [piece, score] => (piece.text(), score.number().and_then(|n| n.as_f64())),
            _ => (None, None),
        };
        match (piece, score, u32::try_from(place)) {
            (Some(piece), Some(score), Ok(id)) => Ok(((piece.to_owned(), id), score)),
            _ => Err(format!(
                "item {place} of `vocab` is no piece with a finite score"
            )),
        }
    };
    items.iter().enumerate().map(read).collect()
}

fn merges(
    section: &OrderedJson,
    ids: &HashMap<String, u32>,
    prefix: &str,
) -> Said<Vec<Option<Merge>>> {
    let Some(OrderedJson::List(items)) = section.get("merges") else {
        return Err("its model has no list of `merges`".to_owned());
    };
    let id = |piece: &str| {
        let id = ids.get(piece).copied();
        id.ok_or_else(|| format!("a merge needs '{piece}', which is no piece"))
    };
    let read = |(place, item): (usize, &OrderedJson)| {
        let Some((left, right)) = pair(item) else {
            // As what runs it does.
            let is_remark = item.text().is_some_and(|text| text.starts_with("#version"));
            let fault = || format!("item {place} of `merges` is no pair of pieces");
            return is_remark.then_some(None).ok_or_else(fault);
        };
        let rest = right.strip_prefix(prefix).ok_or_else(|| {
            format!("a merge has '{right}' on its right, which does not begin with '{prefix}'")
        })?;
        Ok(Some(Merge {
            left: id(left)?,
            right: id(right)?,
            made: id(&format!("{left}{rest}"))?,
        }))
    };
    items.iter().enumerate().map(read).collect()
}

/// The two pieces of a merge: a list, or a text with a space.
fn pair(item: &OrderedJson) -> Option<(&str, &str)> {
    match item {
        OrderedJson::Text(text) if text.starts_with("#version") => None,
        OrderedJson::Text(text) => {
            let (left, right) = text.split_once(' ')?;
            (!right.contains(' ')).then_some((left, right))
        }
        _ => match item.items() {
            [left, right] => Some((left.text()?, right.text()?)),
            _ => None,
        },
    }
}

fn added(json: &OrderedJson) -> Said<Vec<NumberedPiece>> {
    let items = json.get("added_tokens").map_or(&[][..], OrderedJson::items);
    let read = |item: &OrderedJson| {
        let piece = item.get("content").and_then(OrderedJson::text);
        let piece = piece.ok_or("an item of `added_tokens` has no text as its `content`")?;
        let id = item.get("id").unwrap_or(&OrderedJson::Null);
        Ok((piece.to_owned(), id_of(piece, id)?))
    };
    items.iter().map(read).collect()
}

fn has_byte_level(part: &OrderedJson) -> bool {
    let members = part.members().iter().map(|(_, value)| value);
    part.get("type").and_then(OrderedJson::text) == Some("ByteLevel")
        || members.chain(part.items()).any(has_byte_level)
}

/// Calls `each` with every id that stands beside the vocabulary: those of added pieces, of what is put around texts
/// and of padding, and of what is unknown where it is said as a number. What it answers is written in its place.
///
/// # Errors
/// Those of `each`.
pub(super) fn other_ids(
    json: &mut OrderedJson,
    each: &mut dyn FnMut(u32) -> Said<u32>,
) -> Said<()> {
    let added = json.get_mut("added_tokens").map(OrderedJson::items_mut);
    for item in added.unwrap_or_default() {
        renumber(item.get_mut("id"), each)?;
    }
    renumber(
        json.get_mut("padding")
            .and_then(|padding| padding.get_mut("pad_id")),
        each,
    )?;
    renumber(
        json.get_mut("model")
            .and_then(|model| model.get_mut("unk_id")),
        each,
    )?;
    match json.get_mut("post_processor") {
        Some(processor) => processed(processor, each),
        None => Ok(()),
    }
}

/// The ids of what puts pieces around texts. Each kind of it has members of its own.
fn processed(processor: &mut OrderedJson, each: &mut dyn FnMut(u32) -> Said<u32>) -> Said<()> {
    for end in ["sep", "cls"] {
        let end = processor.get_mut(end).map(OrderedJson::items_mut);
        renumber(end.and_then(|pair| pair.get_mut(1)), each)?;
    }
    if let Some(OrderedJson::Object(specials)) = processor.get_mut("special_tokens") {
        for (_, special) in specials {
            let ids = special.get_mut("ids").map(OrderedJson::items_mut);
            for id in ids.unwrap_or_default() {
                renumber(Some(id), each)?;
            }
        }
    }
    let parts = processor.get_mut("processors").map(OrderedJson::items_mut);
    parts
        .unwrap_or_default()
        .iter_mut()
        .try_for_each(|part| processed(part, each))
}

fn renumber(place: Option<&mut OrderedJson>, each: &mut dyn FnMut(u32) -> Said<u32>) -> Said<()> {
    if let Some(OrderedJson::Number(number)) = place {
        *number = each(small(number)?)?.into();
    }
    Ok(())
}
