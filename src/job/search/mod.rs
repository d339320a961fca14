//! The smallest model that still does what is asked: cut further and further, recovered, judged on samples that recovery has
//! not seen, and checked at last on samples that the search has not seen either.

mod checked;
mod choice;
mod descent;
mod desk;
mod identity;
mod inner;
mod options;
mod run;
mod workshop;
mod written;

pub use options::{SearchFileOptions, SearchOptions};
pub use run::{Searched, search, search_file};
