//! Properties of single words: whether they carry content, how rare they are, and when two are the same word.
//!
//! All of it knows English, and a little Chinese and Japanese, whose characters are words here. Words of
//! other languages count as rare content, which errs towards "different".

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::unspaced::is_hiragana;

/// The 8,000 most frequent English words, the most frequent first: the whole words of BERT's uncased
/// vocabulary (Apache-2.0), which is ordered by frequency.
static COMMON: LazyLock<HashMap<&str, usize>> =
    LazyLock::new(|| include_str!("common-words.txt").split_whitespace().zip(0..).collect());

/// Words that say how something is asked, not what about.
static FUNCTION: LazyLock<HashSet<&str>> = LazyLock::new(|| FUNCTION_WORDS.split_whitespace().collect());

#[rustfmt::skip]
const FUNCTION_WORDS: &str = "
    a an the this that these those it its it's he him his she her hers they them their theirs we us our ours you your
    yours i me my mine myself yourself itself themselves one's
    is are was were be been being am isn't aren't wasn't weren't do does did done doing don't doesn't didn't
    has have had having hasn't haven't hadn't can could will would shall should may might must can't couldn't won't
    wouldn't shouldn't cannot dont doesnt didnt isnt cant wont
    what what's which who who's whom whose when where why how whether
    of in on at by to from for with without into onto upon about as than per via through during within between among
    against toward towards out off up down over under
    and or but nor so if then else because while also too very just only even ever still yet again there here
    not no never neither none
    please tell know say want like need get got give let explain describe name called known
    any some all each every both either other another such same own
    would've i'd i'll i've i'm you're we're they're that's there's let's
    er uh um umm err sorry oops wait actually rather mean make
    的 了 吗 呢 吧 啊 呀 嘛 么 是 我 你 您 他 她 它 们 请 在 怎 什 哪 这 那 有 会 能 可 和 与 或 也 都 就 把 被 给 从 到 为 个 着 过 得 地 何 誰
";

/// Whether `word` carries content: it is neither a function word nor a single letter, and not in hiragana.
pub(in crate::verify) fn is_content(word: &str) -> bool {
    !FUNCTION.contains(word)
        && (word.len() > 1 || word.bytes().all(|byte| byte.is_ascii_digit()))
        && !is_hiragana(word)
}

/// How rare `word` is, from 0 (the most frequent) to 1 (not among the common words, or a number).
///
/// Frequencies of words fall with their rank (Zipf), so the logarithm of the rank stands for the inverse
/// document frequency.
pub(in crate::verify) fn rarity(word: &str) -> f32 {
    /// Ranks up to about this one make no difference.
    const FLAT: f32 = 50.0;
    let rank = |word: &str| COMMON.get(word).copied();
    rank(word)
        .or_else(|| rank(singular(word)))
        .map_or(1.0, |rank| (1.0 + rank as f32 / FLAT).ln() / (1.0 + COMMON.len() as f32 / FLAT).ln())
}

/// Whether `word` is among the common words, in this form.
pub(in crate::verify) fn is_common(word: &str) -> bool {
    COMMON.contains_key(word)
}

fn singular(word: &str) -> &str {
    word.strip_suffix("'s").or_else(|| word.strip_suffix('s')).unwrap_or(word)
}

/// The stem of `word`: without the endings of English inflection. Made for comparing, not for reading.
pub(in crate::verify) fn stem(word: &str) -> &str {
    if let Some((_, base)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return base;
    }
    let mut stem = word.strip_suffix("'s").unwrap_or(word);
    if !stem.is_ascii() {
        return stem;
    }
    let long =
        |stem: &str, suffix: &str, least: usize| stem.len() >= suffix.len() + least && stem.ends_with(suffix);
    if long(stem, "sses", 2) || long(stem, "ches", 2) || long(stem, "shes", 2) || long(stem, "xes", 2) {
        stem = &stem[..stem.len() - 2];
    } else if long(stem, "ies", 2) {
        // `cities` and `city` are equal without their endings.
        return &stem[..stem.len() - 3];
    } else if long(stem, "s", 3) && !["ss", "us", "is"].iter().any(|end| stem.ends_with(end)) {
        stem = &stem[..stem.len() - 1];
    }
    for suffix in ["ing", "ed", "ly", "er"] {
        if long(stem, suffix, 4) || (matches!(suffix, "ed" | "ing") && long(stem, suffix, 3)) {
            stem = undoubled(&stem[..stem.len() - suffix.len()]);
            break;
        }
    }
    if stem.len() > 3 && (stem.ends_with('e') || stem.ends_with('y') || stem.ends_with('i')) {
        stem = &stem[..stem.len() - 1];
    }
    stem
}

/// `plann` becomes `plan`, but `pass` stays.
fn undoubled(stem: &str) -> &str {
    let bytes = stem.as_bytes();
    match bytes {
        [.., a, b] if a == b && !matches!(b, b's' | b'l' | b'f' | b'z' | b'e' | b'o') => {
            &stem[..stem.len() - 1]
        }
        _ => stem,
    }
}

