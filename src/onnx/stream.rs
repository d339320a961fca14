//! Bytes in the order of a file: those at hand as they lie, others made while those before them are written.

use std::io::{self, Write};
use std::ops::Range;

use bytes::Bytes;
use rayon::prelude::*;

use super::model::LazyBytes;

/// Bytes that are made at a time, and pieces that are made side by side.
const PIECE: usize = 128 << 10;
const WINDOW: usize = 8;

/// What is written next.
#[derive(Debug)]
enum Piece<'a> {
    Ready(Bytes),
    Lazy(&'a LazyBytes, Range<usize>),
}

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct Stream<'a> {
    pieces: Vec<Piece<'a>>,
}

/// Buffers of a window, used again for every second one.
type Buffers = [Vec<u8>; WINDOW];

impl<'a> Stream<'a> {
    /// Adds bytes.
    pub(super) fn push(&mut self, bytes: impl Into<Bytes>) {
        self.pieces.push(Piece::Ready(bytes.into()));
    }

    /// Adds bytes that are made when they are written.
    pub(super) fn push_lazy(&mut self, lazy: &'a LazyBytes) {
        let ranges = lazy.ranges(PIECE);
        self.pieces
            .extend(ranges.map(|range| Piece::Lazy(lazy, range)));
    }

    /// Writes all of it. Memory stays bounded by a few pieces.
    pub(super) fn write(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let (mut now, mut next) = (Buffers::default(), Buffers::default());
        let mut windows = self.pieces.chunks(WINDOW).peekable();
        make(windows.peek().copied().unwrap_or_default(), &mut now);
        while let Some(window) = windows.next() {
            let following = windows.peek().copied().unwrap_or_default();
            let (written, ()) =
                rayon::join(|| write(window, &now, out), || make(following, &mut next));
            written?;
            std::mem::swap(&mut now, &mut next);
        }
        Ok(())
    }
}

/// Makes what of a window is to be made.
fn make(window: &[Piece], buffers: &mut Buffers) {
    let pairs = window.par_iter().zip(buffers.par_iter_mut());
    pairs.for_each(|(piece, buffer)| {
        if let Piece::Lazy(lazy, parts) = piece {
            buffer.clear();
            lazy.append(parts.clone(), buffer);
        }
    });
}

fn write(window: &[Piece], made: &Buffers, out: &mut (dyn Write + Send)) -> io::Result<()> {
    for (piece, made) in window.iter().zip(made) {
        out.write_all(match piece {
            Piece::Ready(bytes) => bytes,
            Piece::Lazy(..) => made,
        })?;
    }
    Ok(())
}
