//! Lines of a file that tell whether they are whole: each begins with the CRC-32 of the rest of it.

/// `content` as a line.
pub(crate) fn sealed(content: &str) -> String {
    format!("{:08x} {content}\n", crc32fast::hash(content.as_bytes()))
}

/// The content of a line with its end; none if the line is not whole.
pub(crate) fn unsealed(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, content) = line.split_once(' ')?;
    (u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(content.as_bytes())).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_is_read() {
        let line = sealed("add 1 {\"a\":2}");
        assert_eq!(unsealed(line.as_bytes()), Some("add 1 {\"a\":2}"));
        for end in 0..line.len() {
            assert_eq!(unsealed(&line.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(unsealed(line.replace('2', "3").as_bytes()), None);
    }
}
