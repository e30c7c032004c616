//! Text from arguments, files and the standard input, and the error for what is wrong with any of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use wellspring::error::{Error, ErrorKind, Result};

/// The longest text that is read; the configuration limits further what is kept.
const MAX_TEXT_BYTES: u64 = 64 * 1024 * 1024;
/// What some editors and exporters write at the beginning of a file.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The question from an argument, or from the standard input if the argument is `-`.
pub(crate) fn question(argument: String) -> Result<String> {
    if argument == "-" { standard_input("the question") } else { Ok(argument) }
}

/// All of the standard input, without a byte order mark and the newline that ends its last line.
pub(crate) fn standard_input(what: &str) -> Result<String> {
    read(io::stdin().lock(), what, "the standard input")
}

/// All of a file, without a byte order mark and the newline that ends its last line.
pub(crate) fn file(path: &Path, what: &str) -> Result<String> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(|e| invalid(format!("cannot open {place}")).with_source(e))?;
    read(file, what, &place)
}

fn read(source: impl Read, what: &str, place: &str) -> Result<String> {
    let mut bytes = Vec::new();
    source
        .take(MAX_TEXT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| invalid(format!("cannot read {place}")).with_source(e))?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(invalid(format!("{what} in {place} has more than {MAX_TEXT_BYTES} bytes")));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let position = e.utf8_error().valid_up_to();
        invalid(format!("{what} in {place} is not valid UTF-8 at byte {position}, convert it first"))
    })?;
    if text.ends_with('\n') {
        text.truncate(text.len() - 1);
        if text.ends_with('\r') {
            text.truncate(text.len() - 1);
        }
    }
    Ok(text)
}

/// An error made by the caller of the program.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_goes() {
        for (bytes, text) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", "")] {
            assert_eq!(read(bytes.as_bytes(), "the answer", "f").unwrap(), text);
        }
    }

    /// It stayed at the beginning of the answer, and was served.
    #[test]
    fn a_byte_order_mark_at_the_beginning_goes() {
        for (bytes, text) in [("\u{feff}a\n", "a"), ("\u{feff}", ""), ("a\u{feff}b", "a\u{feff}b")] {
            assert_eq!(read(bytes.as_bytes(), "the answer", "f").unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let error = read(&b"ab\xff"[..], "the answer", "f").unwrap_err();
        assert_eq!(error.to_string(), "the answer in f is not valid UTF-8 at byte 2, convert it first");
        let error = read(io::repeat(b'a'), "the answer", "f").unwrap_err();
        assert_eq!(error.to_string(), "the answer in f has more than 67108864 bytes");
    }
}
