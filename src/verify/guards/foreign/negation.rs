//! Words that negate.
//!
//! In most of these languages several negations are still one ("no hay nada", "я никогда не") and do not
//! cancel each other, so it only matters whether there is one. In Japanese, negated verbs do cancel each
//! other ("must" is "not doing will not do").

use crate::verify::text::{Language, Reading};

/// The negation of a question.
#[derive(Debug)]
pub(in crate::verify::guards) struct Negation<'a> {
    pub(in crate::verify::guards) is_negated: bool,
    /// The first word that negates; empty if there is none.
    pub(in crate::verify::guards) cue: &'a str,
}

/// Words that negate, by language.
#[rustfmt::skip]
const WORDS: &[(Language, &[&str])] = &[
    (Language::German, &["nicht", "kein", "keine", "keinen", "keinem", "keiner", "keines", "nie", "niemals", "niemand", "nichts", "ohne", "weder"]),
    (Language::Dutch, &["niet", "geen", "nooit", "niemand", "niets", "zonder"]),
    (Language::French, &["pas", "jamais", "sans", "aucun", "aucune", "rien", "ni"]),
    (Language::Spanish, &["no", "nunca", "jamás", "sin", "nadie", "nada", "ningún", "ninguno", "ninguna", "tampoco"]),
    (Language::Italian, &["non", "nn", "senza", "mai", "nessun", "nessuno", "nessuna", "niente", "nulla"]),
    (Language::Portuguese, &["não", "nao", "sem", "nunca", "jamais", "ninguém", "nada", "nenhum", "nenhuma", "nem"]),
    (Language::Polish, &["nie", "bez", "nigdy", "nikt", "nic", "żaden", "żadna", "żadne", "żadnego", "żadnej"]),
    (Language::Russian, &["не", "нет", "без", "никогда", "никто", "ничего", "нельзя", "ни"]),
    (Language::Ukrainian, &["не", "немає", "без", "ніколи", "ніхто", "нічого", "не можна", "ні"]),
    (Language::Arabic, &["لا", "بلا", "لم", "ولم", "لن", "ليس", "ليست", "بدون", "غير", "دون", "عدم"]),
    (Language::Persian, &["بدون", "نه", "نیست"]),
    (Language::Hindi, &["नहीं", "नही", "मत", "न", "ना", "बिना", "बगैर"]),
];

/// Negating words that no other language has, English included.
#[rustfmt::skip]
const ANYWHERE: &[&str] = &[
    "nicht", "kein", "keine", "keinen", "keinem", "keiner", "niemals", "ohne", "niet", "geen", "nooit", "zonder", "jamais", "aucun", "aucune",
    "nunca", "jamás", "ningún", "ninguna", "senza", "nessun", "nessuno", "nessuna", "não", "sem", "nenhum", "nenhuma", "nie", "bez", "nigdy",
    "żaden", "żadna",
];

/// Words before a negation that make it the second half of "or not", which asks for both.
const OR: &[&str] = &["oder", "ob", "of", "ou", "o", "czy", "lub", "или", "або", "أم", "أو", "या", "y", "e"];

/// Words after a negation that make it a polite question.
const POLITE: &[&str] = &["подскажете", "подскажешь", "могли", "мог", "могла", "скажете", "знаете", "знаешь"];

/// The negation of `reading`, if it is in a language that is known here; none if English decides.
pub(in crate::verify::guards) fn negation(reading: &Reading) -> Option<Negation<'_>> {
    let kept = reading.retracted()..reading.len();
    // "Or not", "come mai" (why), and a polite question.
    let is_idle = |at: usize| {
        let (before, after) = (reading.text_before(at), reading.text(at + 1));
        OR.contains(&before) || POLITE.contains(&after) || (before, reading.text(at)) == ("come", "mai")
    };
    let found = |words: &[&str]| kept.clone().find(|&at| words.contains(&reading.text(at)) && !is_idle(at));
    let negation_at = |place: Option<usize>| Negation {
        is_negated: place.is_some(),
        cue: place.map_or("", |at| reading.text(at)),
    };
    let Some(language) = reading.detected().language else {
        return found(ANYWHERE).map(|at| negation_at(Some(at)));
    };
    match language {
        Language::English => None,
        Language::Chinese if reading.detected().is_sure => Some(negation_at(written(reading, chinese))),
        // Some single characters may just as well be Japanese.
        Language::Chinese => Some(negation_at(None)),
        Language::Japanese => Some(japanese(reading)),
        Language::French => Some(negation_at(found(words(language)).or_else(|| no_longer(reading)))),
        _ => Some(negation_at(found(words(language)))),
    }
}

