//! Dynamic sizes of inputs that follow from what the graph says about them.

use std::collections::{BTreeSet, HashSet};

use super::InputSizes;
use crate::axes::Extent;
use crate::ops::{Agreement, State};

/// Sizes that are tried where none can be computed.
const LARGEST_TRIED: i64 = 2048;
/// Evaluations for all trials together.
const MOST_TRIALS: usize = 1 << 20;
/// Times that all agreements are looked at.
const ROUNDS: usize = 4;
/// Times that a size is doubled.
const DOUBLINGS: usize = 10;

struct Settling<'a> {
    state: &'a State,
    sizes: InputSizes,
    /// Names of sizes that others have been made to fit.
    settled: BTreeSet<String>,
    trials: usize,
}

/// The sizes with those changed that nobody chose, so that sizes which must agree do.
pub(super) fn settled(sizes: InputSizes, state: &State) -> InputSizes {
    let mut seen = BTreeSet::new();
    let of_inputs = |agreement: &&Agreement| {
        let names = agreement
            .sizes
            .iter()
            .flat_map(|size| state.symbols.names(size));
        names.into_iter().all(|name| sizes.get(name).is_some())
    };
    let mut agreements: Vec<&Agreement> = state.agreements.iter().filter(of_inputs).collect();
    agreements.retain(|agreement| seen.insert(format!("{agreement:?}")));
    // What is said in numbers comes first, then what is said of one size alone.
    agreements.sort_by_key(|agreement| {
        let known = agreement.sizes.iter().any(|size| size.known().is_some());
        let alone = agreement
            .sizes
            .iter()
            .any(|size| state.symbols.name_of(size).is_some());
        (!known, !alone, agreement.broadcast)
    });
    let mut settling = Settling {
        state,
        sizes,
        settled: BTreeSet::new(),
        trials: 0,
    };
    let rooms = rooms(state, &settling.sizes);
    settling.sizes.forget_fitted();
    for _ in 0..ROUNDS {
        let made = rooms.iter().filter(|room| settling.make(room)).count();
        let changed = agreements
            .iter()
            .filter(|agreement| settling.meet(agreement));
        if made + changed.count() == 0 {
            break;
        }
    }
    settling.sizes
}

/// What has to stay behind the positions that are selected, where inputs say how much there is.
fn rooms<'a>(state: &'a State, sizes: &InputSizes) -> Vec<&'a Extent> {
    let of_inputs = |room: &&Extent| {
        let mut names = state.symbols.names(room).into_iter();
        names.all(|name| sizes.get(name).is_some())
    };
    let mut rooms: Vec<&Extent> = state.rooms.iter().filter(of_inputs).collect();
    let mut seen = HashSet::new();
    rooms.retain(|room| seen.insert(*room));
    rooms
}

/// The sizes with those doubled that nobody chose and that leave nothing of a value: a window that is longer than a signal.
pub(super) fn stretched(mut sizes: InputSizes, state: &State) -> InputSizes {
    let mut seen = HashSet::new();
    let axes = state.axes.iter().flatten().flatten();
    let extents = axes.map(|axis| state.types.extent(axis));
    let symbolic = extents.filter(|extent| extent.known().is_none());
    let all: Vec<Extent> = symbolic.filter(|e| seen.insert(e.clone())).collect();
    for extent in &all {
        let names = state.symbols.names(extent).into_iter();
        let open: Vec<&str> = names.filter(|name| sizes.is_open(name)).collect();
        let before = sizes.clone();
        let mut doublings = 0;
        while is_nothing(&sizes, state, extent) && doublings < DOUBLINGS {
            for name in &open {
                let size = sizes.get(name).unwrap_or(1);
                sizes.set(name, size.saturating_mul(2));
            }
            doublings += 1;
        }
        if is_nothing(&sizes, state, extent) {
            sizes = before;
        }
    }
    sizes
}

fn is_nothing(sizes: &InputSizes, state: &State, extent: &Extent) -> bool {
    let assign = |name: &str| sizes.get(name).unwrap_or(1);
    let number = state.symbols.evaluate(extent, &assign);
    number.is_some_and(|number| number <= 0)
}

