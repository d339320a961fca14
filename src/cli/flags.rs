//! Flags that several subcommands share, and the flags of the library's settings.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::data::DataSource;
use crate::job::{Calibration, Overwrite, RuntimeOptions, Shapes};
use crate::runtime::{IntegerSums, Provider};
use clap::Args;
use clap::builder::TypedValueParser;

/// Which onnxruntime is used.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "onnxruntime")]
pub struct RuntimeFlags {
    /// The onnxruntime library to use, instead of looking for one
    #[arg(long, value_name = "LIBRARY")]
    pub(super) onnxruntime: Option<PathBuf>,
    /// Never install onnxruntime
    #[arg(long)]
    offline: bool,
}

impl RuntimeFlags {
    pub(super) fn options(&self) -> RuntimeOptions {
        RuntimeOptions {
            library: self.onnxruntime.clone(),
            offline: self.offline,
        }
    }
}

/// How products of 8-bit integers are added.
#[derive(Args, Clone, Copy, Debug)]
pub struct SumsFlag {
    /// Add products of 8-bit integers without overflow, where the CPU is x86 without VNNI: slower, and what differs then
    /// was wrong
    #[arg(long)]
    pub(super) exact_integers: bool,
}

impl SumsFlag {
    pub(super) fn sums(self) -> IntegerSums {
        match self.exact_integers {
            true => IntegerSums::Exact,
            false => IntegerSums::Fast,
        }
    }
}

/// What is said about the inputs of a model.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Inputs of the model")]
pub struct ShapeFlags {
    /// Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse_size)]
    dims: Vec<(String, i64)>,
    /// The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole input;
    /// repeatable (the axis that the model's symbols share without)
    #[arg(long = "sample-axis", value_name = "INPUT=AXIS", value_parser = parse_sample_axis)]
    sample_axes: Vec<(String, Option<usize>)>,
}

impl ShapeFlags {
    pub(super) fn shapes(&self) -> Shapes {
        Shapes {
            sizes: self.dims.clone(),
            sample_axes: self.sample_axes.clone(),
        }
    }
}

/// Data for calibration.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Calibration")]
pub struct CalibrationFlags {
    /// A few hundred samples, no labels needed: an .npz file, a folder of .npy files, or onnx test data
    #[arg(long, value_name = "PATH", value_parser = DataParser::default())]
    calibration: Option<DataSource>,
    /// Use at most this many calibration samples [default: 512]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Where calibration runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    #[arg(long)]
    provider: Option<Provider>,
}

impl CalibrationFlags {
    /// On the data that is there, if it is.
    pub(super) fn calibration(&self) -> Option<Calibration> {
        let data = self.calibration.clone()?;
        Some(self.on(data))
    }

    /// As [`CalibrationFlags::calibration`], where nothing else stands in for the data.
    ///
    /// # Errors
    /// There is no data, and a flag says something about it.
    pub(super) fn calibration_alone(&self) -> crate::Result<Option<Calibration>> {
        let flag = match (&self.samples, &self.provider) {
            (Some(_), _) => "--samples",
            (None, Some(_)) => "--provider",
            (None, None) => return Ok(self.calibration()),
        };
        match self.calibration() {
            None => Err(crate::Error::Usage(format!(
                "{flag} is about calibration data: give some with --calibration"
            ))),
            there => Ok(there),
        }
    }

    /// On the data that is there, else on random numbers.
    pub(super) fn calibration_or_random(&self, seed: u64) -> Calibration {
        let samples = self.samples.unwrap_or(Calibration::SAMPLES);
        let random = DataSource::Random { samples, seed };
        self.calibration().unwrap_or_else(|| self.on(random))
    }

    fn on(&self, data: DataSource) -> Calibration {
        Calibration {
            data,
            samples: self.samples.unwrap_or(Calibration::SAMPLES),
            provider: self.provider.clone().unwrap_or(Provider::Cpu),
        }
    }
}

/// Data by the handles that a caller inside this process gives them.
pub type DataInMemory = HashMap<String, DataSource>;

/// Reads a flag with data: a path, or a handle.
#[derive(Clone, Debug, Default)]
pub(super) struct DataParser(pub(super) Arc<DataInMemory>);

impl TypedValueParser for DataParser {
    type Value = DataSource;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<DataSource, clap::Error> {
        let known = value.to_str().and_then(|handle| self.0.get(handle));
        Ok(match known {
            Some(data) => data.clone(),
            None => DataSource::Path(value.into()),
        })
    }
}

/// What may be replaced.
#[derive(Args, Clone, Copy, Debug)]
pub struct ForceFlag {
    /// Allow the output to replace the input
    #[arg(long)]
    force: bool,
}

impl ForceFlag {
    pub(super) fn overwrite(self) -> Overwrite {
        match self.force {
            true => Overwrite::Allowed,
            false => Overwrite::Refused,
        }
    }
}

/// `INPUT=AXIS`, or `INPUT=none`
fn parse_sample_axis(text: &str) -> Result<(String, Option<usize>), String> {
    let fault = "write INPUT=AXIS with an axis that counts from 0, as in tokens=1, or INPUT=none";
    let (name, axis) = text.rsplit_once('=').ok_or(fault)?;
    match (axis, axis.parse()) {
        ("none", _) => Ok((name.to_owned(), None)),
        (_, Ok(axis)) => Ok((name.to_owned(), Some(axis))),
        _ => Err(fault.to_owned()),
    }
}

/// `NAME=SIZE`
fn parse_size(text: &str) -> Result<(String, i64), String> {
    let (name, size) = text
        .split_once('=')
        .ok_or("write NAME=SIZE, as in batch=2")?;
    match size.parse() {
        Ok(size) if size > 0 => Ok((name.to_owned(), size)),
        _ => Err(format!("'{size}' is no positive size")),
    }
}

/// Units of sizes in bytes.
const UNITS: [(&str, f64); 8] = [
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("b", 1.0),
];

/// A number of bytes with its unit
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let units = UNITS.iter();
    let mut found = units.filter_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, bytes)));
    let bytes = found.next().and_then(|(number, bytes)| {
        let number: f64 = number.trim().parse().ok()?;
        Some(number * bytes)
    });
    match bytes {
        Some(bytes) if (1.0..1e18).contains(&bytes) => Ok(bytes as u64),
        _ => Err(format!(
            "'{text}' is no size: write a number and KB, MB or GB, as in 512MB"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("512MB", 512_000_000),
            ("1.5 gb", 1_500_000_000),
            ("2GiB", 2_147_483_648),
            ("7b", 7),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "MB", "512", "-1MB", "0KB", "NaNMB", "infGB", "1e300GB", "1XB",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
