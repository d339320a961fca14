//! Sparse tensors: values and positions of what is not zero (COO), to and from dense ones.
//!
//! Models are read with their sparse initializers made dense, so that nothing else has to know them.

use super::ElementType;
use super::proto::{GraphProto, ModelProto, SparseTensorProto, TensorProto};
use super::tensor::{byte_length, element_count, element_type, from_raw, integers, packed_bytes};
use crate::error::{Error, Result};

/// Bytes of one position.
const INDEX: usize = 8;
/// Dense bytes that a model may ask for whatever its size, and times its size: beyond, its sparse
/// initializers stay as they are, so that a small file cannot ask for all memory.
const LARGEST_DENSE: usize = 64 << 20;
const LARGEST_EXPANSION: usize = 40;

/// Version of the intermediate representation that has sparse initializers.
pub(crate) const SPARSE_IR: i64 = 5;

/// Bytes that a tensor with `stored` elements that are not zero takes as a sparse one.
pub(crate) fn sparse_bytes(stored: usize, element: ElementType) -> usize {
    stored * (INDEX + (element.bits() as usize).div_ceil(8))
}

/// The tensor `name` with these packed bytes as a sparse one: positions are numbers of elements in row-major
/// order. Elements are zero if all their bits are, or all but the sign of a float.
pub(crate) fn to_sparse(tensor: &TensorProto, bytes: &[u8]) -> Result<SparseTensorProto> {
    let element = element_type(tensor)?;
    let width = (element.bits() as usize).div_ceil(8).max(1);
    let (mut values, mut positions) = (Vec::new(), Vec::new());
    for (place, word) in bytes.chunks_exact(width).enumerate() {
        let (sign, rest) = word
            .split_last()
            .map_or((0, word), |(&last, rest)| (last, rest));
        if sign & 0x7f != 0 || rest.iter().any(|&byte| byte != 0) {
            values.extend_from_slice(word);
            positions.extend_from_slice(&(place as i64).to_le_bytes());
        }
    }
    let stored = values.len() / width;
    Ok(SparseTensorProto {
        values: Some(from_raw(tensor.name(), element, &[stored], values)),
        indices: Some(from_raw("", ElementType::Int64, &[stored], positions)),
        dims: tensor.dims.clone(),
    })
}

/// Replaces the sparse initializers of the main graph by dense ones, if they do not ask for too much.
///
/// # Errors
/// Positions outside the tensor, or values and positions of different number.
pub(crate) fn make_dense(proto: &mut ModelProto, file_bytes: usize) -> Result<()> {
    let Some(graph) = &mut proto.graph else {
        return Ok(());
    };
    let dense: usize = graph
        .sparse_initializer
        .iter()
        .map(dense_bytes)
        .fold(0, usize::saturating_add);
    if dense > LARGEST_DENSE.max(file_bytes.saturating_mul(LARGEST_EXPANSION)) {
        return Ok(());
    }
    let GraphProto {
        sparse_initializer,
        initializer,
        ..
    } = graph;
    let mut left = Vec::new();
    for sparse in std::mem::take(sparse_initializer) {
        match to_dense(&sparse)? {
            Some(tensor) => initializer.push(tensor),
            None => left.push(sparse),
        }
    }
    *sparse_initializer = left;
    Ok(())
}

fn dense_bytes(sparse: &SparseTensorProto) -> usize {
    let Some(values) = &sparse.values else {
        return 0;
    };
    let element = element_type(values).map_or(8, ElementType::bits);
    let shaped = TensorProto {
        dims: sparse.dims.clone(),
        ..TensorProto::default()
    };
    let count = element_count(&shaped).unwrap_or(usize::MAX);
    byte_length(count, element).unwrap_or(usize::MAX)
}

