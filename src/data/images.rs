//! A folder of images: class folders or a CSV file with labels; decoded, resized and normalised per batch.

use std::collections::HashSet;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use rayon::prelude::*;

use super::hash::Parts;
use super::{Batch, Labels, read_fault};
use crate::error::{Error, Result};
use crate::files;
use crate::runtime::{Signature, Tensor};

/// Longest side of a picture, in pixels: scaling a strip takes far more memory than the strip.
const LONGEST_SIDE: u32 = 1 << 15;
/// Bytes that a decoded picture may have, and bytes for each of its file.
const LARGEST_PICTURE: u64 = 64 << 20;
const LARGEST_EXPANSION: u64 = 32;
/// Pixels of an image that a model takes.
const MOST_PIXELS: u64 = 1 << 26;
/// Bytes of a line of a table; a longer one names no file.
const LONGEST_LINE: usize = 1 << 16;
/// Misfits after which a table is not read further.
const MOST_MISFITS: usize = 100;

/// Order of an image tensor's axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// Batch, channels, height, width.
    #[default]
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

/// How images become inputs.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// The folder: subfolders are classes in the order of their names, or all images beside `labels`.
    pub folder: PathBuf,
    /// A CSV file of `FILE,CLASS` lines, instead of class folders.
    pub labels: Option<PathBuf>,
    /// Height and width; the model's where not given.
    pub size: Option<(u32, u32)>,
    /// Subtracted per channel, after scaling to 0..1.
    pub mean: Vec<f32>,
    /// Divided by per channel.
    pub std: Vec<f32>,
    /// Order of the axes.
    pub layout: Layout,
}

/// Images and what they are turned into.
#[derive(Debug)]
pub(super) struct Images {
    files: Vec<(PathBuf, usize)>,
    input: Signature,
    size: (u32, u32),
    channels: usize,
    options: ImageOptions,
}

/// Height and width of the images for an input whose rows are axis `rows`: as asked for, or as the model fixes them.
fn image_size(
    options: &ImageOptions,
    input: &Signature,
    rows: usize,
) -> Result<(u32, u32), String> {
    let declared = |axis: usize| u32::try_from(input.shape[axis]).ok();
    let fixed = declared(rows).zip(declared(rows + 1));
    let size = options.size.or(fixed);
    let size = size.ok_or("the model's image size is dynamic; give `image_size`")?;
    let mut wanted = [(rows, size.0), (rows + 1, size.1)].into_iter();
    if wanted.any(|(axis, size)| declared(axis).is_some_and(|fixed| fixed != size)) {
        return Err(format!("{size:?} is not the image size of {input}"));
    }
    match u64::from(size.0) * u64::from(size.1) <= MOST_PIXELS {
        true => Ok(size),
        false => Err(format!(
            "an image of {size:?} pixels is too large to be made"
        )),
    }
}

