//! New nodes by what they compute, where all sizes are known.
//!
//! Each form is one that operator sets from 7 on have, and that has kernels on processors, CUDA and WebGPU: no list of
//! more than eight inputs (WebGPU binds few buffers at once), no Sign, no Sum of a list.

use std::collections::HashMap;

use half::{bf16, f16};

use super::{Array, Patch, broadcast_sizes, declaration, int, ints};
use crate::onnx::ElementType;
use crate::onnx::proto::{AttributeProto, ValueInfoProto};

/// Makes nodes at the end of a graph.
pub(crate) struct Emitter {
    patch: Patch,
    opset: i64,
    /// Whether the nodes run on a processor.
    on_processor: bool,
    /// What the names of its values begin with.
    base: String,
    /// Single numbers that there are, by element type and bits.
    numbers: HashMap<(ElementType, u64), Array>,
    /// Lists of integers that there are.
    lists: HashMap<Vec<i64>, String>,
    /// Bytes of what its nodes make, by name.
    made: HashMap<String, u64>,
}

impl Emitter {
    /// New nodes in `patch`, for this version of the operator set; names begin with `base`.
    pub(crate) fn new(patch: Patch, opset: i64, base: &str) -> Emitter {
        Emitter {
            patch,
            opset,
            on_processor: true,
            base: base.to_owned(),
            numbers: HashMap::new(),
            lists: HashMap::new(),
            made: HashMap::new(),
        }
    }

    /// Forms that are fast on other devices.
    pub(crate) fn on_device(&mut self) {
        self.on_processor = false;
    }

