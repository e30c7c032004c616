//! Whether the questions are in different languages, because their answers would be, too.
//!
//! Recognised by the script, and for the Latin script by function words. Short questions often hold none:
//! then the language is unknown, and only a different script counts.

use unicode_script::{Script, UnicodeScript as _};

use crate::verify::text::{Comparison, Reading, script};

/// Which languages or scripts the questions are in, if they differ.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let sides = [&comparison.asked, &comparison.cached];
    let [asked, cached] =
        sides.map(|reading| reading.detected().language.filter(|_| reading.detected().is_sure));
    if let (Some(asked), Some(cached)) = (asked, cached)
        && asked != cached
    {
        return Some(format!("languages differ: {} against {}", asked.name(), cached.name()));
    }
    let [asked, cached] = sides.map(|reading| script(reading.words().map(|word| word.text)));
    let (asked, cached) = (asked?, cached?);
    let is_one = asked == cached || is_japanese(asked) && is_japanese(cached);
    // A name in another script may be most of a short question: "iPhone价格" and "苹果iPhone多少钱".
    let apart = || !holds(sides[1], asked) || !holds(sides[0], cached);
    (!is_one && apart())
        .then(|| format!("scripts differ: {} against {}", asked.full_name(), cached.full_name()))
}

/// Whether `script` is one of those that Japanese mixes.
fn is_japanese(script: Script) -> bool {
    matches!(script, Script::Han | Script::Hiragana | Script::Katakana)
}

fn holds(reading: &Reading, script: Script) -> bool {
    reading.words().any(|word| word.text.chars().any(|letter| letter.script() == script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn another_language_asks_for_another_answer() {
        for (a, b) in [
            ("What is the capital of France?", "Wie ist der Name der Hauptstadt?"),
            ("Where is my card?", "¿Dónde está mi tarjeta y cómo la activo?"),
            ("What is it?", "Что это такое?"),
            ("首都はどこですか", "What is the capital?"),
            ("password reset", "сброс пароля"),
            ("сброс пароля Windows", "reset Windows password"),
            ("这个包裹怎么退？", "この荷物はどう返品しますか"),
            ("如何重置密码？", "パスワードをリセットする方法は？"),
            ("Jak mogę zmienić hasło do konta?", "Wie ändere ich das Passwort für mein Konto?"),
            ("How do I reset my password?", "¿Cómo restablezco mi contraseña?"),
            ("Wie setze ich mein Passwort zurück?", "¿Cómo restablezco mi contraseña?"),
            ("¿Cómo cambio la contraseña de mi cuenta?", "Como altero a senha da minha conta?"),
            ("Як повернути гроші за товар?", "Как вернуть деньги за товар?"),
            ("비밀번호 재설정", "パスワードの再設定"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn names_and_titles_show_no_language() {
        for (a, b) in [
            ("Who wrote Der Ring des Nibelungen?", "What is the author of Der Ring des Nibelungen called?"),
            ("Warsaw", "What is Warsaw?"),
            ("password reset", "Wie setze ich das Passwort zurück?"),
            ("What is a café au lait?", "what does café au lait mean"),
            ("Where is São Paulo?", "onde fica"),
            ("iPhone价格", "苹果iPhone多少钱"),
            ("パスワード 再設定", "再設定"),
            ("料金表", "料金はいくらですか"),
            ("GPT-4", "GPT-4 Turbo"),
            ("2 + 2", "2+2=?"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
