//! Tokenizers of random pieces: whatever a text is made of, it stays what it is if its pieces stay.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::file;
use crate::random::generator;
use crate::vocabulary::Pieces;

/// Letters of the texts; the last two are no pieces of their own.
const LETTERS: [&str; 5] = ["a", "b", "c", "d", "ß"];
const KNOWN: usize = 3;
const TOKENIZERS: u64 = 20;
const TEXTS: usize = 60;

fn text(random: &mut ChaCha8Rng, letters: usize, longest: usize) -> String {
    let length = random.random_range(1..=longest);
    (0..length)
        .map(|_| LETTERS[random.random_range(0..letters)])
        .collect()
}

/// Pieces with ids in the order in which they were found.
fn numbered(pieces: &[String]) -> Value {
    pieces
        .iter()
        .enumerate()
        .map(|(id, piece)| (piece.clone(), json!(id)))
        .collect()
}

fn add(pieces: &mut Vec<String>, piece: String) {
    if !pieces.contains(&piece) {
        pieces.push(piece);
    }
}

/// Merges of what was merged before, several of them to the same piece, in random order.
fn merged(random: &mut ChaCha8Rng, seed: u64) -> Value {
    let (prefix, suffix) = [("", ""), ("", ""), ("#", ""), ("", "!")][(seed % 4) as usize];
    let mut pieces = vec!["?".to_owned()];
    for letter in &LETTERS[..KNOWN] {
        for (before, behind) in [("", ""), (prefix, ""), ("", suffix), (prefix, suffix)] {
            add(&mut pieces, format!("{before}{letter}{behind}"));
        }
    }
    let bytes = seed.is_multiple_of(2);
    if bytes {
        (0..=u8::MAX).for_each(|byte| add(&mut pieces, format!("<0x{byte:02X}>")));
    }
    let is_part = |piece: &&String| *piece != "?" && !piece.starts_with('<');
    let mut merges: Vec<(String, String)> = Vec::new();
    for _ in 0..30 {
        let parts: Vec<String> = pieces.iter().filter(is_part).cloned().collect();
        let left = &parts[random.random_range(0..parts.len())];
        let right = &parts[random.random_range(0..parts.len())];
        let fits = (suffix.is_empty() || !left.ends_with(suffix)) && right.starts_with(prefix);
        let made = format!("{left}{}", &right[prefix.len()..]);
        if fits && made.len() < 9 && !merges.contains(&(left.clone(), right.clone())) {
            let at = random.random_range(0..=merges.len());
            merges.insert(at, (left.clone(), right.clone()));
            add(&mut pieces, made);
        }
    }
    json!({"type": "BPE", "unk_token": "?", "fuse_unk": seed.is_multiple_of(3), "byte_fallback": bytes,
        "ignore_merges": seed.is_multiple_of(5), "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix,
        "vocab": numbered(&pieces), "merges": merges})
}

/// Scores of which many are equal.
fn scored(random: &mut ChaCha8Rng, seed: u64) -> Value {
    let mut pieces = vec!["?".to_owned()];
    for letter in &LETTERS[..KNOWN] {
        add(&mut pieces, (*letter).to_owned());
    }
    for _ in 0..30 {
        add(&mut pieces, text(random, LETTERS.len(), 4));
    }
    if seed.is_multiple_of(2) {
        (0..=u8::MAX).for_each(|byte| add(&mut pieces, format!("<0x{byte:02X}>")));
    }
    let score = |piece: String| (piece, -f64::from(random.random_range(1..12)) / 2.0);
    let pieces: Vec<(String, f64)> = pieces.into_iter().map(score).collect();
    json!({"type": "Unigram", "unk_id": 0, "byte_fallback": seed.is_multiple_of(2), "vocab": pieces})
}

fn looked_up(random: &mut ChaCha8Rng, seed: u64) -> Value {
    let (model, prefix) = [("WordLevel", ""), ("WordPiece", "#")][(seed % 2) as usize];
    let mut pieces = vec!["?".to_owned()];
    for _ in 0..30 {
        add(&mut pieces, text(random, KNOWN + 1, 4));
        add(
            &mut pieces,
            format!("{prefix}{}", text(random, KNOWN + 1, 3)),
        );
    }
    json!({"type": model, "unk_token": "?", "continuing_subword_prefix": prefix, "max_input_chars_per_word": 100,
        "vocab": numbered(&pieces)})
}

type Made = fn(&mut ChaCha8Rng, u64) -> Value;

#[test]
fn texts_of_what_stays_are_read_as_before() {
    let makers: [Made; 3] = [merged, scored, looked_up];
    for (number, make) in makers.into_iter().enumerate() {
        let mut removed = 0;
        let mut compared = 0;
        for seed in 0..TOKENIZERS {
            // New files: one that is written over is waited for by some file systems.
            let folder = tempfile::tempdir().expect("a folder");
            let mut random = generator("vocabulary", seed);
            let model = make(&mut random, seed);
            let whole = json!({"version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": model});
            let path = file(&folder, "t.json", whole.to_string());
            let pieces = Pieces::read(&path).expect("a tokenizer");
            let texts: Vec<String> = (0..TEXTS)
                .map(|_| text(&mut random, LETTERS.len(), 12))
                .collect();
            // A third of them is the corpus, the others are read where all of their pieces stay.
            let corpus = [file(&folder, "corpus.txt", texts[..TEXTS / 3].join("\n"))];
            let kept = pieces.closed(&pieces.used_in(&corpus).expect("a corpus"));
            let smaller = pieces.smaller(&kept).expect("a tokenizer");
            pieces
                .agrees(&smaller, &kept, &corpus)
                .expect("the same pieces");
            removed += pieces.size() - kept.len() as u64;
            let stays = |(place, text): &(usize, &String)| {
                let other = [file(&folder, &format!("{place}.txt"), text.as_bytes())];
                let used = pieces.used_in(&other).expect("a text");
                used.iter().all(|id| kept.place(*id).is_some())
            };
            let others = texts[TEXTS / 3..].iter().enumerate().filter(stays);
            let others: Vec<String> = others.map(|(_, text)| text.clone()).collect();
            if !others.is_empty() {
                let other = [file(&folder, "other.txt", others.join("\n"))];
                pieces
                    .agrees(&smaller, &kept, &other)
                    .expect("the same pieces");
                compared += others.len();
            }
        }
        assert!(removed > 100, "kind {number}: {removed} pieces have gone");
        assert!(compared > 60, "kind {number}: {compared} other texts");
    }
}
