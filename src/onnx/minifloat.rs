//! Real numbers of 8 bits and fewer.

use super::ElementType;

/// How the bits of a code are shared out: a sign where there is one, the exponent, then the fraction.
struct Layout {
    exponent: u32,
    fraction: u32,
    bias: i32,
    special: Special,
}

/// Which codes are no finite numbers.
enum Special {
    Nothing,
    /// The largest exponent: infinite, or no number where there is a fraction.
    Infinities,
    /// All bits but the sign.
    Ones,
    /// The zero with a sign.
    SignedZero,
}

/// The number of a code in the lowest bits; none for types of other kinds.
pub(super) fn minifloat(element: ElementType, code: u8) -> Option<f32> {
    use ElementType::*;
    let layout = |exponent, fraction, bias, special| Layout {
        exponent,
        fraction,
        bias,
        special,
    };
    let layout = match element {
        Float8E4m3fn => layout(4, 3, 7, Special::Ones),
        Float8E4m3fnuz => layout(4, 3, 8, Special::SignedZero),
        Float8E5m2 => layout(5, 2, 15, Special::Infinities),
        Float8E5m2fnuz => layout(5, 2, 16, Special::SignedZero),
        Float4E2m1 => layout(2, 1, 1, Special::Nothing),
        Float6E2m3 => layout(2, 3, 1, Special::Nothing),
        Float6E3m2 => layout(3, 2, 3, Special::Nothing),
        // Powers of two alone, without a sign and without 0.
        Float8E8m0 => return Some(power(code)),
        _ => return None,
    };
    Some(layout.number(code))
}

fn power(code: u8) -> f32 {
    match code {
        u8::MAX => f32::NAN,
        _ => 2_f32.powi(i32::from(code) - 127),
    }
}

impl Layout {
    fn number(&self, code: u8) -> f32 {
        let magnitudes = 1_u16 << (self.exponent + self.fraction);
        let code = u16::from(code);
        let (negative, magnitude) = (code & magnitudes != 0, code & (magnitudes - 1));
        let (exponent, fraction) = (
            magnitude >> self.fraction,
            magnitude & ((1 << self.fraction) - 1),
        );
        let is_largest = exponent == (1 << self.exponent) - 1;
        let size = match self.special {
            Special::Ones if magnitude == magnitudes - 1 => f32::NAN,
            Special::SignedZero if negative && magnitude == 0 => f32::NAN,
            Special::Infinities if is_largest && fraction == 0 => f32::INFINITY,
            Special::Infinities if is_largest => f32::NAN,
            _ => self.finite(exponent, fraction),
        };
        if negative { -size } else { size }
    }

    /// Numbers without an exponent have no leading one.
    fn finite(&self, exponent: u16, fraction: u16) -> f32 {
        let leading = u16::from(exponent > 0) << self.fraction;
        let scale = i32::from(exponent.max(1)) - self.bias - self.fraction as i32;
        f32::from(leading + fraction) * 2_f32.powi(scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ElementType::*;

    #[test]
    fn codes_stand_for_the_numbers_that_the_standard_gives_them() {
        // The largest, the smallest above 0, and a negative one of each.
        let cases: [(ElementType, u8, f32); 21] = [
            (Float8E4m3fn, 0x7e, 448.0),
            (Float8E4m3fn, 0x01, 1.0 / 512.0),
            (Float8E4m3fn, 0xb8, -1.0),
            (Float8E4m3fnuz, 0x7f, 240.0),
            (Float8E4m3fnuz, 0x01, 1.0 / 1024.0),
            (Float8E4m3fnuz, 0xc0, -1.0),
            (Float8E5m2, 0x7b, 57344.0),
            (Float8E5m2, 0x01, 1.0 / 65536.0),
            (Float8E5m2, 0xfc, f32::NEG_INFINITY),
            (Float8E5m2fnuz, 0x7f, 57344.0),
            (Float8E5m2fnuz, 0x01, 1.0 / 131072.0),
            (Float8E5m2fnuz, 0xc0, -1.0),
            (Float4E2m1, 0x7, 6.0),
            (Float4E2m1, 0x1, 0.5),
            (Float4E2m1, 0xa, -1.0),
            (Float6E2m3, 0x1f, 7.5),
            (Float6E2m3, 0x21, -0.125),
            (Float6E3m2, 0x1f, 28.0),
            (Float6E3m2, 0x21, -0.0625),
            (Float8E8m0, 127, 1.0),
            (Float8E8m0, 0, 5.877472e-39),
        ];
        for (element, code, number) in cases {
            assert_eq!(
                minifloat(element, code),
                Some(number),
                "{element} {code:#x}"
            );
        }
        let none = [
            (Float8E4m3fn, 0x7f),
            (Float8E4m3fn, 0xff),
            (Float8E4m3fnuz, 0x80),
            (Float8E5m2, 0x7d),
            (Float8E5m2fnuz, 0x80),
            (Float8E8m0, 0xff),
        ];
        for (element, code) in none {
            let number = minifloat(element, code).expect("a type of 8 bits");
            assert!(number.is_nan(), "{element} {code:#x}");
        }
        assert_eq!(minifloat(Int8, 1), None);
    }
}
