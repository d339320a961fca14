//! Smaller tokenizers make of kept pieces what the whole ones make.

mod hostile;
mod made;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::vocabulary::{KeptIds, Pieces};
use crate::{Class, Error};

/// The tokenizers of `fixtures/vocabulary`, with their size and how many ids stay for a quarter of the corpus.
const KINDS: [(&str, u64, usize); 7] = [
    ("wordpiece", 420, 132),
    ("bytes", 600, 433),
    ("roberta", 560, 430),
    ("clip", 926, 691),
    ("fallback", 600, 469),
    ("unigram", 360, 107),
    ("words", 150, 35),
];

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vocabulary");
    folder.join(name)
}

fn read(name: &str) -> Pieces {
    Pieces::read(&fixture(&format!("{name}.json"))).expect("a tokenizer")
}

/// A file with a text.
fn file(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("space");
    path
}

/// Every fourth line of the corpus.
fn some_lines(folder: &TempDir) -> PathBuf {
    let all = std::fs::read_to_string(fixture("corpus.txt")).expect("the corpus");
    let lines: Vec<&str> = all.lines().step_by(4).collect();
    file(folder, "some.txt", lines.join("\n"))
}

#[test]
fn what_stays_is_read_as_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let corpus = [some_lines(&folder)];
    let mut counts = Vec::new();
    for (kind, size, stay) in KINDS {
        let pieces = read(kind);
        assert_eq!(pieces.size(), size, "{kind}");
        let used = pieces.used_in(&corpus).expect("a corpus");
        let kept = pieces.closed(&used);
        assert_eq!(
            kept,
            pieces.closed(kept.ids()),
            "{kind}: closed once is closed"
        );
        counts.push((kind, kept.len(), stay));
        let smaller = pieces.smaller(&kept).expect("a tokenizer");
        let (texts, of) = pieces
            .agrees(&smaller, &kept, &corpus)
            .expect("the same pieces");
        assert!(
            texts == 10 && of > 100,
            "{kind}: {texts} texts of {of} pieces"
        );
        let path = file(&folder, "small.json", &smaller);
        let small = Pieces::read(&path).expect("a tokenizer");
        assert_eq!(small.size(), kept.len() as u64, "{kind}");
        let unknown = pieces.unknown().and_then(|id| kept.place(id));
        assert_eq!(small.unknown(), unknown.map(|id| id as u64), "{kind}");
        // Of the smaller one all that stays is used or has to stay.
        let again = small.used_in(&corpus).expect("a corpus");
        let places: Vec<u64> = used
            .iter()
            .filter_map(|id| kept.place(*id))
            .map(|id| id as u64)
            .collect();
        assert_eq!(again, places, "{kind}");
    }
    assert!(
        counts.iter().all(|(_, found, stay)| found == stay),
        "{counts:?}"
    );
}

/// All ids and pieces of a file, as text.
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn what_is_not_about_ids_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let corpus = [some_lines(&folder)];
    for (kind, ..) in KINDS {
        let bytes = std::fs::read(fixture(&format!("{kind}.json"))).expect("a file");
        // Written as it was, but for escapes and spaces of who wrote it first.
        let mut whole = json(&bytes);
        whole["model"]["from_elsewhere"] = serde_json::json!({"b": 1, "a": [0.1, null]});
        let path = file(
            &folder,
            "whole.json",
            serde_json::to_vec(&whole).expect("JSON"),
        );
        let pieces = Pieces::read(&path).expect("a tokenizer");
        let all = KeptIds::new((0..pieces.size()).collect());
        let same = pieces.smaller(&all).expect("a tokenizer");
        assert_eq!(
            same,
            serde_json::to_vec(&whole).expect("JSON"),
            "{kind}: nothing goes"
        );
        let kept = pieces.closed(&pieces.used_in(&corpus).expect("a corpus"));
        let mut small = json(&pieces.smaller(&kept).expect("a tokenizer"));
        assert_eq!(
            small["model"]["merges"].is_array(),
            whole["model"]["merges"].is_array()
        );
        for part in ["merges", "vocab", "unk_id"] {
            whole["model"][part] = Value::Null;
            small["model"][part] = Value::Null;
        }
        for part in ["added_tokens", "post_processor", "padding"] {
            whole[part] = Value::Null;
            small[part] = Value::Null;
        }
        assert_eq!(small, whole, "{kind}");
    }
}

