//! Which widths kernels like: a measured table, and the multiples that follow for every dimension.
//!
//! `benches/widths.py` measures it, chains of layers at widths around 32 to 96 on one thread. The rows here are for
//! onnxruntime 1.31's CPU provider with AVX-512, whose convolutions run on blocks of 16 channels (8 with AVX2, 16 on
//! ARM64). Convolutions leave these kernels where their input channels are no multiple of 4, depthwise ones likewise,
//! grouped ones where a group is no multiple of the block; between the two, blocks are filled up with zeros. So
//! multiples of 16 are as fast as can be on all of these machines. Products gain little, recurrent layers and small
//! Gemms nothing.
//!
//! No GPU was measured: there a multiple of 8, what tensor cores take, is asked of everything but depthwise kernels.

use std::collections::HashMap;

use crate::axes::{Type, VarId};
use crate::dimensions::{Analysis, KernelWidth, kernel_widths};
use crate::ops::KernelFamily;
use crate::plan::Platform;

/// What kernels are like, by the width that they get.
#[derive(Debug, PartialEq)]
pub(super) struct Kernels {
    /// Picoseconds per multiply-accumulate on one thread at a good width.
    pub(super) cost: f64,
    /// How much slower widths are that are divided by 1, 2, 4, 8, 16 and no larger power of two.
    pub(super) slower: [f64; 5],
    /// Widths are to be a multiple of this.
    pub(super) multiple: usize,
}

const fn kernels(cost: f64, slower: [f64; 5], multiple: usize) -> Kernels {
    Kernels {
        cost,
        slower,
        multiple,
    }
}

const CPU_CONVOLUTION: Kernels = kernels(14.0, [2.0, 2.0, 1.3, 1.2, 1.0], 16);
const CPU_DEPTHWISE: Kernels = kernels(90.0, [4.4, 4.4, 1.15, 1.1, 1.0], 16);
const CPU_GROUPED: Kernels = kernels(13.0, [1.9, 1.9, 1.85, 1.8, 1.0], 16);
const CPU_MATMUL: Kernels = kernels(14.0, [1.15, 1.15, 1.1, 1.1, 1.05], 16);
const CPU_GEMM: Kernels = kernels(41.0, [1.0; 5], 4);
const CPU_RECURRENT: Kernels = kernels(30.0, [1.0; 5], 4);
/// Nothing was measured: no width is said to be slow.
const GPU: Kernels = kernels(1.0, [1.0; 5], 8);
const GPU_DEPTHWISE: Kernels = kernels(1.0, [1.0; 5], 4);

/// A width that a kernel gets, and what the table says of such kernels.
pub(super) struct Width {
    pub(super) of: KernelWidth,
    pub(super) kernels: &'static Kernels,
}

/// The widths of all products that a model computes.
pub(super) fn widths(analysis: &Analysis, target: Platform) -> Vec<Width> {
    let all = kernel_widths(analysis).into_iter();
    all.map(|of| Width {
        kernels: table(target, of.family, of.groups, of.depthwise),
        of,
    })
    .collect()
}

fn table(
    target: Platform,
    family: KernelFamily,
    groups: usize,
    depthwise: bool,
) -> &'static Kernels {
    match (target, family) {
        (Platform::Cpu, KernelFamily::Convolution) if depthwise => &CPU_DEPTHWISE,
        (Platform::Cpu, KernelFamily::Convolution) if groups > 1 => &CPU_GROUPED,
        (Platform::Cpu, KernelFamily::Convolution) => &CPU_CONVOLUTION,
        (Platform::Cpu, KernelFamily::MatMul) => &CPU_MATMUL,
        (Platform::Cpu, KernelFamily::Gemm) => &CPU_GEMM,
        (Platform::Cpu, KernelFamily::Recurrent) => &CPU_RECURRENT,
        (Platform::Cuda | Platform::Webgpu, _) if depthwise => &GPU_DEPTHWISE,
        (Platform::Cuda | Platform::Webgpu, _) => &GPU,
    }
}

/// By dimension of what the channels per block are to be a multiple: the most that any kernel wants that makes or
/// reads them. All are powers of two, so that the most is a multiple of the others.
pub(super) fn multiples(analysis: &Analysis, target: Platform) -> Vec<usize> {
    let dimensions = analysis.dimensions().iter().enumerate();
    let places: HashMap<VarId, usize> = dimensions.map(|(at, of)| (of.var, at)).collect();
    let mut out = vec![1; analysis.dimensions().len()];
    for width in widths(analysis, target) {
        let mut note = |var: VarId, times: usize| {
            let Some(&place) = places.get(&var) else {
                return;
            };
            let multiple = width.kernels.multiple;
            let step = analysis.dimensions()[place].blocks.max(1) * times;
            out[place] = out[place].max(multiple / common(multiple, step, width.of.parts));
        };
        shares(analysis, &width.of.channels, 1, &mut note);
    }
    out
}

/// The power of two that a step of `step / parts` channels has in common with `multiple`.
fn common(multiple: usize, step: usize, parts: usize) -> usize {
    match step.is_multiple_of(parts) {
        true => {
            1 << multiple
                .trailing_zeros()
                .min((step / parts).trailing_zeros())
        }
        false => 1,
    }
}

/// Every variable of a type with the positions that one of its channels stands for. Parts of a sum are taken one by
/// one: a concatenation of good widths is one.
fn shares(analysis: &Analysis, ty: &Type, times: usize, note: &mut dyn FnMut(VarId, usize)) {
    match ty {
        Type::Var(var) => note(*var, times),
        Type::Sum(parts) => parts
            .iter()
            .for_each(|part| shares(analysis, part, times, note)),
        Type::Block { of, blocks } => {
            let blocks = *blocks;
            shares(analysis, of, times, &mut |var, times| {
                note(var, (times / blocks.max(1)).max(1));
            });
        }
        Type::Product(factors) => {
            for (place, factor) in factors.iter().enumerate() {
                let others = factors.iter().enumerate().filter(|(at, _)| *at != place);
                let size = |of: &Type| (analysis.state.types.size(of) as usize).max(1);
                let product = others.fold(times, |n, (_, of)| n.saturating_mul(size(of)));
                shares(analysis, factor, product, note);
            }
        }
    }
}
