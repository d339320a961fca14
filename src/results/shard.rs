//! Which process makes what.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// One of several processes that share work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Shard {
    /// A process that does everything.
    pub const ALONE: Shard = Shard { number: 1, of: 1 };

    /// In which order it takes so many pieces of work: its own share, then what others have not made yet, from the end of
    /// theirs, so that nothing waits for a process that died.
    pub(crate) fn order(self, pieces: usize) -> Vec<usize> {
        let own = |piece: &usize| piece % self.of == self.number - 1;
        let mut out: Vec<usize> = (0..pieces).filter(own).collect();
        out.extend((0..pieces).rev().filter(|piece| !own(piece)));
        out
    }
}

/// `NUMBER/OF`
impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Shard> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Shard { number, of }),
            _ => Err(Error::Usage(format!(
                "'{text}' is no shard; write NUMBER/OF with a number from 1, as in 2/8"
            ))),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_taken_and_own_ones_first() {
        for of in 1..5 {
            for number in 1..=of {
                let order = Shard { number, of }.order(11);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..11).collect::<Vec<_>>());
                assert_eq!(order[0], number - 1);
            }
        }
        assert_eq!(Shard { number: 2, of: 2 }.order(5), [1, 3, 4, 2, 0]);
    }

    #[test]
    fn shards_are_numbered_from_one() {
        assert_eq!("2/8".parse::<Shard>().expect("a shard").to_string(), "2/8");
        for text in ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
