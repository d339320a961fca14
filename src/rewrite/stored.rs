//! Weights that take fewer bytes in the file: as codes of 8 bits or fewer, or as numbers of 16 bits.
//!
//! Nodes make numbers of them again, which onnxruntime computes once, when it loads a model. Only products of blocks have
//! a kernel of their own, which reads the codes.

use std::collections::HashMap;

use super::codes::{applied, constant};
use crate::error::Result;
use crate::graph::{Graph, Patch, ValueId, int};
use crate::layers::Layer;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, packed, to_f32};
use crate::ops::{CONTRIB, Operand};

/// A constant that takes fewer bytes: what is loaded is the code times its step.
#[derive(Clone, Debug)]
pub(crate) struct StoredWeight {
    pub(crate) name: String,
    /// Sizes of the axes of the steps, 1 or those of the constant; not used for blocks.
    pub(crate) sizes: Vec<usize>,
    pub(crate) steps: Vec<f32>,
    pub(crate) form: StoredForm,
}

/// How a constant is stored.
#[derive(Clone, Debug)]
pub(crate) enum StoredForm {
    /// Codes of 8 bits.
    Codes,
    /// Codes of 8 bits of a table whose rows all its readers look up: only what is looked up becomes numbers.
    Table,
    /// Codes from `-limit` to `limit`, several as the digits of one number.
    Digits { limit: i32 },
    /// Codes of 4 bits, with a step for each so many columns of a row of this layer, whose operator becomes one that
    /// reads them.
    Blocks { layer: Box<Layer>, columns: usize },
    /// Numbers of this type.
    Half(ElementType),
}

/// The model of `graph` with these constants stored so.
///
/// # Errors
/// A tensor that cannot be read, or a result that is no valid graph.
pub(crate) fn with_stored(graph: &Graph, weights: &[StoredWeight]) -> Result<Model> {
    let mut storing = Storing {
        graph,
        patch: Patch::of(graph),
        stored: HashMap::new(),
        shared: HashMap::new(),
        contributed: false,
    };
    for weight in weights {
        storing.store(weight)?;
    }
    let step = "the model with stored weights";
    let mut model = applied(graph, storing.patch, &storing.stored, step)?;
    if storing.contributed {
        model.import(CONTRIB, 1);
    }
    Ok(model)
}

impl StoredWeight {
    /// By element of a constant of these sizes its step.
    fn spread(&self, dims: &[i64]) -> Vec<f32> {
        if let StoredForm::Blocks { layer, columns } = &self.form {
            return layer.scatter(&by_column(&self.steps, layer.columns(), *columns));
        }
        let dims: Vec<usize> = dims.iter().map(|&size| size as usize).collect();
        let places = places_in(&self.sizes, &dims).into_iter();
        places.map(|place| self.steps[place]).collect()
    }
}

/// The steps of blocks for each column, row by row.
pub(crate) fn by_column(steps: &[f32], columns: usize, block: usize) -> Vec<f32> {
    let rows = steps.chunks(columns.div_ceil(block.max(1)).max(1));
    let spread = rows.flat_map(|row| (0..columns).map(|column| row[column / block.max(1)]));
    spread.collect()
}

/// By element of an array of `dims` its place in one whose axes are of size 1 or as large.
pub(crate) fn places_in(sizes: &[usize], dims: &[usize]) -> Vec<usize> {
    let axes = dims.iter().zip(sizes);
    axes.fold(vec![0], |outer, (&size, &own)| {
        let inner = |&at: &usize| (0..size).map(move |i| at * own + i.min(own - 1));
        outer.iter().flat_map(inner).collect()
    })
}

struct Storing<'a> {
    graph: &'a Graph,
    patch: Patch,
    /// By constant what takes its place.
    stored: HashMap<String, TensorProto>,
    /// Small constants that several weights need.
    shared: HashMap<Vec<i32>, String>,
    contributed: bool,
}

