//! Tokens between spaces whose form shows that they are code.
//!
//! Case counts in paths, flags and identifiers, but not in addresses, file names, serial and hexadecimal
//! numbers. A serial number may be split by a space or hyphen (`ISO 27001`). Identifiers, file names, paths
//! of one level and serial numbers of few digits are often said in words, so they are not strong. A misspelt
//! identifier is still the same one.

use super::{MOST, Sides, kept_from, quoted};
use crate::verify::text::{Reading, is_common, is_unspaced, related};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `/etc/hosts`, `C:\Temp`.
    Path,
    /// `--force`, `-v`.
    Flag,
    /// `report_a`, `$HOME`, `std::mem`.
    Identifier,
    /// `https://example.org`, `a@example.org`.
    Address,
    /// `config.toml`, `.pdf`.
    File,
    /// `E0502`, `ISO-27001`, `H2O`.
    Serial,
    /// `0x8007`, `#ff8800`.
    Hexadecimal,
}

#[derive(Debug)]
struct Code<'a> {
    kind: Kind,
    text: &'a str,
    /// Whether the other question must hold it, too.
    strong: bool,
}

pub(super) fn difference(asked: &Reading, cached: &Reading) -> Option<Sides> {
    let (left, right) = (missing(asked, cached), missing(cached, asked));
    if left.is_empty() && right.is_empty() {
        return None;
    }
    let contradicting = left.iter().find_map(|one| {
        let other = right.iter().find(|other| one.contradicts(other))?;
        Some((one, other))
    });
    let strong = |codes: &[Code<'_>]| codes.iter().find(|code| code.strong).map(|code| code.text.to_owned());
    if let Some((one, other)) = contradicting {
        return Some((quoted(Some(one.text)), quoted(Some(other.text))));
    }
    let (left, right) = (strong(&left), strong(&right));
    (left.is_some() || right.is_some()).then(|| (quoted(left.as_deref()), quoted(right.as_deref())))
}

/// The codes of `reading` that `other` does not hold.
fn missing<'a>(reading: &'a Reading, other: &Reading) -> Vec<Code<'a>> {
    let mut codes = codes(&reading.as_written()[kept_from(reading)..]);
    if codes.is_empty() {
        return codes;
    }
    let (whole, kept) = (other.as_written(), &other.as_written()[kept_from(other)..]);
    let replaced = |code: &Code<'_>| {
        // Codes that the other question took back count, unless one of their kind replaced them.
        kept.len() < whole.len() && self::codes(kept).iter().any(|other| other.kind == code.kind)
    };
    codes.retain(|code| !code.stands_in(if replaced(code) { kept } else { whole }));
    codes
}

fn codes(text: &str) -> Vec<Code<'_>> {
    text.split(|c: char| c.is_whitespace() || is_unspaced(c)).filter_map(Code::of).take(MOST).collect()
}

impl<'a> Code<'a> {
    fn of(chunk: &'a str) -> Option<Self> {
        // Most tokens here are words: only letters, perhaps with a comma or question mark.
        const AROUND: &[char] = &[
            '"', '\'', '`', '“', '”', '‘', '’', '«', '»', '(', ')', '[', ']', '{', '}', '<', '>', ',', ';',
            ':', '!', '?', '…', '*', '=', '¿', '¡',
        ];
        let text = chunk.trim_matches(AROUND).trim_end_matches('.').trim_end_matches(AROUND);
        if text.len() < 2 || text.len() > 200 || text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            let called = chunk.trim_end_matches(['?', '.', ',', '!']).ends_with("()") && text.len() > 1;
            return called.then_some(Self { kind: Kind::Identifier, text, strong: false });
        }
        let (kind, strong) = address(text)
            .or_else(|| flag(text))
            .or_else(|| path(text))
            .or_else(|| hexadecimal(text))
            .or_else(|| identifier(text))
            .or_else(|| file(text))
            .or_else(|| serial(text))?;
        let text = if kind == Kind::Flag { text.split('=').next().unwrap_or(text) } else { text };
        let text = if matches!(kind, Kind::Path | Kind::Address) { text.trim_end_matches('/') } else { text };
        Some(Self { kind, text, strong })
    }

    /// Whether this code and `other` exclude each other: both are of one kind, and neither is in the question
    /// of the other.
    fn contradicts(&self, other: &Self) -> bool {
        let letters = |text: &'a str| text.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
        let series = |one: &'a str, other: &str| {
            let (one, other) = (letters(one), other.split(|c: char| c.is_ascii_digit()).next().unwrap_or(""));
            one.eq_ignore_ascii_case(other)
        };
        self.kind == other.kind && (self.kind != Kind::Serial || self.strong || series(self.text, other.text))
    }

    /// Whether `question` holds it, wherever it is and whatever separates it.
    fn stands_in(&self, question: &str) -> bool {
        match self.kind {
            Kind::Path => holds(question, self.text),
            // Where no dashes are written at all, `hard` stands for `--hard`.
            Kind::Flag => {
                holds(question, self.text)
                    || self.text.strip_prefix("--").is_some_and(|word| holds(question, word))
                        && !codes(question).iter().any(|code| code.kind == Kind::Flag)
            }
            Kind::Identifier => {
                holds(question, self.text)
                    || holds(&question.to_lowercase(), &self.text.replace('_', " ").to_lowercase())
                    || codes(question)
                        .iter()
                        .any(|code| code.kind == Kind::Identifier && is_misspelt(code.text, self.text))
            }
            Kind::File | Kind::Hexadecimal => holds(&question.to_lowercase(), &self.text.to_lowercase()),
            Kind::Address => {
                let address = self.text.to_lowercase();
                let bare = ["https://", "http://", "www."]
                    .iter()
                    .fold(&*address, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
                holds(&question.to_lowercase(), bare)
            }
            Kind::Serial => {
                holds(&question.to_lowercase(), &self.text.to_lowercase())
                    || holds_squeezed(&squeezed(question), &squeezed(self.text))
            }
        }
    }
}