    pub(crate) fn on_processor(&self) -> bool {
        self.on_processor
    }

    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }

    /// What the nodes are in.
    pub(crate) fn patch(&mut self) -> &mut Patch {
        &mut self.patch
    }

    /// How far it has come.
    pub(crate) fn mark(&self) -> usize {
        self.patch.made()
    }

    /// Takes the nodes back that were made since then.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.patch.take_back(mark);
    }

    /// Tells of a value that an old node makes from now on.
    pub(crate) fn note(&mut self, made: &Array) {
        self.made.insert(made.name.clone(), made.bytes());
    }

    /// Bytes of what its nodes make, by name.
    pub(crate) fn made(&mut self) -> HashMap<String, u64> {
        std::mem::take(&mut self.made)
    }

    pub(crate) fn into_patch(self) -> Patch {
        self.patch
    }

    /// A new input of the graph, whose name is like `base`.
    pub(crate) fn input(&mut self, base: &str, sizes: &[usize], element: ElementType) -> Array {
        let made = Array {
            name: self.patch.fresh(base),
            sizes: sizes.to_vec(),
            element,
        };
        self.patch.input(declared(&made));
        made
    }

    /// Makes a value an output of the graph as well.
    pub(crate) fn output(&mut self, made: &Array) {
        self.patch.output(declared(made));
    }

    /// Any node with one output.
    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        (sizes, element): (Vec<usize>, ElementType),
    ) -> Array {
        let made = Array {
            name: self.patch.node(&self.base, operator, inputs, attributes),
            sizes,
            element,
        };
        self.note(&made);
        made
    }

    /// A function of each element.
    pub(crate) fn map(&mut self, operator: &str, x: &Array) -> Array {
        let made = (x.sizes.clone(), x.element);
        self.node(operator, &[&x.name], Vec::new(), made)
    }

    /// A function of the elements of two arrays, broadcast.
    fn pair(&mut self, operator: &str, a: &Array, b: &Array, element: ElementType) -> Array {
        let sizes = broadcast_sizes(&a.sizes, &b.sizes);
        self.node(operator, &[&a.name, &b.name], Vec::new(), (sizes, element))
    }

    pub(crate) fn add(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Add", a, b, a.element)
    }

    pub(crate) fn sub(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Sub", a, b, a.element)
    }

    pub(crate) fn mul(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Mul", a, b, a.element)
    }

    pub(crate) fn div(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Div", a, b, a.element)
    }

    pub(crate) fn pow(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Pow", a, b, a.element)
    }

    pub(crate) fn neg(&mut self, x: &Array) -> Array {
        self.map("Neg", x)
    }

    pub(crate) fn exp(&mut self, x: &Array) -> Array {
        self.map("Exp", x)
    }

    /// The natural logarithm.
    pub(crate) fn log(&mut self, x: &Array) -> Array {
        self.map("Log", x)
    }

    /// The square root.
    pub(crate) fn root(&mut self, x: &Array) -> Array {
        self.map("Sqrt", x)
    }

    /// `x * factor`; `x` itself where that is 1.
    pub(crate) fn scale(&mut self, x: &Array, factor: f64) -> Array {
        if factor == 1.0 {
            return x.clone();
        }
        let factor = self.number(factor, x.element);
        self.mul(x, &factor)
    }

    /// `x + number`.
    pub(crate) fn shift(&mut self, x: &Array, number: f64) -> Array {
        let number = self.number(number, x.element);
        self.add(x, &number)
    }

    /// `number - x`.
    pub(crate) fn number_less(&mut self, number: f64, x: &Array) -> Array {
        let number = self.number(number, x.element);
        self.sub(&number, x)
    }

    /// `x * x`.
    pub(crate) fn square(&mut self, x: &Array) -> Array {
        self.mul(x, x)
    }

    pub(crate) fn greater(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Greater", a, b, ElementType::Bool)
    }

    pub(crate) fn less(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("Less", a, b, ElementType::Bool)
    }

    /// `x > number`.
    pub(crate) fn above(&mut self, x: &Array, number: f64) -> Array {
        let number = self.number(number, x.element);
        self.greater(x, &number)
    }

    /// `x < number`.
    pub(crate) fn below(&mut self, x: &Array, number: f64) -> Array {
        let number = self.number(number, x.element);
        self.less(x, &number)
    }

    /// `a == b`, for real numbers in every version.
    pub(crate) fn equal(&mut self, a: &Array, b: &Array) -> Array {
        if self.opset >= 11 || !a.element.is_float() {
            return self.pair("Equal", a, b, ElementType::Bool);
        }
        let (above, below) = (self.greater(a, b), self.less(a, b));
        let either = self.pair("Or", &above, &below, ElementType::Bool);
        self.map("Not", &either)
    }

    pub(crate) fn not(&mut self, x: &Array) -> Array {
        self.map("Not", x)
    }

    pub(crate) fn and(&mut self, a: &Array, b: &Array) -> Array {
        self.pair("And", a, b, ElementType::Bool)
    }

    /// `a` where the condition holds, else `b`.
    pub(crate) fn choose(&mut self, condition: &Array, a: &Array, b: &Array) -> Array {
        let sizes = broadcast_sizes(&condition.sizes, &broadcast_sizes(&a.sizes, &b.sizes));
        if self.opset >= 9 {
            let names = [&*condition.name, &a.name, &b.name];
            return self.node("Where", &names, Vec::new(), (sizes, a.element));
        }
        let ones = self.cast(condition, a.element);
        let first = self.mul(&ones, a);
        let others = self.number_less(1.0, &ones);
        let second = self.mul(&others, b);
        self.add(&first, &second)
    }

    /// `x` where the condition holds, else 0.
    pub(crate) fn keep_where(&mut self, condition: &Array, x: &Array) -> Array {
        let zero = self.number(0.0, x.element);
        self.choose(condition, x, &zero)
    }

    pub(crate) fn cast(&mut self, x: &Array, to: ElementType) -> Array {
        if x.element == to {
            return x.clone();
        }
        let attributes = vec![int("to", to.number().into())];
        self.node("Cast", &[&x.name], attributes, (x.sizes.clone(), to))
    }

    /// One number, without axes.
    pub(crate) fn number(&mut self, number: f64, element: ElementType) -> Array {
        let key = (element, number.to_bits());
        if let Some(known) = self.numbers.get(&key) {
            return known.clone();
        }
        let made = self.constant(&[number], &[], element);
        self.numbers.insert(key, made.clone());
        made
    }

    /// Numbers in row-major order.
    pub(crate) fn constant(
        &mut self,
        numbers: &[f64],
        sizes: &[usize],
        element: ElementType,
    ) -> Array {
        let bytes = packed(numbers, element);
        let base = format!("{}.constant", self.base);
        let name = self.patch.constant(&base, element, sizes, bytes);
        Array {
            name,
            sizes: sizes.to_vec(),
            element,
        }
    }

    /// A list of integers, as an argument.
    pub(crate) fn list(&mut self, numbers: &[i64]) -> String {
        if let Some(known) = self.lists.get(numbers) {
            return known.clone();
        }
        let made = self.patch.integers(&format!("{}.list", self.base), numbers);
        self.lists.insert(numbers.to_vec(), made.clone());
        made
    }

    /// The same elements in row-major order under other sizes.
    pub(crate) fn reshape(&mut self, x: &Array, sizes: &[usize]) -> Array {
        if x.sizes == sizes {
            return x.clone();
        }
        let list = self.list(&signed(sizes));
        let made = (sizes.to_vec(), x.element);
        self.node("Reshape", &[&x.name, &list], Vec::new(), made)
    }

    /// The same elements under other sizes and as another type, as the value of this name.
    pub(crate) fn reshape_as(&mut self, name: &str, x: &Array, sizes: &[usize], to: ElementType) {
        let list = self.list(&signed(sizes));
        if x.element == to {
            let inputs = [&*x.name, &list];
            return self.patch.node_as(name, "Reshape", &inputs, Vec::new());
        }
        let reshaped = self.reshape(x, sizes);
        let attributes = vec![int("to", to.number().into())];
        self.patch
            .node_as(name, "Cast", &[&reshaped.name], attributes);
    }

    /// Axis i of the result is axis `order[i]` of `x`.
    pub(crate) fn transpose(&mut self, x: &Array, order: &[usize]) -> Array {
        if order.iter().enumerate().all(|(place, &axis)| place == axis) {
            return x.clone();
        }
        let sizes = order.iter().map(|&axis| x.sizes[axis]).collect();
        let attributes = vec![ints("perm", &signed(order))];
        self.node("Transpose", &[&x.name], attributes, (sizes, x.element))
    }

    /// The last two axes exchanged.
    pub(crate) fn transposed(&mut self, x: &Array) -> Array {
        let mut order: Vec<usize> = (0..x.rank()).collect();
        let last = order.len();
        if last >= 2 {
            order.swap(last - 1, last - 2);
        }
        self.transpose(x, &order)
    }
}

