//! Texts in files, a part at a time.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// Bytes of a part, at most. Longer lines are cut.
const LONGEST: usize = 64 << 10;
/// TextParts that are in memory at once.
const AT_ONCE: usize = 64;
/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whole lines with their ends, or a part of a long line.
pub(super) struct TextBlock {
    /// The number of its first line in the file, from 1 on.
    pub(super) line: u64,
    text: String,
}

impl TextBlock {
    /// Its texts with the numbers of their lines: each line without its end, and all of it.
    pub(super) fn texts(&self) -> impl Iterator<Item = (u64, &str)> {
        let numbered = (self.line..).zip(self.text.lines());
        let alone = numbered.filter(|(_, line)| !line.is_empty());
        let is_line = self.text.lines().next() == Some(&self.text);
        let whole = (!is_line).then_some((self.line, self.text.as_str()));
        alone.chain(whole)
    }
}

/// Calls `each` with the parts of all files, some at a time, and with the file that they are of.
///
/// # Errors
/// A file that cannot be read, has no text or is no UTF-8, and those of `each`.
pub(super) fn read(
    corpora: &[PathBuf],
    mut each: impl FnMut(&Path, &[TextBlock]) -> Result<()>,
) -> Result<()> {
    for path in corpora {
        let fault = |source| Error::Read {
            path: path.clone(),
            source,
        };
        let mut parts = TextParts::of(path, files::open(path).map_err(fault)?)?;
        let mut blocks = Vec::new();
        let mut is_empty = true;
        while let Some(block) = parts.next()? {
            is_empty = is_empty && block.text.trim().is_empty();
            blocks.push(block);
            if blocks.len() == AT_ONCE {
                each(path, &blocks)?;
                blocks.clear();
            }
        }
        each(path, &blocks)?;
        if is_empty {
            let why = "it has no text; name a file of texts as the model gets them";
            return Err(Error::vocabulary(path, why));
        }
    }
    Ok(())
}

/// A file that is cut into parts.
struct TextParts<'a> {
    path: &'a Path,
    file: File,
    /// What was read and is in no part yet.
    waiting: Vec<u8>,
    /// Where in the file that begins, in bytes.
    offset: u64,
    line: u64,
    is_over: bool,
}

impl<'a> TextParts<'a> {
    fn of(path: &'a Path, file: File) -> Result<TextParts<'a>> {
        let mut parts = TextParts {
            path,
            file,
            waiting: Vec::new(),
            offset: 0,
            line: 1,
            is_over: false,
        };
        parts.fill()?;
        if parts.waiting.starts_with(BYTE_ORDER_MARK) {
            parts.waiting.drain(..BYTE_ORDER_MARK.len());
            parts.offset += BYTE_ORDER_MARK.len() as u64;
        }
        Ok(parts)
    }

    fn fill(&mut self) -> Result<()> {
        let room = LONGEST - self.waiting.len();
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        let read = self
            .file
            .by_ref()
            .take(limit)
            .read_to_end(&mut self.waiting);
        let read = read.map_err(|source| Error::Read {
            path: self.path.to_owned(),
            source,
        })?;
        self.is_over = read < room;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<TextBlock>> {
        self.fill()?;
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let cut = self.cut();
        let fault = |at: usize, what: &str| {
            let at = self.offset + at as u64;
            let why = format!("byte {at} is {what}; name a file of text in UTF-8");
            Error::vocabulary(self.path, why)
        };
        let text = match std::str::from_utf8(&self.waiting[..cut]) {
            Ok(text) => text,
            // The cut is within a character.
            Err(why) if why.error_len().is_none() && cut == LONGEST => {
                std::str::from_utf8(&self.waiting[..why.valid_up_to()]).unwrap_or_default()
            }
            Err(why) => return Err(fault(why.valid_up_to(), "no UTF-8")),
        };
        if let Some(at) = memchr::memchr(0, text.as_bytes()) {
            return Err(fault(at, "zero, which is in no text"));
        }
        let block = TextBlock {
            line: self.line,
            text: text.to_owned(),
        };
        let length = text.len();
        self.line += memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
        self.offset += length as u64;
        self.waiting.drain(..length);
        Ok(Some(block))
    }

    /// How many of the waiting bytes are the next part: whole lines, or up to a space of a long one.
    fn cut(&self) -> usize {
        let length = self.waiting.len();
        if self.is_over {
            return length;
        }
        let space = || memchr::memrchr(b' ', &self.waiting[length / 2..]).map(|at| length / 2 + at);
        match memchr::memrchr(b'\n', &self.waiting) {
            Some(at) => at + 1,
            None => space().unwrap_or(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Vec<(u64, String)>;

    fn texts(bytes: &[u8]) -> std::result::Result<Found, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("space");
        let mut found = Vec::new();
        let gather = |_: &Path, blocks: &[TextBlock]| {
            let all = blocks.iter().flat_map(TextBlock::texts);
            found.extend(all.map(|(line, text)| (line, text.to_owned())));
            Ok(())
        };
        match read(&[file.path().to_owned()], gather) {
            Ok(()) => Ok(found),
            Err(fault) => {
                assert_eq!(fault.class(), crate::Class::Input, "{fault}");
                Err(fault.to_string())
            }
        }
    }

    fn of(found: &[(u64, &str)]) -> std::result::Result<Found, String> {
        Ok(found
            .iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect())
    }

    #[test]
    fn lines_stand_alone_and_together() {
        assert_eq!(texts(b"one"), of(&[(1, "one")]));
        let all = "one\r\n\ntwo\n";
        let bytes = format!("\u{feff}{all}");
        assert_eq!(
            texts(bytes.as_bytes()),
            of(&[(1, "one"), (3, "two"), (1, all)])
        );
    }

    #[test]
    fn long_lines_are_cut_and_nothing_is_lost() {
        let cases = [
            "word ".repeat(60_000),
            "ä€".repeat(50_000),
            "x".repeat(LONGEST),
        ];
        for text in cases {
            let found = texts(text.as_bytes()).expect("a text");
            let joined: String = found.iter().map(|(_, part)| part.as_str()).collect();
            assert_eq!(joined, text);
            assert!(
                found
                    .iter()
                    .all(|(line, part)| *line == 1 && part.len() <= LONGEST)
            );
        }
        let lines = "a line\n".repeat(30_000);
        let found = texts(lines.as_bytes()).expect("a text");
        let alone = found.iter().filter(|(_, text)| text == "a line");
        assert!(alone.map(|(line, _)| *line).eq(1..=30_000));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let late = ["x\n".repeat(50_000).as_bytes(), b"\xff"].concat();
        let cut = ["x".repeat(LONGEST - 1).as_bytes(), "ä".as_bytes(), b"\xc3"].concat();
        let cases: [(&[u8], &str); 6] = [
            (b"", "it has no text"),
            (b" \n\n", "it has no text"),
            (b"caf\xe9 au lait", "byte 3 is no UTF-8"),
            (b"a\0b", "byte 1 is zero"),
            (&late, "byte 100000 is no UTF-8"),
            (&cut, "byte 65537 is no UTF-8"),
        ];
        for (bytes, why) in cases {
            let said = texts(bytes).expect_err(why);
            assert!(said.contains(why), "{said}, not {why}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            read(&[folder.path().to_owned()], |_, _| Ok(())).is_err(),
            "a folder"
        );
    }
}