/// The dense tensor; none for element types without whole bytes.
fn to_dense(sparse: &SparseTensorProto) -> Result<Option<TensorProto>> {
    let (Some(values), Some(indices)) = (&sparse.values, &sparse.indices) else {
        return Ok(None);
    };
    let element = element_type(values)?;
    let named = |fault: Error| match fault {
        Error::Tensor { reason, .. } => Error::tensor(
            values.name(),
            format!("the positions of its elements are damaged: {reason}"),
        ),
        other => other,
    };
    let Some(positions) = integers(indices)
        .map_err(named)?
        .filter(|_| element.bits().is_multiple_of(8))
    else {
        return Ok(None);
    };
    let width = element.bits() as usize / 8;
    let fault = |reason: String| Error::tensor(values.name(), reason);
    let bytes = packed_bytes(values)?;
    let stored = bytes.len() / width.max(1);
    let rank = sparse.dims.len();
    let by_axis = indices.dims.len() == 2;
    let expected = if by_axis { stored * rank } else { stored };
    if positions.len() != expected {
        return Err(fault(format!(
            "has {stored} value(s) but {} position number(s)",
            positions.len()
        )));
    }
    let mut dense = vec![0; dense_bytes(sparse)];
    let count = dense.len() / width.max(1);
    for (number, word) in bytes.chunks_exact(width.max(1)).enumerate() {
        let place = match by_axis {
            false => usize::try_from(positions[number]).ok(),
            true => flat(&positions[number * rank..][..rank], &sparse.dims),
        };
        let place = place.filter(|&place| place < count);
        let place = place.ok_or_else(|| {
            fault(format!(
                "position {number} lies outside dims {:?}",
                sparse.dims
            ))
        })?;
        dense[place * width..][..width].copy_from_slice(word);
    }
    let dims: Vec<usize> = sparse.dims.iter().map(|&dim| dim as usize).collect();
    Ok(Some(from_raw(values.name(), element, &dims, dense)))
}

fn flat(position: &[i64], dims: &[i64]) -> Option<usize> {
    position
        .iter()
        .zip(dims)
        .try_fold(0_usize, |place, (&at, &dim)| {
            let inside = (0..dim).contains(&at);
            inside.then(|| place * dim as usize + at as usize)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn dense_again_is_the_same() {
        let bytes = floats(&[0.0, 1.5, -0.0, 0.0, f32::MIN_POSITIVE / 2.0, -3.0]);
        let tensor = from_raw("w", ElementType::Float, &[2, 3], bytes.clone());
        let sparse = to_sparse(&tensor, &bytes).unwrap();
        assert_eq!(sparse.values.as_ref().unwrap().dims, [3]);
        let dense = to_dense(&sparse).unwrap().unwrap();
        assert_eq!(dense.dims, tensor.dims);
        let expected = floats(&[0.0, 1.5, 0.0, 0.0, f32::MIN_POSITIVE / 2.0, -3.0]);
        assert_eq!(packed_bytes(&dense).unwrap(), expected);
    }

    #[test]
    fn what_would_take_far_more_than_the_file_stays_sparse() {
        let values = from_raw("w", ElementType::Float, &[0], Vec::new());
        let indices = from_raw("", ElementType::Int64, &[0], Vec::new());
        let sparse = SparseTensorProto {
            values: Some(values),
            indices: Some(indices),
            dims: vec![1 << 13, 1 << 14],
        };
        let mut proto = ModelProto {
            graph: Some(GraphProto {
                sparse_initializer: vec![sparse],
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        for (file_bytes, left) in [(3 << 20, 1), (16 << 20, 0)] {
            make_dense(&mut proto, file_bytes).expect("sound tensors");
            let graph = proto.graph.as_ref().expect("a graph");
            assert_eq!(graph.sparse_initializer.len(), left);
        }
    }

    #[test]
    fn positions_outside_are_refused() {
        let sparse = |positions: &[i64], dims: &[usize]| SparseTensorProto {
            values: Some(from_raw("w", ElementType::Float, &[1], floats(&[1.0]))),
            indices: Some(from_raw(
                "",
                ElementType::Int64,
                dims,
                positions
                    .iter()
                    .flat_map(|n| n.to_le_bytes())
                    .collect::<Vec<u8>>(),
            )),
            dims: vec![2, 3],
        };
        let dense = to_dense(&sparse(&[1, 2], &[1, 2])).unwrap().unwrap();
        assert_eq!(packed_bytes(&dense).unwrap()[20..], floats(&[1.0]));
        for (positions, dims) in [
            (vec![6], vec![1]),
            (vec![-1], vec![1]),
            (vec![0, 3], vec![1, 2]),
            (vec![0, 0], vec![2]),
        ] {
            assert!(
                to_dense(&sparse(&positions, &dims)).is_err(),
                "{positions:?}"
            );
        }
    }
}