fn words(language: Language) -> &'static [&'static str] {
    WORDS.iter().find(|(known, _)| *known == language).map_or(&[], |(_, words)| words)
}

/// The `plus` or `personne` of "n'arrive plus", which mean "more" and "somebody" without "ne".
fn no_longer(reading: &Reading) -> Option<usize> {
    const NEAR: usize = 4;
    (reading.retracted()..reading.len()).find(|&at| {
        matches!(reading.text(at), "plus" | "personne" | "guère")
            && (at.saturating_sub(NEAR)..at).any(|before| {
                let word = reading.text(before);
                word == "ne" || word.starts_with("n'")
            })
    })
}

/// The first word where a negation begins; `negates` decides, given the text before and from the word on.
fn written(reading: &Reading, negates: fn(&str, &str) -> bool) -> Option<usize> {
    let text = reading.as_written();
    (reading.retracted()..reading.len()).find(|&at| {
        let (start, _) = reading.place(at);
        negates(&text[..start], &text[start..])
    })
}

fn chinese(before: &str, from: &str) -> bool {
    #[rustfmt::skip]
    const OTHERS: &[&str] = &[
        "不同", "不仅", "不但", "不过", "不断", "不锈", "不好意思", "不知道", "不客气", "不管", "不少", "不错", "不久", "不要紧", "不得不",
        "没关系", "没收", "没问题", "无线", "无论", "无锡", "无障碍", "无人机", "无偿", "未来", "未婚", "非常", "非洲", "非要",
    ];
    let Some(first) = from.chars().next().filter(|first| "不没沒无無未非".contains(*first)) else {
        return false;
    };
    // "是不是", "能不能" and "有没有" ask for both.
    let after = from[first.len_utf8()..].chars().next();
    let asks_for_both = after.is_some() && before.chars().next_back() == after;
    let within =
        before.ends_with("差") || before.ends_with("对") && after == Some('起') || before.ends_with("除");
    // "要不要我去" and "好不": the end of a question.
    let ends = after.is_none_or(|after| !after.is_alphanumeric());
    !asks_for_both && !within && !ends && !OTHERS.iter().any(|other| from.starts_with(other))
}

fn japanese(reading: &Reading) -> Negation<'_> {
    const CUES: &[&str] = &["ません", "ない", "なく", "なけれ", "なかっ", "ずに", "なし", "無し"];
    #[rustfmt::skip]
    const OTHERS: &[&str] = &["ませんか", "ないか", "ないでしょうか", "ないですか", "なくす", "なくし", "なくな"];
    let text = reading.as_written();
    let negates = |at: usize| {
        let (start, _) = reading.place(at);
        let (before, from) = text.split_at(start);
        // "少ない" is few, "危ない" dangerous, "かもしれない" perhaps, and "じゃない" corrects or asks back.
        let within =
            ["少", "危", "しれ", "つ", "すく", "とん", "ら", "じゃ"].iter().any(|end| before.ends_with(end))
                && from.starts_with("ない");
        // "なければなりません" is "must": the sentence is not negated, whether it asks or states.
        let is_must = before.ends_with("なり") || before.ends_with("いけ");
        let is = CUES.iter().any(|cue| from.starts_with(cue)) && !within;
        // "失くす" and "無くなる" are verbs, but "できなくなる" is "can no longer".
        let lost = from.starts_with("なく") && before.ends_with(['無', '亡', '失', 'を', 'が', 'は', 'ゃ']);
        is && !lost
            && (from.starts_with("なくな") || is_must || !OTHERS.iter().any(|other| from.starts_with(other)))
    };
    let places: Vec<usize> = (reading.retracted()..reading.len()).filter(|&at| negates(at)).collect();
    let is_negated = places.len() % 2 == 1;
    Negation { is_negated, cue: if is_negated { reading.text(places[0]) } else { "" } }
}
