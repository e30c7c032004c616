//! Which language a question is in: by its script, and for the Latin script by its function words.
//!
//! Good enough to choose the words that guards look for, and no more: a question of two words often reveals
//! nothing. A word counts for all languages that have it, and counts less the more there are.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_script::{Script, UnicodeScript as _};

/// A language that something is known about here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::verify) enum Language {
    English,
    German,
    Spanish,
    French,
    Italian,
    Portuguese,
    Dutch,
    Polish,
    Russian,
    Ukrainian,
    Chinese,
    Japanese,
    Korean,
    Arabic,
    Persian,
    Hindi,
    Greek,
    Hebrew,
    Thai,
}

use Language::{
    Arabic, Chinese, Dutch, English, French, German, Greek, Hebrew, Hindi, Italian, Japanese, Korean,
    Persian, Polish, Portuguese, Russian, Spanish, Thai, Ukrainian,
};

impl Language {
    /// Whether it is one of those that are recognised by their function words.
    pub(in crate::verify) fn is_latin(self) -> bool {
        LATIN.iter().any(|(language, _)| *language == self)
    }

    /// Its name in English.
    pub(in crate::verify) fn name(self) -> &'static str {
        match self {
            English => "English",
            German => "German",
            Spanish => "Spanish",
            French => "French",
            Italian => "Italian",
            Portuguese => "Portuguese",
            Dutch => "Dutch",
            Polish => "Polish",
            Russian => "Russian",
            Ukrainian => "Ukrainian",
            Chinese => "Chinese",
            Japanese => "Japanese",
            Korean => "Korean",
            Arabic => "Arabic",
            Persian => "Persian or Urdu",
            Hindi => "Hindi",
            Greek => "Greek",
            Hebrew => "Hebrew",
            Thai => "Thai",
        }
    }
}

/// What is known about the language of a text.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::verify) struct DetectedLanguage {
    /// The most likely language; none if nothing reveals it.
    pub(in crate::verify) language: Option<Language>,
    /// Whether any other language is out of the question.
    pub(in crate::verify) is_sure: bool,
}

/// Function words of the languages of the Latin script.
#[rustfmt::skip]
const LATIN: [(Language, &str); 8] = [
    (English, "the a an is are was were what how of which who when where did does do why my with can i to for in on at by and or not if it \
        this that from have has be been will would you me should there get after before without as your any much many no"),
    (German, "der die das den dem des ist sind wie und oder was wer wann wo welche welcher welches welchen nicht kein keine keinen ich du er \
        wir ihr sie mein meine meinen meinem meiner ein eine einen einem einer für wurde warum wieso kann können darf muss wird werden habe \
        hat haben in auf mit von zu zum zur bei nach aus ohne im am auch noch wenn dass es gibt man mir mich bitte schon über sich"),
    (Spanish, "el la los las un una es son cuál cual qué que quién quien cuándo cuando dónde donde cómo como cuánto cuánta por para con sin \
        no mi mis me se puedo puede tengo hay del al y o en de lo su está ya si ser tiene más fue hace cuántos desde"),
    (French, "le la les un une est sont quel quelle quels quelles qui que quand où comment des du de je tu il nous vous mon ma mes pourquoi \
        pour pas ne peux peut puis dans sur avec sans au aux ce cette et ou se si quoi combien faut dois depuis en par plus être à ça"),
    (Italian, "il lo la gli le i un uno una è sono quale quali chi che quando dove come perché mio mia per con senza non posso può devo ho ha \
        del della dei delle di al alla nel nella in da o e si mi su se quanto quanti cosa fare essere ci"),
    (Portuguese, "o a os as um uma é são qual quais quem que quando onde como por para com sem não meu minha posso pode tenho há do da dos das \
        no na nos nas ao em e ou se eu foi quanto quantos de mais meus preciso fazer"),
    (Dutch, "het een de hoe wie wanneer waar niet geen ik je jij wij mijn voor waarom van kan kunnen moet mag wordt worden heb heeft zijn op \
        met naar bij uit zonder en of wat welke dat dit ook nog als er maar om te aan mij krijg is ben in over door hoeveel"),
    (Polish, "jak czy co gdzie kiedy kto dlaczego ile jest są nie mogę można na w z do po od dla bez przez się to i lub mi mój moja moje jaki \
        jaka jakie który która które muszę mam ma za o przy albo oraz już ze we"),
];

