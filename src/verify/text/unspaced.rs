//! Scripts that write no spaces between words.

use unicode_script::{Script, UnicodeScript as _};

/// Whether `character` belongs to such a script.
pub(in crate::verify) fn is_unspaced(character: char) -> bool {
    // The first of them is Thai.
    character >= '\u{e00}'
        && matches!(
            character.script(),
            Script::Han
                | Script::Hiragana
                | Script::Katakana
                | Script::Thai
                | Script::Lao
                | Script::Khmer
                | Script::Myanmar
        )
}

/// Whether `word` is written in hiragana, which shows how Japanese words belong together.
pub(super) fn is_hiragana(word: &str) -> bool {
    word.starts_with(|letter| matches!(letter, '\u{3041}'..='\u{309f}'))
}
