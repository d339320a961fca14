//! Which shares are tried: down a fixed ladder until nothing holds any more, then halfway between the smallest that holds and the
//! one that does not.
//!
//! All that is tried follows from what was found, so that the same findings give the same search, whoever made them.

use crate::error::Result;

/// Each step of the ladder keeps this share of the one before.
const STEP: f64 = 0.8;
/// Steps at most: about a hundredth is left then.
const STEPS: i32 = 20;
/// Steps below the last that holds that are tried before the ladder ends: a verdict on few samples may be wrong.
const BEYOND: usize = 2;
/// Halvings between the smallest share that holds and the one that does not.
const HALVINGS: usize = 3;

/// What became of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShareVerdict {
    /// All goals hold.
    Holds,
    /// One does not.
    Fails,
    /// The model cannot be made so small.
    Unreachable,
}

impl ShareVerdict {
    /// The better of two.
    pub(super) fn or(self, other: ShareVerdict) -> ShareVerdict {
        match (self, other) {
            (ShareVerdict::Holds, _) | (_, ShareVerdict::Holds) => ShareVerdict::Holds,
            (ShareVerdict::Fails, _) | (_, ShareVerdict::Fails) => ShareVerdict::Fails,
            _ => ShareVerdict::Unreachable,
        }
    }
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The bound lies between two shares that are close together.
    Narrowed,
    /// The model cannot be made smaller, and the goals still hold.
    Smallest,
    /// Somebody asked for it.
    Interrupted,
    /// The time was over.
    OutOfTime,
    /// The share of this process is made.
    Shared,
}

/// The shares of the ladder.
pub(super) fn ladder() -> Vec<f64> {
    (1..=STEPS).map(|step| rounded(STEP.powi(step))).collect()
}

/// A share that prints and is read back as the same number.
pub(super) fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

/// How far a descent got.
pub(super) struct Descent {
    /// The smallest share that holds; 1 where none does.
    pub(super) holds: f64,
    /// The largest share below that does not; none where none was found.
    pub(super) fails: Option<f64>,
    pub(super) ended: Ended,
}

/// Makes models of shares.
pub(super) trait Explorer {
    /// What becomes of a share.
    fn look(&mut self, share: f64) -> Result<ShareVerdict>;

    /// Why no further one is to be tried; none while it may go on.
    fn stop(&mut self) -> Option<Ended>;
}

/// Tries shares.
///
/// # Errors
/// Those of the explorer.
pub(super) fn descend(explorer: &mut dyn Explorer) -> Result<Descent> {
    let mut descent = Descent {
        holds: 1.0,
        fails: None,
        ended: Ended::Smallest,
    };
    let mut failed = 0;
    for share in ladder() {
        if let Some(ended) = explorer.stop() {
            descent.ended = ended;
            return Ok(descent);
        }
        match explorer.look(share)? {
            ShareVerdict::Unreachable => break,
            ShareVerdict::Holds => (descent.holds, descent.fails, failed) = (share, None, 0),
            ShareVerdict::Fails => {
                descent.fails = descent.fails.or(Some(share));
                failed += 1;
            }
        }
        if failed == BEYOND {
            break;
        }
    }
    for _ in 0..HALVINGS {
        let Some(fails) = descent.fails else {
            break;
        };
        if let Some(ended) = explorer.stop() {
            descent.ended = ended;
            return Ok(descent);
        }
        let between = rounded((descent.holds * fails).sqrt());
        match explorer.look(between)? {
            ShareVerdict::Holds => descent.holds = between,
            ShareVerdict::Fails | ShareVerdict::Unreachable => descent.fails = Some(between),
        }
        descent.ended = Ended::Narrowed;
    }
    Ok(descent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares hold as a function says, up to a number of them.
    struct Shares<'a> {
        holds: &'a dyn Fn(f64) -> ShareVerdict,
        tried: Vec<f64>,
        most: usize,
    }

    impl Explorer for Shares<'_> {
        fn look(&mut self, share: f64) -> Result<ShareVerdict> {
            self.tried.push(share);
            Ok((self.holds)(share))
        }

        fn stop(&mut self) -> Option<Ended> {
            (self.tried.len() >= self.most).then_some(Ended::OutOfTime)
        }
    }

    fn searched(most: usize, holds: &dyn Fn(f64) -> ShareVerdict) -> (Descent, Vec<f64>) {
        let mut made = Shares {
            holds,
            tried: Vec::new(),
            most,
        };
        let found = descend(&mut made).expect("a search");
        (found, made.tried)
    }

    /// What holds lies above a bound, what can be reached above another.
    fn bounded(bound: f64, reachable: f64) -> (Descent, Vec<f64>) {
        searched(usize::MAX, &|share| match share {
            _ if share < reachable => ShareVerdict::Unreachable,
            _ if share >= bound => ShareVerdict::Holds,
            _ => ShareVerdict::Fails,
        })
    }

    #[test]
    fn the_bound_is_found_within_three_per_cent() {
        for bound in [0.9, 0.61, 0.33, 0.12, 0.05] {
            let (found, tried) = bounded(bound, 0.0);
            assert!(
                found.holds >= bound && found.holds < 1.03 * bound,
                "{bound}: {}",
                found.holds
            );
            assert_eq!(found.ended, Ended::Narrowed);
            assert!(tried.len() <= 20, "{tried:?}");
        }
    }

    #[test]
    fn a_model_that_cannot_be_smaller_ends_the_search() {
        let (found, _) = bounded(0.0, 0.3);
        assert!(found.holds >= 0.3 && found.holds < 0.375);
        assert_eq!((found.ended, found.fails), (Ended::Smallest, None));
        let (found, tried) = bounded(2.0, 0.0);
        assert_eq!((found.holds, tried.len()), (1.0, 5));
    }

    #[test]
    fn one_wrong_verdict_does_not_end_it() {
        let (found, _) = searched(usize::MAX, &|share| match share {
            0.64 => ShareVerdict::Fails,
            _ if share >= 0.3 => ShareVerdict::Holds,
            _ => ShareVerdict::Fails,
        });
        assert!(found.holds < 0.34);
    }

    #[test]
    fn it_stops_when_it_is_told() {
        let (found, _) = searched(2, &|_| ShareVerdict::Holds);
        assert_eq!((found.holds, found.ended), (0.64, Ended::OutOfTime));
    }
}