impl Images {
    pub(super) fn open(options: &ImageOptions, inputs: &[Signature]) -> Result<Images> {
        let what = options.folder.display().to_string();
        let fault = |misfit: String| Error::Data {
            what: what.clone(),
            misfits: vec![misfit],
        };
        let [input] = inputs else {
            return Err(fault(format!(
                "images fill one input, the model has {}",
                inputs.len()
            )));
        };
        if input.shape.len() != 4 {
            return Err(fault(format!(
                "images need an input of rank 4, the model takes {input}"
            )));
        }
        let (channel, rows) = match options.layout {
            Layout::Nchw => (1, 2),
            Layout::Nhwc => (3, 1),
        };
        let size = image_size(options, input, rows).map_err(fault)?;
        let channels = match input.shape[channel] {
            1 => 1,
            3 | -1 => 3,
            other => {
                return Err(fault(format!(
                    "images have 1 or 3 channels, the model takes {other}"
                )));
            }
        };
        for (name, list) in [("mean", &options.mean), ("std", &options.std)] {
            if !matches!(list.len(), 0 | 1) && list.len() != channels {
                return Err(fault(format!(
                    "`{name}` has {} numbers for {channels} channels",
                    list.len()
                )));
            }
        }
        let files = match &options.labels {
            Some(csv) => from_csv(&options.folder, csv)?,
            None => from_folders(&options.folder)?,
        };
        Ok(Images {
            files,
            input: input.clone(),
            size,
            channels,
            options: options.clone(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The first `samples` images.
    pub(super) fn hash(&self, samples: usize, parts: &mut Parts) -> Result<()> {
        let ImageOptions {
            mean, std, layout, ..
        } = &self.options;
        let size = (self.size, self.channels);
        let preparation = format!("{size:?} {mean:?} {std:?} {layout:?}");
        parts.add("preparation", preparation.as_bytes());
        for (path, _) in self.files.iter().take(samples) {
            parts.add("image", &files::map_file(path)?);
        }
        Ok(())
    }

    pub(super) fn rows(&self, range: Range<usize>) -> Result<Batch> {
        let files = &self.files[range];
        let pixels: Result<Vec<Vec<f64>>> =
            files.par_iter().map(|(path, _)| self.load(path)).collect();
        let (height, width) = (self.size.0 as usize, self.size.1 as usize);
        let shape = match self.options.layout {
            Layout::Nchw => [files.len(), self.channels, height, width],
            Layout::Nhwc => [files.len(), height, width, self.channels],
        };
        let element = self
            .input
            .element
            .unwrap_or(crate::onnx::ElementType::Float);
        let tensor = Tensor::from_f64(element, &shape, &pixels?.concat())?;
        Ok(Batch {
            inputs: vec![(self.input.name.clone(), tensor)],
            labels: Some(Labels::Classes(
                files.iter().map(|&(_, class)| class).collect(),
            )),
            expected: None,
            samples: files.len(),
        })
    }

    fn load(&self, path: &Path) -> Result<Vec<f64>> {
        let picture = decoded(path)?;
        let (height, width) = self.size;
        let picture = picture.resize_exact(width, height, FilterType::Triangle);
        let bytes = match self.channels {
            1 => picture.to_luma8().into_raw(),
            _ => picture.to_rgb8().into_raw(),
        };
        let pick = |list: &[f32], channel: usize, default: f32| {
            f64::from(*list.get(channel).or(list.first()).unwrap_or(&default))
        };
        let normal = |place: usize| {
            let channel = place % self.channels;
            let (mean, std) = (&self.options.mean, &self.options.std);
            (f64::from(bytes[place]) / 255.0 - pick(mean, channel, 0.0)) / pick(std, channel, 1.0)
        };
        let count = bytes.len();
        Ok(match self.options.layout {
            Layout::Nhwc => (0..count).map(normal).collect(),
            Layout::Nchw => {
                let plane = count / self.channels;
                let order = (0..self.channels).flat_map(|c| (0..plane).map(move |p| (c, p)));
                order.map(|(c, p)| normal(p * self.channels + c)).collect()
            }
        })
    }
}

/// The picture in a file, if it is not far larger than the file.
fn decoded(path: &Path) -> Result<DynamicImage> {
    let bytes = files::map_file(path)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    let most = (bytes.len() as u64).saturating_mul(LARGEST_EXPANSION);
    limits.max_alloc = Some(LARGEST_PICTURE.max(most));
    let undecodable = |reason: &dyn std::fmt::Display| {
        let what = path.display().to_string();
        Error::data(what, format!("it cannot be decoded ({reason})"))
    };
    let reader = ImageReader::new(Cursor::new(&bytes[..])).with_guessed_format();
    let mut reader = reader.map_err(|reason| undecodable(&reason))?;
    reader.limits(limits);
    reader.decode().map_err(|reason| undecodable(&reason))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|source| read_fault(folder, source))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}

fn from_folders(folder: &Path) -> Result<Vec<(PathBuf, usize)>> {
    let classes = list(folder)?.into_iter().filter(|path| path.is_dir());
    let mut files = Vec::new();
    for (class, folder) in classes.enumerate() {
        let images = list(&folder)?.into_iter().filter(|path| is_image(path));
        files.extend(images.map(|path| (path, class)));
    }
    Ok(files)
}

fn from_csv(folder: &Path, table: &Path) -> Result<Vec<(PathBuf, usize)>> {
    let file = files::open(table).map_err(|source| read_fault(table, source))?;
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(Lines { file, length: 0 });
    let (mut files, mut misfits) = (Vec::new(), Vec::new());
    for (number, row) in rows.records().enumerate() {
        let row =
            row.map_err(|reason| Error::data(table.display().to_string(), reason.to_string()))?;
        let line = row
            .position()
            .map_or(number as u64 + 1, csv::Position::line);
        match (row.get(0), row.get(1).map(str::parse), row.len()) {
            (Some(file), Some(Ok(class)), 2) => files.push((folder.join(file), class)),
            // A first line without a number is a heading, unless it names an image.
            (Some(file), _, 2) if number == 0 && !folder.join(file).is_file() => {}
            _ => misfits.push(format!("line {line} is not FILE,CLASS")),
        }
        if misfits.len() >= MOST_MISFITS {
            break;
        }
    }
    let mut seen = HashSet::new();
    let again = files.iter().filter(|(path, _)| !seen.insert(path));
    let again = again.take(MOST_MISFITS);
    misfits.extend(again.map(|(path, _)| format!("{} is there twice", path.display())));
    let missing = files.iter().filter(|(path, _)| !path.is_file());
    let missing = missing.take(MOST_MISFITS);
    misfits.extend(missing.map(|(path, _)| format!("{} is not there", path.display())));
    match misfits.is_empty() {
        true => Ok(files),
        false => Err(Error::Data {
            what: table.display().to_string(),
            misfits,
        }),
    }
}

/// A table that is refused where a line does not end.
struct Lines<R> {
    file: R,
    /// Bytes of the line so far.
    length: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let last = buffer[..count].iter().rposition(|&byte| byte == b'\n');
        self.length = match last {
            Some(last) => count - last - 1,
            None => self.length.saturating_add(count),
        };
        match self.length <= LONGEST_LINE {
            true => Ok(count),
            false => Err(io::Error::other("a line of it does not end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["0.png", "a, b.png"] {
            std::fs::write(folder.path().join(name), b"").expect("a file");
        }
        let table = folder.path().join("labels.csv");
        let text = "\u{feff}file,class\r\n\"0.png\", 3\r\n\r\n\"a, b.png\",4\r\n";
        std::fs::write(&table, text).expect("a file");
        let rows = from_csv(folder.path(), &table).expect("a table");
        let classes: Vec<usize> = rows.iter().map(|(_, class)| *class).collect();
        assert_eq!(classes, [3, 4]);
        std::fs::write(&table, "0.png,1\n0.png,x\n").expect("a file");
        let fault = from_csv(folder.path(), &table).expect_err("no class");
        assert!(
            fault.to_string().contains("line 2 is not FILE,CLASS"),
            "{fault}"
        );
        for (text, reason) in [
            ("0.png,1\n0.png,2\n", "0.png is there twice"),
            ("0.png,1.5\n", "line 1 is not FILE,CLASS"),
            ("0.png;1\n", "line 1 is not FILE,CLASS"),
        ] {
            std::fs::write(&table, text).expect("a file");
            let fault = from_csv(folder.path(), &table).expect_err(reason);
            assert!(fault.to_string().contains(reason), "{text}: {fault}");
        }
    }
}
