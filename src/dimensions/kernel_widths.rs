//! The widths that kernels of products get: what they read and what they make, by node.

use super::Analysis;
use crate::axes::Type;
use crate::graph::NodeId;
use crate::ops::{KernelFamily, Linear, Role, find};

/// A width that a kernel gets.
pub(crate) struct KernelWidth {
    pub(crate) node: NodeId,
    pub(crate) family: KernelFamily,
    /// The channels, of which each of `parts` equal parts is one width.
    pub(crate) channels: Type,
    pub(crate) parts: usize,
    /// True for what the kernel reads, false for what it makes.
    pub(crate) read: bool,
    pub(crate) groups: usize,
    pub(crate) depthwise: bool,
}

/// The widths of all products that a model computes.
pub(crate) fn kernel_widths(analysis: &Analysis) -> Vec<KernelWidth> {
    let linears = analysis.state.linears().iter();
    linears.flat_map(|of| widths_of(analysis, of)).collect()
}

fn widths_of(analysis: &Analysis, linear: &Linear) -> Vec<KernelWidth> {
    let graph = analysis.graph();
    let family = find(graph, linear.node).and_then(|row| row.kernels);
    let weight = graph.node(linear.node).inputs.get(linear.slot);
    let axes = weight
        .copied()
        .flatten()
        .and_then(|of| analysis.state.axes(of));
    let (Some(family), Some(axes)) = (family, axes) else {
        return Vec::new();
    };
    let single = |ty: &Type| analysis.state.types.extent(ty).is_one();
    let reduces = |(role, ty): (&Role, &Type)| matches!(role, Role::Reduction(_)) && !single(ty);
    let depthwise = linear.groups > 1 && !linear.roles.iter().zip(axes).any(reduces);
    let mut out = Vec::new();
    for (axis, (role, ty)) in linear.roles.iter().zip(axes).enumerate() {
        let read = match role {
            Role::Row(_) => false,
            Role::Reduction(_) => true,
            Role::Kernel | Role::Batch(_) => continue,
        };
        if single(ty) {
            continue;
        }
        // The first axis holds all groups; a depthwise kernel runs over all of them at once.
        let parts = if axis == 0 && !depthwise {
            linear.groups
        } else {
            1
        };
        out.push(KernelWidth {
            node: linear.node,
            family,
            channels: analysis.state.types.normal(ty),
            parts: parts.max(1),
            read,
            groups: linear.groups,
            depthwise,
        });
    }
    out
}