/// Frequent forms whose stem no rule finds.
#[rustfmt::skip]
const IRREGULAR: &[(&str, &str)] = &[
    ("wrote", "writ"), ("written", "writ"), ("won", "win"), ("winning", "win"), ("made", "mak"), ("took", "tak"), ("taken", "tak"),
    ("built", "build"), ("began", "begin"), ("begun", "begin"), ("led", "lead"), ("fought", "fight"), ("found", "find"),
    ("gave", "giv"), ("given", "giv"), ("held", "hold"), ("went", "go"), ("gone", "go"), ("goes", "go"), ("came", "com"), ("became", "becom"),
    ("left", "leav"), ("lost", "los"), ("paid", "pay"), ("sold", "sell"), ("bought", "buy"), ("brought", "bring"),
    ("taught", "teach"), ("thought", "think"), ("said", "say"), ("spoke", "speak"), ("spoken", "speak"), ("sent", "send"), ("spent", "spend"),
    ("chose", "choos"), ("chosen", "choos"), ("grew", "grow"), ("grown", "grow"), ("knew", "know"), ("ran", "run"), ("saw", "se"), ("seen", "se"),
    ("sang", "sing"), ("sung", "sing"), ("drew", "draw"), ("drawn", "draw"), ("fell", "fall"), ("fallen", "fall"), ("rose", "ris"), ("risen", "ris"),
    ("broke", "break"), ("broken", "break"), ("drove", "driv"), ("driven", "driv"), ("men", "man"), ("women", "woman"), ("people", "person"),
    ("children", "child"), ("died", "die"), ("dying", "die"), ("dead", "die"), ("death", "die"), ("met", "meet"), ("kept", "keep"), ("felt", "feel"), ("meant", "mean"),
    ("lives", "liv"), ("life", "liv"), ("better", "better"), ("caught", "catch"), ("stole", "steal"), ("wore", "wear"), ("born", "bear"),
];

/// Whether `a` and `b` are one word in another spelling or misspelt, such as `centre` and `center`, or of one
/// family, such as `invent` and `invention`. Words with digits never are.
pub(in crate::verify) fn related(a: &str, b: &str) -> bool {
    let numeric = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    if numeric(a) || numeric(b) {
        return false;
    }
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let shared = short.bytes().zip(long.bytes()).take_while(|(x, y)| x == y).count();
    // Words of one family have the same beginning: `invent`, `invention`; `German`, `Germany`.
    if shared >= 5 && shared * 10 >= long.len() * 6 && shared + 2 >= short.len() {
        return true;
    }
    if respelt(a, b) || respelt(b, a) {
        return true;
    }
    // Little is known about two misspelt or rare words; two common words with similar letters are different
    // words.
    let allowed = match short.len() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    };
    let initial = short.as_bytes().first() == long.as_bytes().first();
    allowed > 0
        && initial
        && long.len() - short.len() <= allowed
        && !(is_common(a) && is_common(b))
        && within_edits(a, b, allowed)
}

/// Whether `british` is the British spelling of `american`.
fn respelt(british: &str, american: &str) -> bool {
    #[rustfmt::skip]
    const ENDINGS: &[(&str, &str)] = &[
        ("tre", "ter"), ("our", "or"), ("ours", "ors"), ("ise", "ize"), ("ised", "ized"), ("ising", "izing"),
        ("isation", "ization"), ("yse", "yze"), ("ogue", "og"), ("ence", "ense"), ("elled", "eled"), ("elling", "eling"),
    ];
    ENDINGS.iter().any(|(one, other)| {
        british
            .strip_suffix(one)
            .is_some_and(|root| root.len() >= 2 && american.strip_suffix(other) == Some(root))
    })
}

/// Whether at most `allowed` insertions, deletions, substitutions or transpositions of neighbours turn `a`
/// into `b` (optimal string alignment).
fn within_edits(a: &str, b: &str, allowed: usize) -> bool {
    const LONGEST: usize = 32;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() > LONGEST || b.len() > LONGEST {
        return false;
    }
    let mut rows = [[0_usize; LONGEST + 1]; 3];
    for (cost, cell) in rows[0].iter_mut().enumerate() {
        *cell = cost;
    }
    for i in 1..=a.len() {
        let (now, before, earlier) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i;
        for j in 1..=b.len() {
            let substitution = rows[before][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = substitution.min(rows[before][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(rows[earlier][j - 2] + 1);
            }
            rows[now][j] = cost;
        }
    }
    rows[a.len() % 3][b.len()] <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_weigh_more_than_common_ones() {
        let order = ["time", "city", "treaty", "quantum", "photosynthesizers"];
        assert!(order.windows(2).all(|pair| rarity(pair[0]) < rarity(pair[1])), "{order:?}");
        assert!(rarity("1857") >= 1.0 && rarity("time") < 0.3);
        assert!(rarity("cities") <= rarity("xylography"));
    }

    #[test]
    fn inflected_forms_share_a_stem() {
        for (a, b) in [
            ("cities", "city"),
            ("churches", "church"),
            ("planning", "planned"),
            ("wrote", "writes"),
            ("making", "made"),
            ("Poland's", "Poland"),
            ("joined", "joins"),
            ("moved", "moving"),
        ] {
            let (a, b) = (a.to_lowercase(), b.to_lowercase());
            assert_eq!(stem(&a), stem(&b), "{a} {b}");
        }
        for (a, b) in [("war", "warsaw"), ("north", "south"), ("species", "speed"), ("pass", "pas")] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn misspelt_and_derived_words_are_related_and_look_alikes_are_not() {
        for (a, b) in [
            ("photosynthesis", "photosynthsis"),
            ("centre", "center"),
            ("invent", "invention"),
            ("germany", "german"),
            ("recieve", "receive"),
        ] {
            assert!(related(a, b), "{a} {b}");
        }
        for (a, b) in
            [("male", "female"), ("house", "horse"), ("2019", "2018"), ("import", "export"), ("cat", "car")]
        {
            assert!(!related(a, b), "{a} {b}");
        }
    }

    #[test]
    fn function_words_carry_no_content() {
        assert!(["the", "did", "which", "please"].iter().all(|word| !is_content(word)));
        assert!(["warsaw", "king", "7", "enable"].iter().all(|word| is_content(word)));
    }
}
