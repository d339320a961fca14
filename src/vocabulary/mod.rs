//! Vocabularies: which ids of a model stay, and the tokenizers that make them.
//!
//! A tokenizer gives ids of *pieces*. [`Pieces`] says which pieces texts use and which of them have to stay together, and
//! writes the tokenizer of the pieces that stay; it needs the feature `tokenizers`. [`KeptIds`] needs nothing.

mod kept;
mod pieces;

pub(crate) use kept::KeptIds;
pub(crate) use pieces::Pieces;
