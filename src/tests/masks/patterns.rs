//! Patterns: of every group as many stay, and blocks go as wholes.

use super::{masked, net, sparsity, zeros};
use crate::masks::{MaskScope, MaskSettings, Pattern, WeightCriterion, choose};
use crate::tests::builder::analyse;

/// Weights that stay in each group of `of` along the input channels of the convolution `[7, 6, 3, 3]`, at
/// each place of the kernel; reads the flags without the layer's own coordinates.
fn kept_by_channel_group(flags: &[bool], of: usize) -> Vec<(usize, usize)> {
    let at = |row: usize, channel: usize, place: usize| flags[(row * 6 + channel) * 9 + place];
    let mut out = Vec::new();
    for row in 0..7 {
        for place in 0..9 {
            for start in (0..6).step_by(of) {
                let group = start..(start + of).min(6);
                out.push((
                    group.len(),
                    group.filter(|&channel| at(row, channel, place)).count(),
                ));
            }
        }
    }
    out
}

#[test]
fn groups_run_along_the_input_channels_at_each_place_of_the_kernel() {
    let model = net();
    let analysis = analyse(&model);
    for (kept, of) in [(2, 4), (1, 4), (1, 2), (3, 4), (2, 3), (0, 2)] {
        for criterion in [
            WeightCriterion::Magnitude,
            WeightCriterion::Wanda,
            WeightCriterion::Random,
        ] {
            let pattern = Pattern::Grouped { kept, of };
            let (_, layers) = masked(
                &analysis,
                &MaskSettings {
                    pattern,
                    criterion,
                    ..MaskSettings::default()
                },
            );
            for (size, stay) in kept_by_channel_group(&layers[0].1, of) {
                assert_eq!(stay, kept.min(size), "{kept}:{of}");
            }
            // A product `[63, 10]` groups its rows, as those are summed over.
            let column = |column: usize| (0..63).map(move |row| row * 10 + column);
            for flags in (0..10).map(|c| column(c).map(|at| layers[1].1[at]).collect::<Vec<_>>()) {
                let groups = flags.chunks(of);
                assert!(
                    groups
                        .into_iter()
                        .all(|g| g.len() - zeros(g) == kept.min(g.len()))
                );
            }
        }
    }
}

#[test]
fn a_group_that_does_not_fit_leaves_the_layer() {
    let model = net();
    let analysis = analyse(&model);
    let settings = MaskSettings {
        pattern: Pattern::Grouped { kept: 2, of: 8 },
        ..MaskSettings::default()
    };
    let chosen = choose(&analysis, &settings).expect("layers");
    let names: Vec<&str> = chosen.layers().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    let left = chosen
        .left
        .iter()
        .find(|weight| weight.name == "conv")
        .expect("a reason");
    assert!(
        left.reason.contains("6 position(s), fewer than the 8"),
        "{}",
        left.reason
    );
}

#[test]
fn blocks_go_whole() {
    let model = net();
    let analysis = analyse(&model);
    for scope in [MaskScope::Layer, MaskScope::Global] {
        let pattern = Pattern::Block {
            rows: 4,
            columns: 2,
        };
        let (chosen, layers) = masked(
            &analysis,
            &MaskSettings {
                pattern,
                scope: Some(scope),
                ..sparsity(0.5)
            },
        );
        let (mut found, mut all) = (0, 0);
        for (layer, (_, flags)) in chosen.layers().zip(&layers) {
            let matrix = layer.gather(flags);
            let at = |row: usize, column: usize| matrix[row * layer.columns() + column];
            for lane in layer.lanes() {
                for band in (0..layer.rows()).collect::<Vec<_>>().chunks(4) {
                    for group in lane.chunks(2) {
                        let first = at(band[0], group[0]);
                        assert!(
                            band.iter()
                                .all(|&r| group.iter().all(|&c| at(r, c) == first))
                        );
                    }
                }
            }
            if scope == MaskScope::Layer {
                assert!(
                    zeros(flags).abs_diff(flags.len() / 2) <= 8,
                    "within one block"
                );
            }
            (found, all) = (found + zeros(flags), all + flags.len());
        }
        assert!(found.abs_diff(all / 2) <= 8 * layers.len());
    }
}