impl Settling<'_> {
    fn number(&self, size: &Extent) -> Option<i64> {
        let assign = |name: &str| self.sizes.get(name).unwrap_or(1);
        self.state.symbols.evaluate(size, &assign)
    }

    fn holds(&self, agreement: &Agreement) -> bool {
        let [a, b] = [0, 1].map(|side| self.number(&agreement.sizes[side]));
        a == b || (agreement.broadcast && (a == Some(1) || b == Some(1)))
    }

    /// Changes sizes so that the agreement holds; true if there was something to change.
    fn meet(&mut self, agreement: &Agreement) -> bool {
        self.fix_samples(agreement);
        if self.holds(agreement) {
            return false;
        }
        let [a, b] = &agreement.sizes;
        for (side, other) in [(a, b), (b, a)] {
            let name = self
                .state
                .symbols
                .name_of(side)
                .filter(|name| self.is_open(name));
            let size = self.number(other).filter(|&size| size > 0);
            if let (Some(name), Some(size)) = (name, size) {
                let name = name.to_owned();
                self.sizes.set(&name, size);
                self.settle(agreement);
                return true;
            }
        }
        let names = [a, b]
            .into_iter()
            .flat_map(|size| self.state.symbols.names(size));
        let open: BTreeSet<String> = names
            .filter(|name| self.is_open(name))
            .map(str::to_owned)
            .collect();
        let alone = open.iter().map(std::slice::from_ref);
        let all: Vec<String> = open.iter().cloned().collect();
        alone
            .chain([&all[..]])
            .any(|names| self.tries(agreement, names))
    }

    /// Gives all of `names` one size with which the agreement holds, if there is one.
    fn tries(&mut self, agreement: &Agreement, names: &[String]) -> bool {
        let before = self.sizes.clone();
        for size in 1..=LARGEST_TRIED {
            self.trials += 1;
            if names.is_empty() || self.trials > MOST_TRIALS {
                break;
            }
            names.iter().for_each(|name| self.sizes.set(name, size));
            if self.holds(agreement) {
                self.settle(agreement);
                return true;
            }
        }
        self.sizes = before;
        false
    }

    /// Makes the axis longer whose positions end before those that are selected, or what counts these shorter; true if sizes
    /// were changed.
    fn make(&mut self, room: &Extent) -> bool {
        if self.is_made(room) {
            return false;
        }
        let names = self.state.symbols.names(room).into_iter();
        let open = names.filter(|name| self.is_open(name) || self.sizes.is_fitted(name));
        let open: Vec<String> = open.map(str::to_owned).collect();
        let (longer, shorter): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|name| self.gives_room(room, name));
        longer.iter().any(|name| self.lengthens(room, name)) || self.shortens(room, &shorter)
    }

    fn is_made(&self, room: &Extent) -> bool {
        self.number(room).is_none_or(|left| left >= 0)
    }

    /// Whether more of a size leaves more room.
    fn gives_room(&self, room: &Extent, name: &str) -> bool {
        let left = |more: i64| {
            let size = |own: &str| self.sizes.get(own).unwrap_or(1);
            let assign = |own: &str| match own == name {
                true => size(own).saturating_add(more),
                false => size(own),
            };
            self.state.symbols.evaluate(room, &assign)
        };
        left(1) > left(0)
    }

    fn lengthens(&mut self, room: &Extent, name: &str) -> bool {
        let before = self.sizes.get(name).unwrap_or(1);
        for size in before..=LARGEST_TRIED {
            self.sizes.set(name, size);
            if self.is_made(room) {
                self.sizes.fit(name);
                self.settled.insert(name.to_owned());
                return true;
            }
        }
        self.sizes.set(name, before);
        false
    }

    fn shortens(&mut self, room: &Extent, names: &[String]) -> bool {
        let before = self.sizes.clone();
        let sizes = names.iter().filter_map(|name| before.get(name));
        for most in (1..sizes.max().unwrap_or(1)).rev() {
            for name in names {
                let size = before.get(name).unwrap_or(1);
                self.sizes.set(name, size.min(most));
            }
            if self.is_made(room) {
                return true;
            }
        }
        self.sizes = before;
        false
    }

    fn is_open(&self, name: &str) -> bool {
        self.sizes.is_open(name) && !self.settled.contains(name)
    }

    fn settle(&mut self, agreement: &Agreement) {
        for size in &agreement.sizes {
            let names = self.state.symbols.names(size).into_iter();
            self.settled.extend(names.map(str::to_owned));
        }
    }

    /// A number of samples that must equal a known size, as that of a fixed state, is fixed.
    fn fix_samples(&mut self, agreement: &Agreement) {
        let [a, b] = &agreement.sizes;
        for (side, other) in [(a, b), (b, a)] {
            let Some(name) = self.state.symbols.name_of(side) else {
                continue;
            };
            let counts = self.sizes.samples().names().any(|other| other == name);
            if let Some(size) = other.size().filter(|_| counts && !agreement.broadcast) {
                self.sizes.fix_samples(size);
            }
        }
    }
}
