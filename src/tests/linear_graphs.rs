//! The adjoint identity on random graphs: where an output is linear in an input, `<g, x> = <d, y>` for any gradient `d`
//! of the output, whatever the nodes between are and however they share values.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::adjoints::faults;
use super::builder::{Builder, Value, noise};
use super::rules::runtime;
use crate::random::generator;

/// Graphs that are tried.
const GRAPHS: u64 = 40;
/// Nodes of a graph.
const NODES: usize = 14;
/// Numbers of a value at most.
const LARGEST: usize = 4000;

/// A graph in the making, whose values are all linear in `x`.
struct Making {
    builder: Option<Builder>,
    random: ChaCha8Rng,
    /// Names and sizes.
    values: Vec<(String, Vec<usize>)>,
    count: usize,
}

impl Making {
    fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit)
    }

    fn fresh(&mut self, base: &str) -> String {
        self.count += 1;
        format!("{base}{}", self.count)
    }

    fn with(&mut self, change: impl FnOnce(Builder) -> Builder) {
        let builder = self.builder.take().expect("a builder");
        self.builder = Some(change(builder));
    }

    /// A constant with random numbers.
    fn weight(&mut self, sizes: &[usize]) -> String {
        let name = self.fresh("w");
        let dims: Vec<usize> = sizes.to_vec();
        self.with(|builder| builder.weight(&name, &dims));
        name
    }

    fn ints(&mut self, numbers: &[i64]) -> String {
        let name = self.fresh("i");
        self.with(|builder| builder.ints(&name, numbers));
        name
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &str,
        attributes: &[(&'static str, Value)],
        sizes: Vec<usize>,
    ) {
        let output = self.fresh("v");
        let wiring = format!("{inputs} -> {output}");
        self.with(|builder| builder.node(operator, &wiring, attributes));
        self.values.push((output, sizes));
    }

    /// One node more, on a value that there is.
    fn grow(&mut self) {
        let place = self.below(self.values.len());
        let (name, sizes) = self.values[place].clone();
        let axis = self.below(sizes.len());
        let last = sizes.len() - 1;
        match self.below(12) {
            0 if sizes.len() == 4 => self.convolution(&name, &sizes),
            1 => {
                let shift = 1 + self.below(last.max(1));
                let order: Vec<usize> = (0..sizes.len())
                    .map(|i| (i + shift) % sizes.len())
                    .collect();
                let moved = order.iter().map(|&from| sizes[from]).collect();
                let order = order.iter().map(|&from| from as i64).collect();
                self.node("Transpose", &name, &[("perm", Value::Ints(order))], moved);
            }
            2 if sizes.len() > 2 => {
                let mut joined = sizes[..last].to_vec();
                joined[last - 1] *= sizes[last];
                let target: Vec<i64> = joined.iter().map(|&size| size as i64).collect();
                let target = self.ints(&target);
                self.node("Reshape", &format!("{name} {target}"), &[], joined);
            }
            3 if sizes[axis] > 2 => self.slice(&name, &sizes, axis),
            4 => {
                let mut pads = vec![0; 2 * sizes.len()];
                pads[axis] = 1;
                pads[sizes.len() + axis] = 2;
                let mut wider = sizes.clone();
                wider[axis] += 3;
                let pads = self.ints(&pads);
                self.node("Pad", &format!("{name} {pads}"), &[], wider);
            }
            5 => {
                let other = self.like(&sizes);
                let mut longer = sizes.clone();
                longer[axis] *= 2;
                let axis = [("axis", Value::Int(axis as i64))];
                self.node("Concat", &format!("{name} {other}"), &axis, longer);
            }
            6 => {
                let other = self.like(&sizes);
                self.node("Add", &format!("{name} {other}"), &[], sizes);
            }
            7 => {
                let other = self.like(&sizes);
                self.node("Sub", &format!("{other} {name}"), &[], sizes);
            }
            8 => {
                let columns = 1 + self.below(6);
                let w = self.weight(&[sizes[last], columns]);
                let mut made = sizes.clone();
                made[last] = columns;
                self.node("MatMul", &format!("{name} {w}"), &[], made);
            }
            9 => {
                let axes = self.ints(&[axis as i64]);
                let mut made = sizes.clone();
                made[axis] = 1;
                self.node("ReduceSum", &format!("{name} {axes}"), &[], made);
            }
            10 => {
                let mut own = vec![1; sizes.len()];
                own[axis] = sizes[axis];
                let w = self.weight(&own);
                self.node("Mul", &format!("{name} {w}"), &[], sizes);
            }
            _ => {
                let index: Vec<i64> = (0..3).map(|_| self.below(sizes[axis]) as i64).collect();
                let index = self.ints(&index);
                let mut made = sizes.clone();
                made[axis] = 3;
                let axis = [("axis", Value::Int(axis as i64))];
                self.node("Gather", &format!("{name} {index}"), &axis, made);
            }
        }
    }

    /// Another value of the same sizes, or one whose axes of size 1 are spread; the last such one.
    fn like(&mut self, sizes: &[usize]) -> String {
        let mut alike = self.values.iter().filter(|(_, own)| own == sizes);
        let skipped = self.random.random_range(0..3);
        let found = alike.nth(skipped).map(|(name, _)| name.clone());
        found.unwrap_or_else(|| {
            let known = self.values.iter().find(|(_, own)| own == sizes);
            known.expect("the value itself").0.clone()
        })
    }

    fn convolution(&mut self, name: &str, sizes: &[usize]) {
        let made = 1 + self.below(5);
        let (stride, side) = (1 + self.below(2), 1 + 2 * self.below(2));
        let w = self.weight(&[made, sizes[1], side, side]);
        let pad = (side / 2) as i64;
        let place = |size: usize| (size + 2 * (side / 2) - side) / stride + 1;
        let attributes = [
            ("strides", Value::Ints(vec![stride as i64; 2])),
            ("pads", Value::Ints(vec![pad; 4])),
        ];
        let out = vec![sizes[0], made, place(sizes[2]), place(sizes[3])];
        self.node("Conv", &format!("{name} {w}"), &attributes, out);
    }

    fn slice(&mut self, name: &str, sizes: &[usize], axis: usize) {
        let step = 1 + self.below(2);
        let mut made = sizes.to_vec();
        made[axis] = (sizes[axis] - 1).div_ceil(step);
        let lists = [1, i64::from(i32::MAX), axis as i64, step as i64];
        let names = lists.map(|number| self.ints(&[number]));
        self.node("Slice", &format!("{name} {}", names.join(" ")), &[], made);
    }
}

#[test]
fn gradients_of_random_linear_graphs_are_the_adjoint() {
    let runtime = runtime();
    let mut failures = Vec::new();
    for seed in 0..GRAPHS {
        let x = noise("x", &[2, 3, 5, 4]);
        let mut making = Making {
            builder: Some(Builder::new(13).input("x", &x.dims)),
            random: generator("linear graphs", seed),
            values: vec![("x".to_owned(), vec![2, 3, 5, 4])],
            count: 0,
        };
        for _ in 0..NODES {
            making.grow();
            making
                .values
                .retain(|(_, sizes)| sizes.iter().product::<usize>() <= LARGEST);
        }
        // What depends on much comes last.
        let (last, sizes) = making.values[making.values.len() - 1].clone();
        let (before, own) = making.values[making.values.len() / 2].clone();
        let others = making.ints(&(0..own.len() as i64).collect::<Vec<i64>>());
        let keep = [("keepdims", Value::Int(0))];
        making.node(
            "ReduceSum",
            &format!("{before} {others}"),
            &keep,
            Vec::new(),
        );
        making.node("Identity", &last, &[], sizes.clone());
        let (sum, _) = making.values[making.values.len() - 2].clone();
        let (same, _) = making.values[making.values.len() - 1].clone();
        making.node("Add", &format!("{same} {sum}"), &[], sizes);
        let (end, _) = making.values[making.values.len() - 1].clone();
        making.with(|builder| {
            builder
                .node("Identity", &format!("{end} -> y"), &[])
                .output("y")
        });
        let model = making.builder.expect("a builder").model();
        let found = faults(&model, std::slice::from_ref(&x), &[], &runtime);
        failures.extend(
            found
                .into_iter()
                .map(|fault| format!("graph {seed}: {fault}")),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
