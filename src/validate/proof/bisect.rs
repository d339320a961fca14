//! Which parts of a plan a failed proof is the fault of: halves are proven until single parts are left.

use crate::error::{Error, Result};

/// Proofs at most; what is not proven by then is left alone.
const PROOFS: usize = 64;

/// What became of the parts of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blame {
    /// Parts that are proven together, ascending.
    pub proven: Vec<usize>,
    /// The others, ascending, each with why.
    pub faulty: Vec<(usize, String)>,
    /// Proofs that it took.
    pub proofs: usize,
}

/// Finds which of `count` parts can be proven together. `prove` is asked with ascending numbers of parts, never
/// without any; parts are blamed one by one, each tried together with all that are proven already. So what is
/// blamed is needed to make the rest right, and as little is blamed as a search in this order can find.
///
/// # Errors
/// What `prove` fails with, unless a part of the plan can be the reason of it.
pub fn blame(count: usize, prove: &mut dyn FnMut(&[usize]) -> Result<()>) -> Result<Blame> {
    let mut search = Search {
        blame: Blame::default(),
        prove,
    };
    // The whole has failed already.
    match count {
        0 => {}
        1 => search.halve(&[0])?,
        _ => {
            let all: Vec<usize> = (0..count).collect();
            let (left, right) = all.split_at(count / 2);
            search.halve(left)?;
            search.halve(right)?;
        }
    }
    let Blame {
        mut proven,
        mut faulty,
        proofs,
    } = search.blame;
    proven.sort_unstable();
    faulty.sort();
    Ok(Blame {
        proven,
        faulty,
        proofs,
    })
}

/// Whether leaving out a part of a plan can mend this.
pub(crate) fn is_of_the_plan(fault: &Error) -> bool {
    matches!(
        fault,
        Error::Verification { .. }
            | Error::Graph { .. }
            | Error::Tensor { .. }
            | Error::Runtime { .. }
    )
}

struct Search<'a> {
    blame: Blame,
    prove: &'a mut dyn FnMut(&[usize]) -> Result<()>,
}

impl Search<'_> {
    fn halve(&mut self, parts: &[usize]) -> Result<()> {
        if self.blame.proofs >= PROOFS {
            let why = format!("not proven: {PROOFS} proofs were spent on other dimensions");
            let rest = parts.iter().map(|&part| (part, why.clone()));
            self.blame.faulty.extend(rest);
            return Ok(());
        }
        let mut together: Vec<usize> = self.blame.proven.iter().chain(parts).copied().collect();
        together.sort_unstable();
        self.blame.proofs += 1;
        match ((self.prove)(&together), parts) {
            (Ok(()), _) => self.blame.proven.extend(parts),
            (Err(fault), _) if !is_of_the_plan(&fault) => return Err(fault),
            (Err(fault), &[part]) => self.blame.faulty.push((part, reason(&fault))),
            (Err(_), parts) => {
                let (left, right) = parts.split_at(parts.len() / 2);
                self.halve(left)?;
                self.halve(right)?;
            }
        }
        Ok(())
    }
}

/// Why a part is left alone, in a line.
fn reason(fault: &Error) -> String {
    let text = match fault {
        Error::Verification { fault, .. } => fault.to_string(),
        other => other.to_string(),
    };
    let line = text.lines().next().unwrap_or_default();
    format!("its proof failed: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ProofFault;

    fn refused() -> Error {
        Error::Verification {
            reference: "a twin",
            fault: ProofFault::NotFinite {
                output: "y".to_owned(),
            },
        }
    }

    fn search(count: usize, right: impl Fn(&[usize]) -> bool) -> Blame {
        let mut prove = |parts: &[usize]| match right(parts) {
            true => Ok(()),
            false => Err(refused()),
        };
        blame(count, &mut prove).expect("a search")
    }

    fn faulty(blame: &Blame) -> Vec<usize> {
        blame.faulty.iter().map(|(part, _)| *part).collect()
    }

    #[test]
    fn single_faults_are_found_in_logarithmic_time() {
        for wrong in 0..100 {
            let found = search(100, |parts| !parts.contains(&wrong));
            assert_eq!(faulty(&found), [wrong]);
            assert_eq!(found.proven.len(), 99);
            assert!(found.proofs <= 2 * 7 + 2, "{}", found.proofs);
        }
    }

    #[test]
    fn several_faults_and_faults_of_pairs_are_found() {
        let found = search(9, |parts| !parts.contains(&0) && !parts.contains(&8));
        assert_eq!(faulty(&found), [0, 8]);
        // Two parts that are wrong together only: one of them stays.
        let found = search(9, |parts| !(parts.contains(&2) && parts.contains(&7)));
        assert_eq!(faulty(&found), [7]);
        assert_eq!(found.proven, [0, 1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(faulty(&search(1, |_| false)), [0]);
    }

    #[test]
    fn the_number_of_proofs_is_bounded_and_what_is_not_proven_is_not_called_proven() {
        let found = search(1000, |_| false);
        assert_eq!((found.proofs, found.proven.len()), (PROOFS, 0));
        assert_eq!(found.faulty.len(), 1000);
        assert!(found.faulty[999].1.contains("not proven"));
    }

    #[test]
    fn what_no_part_can_be_blamed_for_ends_the_search() {
        let mut prove = |_: &[usize]| Err(Error::Usage("no".to_owned()));
        assert!(matches!(blame(4, &mut prove), Err(Error::Usage(_))));
    }
}