/// Whether `code` is in `question` as a whole.
fn holds(question: &str, code: &str) -> bool {
    let inner = |c: char| {
        (c.is_alphanumeric() && !is_unspaced(c)) || matches!(c, '_' | '-' | '/' | '\\' | '.' | '$' | '@')
    };
    question.match_indices(code).any(|(at, _)| {
        let before = question[..at].chars().next_back();
        let mut after = question[at + code.len()..].chars();
        // A dot that ends a sentence, or a slash that ends a folder, ends the code.
        let ends = match after.next() {
            Some('.' | '/' | '-') => after.next().is_none_or(|c| !inner(c)),
            next => next.is_none_or(|c| !inner(c)),
        };
        // Within an address, `example.org` may follow `https://` or `www.`.
        let starts =
            before.is_none_or(|c| !inner(c) || matches!(c, '/' | '.') && !code.starts_with(['/', '.', '-']));
        starts && ends
    })
}

/// Whether two identifiers are the same except for a misspelling in one of their longer words.
fn is_misspelt(one: &str, other: &str) -> bool {
    const LONG: usize = 5;
    one.split('_').count() == other.split('_').count()
        && one
            .split('_')
            .zip(other.split('_'))
            .all(|(one, other)| one == other || one.len().min(other.len()) >= LONG && related(one, other))
}

/// A text in lower case, without the characters that may split a serial number.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '-').flat_map(char::to_lowercase).collect()
}

fn holds_squeezed(question: &str, code: &str) -> bool {
    question.match_indices(code).any(|(at, _)| {
        let after = question[at + code.len()..].chars().next();
        // More digits make it another number. The text after a number may be the next word.
        after.is_none_or(|c| !c.is_ascii_digit())
    })
}

fn address(text: &str) -> Option<(Kind, bool)> {
    let is_mail = text.split_once('@').is_some_and(|(user, host)| {
        user.ends_with(char::is_alphanumeric) && host.contains('.') && host.starts_with(char::is_alphanumeric)
    });
    let lower =
        |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let is_url = ["https://", "http://", "ftp://", "ssh://", "www."].iter().any(|prefix| lower(prefix));
    (is_mail || is_url).then_some((Kind::Address, true))
}

fn flag(text: &str) -> Option<(Kind, bool)> {
    let letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    if let Some(long) = text.strip_prefix("--") {
        return letter(long).then_some((Kind::Flag, true));
    }
    // After a single dash, several letters are more often prose with a dash than a flag; so are words.
    let short = text.strip_prefix('-')?;
    let plain = short.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let letters = short.len() <= 2
        || short.len() <= 4 && short.bytes().all(|byte| byte.is_ascii_lowercase()) && !is_common(short);
    (letter(short) && plain && letters).then_some((Kind::Flag, true))
}

fn path(text: &str) -> Option<(Kind, bool)> {
    let wordy = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let slashes = text.trim_end_matches('/').matches('/').count();
    // Other backslashes are formulas and escapes.
    let drive = matches!(text.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic())
        || text.strip_prefix(r"\\").is_some_and(|host| {
            host.starts_with(|c: char| c.is_ascii_alphanumeric())
                && host.contains('\\')
                && !host.contains('"')
        });
    let rooted = ["/", "~/", "./", "../"].iter().any(|root| text.starts_with(root));
    let folders = drive || rooted && slashes >= 2 || text.starts_with("~/");
    let named = slashes >= 1 && text.rsplit('/').next().is_some_and(|name| file(name).is_some());
    match wordy && text.is_ascii() {
        true if folders || named => Some((Kind::Path, true)),
        true if rooted => Some((Kind::Path, false)),
        _ => None,
    }
}

fn hexadecimal(text: &str) -> Option<(Kind, bool)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x")) && digits(&text[2..]);
    let colour = text.strip_prefix('#').is_some_and(|colour| {
        digits(colour)
            && (colour.len() == 6
                || colour.len() == 3 && colour.bytes().any(|byte| byte.is_ascii_alphabetic()))
    });
    (number || colour).then_some((Kind::Hexadecimal, true))
}