impl Storing<'_> {
    fn store(&mut self, weight: &StoredWeight) -> Result<()> {
        self.patch.at_start();
        let name = weight.name.as_str();
        let (value, tensor) = constant(self.graph, name)?;
        let dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        let numbers = to_f32(tensor)?;
        let number = match &weight.form {
            StoredForm::Half(element) => {
                let half = from_raw(name, *element, &dims, packed(&numbers, *element));
                self.stored.insert(name.to_owned(), half);
                self.real(name)
            }
            StoredForm::Codes => {
                self.bytes(weight, &numbers, &tensor.dims);
                let real = self.real(name);
                self.scaled(&real, weight)
            }
            StoredForm::Table => {
                self.bytes(weight, &numbers, &tensor.dims);
                self.looked_up(value, weight);
                return Ok(());
            }
            StoredForm::Digits { limit } => {
                let codes = codes(&numbers, &weight.spread(&tensor.dims));
                let real = self.digits(name, &codes, &dims, *limit);
                self.scaled(&real, weight)
            }
            StoredForm::Blocks { layer, columns } => {
                let codes = codes(&numbers, &weight.spread(&tensor.dims));
                return self.blocks(weight, &codes, (layer, *columns));
            }
        };
        self.connect(value, &number);
        Ok(())
    }

    /// Stores codes of 8 bits.
    fn bytes(&mut self, weight: &StoredWeight, numbers: &[f32], dims: &[i64]) {
        let codes = codes(numbers, &weight.spread(dims));
        let bytes: Vec<u8> = codes.iter().map(|&code| code as i8 as u8).collect();
        let sizes: Vec<usize> = dims.iter().map(|&size| size as usize).collect();
        let codes = from_raw(&weight.name, ElementType::Int8, &sizes, bytes);
        self.stored.insert(weight.name.clone(), codes);
    }

    /// Lets nodes look up codes, and the steps of these by the same positions.
    fn looked_up(&mut self, table: ValueId, weight: &StoredWeight) {
        let scale = self.numbers(&weight.steps, &weight.sizes);
        for &(reader, _) in &self.graph.value(table).consumers {
            self.patch.before(reader);
            let node = self.graph.node_proto(reader);
            let mut look = |table: &str| {
                let mut own = node.clone();
                own.input[0] = table.to_owned();
                self.patch.copy("wg", &own).swap_remove(0)
            };
            let [codes, steps] = [weight.name.as_str(), &scale].map(&mut look);
            let real = self.real(&codes);
            let output = node.output.first().map_or("", String::as_str);
            let inputs = [real.as_str(), &steps];
            self.patch
                .node_called("wn", output, "Mul", &inputs, Vec::new());
            self.patch.remove(reader);
        }
    }

    fn connect(&mut self, value: ValueId, number: &str) {
        for &(reader, slot) in &self.graph.value(value).consumers {
            self.patch.connect(reader, slot, number);
        }
    }

    fn node(&mut self, operator: &str, inputs: &[&str]) -> String {
        let output = self.patch.fresh("w");
        self.patch
            .node_called("wn", &output, operator, inputs, Vec::new());
        output
    }

    fn cast(&mut self, codes: &str, element: ElementType) -> String {
        let output = self.patch.fresh("wc");
        let to = vec![int("to", element.number().into())];
        self.patch.node_called("cn", &output, "Cast", &[codes], to);
        output
    }

    fn real(&mut self, codes: &str) -> String {
        self.cast(codes, ElementType::Float)
    }

    fn scaled(&mut self, codes: &str, weight: &StoredWeight) -> String {
        let scale = self.numbers(&weight.steps, &weight.sizes);
        self.node("Mul", &[codes, &scale])
    }

    fn numbers(&mut self, numbers: &[f32], sizes: &[usize]) -> String {
        let bytes = packed(numbers, ElementType::Float);
        self.patch.constant("ws", ElementType::Float, sizes, bytes)
    }

    /// A list of integers, or a single one, each once.
    fn integers(&mut self, numbers: &[i32], alone: bool) -> String {
        let patch = &mut self.patch;
        let key = numbers.iter().copied().chain([i32::from(alone)]).collect();
        let made = self.shared.entry(key).or_insert_with(|| {
            let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            let sizes: &[usize] = if alone { &[] } else { &[numbers.len()] };
            patch.constant("wi", ElementType::Int32, sizes, bytes)
        });
        made.clone()
    }

    /// Stores codes as digits, and makes a tensor of these sizes of them again.
    fn digits(&mut self, name: &str, codes: &[i32], dims: &[usize], limit: i32) -> String {
        let packing = Packing::of(limit);
        let words = packing.words(codes);
        let packed = from_raw(
            name,
            packing.element,
            &[words.len() / packing.bytes(), 1],
            words,
        );
        self.stored.insert(name.to_owned(), packed);
        let powers = packing.powers();
        let (powers, base) = (
            self.integers(&powers, false),
            self.integers(&[packing.base], true),
        );
        let word = self.cast(name, ElementType::Int32);
        let shifted = self.node("Div", &[&word, &powers]);
        let digits = self.node("Mod", &[&shifted, &base]);
        let offset = self.integers(&[limit], true);
        let mut codes_of = self.node("Sub", &[&digits, &offset]);
        if !codes.len().is_multiple_of(packing.digits) {
            let flat = self.patch.integers("wd", &[-1]);
            codes_of = self.node("Reshape", &[&codes_of, &flat]);
            let ends = [0, codes.len() as i64].map(|end| self.patch.integers("wd", &[end]));
            codes_of = self.node("Slice", &[&codes_of, &ends[0], &ends[1]]);
        }
        let real = self.real(&codes_of);
        let sizes: Vec<i64> = dims.iter().map(|&size| size as i64).collect();
        let sizes = self.patch.integers("wd", &sizes);
        self.node("Reshape", &[&real, &sizes])
    }

    /// Lets a layer's operator read blocks of codes.
    fn blocks(
        &mut self,
        weight: &StoredWeight,
        codes: &[i32],
        (layer, block): (&Layer, usize),
    ) -> Result<()> {
        let Some(linear) = layer.uses.first() else {
            return Ok(());
        };
        let codes = layer.gather(codes);
        let (rows, columns) = (layer.rows(), layer.columns());
        let count = columns.div_ceil(block);
        let mut bytes = Vec::with_capacity(rows * count * block / 2);
        for row in codes.chunks(columns.max(1)) {
            let padded = row.iter().copied().chain(std::iter::repeat(0));
            let padded: Vec<i32> = padded.take(count * block).collect();
            let pairs = padded.chunks(2);
            // Without zero points a code of 8 stands for 0.
            bytes.extend(pairs.map(|pair| ((pair[0] + 8) | (pair[1] + 8) << 4) as u8));
        }
        let sizes = [rows, count, block / 2];
        let packed = from_raw(&weight.name, ElementType::Uint8, &sizes, bytes);
        self.stored.insert(weight.name.clone(), packed);
        let scale = self.numbers(&weight.steps, &[rows, count]);
        let node = self.graph.node_proto(linear.node);
        let input = |slot: usize| node.input.get(slot).cloned().unwrap_or_default();
        let Some(Operand::Input(data)) = linear.data else {
            return Ok(());
        };
        let output = node.output.first().cloned().unwrap_or_default();
        let bias = linear.bias.map(|bias| input(bias.slot));
        let bias = bias.filter(|bias| !bias.is_empty());
        let made = match &bias {
            Some(_) => self.patch.fresh("wp"),
            None => output.clone(),
        };
        let attributes = vec![
            int("K", columns as i64),
            int("N", rows as i64),
            int("bits", 4),
            int("block_size", block as i64),
        ];
        let (patch, data) = (&mut self.patch, input(data));
        patch.before(linear.node);
        let inputs = [data.as_str(), &weight.name, &scale];
        patch.node_called(node.name(), &made, "MatMulNBits", &inputs, attributes);
        patch.of_domain(CONTRIB);
        if let Some(bias) = bias {
            self.patch
                .node_called("wn", &output, "Add", &[&made, &bias], Vec::new());
        }
        self.patch.remove(linear.node);
        self.contributed = true;
        Ok(())
    }
}

