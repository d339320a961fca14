//! Plans that are tried: from the best by curves alone, dimensions change places a step up and a step down within the budget,
//! where outputs of the whole plan say that it is better.
//!
//! Curves are of one dimension each and add up only roughly. So the exchanges that promise most by them are tried first,
//! and what is tried decides.

use std::collections::HashSet;

use super::allocate::Search;

/// Exchanges that are looked at in each round.
const PROMISING: usize = 12;

impl Search<'_> {
    /// Channels per block of plans one exchange away from `counts` and within the budget, those first that promise most.
    pub(super) fn neighbours(&mut self, counts: &[usize]) -> Vec<Vec<usize>> {
        self.stand_at(counts);
        let from = self.at.clone();
        let mut found: Vec<(f64, [(usize, usize); 2])> = Vec::new();
        for up in 0..self.free.len() {
            let Some(raised) = self.at[up].checked_sub(1) else {
                continue;
            };
            let gain = self.divergence(up, self.at[up]) - self.divergence(up, raised);
            self.set(up, raised);
            for down in (0..self.free.len()).filter(|&down| down != up) {
                let now = self.divergence(down, from[down]);
                let mut levels = from[down] + 1..self.free[down].sizes.len();
                if let Some(level) =
                    levels.find(|&level| self.cost_with(down, level) <= self.target)
                {
                    let net = gain - (self.divergence(down, level) - now);
                    found.push((net, [(up, raised), (down, level)]));
                }
            }
            self.set(up, from[up]);
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        for (_, moves) in found {
            moves
                .iter()
                .for_each(|&(number, level)| self.set(number, level));
            let counts = self.grown();
            moves
                .iter()
                .for_each(|&(number, _)| self.set(number, from[number]));
            if seen.insert(counts.clone()) {
                out.push(counts);
            }
            if out.len() == PROMISING {
                break;
            }
        }
        out
    }

    /// The channels per block now, with what still fits given back; where the search stands stays as it is.
    fn grown(&mut self) -> Vec<usize> {
        let before: Vec<usize> = self.gauge.channels().to_vec();
        self.regrow();
        let counts = self.counts();
        for (place, channels) in before.into_iter().enumerate() {
            self.gauge.set(place, channels);
        }
        counts
    }

    /// Goes to these channels per block; sizes that are none of its levels become such.
    fn stand_at(&mut self, counts: &[usize]) {
        for number in 0..self.free.len() {
            let (place, count) = (self.free[number].place, counts[self.free[number].place]);
            let divergence = self.at_count(place, count);
            let sizes = &mut self.free[number].sizes;
            let level = match sizes.iter().position(|&(size, _)| size <= count) {
                Some(level) if sizes[level].0 == count => level,
                Some(level) => {
                    sizes.insert(level, (count, divergence));
                    level
                }
                None => {
                    sizes.push((count, divergence));
                    sizes.len() - 1
                }
            };
            self.set(number, level);
        }
    }
}
