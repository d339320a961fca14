//! Vocabularies: which ids of a model stay, and the tokenizers that make them.
//!
//! A tokenizer gives ids of *pieces*. [`Pieces`] says which pieces texts use and which of them have to stay together, and
//! writes the tokenizer of the pieces that stay; it needs the feature `tokenizers`. [`KeptIds`] needs nothing.
//!
//! The smaller tokenizer makes the same of every text of which the whole one makes pieces that stay (`closure.rs`):
//! - A word is looked up, or cut by the longest piece first: what is longer was no choice before either.
//! - Of all ways to cut a text that have the largest sum of scores, one goes over pieces that stay alone, and the
//!   others have gone or cost what they did. What is unknown costs a fixed amount more than the least score.
//! - Merges inside of a piece do not see what is around it (`merging.rs`), and those that the text needs all stay.
//!
//! A word without pieces is one exception: where the pieces that it begins with have gone, it could be cut otherwise.
//! So those of the words of a corpus stay too.

mod agreement;
mod closure;
mod corpus;
mod document;
#[cfg(feature = "tokenizers")]
mod engine;
#[cfg(not(feature = "tokenizers"))]
#[path = "nowhere.rs"]
mod engine;
mod growth;
mod json;
mod kept;
mod merging;
mod pieces;
mod smaller;

pub(crate) use kept::KeptIds;
pub(crate) use pieces::Pieces;