/// The languages that have a word, as bits.
static WORDS: LazyLock<HashMap<&str, u8>> = LazyLock::new(|| {
    let mut words: HashMap<&str, u8> = HashMap::new();
    for (place, (_, list)) in LATIN.iter().enumerate() {
        for word in list.split_whitespace() {
            *words.entry(word).or_default() |= 1 << place;
        }
    }
    words
});

/// Whether `word` says in `language` how something is asked, and not what about.
pub(in crate::verify) fn is_function_word(word: &str, language: Language) -> bool {
    let place = LATIN.iter().position(|(known, _)| *known == language);
    place.is_some_and(|place| WORDS.get(word).is_some_and(|languages| languages & 1 << place != 0))
}

/// The language of a text with these lower-case words.
pub(in crate::verify) fn language<'a>(words: impl Iterator<Item = &'a str> + Clone) -> DetectedLanguage {
    let sure = |language| DetectedLanguage { language: Some(language), is_sure: true };
    let has = |letters: &str| words.clone().any(|word| word.contains(|letter| letters.contains(letter)));
    match script(words.clone()) {
        Some(Script::Latin) | None => latin(words),
        Some(Script::Cyrillic) => sure(if has("іїєґ") { Ukrainian } else { Russian }),
        Some(Script::Arabic) => sure(if has("پچژگکیٹڈے") { Persian } else { Arabic }),
        Some(Script::Hiragana | Script::Katakana) => sure(Japanese),
        // Characters that Japanese does not have, or hardly without kana beside them.
        Some(Script::Han) => DetectedLanguage { language: Some(Chinese), is_sure: has(CHINESE) },
        Some(Script::Hangul) => sure(Korean),
        Some(Script::Devanagari) => sure(Hindi),
        Some(Script::Greek) => sure(Greek),
        Some(Script::Hebrew) => sure(Hebrew),
        Some(Script::Thai) => sure(Thai),
        Some(_) => DetectedLanguage::default(),
    }
}

/// The script of most of the text; kana wherever there is some beside Han. None without letters.
///
/// A Chinese character counts as about three letters.
pub(in crate::verify) fn script<'a>(words: impl Iterator<Item = &'a str>) -> Option<Script> {
    let mut counts: Vec<(Script, usize)> = Vec::new();
    for letter in words.flat_map(str::chars).filter(|letter| letter.is_alphabetic()) {
        let script = if letter.is_ascii() { Script::Latin } else { letter.script() };
        let weight = match script {
            Script::Common | Script::Inherited | Script::Unknown => continue,
            Script::Han | Script::Hiragana | Script::Katakana => 3,
            _ => 1,
        };
        match counts.iter_mut().find(|(known, _)| *known == script) {
            Some((_, count)) => *count += weight,
            None => counts.push((script, weight)),
        }
    }
    let (most, _) = counts.iter().rev().max_by_key(|(_, count)| *count)?;
    let kana = counts.iter().map(|(script, _)| *script).find(|script| is_kana(*script));
    Some(if *most == Script::Han { kana.unwrap_or(Script::Han) } else { *most })
}

fn is_kana(script: Script) -> bool {
    matches!(script, Script::Hiragana | Script::Katakana)
}

