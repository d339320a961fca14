//! How merges make a piece.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::document::{Document, Merge};

/// The merges of a tokenizer, by what they merge.
pub(super) struct Merging<'a> {
    document: &'a Document,
    /// Rank and result; of equal pairs the last counts.
    merges: HashMap<(u32, u32), (usize, u32)>,
}

impl<'a> Merging<'a> {
    pub(super) fn of(document: &'a Document) -> Merging<'a> {
        let ranked = document.merges.iter().enumerate();
        let merges = ranked.filter_map(|(rank, merge)| {
            let Merge { left, right, made } = (*merge)?;
            Some(((left, right), (rank, made)))
        });
        Merging {
            document,
            merges: merges.collect(),
        }
    }

    /// All pieces that stand on the way from single characters to `piece`, wherever in a word it stands.
    ///
    /// Merges inside of a piece never see what is around it: those that would cross its ends were not made, or it would
    /// not have become a piece. So they are the same, in the same order, in every text.
    pub(super) fn parts(&self, piece: &str, id: u32) -> Vec<u32> {
        let (prefix, suffix) = (&self.document.prefix, &self.document.suffix);
        let inside = prefix.as_deref().filter(|p| !p.is_empty());
        let inside = inside.and_then(|p| Some((p, piece.strip_prefix(p)?)));
        let mut parts = Vec::new();
        for (before, text) in [Some(("", piece)), inside].into_iter().flatten() {
            let last = suffix.as_deref().filter(|s| !s.is_empty());
            let last = last.and_then(|s| Some((text.strip_suffix(s)?, s)));
            for (text, behind) in [Some((text, "")), last].into_iter().flatten() {
                let symbols = self.characters(text, before, behind);
                parts.extend(
                    symbols
                        .and_then(|symbols| self.merged(symbols, id))
                        .unwrap_or_default(),
                );
            }
        }
        parts
    }

    /// The pieces of the characters of a part of a word; `None` where one is no piece.
    fn characters(&self, text: &str, before: &str, behind: &str) -> Option<Vec<u32>> {
        let prefix = self.document.prefix.as_deref().unwrap_or("");
        let count = text.chars().count();
        let symbol = |(place, character): (usize, char)| {
            let before = if place == 0 { before } else { prefix };
            let behind = if place + 1 == count { behind } else { "" };
            let piece = format!("{before}{character}{behind}");
            self.document.ids.get(&piece).copied()
        };
        text.chars().enumerate().map(symbol).collect()
    }

    /// All that is merged from `symbols` on the way to `id`, the symbols included; `None` if they become something else.
    fn merged(&self, mut symbols: Vec<u32>, id: u32) -> Option<Vec<u32>> {
        let end = symbols.len();
        let mut next: Vec<usize> = (1..=end).collect();
        let mut previous: Vec<Option<usize>> = (0..end).map(|at| at.checked_sub(1)).collect();
        let mut is_gone = vec![false; end];
        let mut parts = symbols.clone();
        let mut left = end;
        let merge = |symbols: &[u32], at: usize, behind: usize| {
            let pair = (*symbols.get(at)?, *symbols.get(behind)?);
            self.merges
                .get(&pair)
                .map(|&(rank, made)| Reverse((rank, at, made)))
        };
        let mut queue: BinaryHeap<_> = (1..end)
            .filter_map(|behind| merge(&symbols, behind - 1, behind))
            .collect();
        while let Some(Reverse((_, at, made))) = queue.pop() {
            let behind = next[at];
            // What was queued may have been merged otherwise meanwhile.
            let now = merge(&symbols, at, behind).filter(|_| !is_gone[at]);
            if now.is_none_or(|Reverse((.., other))| other != made) {
                continue;
            }
            symbols[at] = made;
            is_gone[behind] = true;
            next[at] = next[behind];
            left -= 1;
            parts.push(made);
            if let Some(before) = previous[at] {
                queue.extend(merge(&symbols, before, at));
            }
            if next[at] < end {
                previous[next[at]] = Some(at);
                queue.extend(merge(&symbols, at, next[at]));
            }
        }
        (left == 1 && symbols.first() == Some(&id)).then_some(parts)
    }
}
