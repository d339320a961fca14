//! `secateur run`: a file that says in order what is done with a model.
#![allow(dead_code)]

mod formats;
mod read;
mod tree;
