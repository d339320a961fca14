//! Files that are no tokenizers, or contradict themselves.

use serde_json::{Value, json};

use super::{file, fixture};
use crate::Class;
use crate::vocabulary::Pieces;

/// What is said of a file, which it is refused for.
fn refused(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "tokenizer.json", bytes);
    let Err(fault) = Pieces::read(&path) else {
        panic!(
            "it was read: {}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
        );
    };
    let said = fault.to_string();
    assert_eq!(fault.class(), Class::Input, "{said}");
    assert!(
        said.contains(&path.display().to_string()),
        "{said} names the file"
    );
    said
}

fn whole(model: &Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"version": "1.0", "model": model})).expect("JSON")
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    let model = std::fs::read(fixture("quantised_codes.onnx")).expect("a model");
    let deep = format!("{}1{}", "[".repeat(90_000), "]".repeat(90_000));
    let nested = |depth: usize| {
        let open = r#"{"type": "Sequence", "normalizers": ["#.repeat(depth);
        let closed = "]}".repeat(depth);
        format!(
            r#"{{"version": "1.0", "normalizer": {open}7{closed}, "model": {{"type": "WordLevel", "vocab": {{}}, "unk_token": "?"}}}}"#
        )
    };
    let (far, near) = (nested(40), nested(6));
    let cases: [(&[u8], &str); 9] = [
        (b"", "it is no tokenizer.json: EOF"),
        (b"\xff\xfe{", "it is no tokenizer.json"),
        (&model, "it is no tokenizer.json"),
        (deep.as_bytes(), "more than 16 lists and objects"),
        (far.as_bytes(), "more than 16 lists and objects"),
        (near.as_bytes(), "`tokenizers` says"),
        (b"[1, 2]", "it is no tokenizer.json, which has `model`"),
        (
            b"{\"vocab\": {}}",
            "it is no tokenizer.json, which has `model`",
        ),
        (b"{\"a\": 1, \"a\": 2}", "'a' is there twice"),
    ];
    for (bytes, why) in cases {
        let said = refused(bytes);
        assert!(said.contains(why), "{said}, not {why}");
        assert!(
            said.contains("tokenizer.json that belongs") || said.contains("says"),
            "{said}"
        );
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let words = |vocab: Value| json!({"type": "WordLevel", "unk_token": "?", "vocab": vocab});
    let bpe =
        |vocab: Value, merges: Value| json!({"type": "BPE", "vocab": vocab, "merges": merges});
    let abc = || json!({"a": 0, "b": 1, "ab": 2});
    let cases = [
        (
            words(json!({"?": 0, "a": 1, "b": 1})),
            "the pieces 'a' and 'b' have both the id 1",
        ),
        (words(json!({"?": 0, "a": -1})), "the piece 'a': the id -1"),
        (
            words(json!({"?": 0, "a": 4_294_967_296_u64})),
            "the id 4294967296 is no number of 32 bits",
        ),
        (words(json!({"?": 0, "a": 1.5})), "the id 1.5 is no number"),
        (words(json!({"?": 0, "a": "1"})), "has no number as its id"),
        (words(json!([["?", 0]])), "no object of pieces"),
        (
            json!({"type": "Markov", "vocab": {}}),
            "of the type 'Markov', and known are",
        ),
        (
            json!({"type": "Unigram", "vocab": {"a": 0}}),
            "no list of pieces",
        ),
        (
            json!({"type": "Unigram", "vocab": [["a", "NaN"]]}),
            "item 0 of `vocab` is no piece with a finite score",
        ),
        (
            json!({"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}),
            "`tokenizers` says",
        ),
        (
            bpe(abc(), json!(["a b", "ab c"])),
            "a merge needs 'c', which is no piece",
        ),
        (bpe(abc(), json!([["b", "a"]])), "a merge needs 'ba'"),
        (
            bpe(abc(), json!(["a b c"])),
            "item 0 of `merges` is no pair",
        ),
        (bpe(abc(), json!([7])), "item 0 of `merges` is no pair"),
        (bpe(abc(), json!({})), "no list of `merges`"),
        (
            json!({"type": "BPE", "vocab": abc(), "merges": ["a b"], "continuing_subword_prefix": "ä"}),
            "does not begin with 'ä'",
        ),
    ];
    for (model, why) in cases {
        let said = refused(&whole(&model));
        assert!(said.contains(why), "{said}, not {why}");
    }
    let score = br#"{"version": "1.0", "model": {"type": "Unigram", "vocab": [["a", NaN]]}}"#;
    assert!(refused(score).contains("it is no tokenizer.json"));
    let score = br#"{"version": "1.0", "model": {"type": "Unigram", "vocab": [["a", 1e999]]}}"#;
    assert!(refused(score).contains("it is no tokenizer.json"));
}

#[test]
fn added_pieces_have_the_ids_that_they_get() {
    let added = |id: Value| {
        let piece = json!({"id": id, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true});
        let model = json!({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}});
        json!({"version": "1.0", "added_tokens": [piece], "model": model}).to_string()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let fits = Pieces::read(&file(&folder, "t.json", added(json!(2)))).expect("a tokenizer");
    assert_eq!(fits.size(), 3);
    for (id, why) in [
        (json!(1), "has the id 1 there, but `tokenizers` gives it 2"),
        (json!(7), "has the id 7 there, but `tokenizers` gives it 2"),
        (json!(null), "has no number as its id"),
    ] {
        let said = refused(added(id).as_bytes());
        assert!(said.contains(why), "{said}, not {why}");
    }
}

#[test]
fn texts_without_fixed_pieces_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let corpus = [file(&folder, "corpus.txt", "a b")];
    let model = json!({"type": "BPE", "dropout": 0.1, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]});
    let pieces = Pieces::read(&file(&folder, "t.json", whole(&model))).expect("a tokenizer");
    let fault = pieces.used_in(&corpus).expect_err("random pieces");
    assert!(fault.to_string().contains("`dropout` 0.1"), "{fault}");
    // No piece stands for what is unknown.
    let model = json!({"type": "WordLevel", "unk_token": "?", "vocab": {"a": 0}});
    let pieces = Pieces::read(&file(&folder, "t.json", whole(&model))).expect("a tokenizer");
    assert_eq!(pieces.unknown(), None);
    let fault = pieces.used_in(&corpus).expect_err("an unknown word");
    assert!(
        fault
            .to_string()
            .contains("corpus.txt cannot be used: line 1: `tokenizers` says"),
        "{fault}"
    );
}