fn identifier(text: &str) -> Option<(Kind, bool)> {
    let name = |c: char| c.is_alphanumeric() || c == '_';
    // Shorter ones are amounts, such as `$B`.
    let variable = text
        .strip_prefix('$')
        .is_some_and(|name| name.len() > 2 && name.starts_with(|c: char| c.is_alphabetic()));
    let joined =
        text.contains('_') && text.trim_matches('_').len() >= 2 && text.chars().all(|c| name(c) || c == '.');
    let scoped = (text.contains("::") || text.contains("->"))
        && text.chars().filter(|c| c.is_alphabetic()).count() >= 2;
    // Blanks to be filled in are not code.
    let blank = text.contains("___");
    (!blank && (variable || joined || scoped)).then_some((Kind::Identifier, false))
}

fn file(text: &str) -> Option<(Kind, bool)> {
    #[rustfmt::skip]
    const EXTENSIONS: &[&str] = &[
        "rs", "py", "js", "ts", "tsx", "jsx", "json", "yaml", "yml", "toml", "xml", "html", "htm", "css", "csv", "tsv", "txt", "pdf", "doc",
        "docx", "xls", "xlsx", "ppt", "pptx", "odt", "png", "jpg", "jpeg", "gif", "svg", "webp", "heic", "mp3", "mp4", "wav", "mov", "avi",
        "mkv", "zip", "tar", "gz", "rar", "7z", "exe", "msi", "dll", "so", "sh", "bat", "ps1", "log", "ini", "conf", "cfg", "env", "md", "sql",
        "db", "java", "cpp", "hpp", "rb", "php", "swift", "kt", "apk", "dmg", "iso", "psd", "key", "pem", "crt", "lock", "plist", "vcf", "ics",
    ];
    let (name, extension) = text.rsplit_once('.')?;
    let known = EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension));
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    (known && name.chars().all(plain)).then_some((Kind::File, false))
}

/// Letters, then digits: strong from three digits on, after up to five capitals, as in the codes of errors
/// and standards.
fn serial(text: &str) -> Option<(Kind, bool)> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let any = text.bytes().any(|byte| byte.is_ascii_digit());
    let capitals = text.bytes().take(letters).all(|byte| byte.is_ascii_uppercase());
    let amount =
        ["rs", "inr", "usd", "eur"].iter().any(|currency| text[..letters].eq_ignore_ascii_case(currency));
    let strong = (1..=5).contains(&letters) && capitals && digits >= 3 && !amount;
    (plain && letters > 0 && any).then_some((Kind::Serial, strong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::guards::codes::differ_both_ways;

    fn differ(a: &str, b: &str) -> bool {
        differ_both_ways(difference, a, b)
    }

    #[test]
    fn another_code_is_another_question() {
        for (a, b) in [
            ("what does git push --force do", "what does git push --no-force do"),
            ("grep -i pattern", "grep -v pattern"),
            ("rm -r folder", "rm -R folder"),
            ("What is /etc/hosts for?", "What is /etc/host.conf for?"),
            (r"free space on C:\Temp", r"free space on D:\Temp"),
            ("open report_a", "open report_b"),
            ("the JAVA_HOME variable", "the JAVA_OPTS variable"),
            ("Fix error E0502", "Fix error E0505"),
            ("Fix error E0502", "Fix the error"),
            ("error 0x80070005", "error 0x80070006"),
            ("What color is #ff0000?", "What color is #00ff00?"),
            ("boiling point of H2O", "boiling point of H2O2"),
            ("write to sales@example.org", "write to help@example.org"),
            ("open https://example.org/a", "open https://example.org/b"),
            ("edit config.yaml", "edit config.toml"),
            ("convert a .doc file", "convert a .docx file"),
            ("is CVE-2021-44228 fixed", "is CVE-2021-45046 fixed"),
            ("ISO 27001 audit, ISO27001", "ISO27701 audit"),
            ("what does free() do", "what does open() do"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn one_code_has_many_settings() {
        for (a, b) in [
            ("Fix error E0502.", "error (e0502)?"),
            ("the ISO27001 audit", "audit for ISO 27001"),
            ("COVID-19 rules", "covid 19 rules"),
            ("open `/etc/hosts`", "open /etc/hosts/?"),
            ("go to https://www.example.org/", "go to example.org"),
            ("what does `--depth=1` do?", "what does --depth do?"),
            ("Is Node.js fast?", "Is Node fast?"),
            ("my iPhone6s", "my iphone"),
            ("red/green and/or he/she", "he or she"),
            ("use free()", "use free"),
            ("git の -v は何", "git の-v は何"),
            ("well -- as I said - it - is", "well as I said it is"),
            ("24/7 support", "support 24/7?"),
            ("fill in the ______ here", "fill in here"),
            ("$HOME", "the $HOME folder"),
            ("git reset --hard", "a hard reset"),
            ("why finish_reason length", "why finsh_reason length"),
            ("why finish_reason length", "the finish reason is length"),
            ("the limit of $B 5 -old", "the limit of 5"),
            (r#"the \"highest\" W\u00fc"#, "the highest"),
            ("an i7 7500u", "an i7-7500u"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
