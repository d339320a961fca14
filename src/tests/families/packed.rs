//! Weights as codes with a scale for each block of numbers.

use crate::onnx::{ElementType, from_raw};
use crate::tests::builder::{Builder, Value, noise};
use crate::tests::cases::{Case, dense};

/// The bits of a code, the size of a block, and what the zero points are.
#[derive(Clone, Copy)]
struct Coding {
    bits: usize,
    block: usize,
    zeros: Zeros,
}

#[derive(Clone, Copy, PartialEq)]
enum Zeros {
    None,
    Packed,
    Real,
}

/// Bytes that depend on the name alone.
pub(in crate::tests) fn bytes(name: &str, count: usize) -> Vec<u8> {
    let seeds = (0..count.div_ceil(32)).flat_map(|part| {
        let hash = blake3::hash(format!("{name} {part}").as_bytes());
        hash.as_bytes().to_vec()
    });
    seeds.take(count).collect()
}

impl Coding {
    fn codes(self, builder: Builder, name: &str, element: ElementType, dims: &[usize]) -> Builder {
        let count: usize = dims.iter().product();
        let bits = element.bits() as usize;
        let bytes = bytes(name, (count * bits).div_ceil(8));
        builder.tensor(from_raw(name, element, dims, bytes))
    }

    fn product(self, builder: Builder, from: &str, to: &str, [n, k]: [usize; 2]) -> Builder {
        let blocks = k.div_ceil(self.block);
        let name = |part: &str| format!("{to}.{part}");
        let own = [n, blocks, self.block * self.bits / 8];
        let builder = self.codes(builder, &name("codes"), ElementType::Uint8, &own);
        let builder = builder.weight(&name("scales"), &[n, blocks]);
        let packed = [n, (blocks * self.bits).div_ceil(8)];
        let (builder, zeros) = match self.zeros {
            Zeros::None => (builder, "-".to_owned()),
            Zeros::Packed => (
                self.codes(builder, &name("zeros"), ElementType::Uint8, &packed),
                name("zeros"),
            ),
            Zeros::Real => (
                builder.tensor(noise(&name("zeros"), &[n, blocks])),
                name("zeros"),
            ),
        };
        let wiring = format!(
            "{from} {} {} {zeros} - {} -> {to}",
            name("codes"),
            name("scales"),
            name("bias")
        );
        let attributes = [
            ("N", (n as i64).into()),
            ("K", (k as i64).into()),
            ("bits", (self.bits as i64).into()),
            ("block_size", Value::from(self.block as i64)),
        ];
        builder
            .weight(&name("bias"), &[n])
            .node("com.microsoft.MatMulNBits", &wiring, &attributes)
    }

    /// Two products, and the units of what lies between them.
    fn chain(self, name: &str, units: usize) -> Case {
        let middle = units * self.block;
        let builder = Builder::new(17).input("x", &[2, 3, self.block as i64]);
        let builder = self.product(builder, "x", "h", [middle, self.block]);
        let builder = builder.node("Relu", "h -> r", &[]);
        let builder = self.product(builder, "r", "y", [5, middle]).output("y");
        Case::new(name, builder, &[units])
    }
}

pub(in crate::tests) fn packed() -> Vec<Case> {
    let coding = |bits, block, zeros| Coding { bits, block, zeros };
    let mut cases = vec![
        coding(4, 16, Zeros::Packed).chain("MatMulNBits 4 bits, zeros in halves of bytes", 4),
        coding(4, 16, Zeros::Packed).chain("MatMulNBits 4 bits, an odd number of blocks", 5),
        coding(4, 32, Zeros::None).chain("MatMulNBits 4 bits", 4),
        coding(4, 16, Zeros::Real).chain("MatMulNBits 4 bits, real zeros", 4),
        coding(8, 16, Zeros::Packed).chain("MatMulNBits 8 bits", 4),
    ];
    // What reads the product has no blocks: its rows go one by one.
    let rows = Builder::new(17).input("x", &[2, 20]);
    let rows = coding(4, 16, Zeros::Packed).product(rows, "x", "h", [8, 20]);
    let rows = rows
        .weight("w2", &[8, 4])
        .node("MatMul", "h w2 -> y", &[])
        .output("y");
    cases.push(Case::new(
        "MatMulNBits with a last block that is not full",
        rows,
        &[8],
    ));
    cases.push(bytes_of_a_table());
    cases.extend(tables());
    cases.extend(decoded());
    cases
}

fn read(builder: Builder, width: usize) -> Builder {
    builder
        .weight("w", &[width, 4])
        .node("MatMul", "e w -> y", &[])
        .output("y")
}

fn index() -> Builder {
    Builder::new(21).input_of("i", ElementType::Int64, &[2.into(), 3.into()])
}

fn gathered(builder: Builder, wiring: &str, bits: i64) -> Builder {
    let attributes = [
        ("gather_axis", 0.into()),
        ("quantize_axis", 1.into()),
        ("block_size", 16.into()),
        ("bits", Value::from(bits)),
    ];
    builder.node("com.microsoft.GatherBlockQuantized", wiring, &attributes)
}

/// Two codes to a byte, and two zero points.
fn bytes_of_a_table() -> Case {
    let coding = Coding {
        bits: 4,
        block: 16,
        zeros: Zeros::Packed,
    };
    let builder = coding.codes(index(), "t", ElementType::Uint8, &[7, 32]);
    let builder = coding.codes(builder, "z", ElementType::Uint8, &[7, 2]);
    let builder = builder.weight("s", &[7, 4]);
    let builder = read(gathered(builder, "t i s z -> e", 4), 64);
    Case::new("GatherBlockQuantized of bytes", builder, &[4])
}

fn tables() -> Vec<Case> {
    let coding = Coding {
        bits: 8,
        block: 16,
        zeros: Zeros::None,
    };
    let mut cases = Vec::new();
    for (name, element, bits) in [
        ("GatherBlockQuantized of 8 bits", ElementType::Uint8, 8),
        ("GatherBlockQuantized of signed codes", ElementType::Int4, 4),
    ] {
        let builder = coding.codes(index(), "t", element, &[7, 64]);
        let builder = builder.weight("s", &[7, 4]);
        let builder = read(gathered(builder, "t i s -> e", bits), 64);
        cases.push(Case::new(name, builder, &[4]));
    }
    cases
}

/// Weights of products in blocks along what is summed over, and along the rows.
fn decoded() -> Vec<Case> {
    let coding = Coding {
        bits: 4,
        block: 2,
        zeros: Zeros::Packed,
    };
    let mut cases = Vec::new();
    for (name, axis, scales, dimensions) in [
        ("DequantizeLinear in blocks", 0, [4, 6], &[4, 6][..]),
        ("DequantizeLinear in blocks of columns", 1, [8, 3], &[3, 8]),
    ] {
        let attributes = [("axis", Value::from(axis)), ("block_size", 2.into())];
        let builder = coding.codes(dense(21), "c", ElementType::Int4, &[8, 6]);
        let builder = coding.codes(builder, "z", ElementType::Int4, &scales);
        let builder = builder
            .weight("s", &scales)
            .node("DequantizeLinear", "c s z -> w", &attributes)
            .node("MatMul", "h w -> a", &[])
            .weight("w3", &[6, 4])
            .node("MatMul", "a w3 -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, dimensions));
    }
    cases
}