fn latin<'a>(words: impl Iterator<Item = &'a str>) -> DetectedLanguage {
    let mut weights = [0.0_f32; LATIN.len()];
    let mut counts = [0_usize; LATIN.len()];
    // The weights of words that English does not have.
    let mut own = [0.0_f32; LATIN.len()];
    let mut seen: Vec<&str> = Vec::new();
    let mut is_marked = false;
    for word in words {
        is_marked |= !word.is_ascii();
        // "l'article" and "qu'est-ce" are French, and "dell'ordine" is Italian.
        let elided = |elisions: &[&str]| elisions.iter().any(|elision| word.starts_with(elision));
        let languages = match WORDS.get(word) {
            Some(languages) => *languages,
            None if !word.contains('\'') => continue,
            None if elided(&["qu'", "j'", "n'", "d'", "s'", "m'"]) => 1 << 3,
            None if elided(&["dell'", "all'", "nell'", "dall'", "sull'", "un'", "c'è"]) => 1 << 4,
            None if elided(&["l'"]) => 1 << 3 | 1 << 4,
            None => continue,
        };
        // "Per dept per quarter" says no more than one "per".
        if seen.contains(&word) {
            continue;
        }
        seen.push(word);
        for place in (0..LATIN.len()).filter(|place| languages & 1 << place != 0) {
            let weight = 1.0 / languages.count_ones() as f32;
            weights[place] += weight;
            counts[place] += 1;
            if languages & 1 == 0 {
                own[place] += weight;
            }
        }
    }
    let mut order: Vec<usize> = (0..LATIN.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let (best, second) = (order[0], order[1]);
    let is_english = LATIN[best].0 == English;
    if weights[best] < LEAST || weights[best] < AHEAD * weights[second] || !is_english && own[best] < OWN {
        return DetectedLanguage::default();
    }
    // A title or a name has a word or two of its own language.
    let enough = counts[best] >= 2 && weights[best] >= 2.0 || counts[best] >= 3 && weights[best] >= SURE;
    // English words hardly ever have marks.
    let enough = enough || is_marked && own[best] >= 1.0;
    let is_sure = enough && weights[best] >= 2.0 * weights[second];
    DetectedLanguage { language: Some(LATIN[best].0), is_sure }
}

/// Simplified characters that Japanese writes differently, and some that are in hardly any Japanese word.
const CHINESE: &str = "个么吗呢吧们这哪怎你给还让谁跟请说买卖费时间门开关钱账电话应该为发货单订证书车飞场历动处连网页视图实际击设选择项错误\
    问题习样级经过进运达长张带边转输钟银码络帐录软续线换删链传联统维护简业产药币汇贷险签邮递仓库优价额预约岁东华农";

/// The least weight of the words of a language.
const LEAST: f32 = 0.5;

/// For languages other than English, the least weight of words that English does not have: one word that is
/// in no other language, or two.
const OWN: f32 = 0.75;

/// The least weight of three of them that makes the language certain.
const SURE: f32 = 1.3;

/// How much more they must weigh than those of any other language.
const AHEAD: f32 = 1.2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::text::Reading;

    #[test]
    fn languages_are_recognised_by_script_and_function_words() {
        for (text, language) in [
            ("How do I reset my password?", English),
            ("Wie lange kann ich einen Artikel zurückgeben?", German),
            ("¿Cuánto tarda el envío a Canarias?", Spanish),
            ("Comment annuler l'article que j'ai commandé ?", French),
            ("Quanto costa la spedizione in Sicilia?", Italian),
            ("Como faço para trocar um produto com defeito?", Portuguese),
            ("Hoe lang duurt de levering naar België?", Dutch),
            ("Jak zwrócić zakupiony towar?", Polish),
            ("Как вернуть товар?", Russian),
            ("Як повернути товар і гроші?", Ukrainian),
            ("这个包裹怎么退？", Chinese),
            ("返品の送料は誰が払いますか", Japanese),
            ("비밀번호를 어떻게 재설정하나요?", Korean),
            ("كيف أعيد المنتج؟", Arabic),
            ("چگونه رمز عبور را تغییر دهم؟", Persian),
            ("मैं पासवर्ड कैसे बदलूँ?", Hindi),
            ("iPhone 15 的价格是多少", Chinese),
            ("Windowsのパスワード", Japanese),
        ] {
            assert_eq!(Reading::of(text).detected().language, Some(language), "{text}");
        }
        for text in ["Warsaw", "", "404 ?!", "Amharic ሰላም ነው"] {
            assert_eq!(Reading::of(text).detected().language, None, "{text}");
        }
    }

    #[test]
    fn a_title_or_a_name_is_not_sure() {
        for text in ["Who wrote Der Ring des Nibelungen?", "Las Vegas", "passwort ohne mail", "料金表"] {
            let detected = Reading::of(text).detected();
            assert!(!detected.is_sure || detected.language == Some(English), "{text}: {detected:?}");
        }
    }
}