#[test]
fn ids_beside_the_vocabulary_follow() {
    let small = |kind: &str, ids: &[u64]| {
        let pieces = read(kind);
        json(&pieces.smaller(&pieces.closed(ids)).expect("a tokenizer"))
    };
    let clip = small("clip", &[]);
    let last = clip["model"]["vocab"].as_object().expect("pieces").len() - 1;
    assert_eq!(
        clip["post_processor"]["sep"],
        serde_json::json!(["<|endoftext|>", last])
    );
    assert_eq!(clip["added_tokens"][1]["id"], last);
    let bytes = small("bytes", &[]);
    assert_eq!(bytes["added_tokens"][0]["id"], 256);
    assert_eq!(bytes["model"]["merges"], serde_json::json!([]));
    let unigram = small("unigram", &[100]);
    let count = unigram["model"]["vocab"].as_array().expect("pieces").len();
    assert_eq!(
        unigram["added_tokens"][4]["id"], count,
        "behind the pieces of the model"
    );
    assert_eq!(unigram["model"]["unk_id"], 2);
    // Merges are written as they were: texts in one file, pairs in the other.
    assert!(small("bytes", &[599, 598, 390])["model"]["merges"][0].is_string());
    assert!(small("fallback", &[519, 500])["model"]["merges"][0].is_array());
    // A piece that pads, and one that is put around texts, though none of them is special.
    let folder = tempfile::tempdir().expect("a folder");
    let text = serde_json::json!({
        "version": "1.0", "added_tokens": [], "padding": {
            "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 3, "pad_type_id": 0, "pad_token": "pad"
        },
        "post_processor": {"type": "Sequence", "processors": [{
            "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "end", "type_id": 0}}], "pair": [],
            "special_tokens": {"end": {"id": "end", "ids": [5], "tokens": ["end"]}}
        }]},
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 1, "a": 2, "pad": 3, "b": 4, "end": 5}},
    });
    let path = file(&folder, "t.json", text.to_string());
    let pieces = Pieces::read(&path).expect("a tokenizer");
    let kept = pieces.closed(&[4]);
    assert_eq!(kept.ids(), [1, 3, 4, 5]);
    let small = json(&pieces.smaller(&kept).expect("a tokenizer"));
    assert_eq!(small["padding"]["pad_id"], 1);
    let special = &small["post_processor"]["processors"][0]["special_tokens"]["end"];
    assert_eq!(special["ids"], serde_json::json!([3]));
    assert_eq!(
        small["model"]["vocab"],
        serde_json::json!({"?": 0, "pad": 1, "b": 2, "end": 3})
    );
}

#[test]
fn disagreements_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let corpus = [some_lines(&folder)];
    let pieces = read("bytes");
    let kept = pieces.closed(&pieces.used_in(&corpus).expect("a corpus"));
    let smaller = pieces.smaller(&kept).expect("a tokenizer");
    // A merge less.
    let mut less = json(&smaller);
    let merges = less["model"]["merges"].as_array_mut().expect("merges");
    merges.remove(0);
    let less = serde_json::to_vec(&less).expect("JSON");
    let fault = pieces
        .agrees(&less, &kept, &corpus)
        .expect_err("another one");
    assert!(matches!(fault, Error::Verification { .. }), "{fault}");
    assert!(fault.to_string().contains("pieces instead of"), "{fault}");
    // Another text.
    let all = [fixture("corpus.txt")];
    let fault = pieces
        .agrees(&smaller, &kept, &all)
        .expect_err("other pieces");
    assert_eq!(fault.class(), Class::Input);
    let said = fault.to_string();
    assert!(
        said.contains("corpus.txt cannot be used: line 2: the text '"),
        "{said}"
    );
    assert!(said.contains("which does not stay"), "{said}");
    // Pieces that merges need.
    let open = KeptIds::new(pieces.used_in(&corpus).expect("a corpus"));
    let fault = pieces.smaller(&open).expect_err("not closed");
    assert!(fault.to_string().contains("have to stay beside"), "{fault}");
}

#[test]
fn ids_without_a_piece_stay_behind_all_pieces_only() {
    let pieces = read("words");
    let beyond = pieces.closed(&[3, 7, 400]);
    assert_eq!(beyond.ids(), [0, 3, 7, 400]);
    assert!(pieces.smaller(&beyond).is_ok());
    // `unigram` has an added piece that is none of its model.
    let pieces = read("unigram");
    assert!(pieces.smaller(&pieces.closed(&[3, 7, 400])).is_ok());
}

#[test]
fn words_without_pieces_go_on_to_have_none() {
    // "abx" begins with "ab", behind which nothing goes on; of "a" and "##bx" it would have pieces.
    let text = serde_json::json!({
        "version": "1.0", "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {"?": 0, "a": 1, "ab": 2, "##bx": 3, "##b": 4, "c": 5}},
    });
    let folder = tempfile::tempdir().expect("a folder");
    let pieces = Pieces::read(&file(&folder, "t.json", text.to_string())).expect("a tokenizer");
    let corpus = [file(&folder, "corpus.txt", "abx c\na c")];
    let used = pieces.used_in(&corpus).expect("a corpus");
    assert_eq!(used, [0, 1, 2, 5]);
    let with = pieces.closed(&[0, 1, 2, 3, 5]);
    let smaller = pieces.smaller(&with).expect("a tokenizer");
    assert!(pieces.agrees(&smaller, &with, &corpus).is_ok());
    let without = pieces.closed(&[0, 1, 3, 5]);
    let smaller = pieces.smaller(&without).expect("a tokenizer");
    let fault = pieces
        .agrees(&smaller, &without, &corpus)
        .expect_err("another cut");
    assert_eq!(fault.class(), Class::Check, "{fault}");
}

#[test]
fn what_is_unknown_costs_what_it_did() {
    // "axbc" is "axb" and "c"; without "zz" a character without a piece would cost so little that it were "a", it and "bc".
    let scores = [
        ("?", 0),
        ("a", -1),
        ("bc", -1),
        ("axb", -30),
        ("c", -30),
        ("zz", -100),
        ("yy", -100),
    ];
    let text = serde_json::json!({
        "version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": scores},
    });
    let folder = tempfile::tempdir().expect("a folder");
    let pieces = Pieces::read(&file(&folder, "t.json", text.to_string())).expect("a tokenizer");
    let corpus = [file(&folder, "corpus.txt", "axbc\na bc")];
    let kept = pieces.closed(&pieces.used_in(&corpus).expect("a corpus"));
    assert_eq!(kept.ids(), [0, 1, 2, 3, 4, 5]);
    let smaller = pieces.smaller(&kept).expect("a tokenizer");
    pieces
        .agrees(&smaller, &kept, &corpus)
        .expect("the same pieces");
}
