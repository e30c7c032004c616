//! The forms of follow-ups in other languages that are certain even if the language is not known: no list
//! holds a word that begins or ends questions in another language.

/// How a question begins that continues another one, for the languages that write spaces.
#[rustfmt::skip]
const BEGINNINGS: &[&[&str]] = &[
    // German, Dutch
    &["und"], &["aber"], &["oder"], &["warum", "nicht"], &["wieso", "nicht"], &["was", "noch"], &["wer", "noch"], &["was", "ist", "mit"],
    &["wie", "sieht", "es", "mit"], &["bist", "du", "sicher"], &["en", "voor"], &["en", "wat"], &["en", "hoe"], &["maar"], &["waarom", "niet"],
    &["wat", "nog"], &["hoe", "zit", "het", "met"], &["weet", "je", "het", "zeker"],
    // Spanish, Portuguese, Italian, French
    &["y"], &["pero"], &["por", "qué", "no"], &["qué", "más"], &["qué", "tal"], &["estás", "seguro"], &["e", "se"], &["e", "para"],
    &["e", "no", "caso"], &["e", "quanto"], &["e", "come"], &["e", "per"], &["e", "in"], &["e", "com"], &["mas"], &["por", "que", "não"],
    &["tem", "certeza"], &["perché", "no"], &["cos", "altro"], &["che", "altro"], &["sei", "sicuro"], &["et"], &["mais"],
    &["pourquoi", "pas"], &["quoi", "d", "autre"], &["qu", "en", "est", "il"], &["es", "tu", "sûr"],
    // Polish, Russian
    &["a", "w"], &["a", "co"], &["a", "jak"], &["a", "ile"], &["a", "dla"], &["dlaczego", "nie"], &["co", "jeszcze"], &["i", "co"],
    &["а"], &["но"], &["и"], &["или"], &["почему", "нет"], &["что", "ещё"], &["что", "еще"], &["ты", "уверен"], &["вы", "уверены"],
    // Arabic, Hindi
    &["وماذا"], &["ماذا", "عن"], &["وهل"], &["ولكن"], &["لكن"], &["ولماذا"], &["وكيف"], &["ومتى"], &["وكم"], &["أو"],
    &["और"], &["लेकिन"], &["या"], &["तो"], &["मगर"],
];

/// Questions of one word about what was said before.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "warum", "wieso", "weshalb", "wann", "wo", "wer", "wie", "waarom", "wanneer", "hoe", "cómo", "cuándo", "dónde", "quién", "pourquoi",
    "comment", "quand", "où", "qui", "perché", "come", "quando", "dove", "chi", "onde", "quem", "dlaczego", "kiedy", "gdzie", "jak", "почему",
    "зачем", "как", "когда", "где", "кто", "сколько", "لماذا", "كيف", "متى", "أين", "من", "क्यों", "कैसे", "कब", "कहाँ", "कौन",
];

/// Words that stand for something named before if a short question ends with them.
#[rustfmt::skip]
const LAST: &[&str] = &[
    "das", "dies", "davon", "dafür", "damit", "dat", "ervan", "daarvan", "eso", "esto", "ello", "isso", "isto", "disso", "questo", "quello",
    "ciò", "ça", "cela", "ceci", "это", "этого", "ذلك", "هذا", "यह", "वह",
];

/// How English questions begin that may end with a name such as DAS.
#[rustfmt::skip]
const ENGLISH: &[&str] = &["what", "how", "who", "when", "where", "why", "which", "is", "are", "can", "do", "does", "the"];

/// How a Chinese or Japanese question that continues another one begins and ends.
#[rustfmt::skip]
const UNSPACED: (&[&str], &[&str]) = (
    &["那么", "还有", "但是", "为什么不", "它", "じゃあ", "では", "それ", "でも", "あと", "これ", "あれ", "また"],
    &["呢", "は"],
);
/// The most characters of a question that such an ending makes a follow-up.
const SHORT: usize = 8;

/// Whether a question, given in lower case, has one of these forms.
pub(super) fn is_follow_up(lower: &str) -> bool {
    // Marks belong to the letters before them, so words do not end there. Every lookup asks this of every character.
    let ends = |c: char| {
        c.is_whitespace()
            || c.is_ascii_punctuation()
            || matches!(c, '¿' | '¡' | '？' | '！' | '。' | '、' | '،' | '؟' | '…' | '’')
    };
    let words = || lower.split(ends).filter(|word| !word.is_empty());
    let Some(first) = words().next() else { return false };
    let starts_with = |beginning: &&[&str]| {
        beginning[0] == first && words().take(beginning.len()).eq(beginning.iter().copied())
    };
    let count = words().take(6).count();
    let begins = count > 1 && BEGINNINGS.iter().any(starts_with);
    let is_word = count == 1 && WORDS.contains(&first);
    let refers = (2..=5).contains(&count)
        && words().next_back().is_some_and(|last| LAST.contains(&last))
        && !ENGLISH.contains(&first);
    begins || is_word || refers || (!lower.is_ascii() && is_unspaced(lower))
}

fn is_unspaced(lower: &str) -> bool {
    let text =
        lower.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation() || "？。！、".contains(c));
    let (beginnings, ends) = UNSPACED;
    let begins = beginnings.iter().any(|beginning| text.starts_with(beginning));
    let is_word =
        matches!(text, "为什么" | "怎么" | "什么时候" | "なぜ" | "どうして" | "いつ" | "どこ" | "誰");
    begins || is_word || (text.chars().count() <= SHORT && ends.iter().any(|end| text.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use crate::verify::is_follow_up;

    #[rustfmt::skip]
    const FOLLOW_UPS: &[&str] = &[
        "Und in Österreich?", "Warum nicht?", "Was kostet das?", "Warum?", "Aber wie lange dauert es?", "En voor studenten?", "Wat kost dat?",
        "¿Y en España?", "¿Cuánto cuesta eso?", "¿Por qué no?", "E para estudantes?", "Quanto custa isso?", "E in Germania?", "Quanto costa questo?",
        "Et en Belgique ?", "Combien coûte ça ?", "Pourquoi ?", "A w Niemczech?", "Dlaczego?", "А в Германии?", "Сколько стоит это?", "Почему?",
        "那德国呢？", "德国呢？", "为什么？", "ドイツは？", "それはいくらですか？", "じゃあ来週は？", "وماذا عن ألمانيا؟", "كم يكلف ذلك؟", "और जर्मनी में?", "क्यों?",
    ];

    #[test]
    fn follow_ups_in_other_languages_are_found() {
        let missed: Vec<_> = FOLLOW_UPS.iter().filter(|question| !is_follow_up(question)).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }

    #[test]
    fn of_the_written_corpus_hardly_any_question_is_taken_for_one() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models/corpus/languages");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "txt") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let plain: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# ")).collect();
            let taken: Vec<_> = plain.iter().filter(|question| is_follow_up(question)).collect();
            assert!(taken.len() * 50 <= plain.len(), "{} of {}: {taken:#?}", taken.len(), plain.len());
        }
    }
}
