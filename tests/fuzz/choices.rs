//! The bytes of an execution read as choices: the same bytes always make the same input.

/// Choices that are left: bytes that are given, then those of their hash without end, since few are given.
pub struct Choices<'a> {
    given: &'a [u8],
    rest: blake3::OutputReader,
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Choices<'a> {
        let mut hash = blake3::Hasher::new();
        hash.update(bytes);
        Choices {
            given: bytes,
            rest: hash.finalize_xof(),
        }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        if let Some((&first, rest)) = self.given.split_first() {
            self.given = rest;
            return first;
        }
        let mut next = [0];
        self.rest.fill(&mut next);
        next[0]
    }

    /// A number below `bound`, or zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = (0..3).fold(0, |sum, _| sum << 8 | usize::from(self.byte()));
        number.checked_rem(bound).unwrap_or(0)
    }

    /// One of these.
    pub fn of<'b, T>(&mut self, all: &'b [T]) -> Option<&'b T> {
        let place = self.below(all.len());
        all.get(place)
    }

    /// One of these, to be changed.
    pub fn of_mut<'b, T>(&mut self, all: &'b mut [T]) -> Option<&'b mut T> {
        let place = self.below(all.len());
        all.get_mut(place)
    }

    /// An integer at which sizes break, or a small one.
    pub fn integer(&mut self) -> i64 {
        const EDGES: [i64; 14] = [
            0,
            -1,
            1,
            2,
            i64::MAX,
            i64::MIN,
            i64::MAX / 2 + 1,
            i64::MIN + 1,
            1 << 31,
            (1 << 31) - 1,
            1 << 32,
            -(1 << 31),
            1 << 20,
            65_536,
        ];
        match self.byte() % 3 {
            0 => i64::from(self.byte() % 17) - 4,
            1 => i64::from(self.byte()) * 3,
            _ => EDGES[self.below(EDGES.len())],
        }
    }

    /// Changes, inserts, removes or cuts bytes.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len());
            match self.byte() % 5 {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, self.byte()),
                2 if place < bytes.len() => drop(bytes.remove(place)),
                _ => {
                    let byte = self.byte();
                    if let Some(old) = bytes.get_mut(place) {
                        *old = byte;
                    }
                }
            }
        }
    }
}