fn codes(numbers: &[f32], steps: &[f32]) -> Vec<i32> {
    let pairs = numbers.iter().zip(steps);
    let codes = pairs
        .map(|(&number, &step)| (f64::from(number) / f64::from(step)).round_ties_even() as i32);
    codes.collect()
}

/// How many codes are the digits of one number.
struct Packing {
    limit: i32,
    base: i32,
    digits: usize,
    element: ElementType,
}

impl Packing {
    fn of(limit: i32) -> Packing {
        let base = 2 * limit + 1;
        let most = |words: i32| (1..).take_while(|&n| base.pow(n) <= words).count();
        let (bytes, pairs) = (most(1 << 8), most(1 << 16));
        // Two bytes hold more where a single one has much left over.
        let (digits, element) = match pairs > 2 * bytes {
            true => (pairs, ElementType::Uint16),
            false => (bytes, ElementType::Uint8),
        };
        Packing {
            limit,
            base,
            digits,
            element,
        }
    }

    fn bytes(&self) -> usize {
        match self.element {
            ElementType::Uint16 => 2,
            _ => 1,
        }
    }

    fn powers(&self) -> Vec<i32> {
        std::iter::successors(Some(1), |power| Some(power * self.base))
            .take(self.digits)
            .collect()
    }

    fn words(&self, codes: &[i32]) -> Vec<u8> {
        let powers = self.powers();
        let words = codes.chunks(self.digits).flat_map(|codes| {
            let digits = codes
                .iter()
                .map(|&code| code.clamp(-self.limit, self.limit));
            let digits = digits.map(|code| code + self.limit);
            let word: i32 = digits
                .zip(&powers)
                .map(|(digit, power)| digit * power)
                .sum();
            let bytes = word.to_le_bytes();
            bytes[..self.bytes()].to_vec()
        });
        words.collect()
    }
}

impl StoredForm {
    /// Bits that a number takes, without its step.
    pub(crate) fn bits(&self) -> f64 {
        match self {
            StoredForm::Codes | StoredForm::Table => 8.0,
            StoredForm::Digits { limit } => {
                let packing = Packing::of(*limit);
                8.0 * packing.bytes() as f64 / packing.digits as f64
            }
            StoredForm::Blocks { .. } => 4.0,
            StoredForm::Half(_) => 16.0,
        }
    }
}
