//! Numbers in words.

use crate::verify::text::{Language, Reading};

/// Words for numbers, by language. `One` is an article in most of them, and Italian `sei`, French `neuf` and
/// Hindi `दो` are just as often other words.
#[rustfmt::skip]
const WORDS: &[(Language, &[(u64, &str)])] = &[
    (Language::German, &[(2, "zwei zweite zweiten zweiter"), (3, "drei dritte dritten dritter"), (4, "vier vierte vierten"), (5, "fünf"),
        (6, "sechs"), (7, "sieben"), (8, "acht"), (9, "neun"), (10, "zehn"), (11, "elf"), (12, "zwölf"), (14, "vierzehn"),
        (15, "fünfzehn"), (20, "zwanzig"), (30, "dreißig"), (40, "vierzig"), (50, "fünfzig"), (60, "sechzig"), (90, "neunzig"),
        (100, "hundert"), (1_000, "tausend")]),
    (Language::Dutch, &[(2, "twee tweede"), (3, "drie derde"), (4, "vier vierde"), (5, "vijf"), (6, "zes"), (7, "zeven"), (8, "acht"),
        (9, "negen"), (10, "tien"), (11, "elf"), (12, "twaalf"), (14, "veertien"), (15, "vijftien"), (20, "twintig"), (30, "dertig"),
        (40, "veertig"), (50, "vijftig"), (60, "zestig"), (100, "honderd"), (1_000, "duizend")]),
    (Language::French, &[(2, "deux deuxième"), (3, "trois troisième"), (4, "quatre quatrième"), (5, "cinq"), (6, "six"), (7, "sept"),
        (8, "huit"), (10, "dix"), (11, "onze"), (12, "douze"), (14, "quatorze"), (15, "quinze"), (20, "vingt"), (30, "trente"),
        (40, "quarante"), (50, "cinquante"), (60, "soixante"), (100, "cent"), (1_000, "mille")]),
    (Language::Spanish, &[(2, "dos"), (3, "tres"), (4, "cuatro"), (5, "cinco"), (6, "seis"), (7, "siete"), (8, "ocho"), (9, "nueve"),
        (10, "diez"), (11, "once"), (12, "doce"), (14, "catorce"), (15, "quince"), (20, "veinte"), (30, "treinta"), (40, "cuarenta"),
        (50, "cincuenta"), (60, "sesenta"), (100, "cien"), (1_000, "mil")]),
    (Language::Italian, &[(2, "due"), (3, "tre"), (4, "quattro"), (5, "cinque"), (7, "sette"), (8, "otto"), (9, "nove"), (10, "dieci"),
        (11, "undici"), (12, "dodici"), (14, "quattordici"), (15, "quindici"), (20, "venti"), (30, "trenta"), (40, "quaranta"),
        (50, "cinquanta"), (60, "sessanta"), (100, "cento"), (1_000, "mille")]),
    (Language::Portuguese, &[(2, "dois duas"), (3, "três"), (4, "quatro"), (5, "cinco"), (6, "seis"), (7, "sete"), (8, "oito"),
        (9, "nove"), (10, "dez"), (11, "onze"), (12, "doze"), (14, "catorze quatorze"), (15, "quinze"), (20, "vinte"), (30, "trinta"),
        (40, "quarenta"), (50, "cinquenta"), (60, "sessenta"), (100, "cem cento"), (1_000, "mil")]),
    (Language::Polish, &[(2, "dwa dwie dwóch dwu"), (3, "trzy trzech"), (4, "cztery czterech"), (5, "pięć pięciu"), (6, "sześć sześciu"),
        (7, "siedem siedmiu"), (8, "osiem ośmiu"), (9, "dziewięć dziewięciu"), (10, "dziesięć dziesięciu"), (12, "dwanaście dwunastu"),
        (14, "czternaście czternastu"), (15, "piętnaście piętnastu"), (20, "dwadzieścia dwudziestu"), (30, "trzydzieści trzydziestu"),
        (100, "sto stu"), (1_000, "tysiąc")]),
    (Language::Russian, &[(2, "два две двух двум"), (3, "три трёх трех трём трем"), (4, "четыре четырёх четырех"), (5, "пять пяти"),
        (6, "шесть шести"), (7, "семь семи"), (8, "восемь восьми"), (9, "девять девяти"), (10, "десять десяти"),
        (12, "двенадцать двенадцати"), (14, "четырнадцать четырнадцати"), (15, "пятнадцать пятнадцати"), (20, "двадцать двадцати"),
        (30, "тридцать тридцати"), (100, "сто ста"), (1_000, "тысяча тысячи тысяч")]),
    (Language::Arabic, &[(3, "ثلاثة ثلاث"), (4, "أربعة أربع اربعة اربع"), (5, "خمسة خمس"), (6, "ستة ست"), (7, "سبعة سبع"), (8, "ثمانية ثماني"),
        (9, "تسعة تسع"), (10, "عشرة عشر"), (20, "عشرون عشرين"), (30, "ثلاثون ثلاثين"), (40, "أربعون أربعين"), (50, "خمسون خمسين"), (100, "مئة مائة"),
        (1_000, "ألف")]),
    (Language::Hindi, &[(3, "तीन"), (4, "चार"), (5, "पाँच पांच"), (6, "छह छः"), (7, "सात"), (8, "आठ"), (9, "नौ"), (10, "दस"), (12, "बारह"), (15, "पंद्रह"),
        (20, "बीस"), (30, "तीस"), (50, "पचास"), (100, "सौ"), (1_000, "हज़ार हजार"), (100_000, "लाख")]),
];

