//! Normalisations: statistics over some axes, parameters along others.

use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::normalisation as back;
use crate::ops::mix::Mix;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Elements, Pointwise, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("BatchNormalization", batch)
        .gives(back::batch)
        .measured(&[3, 4])
        .pointwise(Pointwise::Normalised),
    row("InstanceNormalization", instance).gives(back::instance),
    row("LayerNormalization", layer)
        .gives(back::layer)
        .yields(1, ElementType::Float)
        .yields(2, ElementType::Float),
    row("RMSNormalization", root_mean_square).gives(back::root_mean_square),
    row("SimplifiedLayerNormalization", root_mean_square)
        .gives(back::root_mean_square)
        .of_elements(&[Elements::Input(1)])
        .yields(1, ElementType::Float),
    row("GroupNormalization", group).gives(back::group),
    row("LpNormalization", along_axis).slope(back::to_unit_norm),
    row("MeanVarianceNormalization", over_axes).slope(back::mean_variance),
    row("LRN", local_response).slope(back::local_response),
];

const NORMALISED: &str = "is normalised over";

fn channels(x: &[Type]) -> Ruling<Type> {
    x.get(1)
        .cloned()
        .ok_or(Unsupported("its data has no channel axis"))
}

/// All further inputs are parameters along the channels.
fn per_channel_parameters(op: &mut Typing, channel: &Type) -> Ruling {
    for slot in 1..op.input_count() {
        for parameter in op.optional(slot)?.into_iter().flatten() {
            op.unify(channel, &parameter);
        }
    }
    op.nonlinear(channel, "scales each position differently");
    Ok(())
}

/// Statistics are parameters: each channel stands for itself.
fn batch(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let channel = channels(&x)?;
    per_channel_parameters(op, &channel)?;
    op.output(0, x);
    for slot in 1..op.output_count() {
        op.output(slot, vec![channel.clone()]);
    }
    Ok(())
}

/// Statistics over the spatial axes of each channel.
fn instance(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let channel = channels(&x)?;
    per_channel_parameters(op, &channel)?;
    let mix = Mix::Normalised {
        centred: true,
        scale: Some(1),
        groups: None,
    };
    let axes: Vec<usize> = (2..x.len()).collect();
    op.mixes(0, &x, &axes, mix, NORMALISED);
    op.output(0, x);
    Ok(())
}

/// Statistics over all axes from `axis` on; parameters broadcast along them.
fn layer(op: &mut Typing) -> Ruling {
    from_axis_on(op, true)
}

/// As a layer's, of squares that no mean was taken off.
fn root_mean_square(op: &mut Typing) -> Ruling {
    from_axis_on(op, false)
}

fn from_axis_on(op: &mut Typing, centred: bool) -> Ruling {
    let x = op.input(0)?;
    let from = axis_of(op.int("axis", -1), x.len())?;
    for slot in 1..op.input_count() {
        let Some(parameter) = op.optional(slot)? else {
            continue;
        };
        let skipped = x.len().checked_sub(parameter.len());
        let skipped = skipped.ok_or(Unsupported("a parameter has a higher rank than the data"))?;
        for (axis, parameter) in x[skipped..].iter().zip(&parameter) {
            if !op.is_one(parameter) || op.is_one(axis) {
                op.unify(axis, parameter);
            }
        }
    }
    let mix = Mix::Normalised {
        centred,
        scale: Some(1),
        groups: None,
    };
    let axes: Vec<usize> = (from..x.len()).collect();
    op.mixes(0, &x, &axes, mix, NORMALISED);
    let mut statistics = x.clone();
    for axis in &mut statistics[from..] {
        *axis = op.fixed(Extent::ONE, "is a statistic");
    }
    op.output(0, x);
    for slot in 1..op.output_count() {
        op.output(slot, statistics.clone());
    }
    Ok(())
}

/// Statistics over the channels of each group: a whole group stands for itself. Parameters are per group up
/// to operator set 20 and per channel from 21 on.
fn group(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let channel = channels(&x)?;
    let size = op.size(&channel)?;
    let groups = usize::try_from(op.int("num_groups", 0)).unwrap_or(0);
    if groups == 0 || size % groups != 0 {
        return Err(Unsupported("its channels do not divide into its groups"));
    }
    let sizes = [Extent::from(groups), Extent::from(size / groups)];
    let factors = op.factor(&channel, &sizes);
    for slot in 1..op.input_count() {
        for parameter in op.optional(slot)?.into_iter().flatten() {
            let whole = op.size(&parameter)? == size;
            op.unify(&parameter, if whole { &channel } else { &factors[0] });
        }
    }
    op.nonlinear(&factors[0], NORMALISED);
    op.mirror_int("num_groups", &factors[0]);
    let places = x.iter().cloned().enumerate().skip(2);
    let axes = [(1, factors[1].clone())].into_iter().chain(places);
    let mix = Mix::Normalised {
        centred: true,
        scale: Some(1),
        groups: Some(factors[0].clone()),
    };
    op.mixes_parts(0, axes.collect(), mix, NORMALISED);
    op.output(0, x);
    Ok(())
}

fn along_axis(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", -1), x.len())?;
    op.mixes(0, &x, &[axis], Mix::Sum, NORMALISED);
    op.output(0, x);
    Ok(())
}

fn over_axes(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axes = op.ints("axes").unwrap_or_else(|| vec![0, 2, 3]);
    let axes = axes.into_iter().map(|axis| axis_of(axis, x.len()));
    let mix = Mix::Normalised {
        centred: true,
        scale: None,
        groups: None,
    };
    op.mixes(0, &x, &axes.collect::<Ruling<Vec<_>>>()?, mix, NORMALISED);
    op.output(0, x);
    Ok(())
}

/// Neighbouring channels matter: their order is part of the meaning.
fn local_response(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let channel = channels(&x)?;
    op.pin(&channel, "is normalised with its neighbours");
    op.output(0, x);
    Ok(())
}