fn declared(array: &Array) -> ValueInfoProto {
    let sizes = array.sizes.iter();
    let shape: Vec<Option<i64>> = sizes.map(|&size| Some(size as i64)).collect();
    declaration(&array.name, Some(array.element), Some(&shape))
}

/// Sizes or axes as integers of the operator set.
pub(crate) fn signed(numbers: &[usize]) -> Vec<i64> {
    numbers.iter().map(|&number| number as i64).collect()
}

/// Numbers rounded to an element type, as bytes.
fn packed(numbers: &[f64], element: ElementType) -> Vec<u8> {
    let numbers = numbers.iter();
    match element {
        ElementType::Double => numbers.flat_map(|n| n.to_le_bytes()).collect(),
        ElementType::Float16 => numbers
            .flat_map(|&n| f16::from_f64(n).to_le_bytes())
            .collect(),
        ElementType::Bfloat16 => numbers
            .flat_map(|&n| bf16::from_f64(n).to_le_bytes())
            .collect(),
        ElementType::Int64 => numbers.flat_map(|&n| (n as i64).to_le_bytes()).collect(),
        ElementType::Int32 => numbers.flat_map(|&n| (n as i32).to_le_bytes()).collect(),
        ElementType::Bool => numbers.map(|&n| u8::from(n != 0.0)).collect(),
        _ => numbers.flat_map(|&n| (n as f32).to_le_bytes()).collect(),
    }
}