/// The number in words at `position` of a question in a language other than English, and how many words it
/// takes.
pub(in crate::verify::guards) fn number(reading: &Reading, position: usize) -> Option<(u64, usize)> {
    let language = reading.foreign()?;
    if matches!(language, Language::Chinese | Language::Japanese) {
        return characters(reading, position);
    }
    let (_, words) = WORDS.iter().find(|(known, _)| *known == language)?;
    let value = |at: usize| {
        let word = reading.text(at);
        // "Por cento" is a percentage.
        if matches!(reading.text_before(at), "por" | "per" | "pour") {
            return None;
        }
        words.iter().find(|(_, forms)| forms.split(' ').any(|form| form == word)).map(|(value, _)| *value)
    };
    let (mut sum, mut length) = (value(position)?, 1);
    loop {
        // "Cento e cinquenta", "сто четыре", "dwa tysiące".
        let joined = usize::from(AND.contains(&reading.text(position + length)));
        match value(position + length + joined) {
            Some(1_000) if joined == 0 && sum < 1_000 => sum *= 1_000,
            Some(next) if is_continued(sum, next) => sum += next,
            _ => return Some((sum, length)),
        }
        length += joined + 1;
    }
}

/// Words within a number.
const AND: &[&str] = &["e", "y", "и", "i", "und", "en", "et", "و"];

/// Whether `next` can follow `sum` in one number.
fn is_continued(sum: u64, next: u64) -> bool {
    next < 10 && sum % 100 >= 20 && sum.is_multiple_of(10)
        || next < 100 && sum.is_multiple_of(100)
        || next < 1_000 && sum.is_multiple_of(1_000)
}

/// Whether `language` writes a comma before the fraction of a number, and a point between thousands.
pub(in crate::verify::guards) fn has_comma_decimals(language: Language) -> bool {
    matches!(
        language,
        Language::German
            | Language::Dutch
            | Language::French
            | Language::Spanish
            | Language::Italian
            | Language::Portuguese
            | Language::Polish
            | Language::Russian
            | Language::Ukrainian
    )
}

/// A number in Chinese characters: two or more of them, or one before a counted noun.
fn characters(reading: &Reading, position: usize) -> Option<(u64, usize)> {
    /// Nouns that are counted in nearly every question that has them.
    const COUNTED: &str =
        "年月日号天周週个個時时点點小秒次回度岁歳元円块人位条章课課级級层階楼台件本张枚杯瓶斤公米倍間";
    let character = |at: usize| -> Option<char> {
        let mut characters = reading.text(at).chars();
        characters.next().filter(|_| characters.next().is_none())
    };
    let is_numeral = |at: usize| character(at).is_some_and(|c| digit(c).is_some() || scale(c).is_some());
    let joined = |at: usize| reading.gap_before(at).is_empty();
    if !is_numeral(position) || position > 0 && joined(position) && is_numeral(position - 1) {
        return None;
    }
    let length = 1 + (position + 1..reading.len()).take_while(|&at| joined(at) && is_numeral(at)).count();
    let after = character(position + length).filter(|_| joined(position + length));
    // "十分" is "very", and "十分钟" ten minutes; "星期三" and "周三" are days of the week.
    let minutes = after == Some('分') && matches!(character(position + length + 1), Some('钟' | '鐘' | '間'));
    let is_day =
        position > 0 && joined(position) && matches!(reading.text(position - 1), "期" | "周" | "週" | "拜");
    let is_counted = minutes || after.is_some_and(|after| COUNTED.contains(after));
    let mut run = (position..position + length).filter_map(character);
    // "一个", "一下", "一番": an article or part of a word. "万一", "千万": other words.
    let first = character(position)?;
    if is_day
        || length == 1 && (first == '一' || !is_counted)
        || length == 2 && !is_counted && run.clone().all(|c| "一万千百".contains(c))
    {
        return None;
    }
    let value = if run.clone().any(|c| scale(c).is_some()) {
        in_scales(run)?
    } else {
        run.try_fold(0_u64, |value, c| value.checked_mul(10)?.checked_add(digit(c)?))?
    };
    Some((value, length))
}

fn in_scales(run: impl Iterator<Item = char>) -> Option<u64> {
    let (mut total, mut group, mut unit) = (0_u64, 0_u64, 0_u64);
    for character in run {
        match (digit(character), scale(character)) {
            (Some(value), _) => unit = value,
            (_, Some(factor)) if factor < 10_000 => {
                group = group.checked_add(unit.max(1).checked_mul(factor)?)?;
                unit = 0;
            }
            (_, Some(factor)) => {
                total = total.checked_add(group.checked_add(unit)?.max(1).checked_mul(factor)?)?;
                (group, unit) = (0, 0);
            }
            _ => return None,
        }
    }
    total.checked_add(group)?.checked_add(unit)
}

fn digit(character: char) -> Option<u64> {
    let place = "〇一二三四五六七八九".chars().position(|known| known == character);
    let value = place.or(match character {
        '零' => Some(0),
        '两' | '兩' => Some(2),
        _ => None,
    })?;
    u64::try_from(value).ok()
}

fn scale(character: char) -> Option<u64> {
    Some(match character {
        '十' => 10,
        '百' => 100,
        '千' => 1_000,
        '万' | '萬' => 10_000,
        '亿' | '億' => 100_000_000,
        _ => return None,
    })
}
