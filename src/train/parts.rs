//! In how many parts a batch is run, so that training keeps within a memory bound.

use std::ops::Range;

use super::options::TrainOptions;
use crate::data::{Batch, Labels};
use crate::error::{Error, Result};
use crate::runtime::{Provider, available};

/// What is made for one part of a batch.
#[derive(Debug, PartialEq)]
pub(super) struct Fitted<T> {
    pub(super) made: T,
    /// Parts of equal size that a batch is run in.
    pub(super) parts: usize,
    /// Bytes that training takes, as estimated.
    pub(super) bytes: u64,
}

/// Memory that training may take, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryBound {
    /// Parts are made so small that this is kept, if that can be.
    wanted: u64,
    /// Training does not begin where the smallest parts take more.
    most: u64,
}

impl MemoryBound {
    /// The one that is set; without, half of what is available where the processor trains. What a device of another
    /// kind has is not known.
    pub(super) fn of(options: &TrainOptions, provider: &Provider) -> Option<MemoryBound> {
        if let Some(most) = options.memory {
            return Some(MemoryBound { wanted: most, most });
        }
        let most = available().filter(|_| *provider == Provider::Cpu)?;
        let wanted = most / 2;
        Some(MemoryBound { wanted, most })
    }
}

/// What `make` makes for the least number of parts that a batch of so many items can be divided into within the bound. It
/// takes a number of parts and says the bytes that training takes then.
///
/// # Errors
/// The smallest parts take more than the bound allows, or `make` fails.
pub(super) fn fitted<T>(
    items: usize,
    bound: Option<MemoryBound>,
    make: &dyn Fn(usize) -> Result<(T, u64)>,
) -> Result<Fitted<T>> {
    let at = |parts: usize| -> Result<Fitted<T>> {
        let (made, bytes) = make(parts)?;
        Ok(Fitted { made, parts, bytes })
    };
    let whole = at(1)?;
    let Some(bound) = bound.filter(|bound| whole.bytes > bound.wanted) else {
        return Ok(whole);
    };
    let most = whole.bytes;
    let smallest = if items > 1 { at(items)? } else { whole };
    if smallest.bytes > bound.most {
        return Err(too_much(smallest.bytes, bound.most));
    }
    let grows = most.saturating_sub(smallest.bytes) as f64 / items.saturating_sub(1).max(1) as f64;
    for parts in (2..items).filter(|parts| items.is_multiple_of(*parts)) {
        // What lives as long as a sample is looked at grows with their number.
        let foreseen = smallest.bytes as f64 + grows * (items / parts - 1) as f64;
        if foreseen <= bound.wanted as f64 {
            let found = at(parts)?;
            if found.bytes <= bound.wanted {
                return Ok(found);
            }
        }
    }
    Ok(smallest)
}

fn too_much(bytes: u64, most: u64) -> Error {
    Error::Usage(format!(
        "training takes about {} of memory even where it looks at one sample at a time, and may take {}: allow more with `memory`, train fewer weights with `only`, or make inputs smaller",
        shown(bytes),
        shown(most)
    ))
}

/// Bytes in the unit that people use.
fn shown(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", (bytes / 1e6).ceil()),
    }
}

/// A batch of so many items by parts of `each` of them; the last one may have fewer.
///
/// # Errors
/// An input that has no such parts.
pub(super) fn split(
    batch: Batch,
    axis: &dyn Fn(&str) -> Option<usize>,
    items: usize,
    each: usize,
) -> Result<Vec<Batch>> {
    if each >= items {
        return Ok(vec![batch]);
    }
    let starts = (0..items).step_by(each.max(1));
    let parts = starts.map(|start| {
        let of = |size: usize| -> Range<usize> {
            let place = |item: usize| size * item.min(items) / items;
            place(start)..place(start + each)
        };
        let inputs = batch.inputs.iter().map(|(name, tensor)| {
            let part = match axis(name) {
                None => tensor.clone(),
                Some(axis) => {
                    let size = tensor.shape().get(axis).copied().unwrap_or(0);
                    tensor.part(axis, of(size))?
                }
            };
            Ok((name.clone(), part))
        });
        Ok(Batch {
            inputs: inputs.collect::<Result<_>>()?,
            labels: batch.labels.as_ref().map(|labels| match labels {
                Labels::Classes(all) => Labels::Classes(all[of(all.len())].to_vec()),
                Labels::Values(all) => Labels::Values(all[of(all.len())].to_vec()),
            }),
            expected: None,
            samples: of(batch.samples).len(),
        })
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::ElementType;
    use crate::runtime::Tensor;

    /// What a step at a number of parts of 24 items takes: 100 bytes and 20 for each item.
    fn of(parts: usize) -> Result<(usize, u64)> {
        Ok((parts, 100 + 20 * (24 / parts) as u64))
    }

    fn within(wanted: u64, most: u64) -> Result<Fitted<usize>> {
        fitted(24, Some(MemoryBound { wanted, most }), &of)
    }

    #[test]
    fn the_fewest_equal_parts_that_fit_are_taken() {
        let parts = |bytes: u64| within(bytes, bytes).expect("it fits").parts;
        assert_eq!(parts(580), 1);
        assert_eq!(parts(579), 2);
        assert_eq!(parts(260), 3);
        // 5 does not divide 24.
        assert_eq!(parts(259), 4);
        assert_eq!(parts(120), 24);
        let fitted = within(220, 220).expect("it fits");
        assert_eq!((fitted.made, fitted.bytes), (4, 220));
    }

    #[test]
    fn what_no_part_fits_is_refused_before() {
        let fault = within(100, 100).expect_err("it is refused").to_string();
        assert!(fault.contains("`memory`"), "{fault}");
        assert_eq!(within(100, 120).expect("it fits").parts, 24);
        let alone = fitted(1, Some(MemoryBound { wanted: 1, most: 1 }), &|_| {
            Ok(((), 9))
        });
        assert!(alone.is_err());
        assert_eq!(fitted(9, None, &|_| Ok(((), 9))).expect("unbound").parts, 1);
    }

    #[test]
    fn parts_together_are_the_batch() {
        let numbers: Vec<f64> = (0..12).map(f64::from).collect();
        let tensor = |shape: &[usize]| {
            Tensor::from_f64(ElementType::Float, shape, &numbers).expect("a tensor")
        };
        let batch = Batch {
            inputs: vec![
                ("x".to_owned(), tensor(&[6, 2])),
                ("y".to_owned(), tensor(&[2, 6])),
                ("all".to_owned(), tensor(&[12])),
            ],
            labels: Some(Labels::Classes((0..6).collect())),
            expected: None,
            samples: 6,
        };
        let axis = |name: &str| match name {
            "x" => Some(0),
            "y" => Some(1),
            _ => None,
        };
        let parts = split(batch.clone(), &axis, 6, 4).expect("parts");
        let samples: Vec<usize> = parts.iter().map(|part| part.samples).collect();
        assert_eq!(samples, [4, 2]);
        for (place, name, axis) in [(0, "x", 0), (1, "y", 1)] {
            let all: Vec<&Tensor> = parts.iter().map(|part| &part.inputs[place].1).collect();
            let joined = Tensor::joined(&all, axis).expect("they fit");
            assert_eq!(joined, batch.inputs[place].1, "{name}");
        }
        assert_eq!(parts[1].inputs[2], batch.inputs[2]);
        assert_eq!(parts[1].labels, Some(Labels::Classes(vec![4, 5])));
        let whole = split(batch.clone(), &axis, 6, 6).expect("one");
        assert_eq!(whole.len(), 1);
    }
}
