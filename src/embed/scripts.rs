//! The scripts that a model was trained on, and whether a text uses another one.
//!
//! A vocabulary also has pieces for scripts that the model never learned. There it sees unknown tokens or
//! lone characters, and two questions that differ in such a word may look the same. One such letter is
//! therefore enough to reject a text, because a hit would depend on the rest of the question alone.

use serde::{Deserialize, Serialize};
use unicode_script::{Script, UnicodeScript as _};

use crate::error::{Error, Result};

/// The scripts that a model knows, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Scripts(Vec<Script>);

impl Scripts {
    /// The scripts with these names, as in Unicode: `Latin`, `Cyrillic`, `Han`, `Hiragana`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is no name, or if one is not the
    /// name of a script.
    pub fn new(names: impl IntoIterator<Item: AsRef<str>>) -> Result<Self> {
        let script = |name: &str| {
            let known = Script::from_full_name(name).filter(|script| is_script(*script));
            known.ok_or_else(|| Error::invalid(format!("{name} is not a script, write it like Latin or Han")))
        };
        let scripts = names.into_iter().map(|name| script(name.as_ref())).collect::<Result<Vec<_>>>()?;
        if scripts.is_empty() {
            return Err(Error::invalid("a model that knows no script can embed nothing"));
        }
        Ok(Self(scripts))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|script| script.full_name())
    }

    /// The script of the first letter of `text` that belongs to none of these scripts. Digits, punctuation,
    /// emoji and other characters without a script do not count.
    pub fn unknown_in(&self, text: &str) -> Option<&'static str> {
        if text.is_ascii() && self.0.contains(&Script::Latin) {
            return None;
        }
        let letters = text.chars().filter(|character| character.is_alphabetic());
        let mut scripts = letters.map(|letter| letter.script());
        let unknown = scripts.find(|script| is_script(*script) && !self.0.contains(script))?;
        Some(unknown.full_name())
    }
}

/// Whether it is a real script, and not one of Unicode's values for other characters.
fn is_script(script: Script) -> bool {
    !matches!(script, Script::Common | Script::Inherited | Script::Unknown)
}

impl TryFrom<Vec<String>> for Scripts {
    type Error = Error;

    fn try_from(names: Vec<String>) -> Result<Self> {
        Self::new(names)
    }
}

impl Serialize for Scripts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_of_an_unknown_script_is_enough() {
        let latin = Scripts::new(["Latin"]).unwrap();
        for (text, script) in [
            ("Как сбросить пароль?", "Cyrillic"),
            ("what does 猫 mean", "Han"),
            ("パスワード", "Katakana"),
            ("what is ₿ in हिन्दी", "Devanagari"),
            ("สวัสดี", "Thai"),
            ("the letter π", "Greek"),
            ("Ａ ｱ", "Katakana"),
        ] {
            assert_eq!(latin.unknown_in(text), Some(script), "{text}");
        }
        for text in [
            "How do I reset my password?",
            "Jak zresetować hasło? Größe, œuvre, Đà Nẵng, ﬁn, Ａ",
            "5 µm, ٣ or ３, 25 °C, 👍🏽 € ≥ ½ ™ ª",
            "e\u{301}\u{200d}",
            "\u{e000}",
            "",
        ] {
            assert_eq!(latin.unknown_in(text), None, "{text}");
        }
        let japanese = Scripts::new(["Han", "Hiragana", "Katakana"]).unwrap();
        assert_eq!(japanese.unknown_in("サーバーの設定、人々"), None);
        assert_eq!(japanese.unknown_in("iPhone"), Some("Latin"));
    }

    #[test]
    fn what_is_no_script_is_refused_by_its_name() {
        for names in [&["latin"][..], &["Latin", "Klingon"], &["Common"], &[]] {
            assert!(Scripts::new(names).is_err(), "{names:?}");
        }
        let error = Scripts::new(["Latin", "Klingon"]).unwrap_err().to_string();
        assert!(error.contains("Klingon"), "{error}");
        let scripts: Scripts = serde_json::from_str(r#"["Latin", "Han"]"#).unwrap();
        assert_eq!(serde_json::to_string(&scripts).unwrap(), r#"["Latin","Han"]"#);
        assert!(serde_json::from_str::<Scripts>(r#"["Latn"]"#).is_err());
    }
}
