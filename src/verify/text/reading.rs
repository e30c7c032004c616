//! A question as words, with the place up to which it took itself back.
//!
//! Words are read in lower case, with ASCII digits, and without the punctuation around them. If a script
//! writes no spaces between words, the rules of Unicode (UAX #29) divide it, and each Chinese character
//! becomes a word. The text as it was written remains available for callers that need the case, the signs and
//! the marks that this drops.
//!
//! Speakers correct themselves: "When was Frankfurt, no sorry, Warsaw ranked". The text before the last such
//! correction may or may not be part of the final question, so guards treat it as optional. Markers that good
//! questions also use as ordinary words ("actually", "rather") count only in combinations that do not occur
//! otherwise.

use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation as _;

use super::digits::digit;
use super::language::{DetectedLanguage, Language, language};
use super::unspaced::is_unspaced;

/// A word of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) struct Word<'a> {
    /// The word in lower case, with straight apostrophes and without surrounding punctuation.
    pub(in crate::verify) text: &'a str,
    /// Whether it began with a capital letter.
    pub(in crate::verify) capitalised: bool,
    /// Whether there is punctuation between it and the word before.
    pub(in crate::verify) after_pause: bool,
}

/// The words of a question.
#[derive(Debug)]
pub(in crate::verify) struct Reading {
    written: String,
    lower: String,
    spans: Vec<Span>,
    detected: DetectedLanguage,
    retracted: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    /// The place of the word in the text as written.
    written: (usize, usize),
    capitalised: bool,
    after_pause: bool,
}

impl Reading {
    pub(in crate::verify) fn of(question: &str) -> Self {
        let mut reading = Self {
            written: question.to_owned(),
            lower: String::with_capacity(question.len()),
            spans: Vec::new(),
            detected: DetectedLanguage::default(),
            retracted: 0,
        };
        reading.split(question);
        reading.detected = language(reading.words().map(|word| word.text));
        reading.retracted = reading.find_retracted();
        reading
    }

    /// What is known about its language.
    pub(in crate::verify) fn detected(&self) -> DetectedLanguage {
        self.detected
    }

    /// Its language, if that is not English.
    pub(in crate::verify) fn foreign(&self) -> Option<Language> {
        self.detected.language.filter(|language| *language != Language::English)
    }

    /// How many words the question has.
    pub(in crate::verify) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The word at `position`, if the question is that long.
    pub(in crate::verify) fn get(&self, position: usize) -> Option<Word<'_>> {
        let span = self.spans.get(position)?;
        Some(Word {
            text: &self.lower[span.start..span.end],
            capitalised: span.capitalised,
            after_pause: span.after_pause,
        })
    }

    /// The text of the word at `position`; empty beyond the end.
    pub(in crate::verify) fn text(&self, position: usize) -> &str {
        self.get(position).map_or("", |word| word.text)
    }

    /// The whole question as it was written.
    pub(in crate::verify) fn as_written(&self) -> &str {
        &self.written
    }

    /// The word at `position` as it was written; empty beyond the end.
    pub(in crate::verify) fn written(&self, position: usize) -> &str {
        let (start, end) = self.place(position);
        &self.written[start..end]
    }

    /// The place of the word at `position` in the question as written; the end of the question beyond its
    /// words.
    pub(in crate::verify) fn place(&self, position: usize) -> (usize, usize) {
        self.spans.get(position).map_or((self.written.len(), self.written.len()), |span| span.written)
    }

    /// The text between the word at `position` and the one before it.
    pub(in crate::verify) fn gap_before(&self, position: usize) -> &str {
        let start = position.checked_sub(1).map_or(0, |before| self.place(before).1);
        &self.written[start..self.place(position).0]
    }

    /// The text between the word at `position` and the one after it.
    pub(in crate::verify) fn gap_after(&self, position: usize) -> &str {
        self.gap_before(position.saturating_add(1))
    }

    /// The text of the word before `position`; empty at the start.
    pub(in crate::verify) fn text_before(&self, position: usize) -> &str {
        position.checked_sub(1).map_or("", |before| self.text(before))
    }

    pub(in crate::verify) fn words(&self) -> impl Iterator<Item = Word<'_>> + Clone {
        (0..self.len()).filter_map(|position| self.get(position))
    }

    /// The number of words up to and including the last correction: they may have been taken back.
    pub(in crate::verify) fn retracted(&self) -> usize {
        self.retracted
    }

    /// Whether the word at `position` may have been taken back.
    pub(in crate::verify) fn is_retracted(&self, position: usize) -> bool {
        position < self.retracted
    }

    fn split(&mut self, question: &str) {
        let mut word: Option<Span> = None;
        let mut pause = false;
        let ends = unspaced_words(question);
        let mut characters = question.char_indices().peekable();
        let mut previous = ' ';
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map_or(' ', |(_, next)| *next);
            let marks = word.is_some() && digit(previous).is_none() && is_combining_mark(character);
            if ends.binary_search(&at).is_ok() {
                self.spans.extend(word.take());
            }
            if character.is_alphanumeric() || marks || is_inner(previous, character, next) {
                let span = word.get_or_insert(Span {
                    start: self.lower.len(),
                    end: 0,
                    written: (at, at),
                    capitalised: character.is_uppercase(),
                    after_pause: std::mem::take(&mut pause),
                });
                push_lower(&mut self.lower, character);
                span.end = self.lower.len();
                span.written.1 = at + character.len_utf8();
            } else {
                self.spans.extend(word.take());
                pause |= !character.is_whitespace();
            }
            previous = character;
        }
        self.spans.extend(word);
    }

    fn find_retracted(&self) -> usize {
        // English markers look like other words in other languages: German "er" and "um", Spanish "no".
        let ends = |position| match self.foreign() {
            None => self.correction_at(position),
            Some(_) => self.foreign_correction_at(position),
        };
        (0..self.len()).rev().find_map(ends).unwrap_or(0)
    }

    /// The same for another language: a word on its own between pauses, or the Japanese "not that".
    fn foreign_correction_at(&self, position: usize) -> Option<usize> {
        if CORRECTIONS.contains(&self.text(position)) && self.is_set_apart(position) {
            return Some(position + 1);
        }
        let from = &self.written[self.place(position).0..];
        // Each of these characters is a word.
        let not_that = ["じゃなくて", "ではなくて"].into_iter().find(|marker| from.starts_with(marker))?;
        Some(position + not_that.chars().count())
    }

    /// The end of a correction marker that starts at `position`, if there is one.
    fn correction_at(&self, position: usize) -> Option<usize> {
        if self.is_joined(position) || self.is_idle_no(position) && self.text(position) == "no" {
            return None;
        }
        let next = if self.is_joined(position + 1) { "" } else { self.text(position + 1) };
        let length = match (self.text(position), next) {
            (word, _) if is_filler(word) => 1,
            ("let", "me") if self.text(position + 2) == "say" => 3,
            ("should", "say") if self.text_before(position) != "i" => 2,
            ("i", "mean" | "meant")
            | ("never", "mind")
            | ("make" | "scratch", "that")
            | ("rather", "tell")
            | ("well", "actually")
            | ("oh" | "wait" | "no", "no")
            | ("or", "wait" | "rather" | "actually" | "sorry" | "better")
            | ("no", "sorry" | "wait" | "rather" | "actually")
            | ("wait", "i" | "what" | "sorry" | "wait")
            | ("sorry", "i" | "what" | "wait" | "sorry" | "actually") => 2,
            ("or", "no") if !self.is_idle_no(position + 1) => 2,
            ("no" | "nope", _) if !self.is_negating_no(position) => 1,
            ("sorry" | "actually" | "wait", _) if self.is_set_apart(position) => 1,
            _ => return None,
        };
        Some(position + length)
    }

    /// Whether the word is between two pauses, as an interjection is.
    fn is_set_apart(&self, position: usize) -> bool {
        let pause = |at: usize| self.spans.get(at).is_some_and(|span| span.after_pause);
        position > 0 && pause(position) && pause(position + 1)
    }

    /// Whether the `no` at `position` negates the words after it, as in `there is no` or `reached no
    /// decision`, rather than correcting those before it, as in `in Paris no in Venice`.
    pub(in crate::verify) fn is_negating_no(&self, position: usize) -> bool {
        if self.text(position) != "no" {
            return false;
        }
        let next = self.text(position + 1);
        if self.is_joined(position) {
            // `no-smoking` negates; `--no-force` and `and/no` are left to others.
            return self.gap_after(position).starts_with('-')
                && !self.gap_before(position).ends_with(['-', '_', '/', '.']);
        }
        let before = self.text_before(position);
        let takes = position == 0 || TAKES_NO.contains(&before) || self.takes_object(position);
        NO_TAKES.contains(&next)
            || takes
                && !next.is_empty()
                && !RESUMES.contains(&next)
                && !is_filler(next)
                && !self.is_paused_at(position + 1)
    }

    /// Whether the `no` at `position` begins the object of a verb before it: "reached no decision". Before a
    /// name, a number or another verb it corrects: "does it use no Corliss".
    fn takes_object(&self, position: usize) -> bool {
        let next = self.get(position + 1);
        let corrects = next.is_none_or(|next| {
            next.capitalised
                || OBJECT_VERBS.contains(&next.text)
                || next.text.len() > 4 && next.text.ends_with("ed")
                || next.text.starts_with(|c: char| c.is_ascii_digit())
        });
        OBJECT_VERBS.contains(&self.text_before(position)) && !self.is_paused_at(position) && !corrects
    }

    /// Whether the `no` at `position` neither negates nor corrects: `no. 12`, `whether or no`.
    fn is_idle_no(&self, position: usize) -> bool {
        let number = self.gap_after(position).starts_with('.')
            && self.text(position + 1).starts_with(|c: char| c.is_ascii_digit());
        let whether =
            self.text_before(position) == "or" && (0..position).any(|at| self.text(at) == "whether");
        number || whether
    }

    /// Whether the word is part of a longer one, such as `no-reply` or `--no-force`.
    fn is_joined(&self, position: usize) -> bool {
        self.gap_before(position).ends_with(['-', '_', '/', '.'])
            || self.gap_after(position).starts_with(['-', '_', '/'])
    }

    /// Whether a pause or the end of the question precedes `position`.
    pub(in crate::verify) fn is_paused_at(&self, position: usize) -> bool {
        self.spans.get(position).is_none_or(|span| span.after_pause)
    }
}

/// Where words begin and end in scripts that write no spaces between them.
fn unspaced_words(question: &str) -> Vec<usize> {
    if question.is_ascii() || !question.contains(is_unspaced) {
        return Vec::new();
    }
    let words = question.split_word_bound_indices().filter(|(_, word)| word.starts_with(is_unspaced));
    let mut ends: Vec<usize> = words.flat_map(|(at, word)| [at, at + word.len()]).collect();
    ends.dedup();
    ends
}

/// Whether `character` belongs to the word around it although it is not a letter or digit: the apostrophe in
/// `don't`, the separators in `1,000` and `3.5`.
fn is_inner(previous: char, character: char, next: char) -> bool {
    match character {
        '\'' | '’' => previous.is_alphabetic() && next.is_alphabetic(),
        '.' | ',' | '٫' | '٬' => digit(previous).is_some() && digit(next).is_some(),
        _ => false,
    }
}

fn push_lower(lower: &mut String, character: char) {
    match character {
        '’' => lower.push('\''),
        '٫' => lower.push('.'),
        '٬' => lower.push(','),
        _ => match digit(character) {
            Some(digit) => lower.push(digit),
            None => lower.extend(character.to_lowercase()),
        },
    }
}

/// Sounds of hesitation, which no one writes except in a transcript.
fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "uh" | "uhh"
            | "um"
            | "umm"
            | "uhm"
            | "er"
            | "err"
            | "errr"
            | "erm"
            | "ugh"
            | "oops"
            | "whoops"
            | "ahh"
    )
}

/// Words in languages other than English that take back the words before them if they are between two pauses.
#[rustfmt::skip]
const CORRECTIONS: &[&str] = &[
    "nein", "quatsch", "nee", "sorry", "non", "pardon", "no", "perdón", "digo", "anzi", "não", "aliás", "nie", "znaczy", "przepraszam",
    "нет", "ой", "точнее", "لا", "أقصد", "عفوا", "नहीं", "मतलब", "不",
];

/// Words after `no` with which it negates.
const NO_TAKES: &[&str] = &[
    "longer",
    "one",
    "matter",
    "way",
    "more",
    "less",
    "fewer",
    "doubt",
    "difference",
    "such",
    "other",
    "place",
];

/// Words after which `no` negates: forms of being and having, verbs that take an object, prepositions.
#[rustfmt::skip]
const TAKES_NO: &[&str] = &[
    "is", "are", "was", "were", "be", "been", "being", "there", "there's", "has", "have", "had", "having", "i've",
    "get", "gets", "got", "getting", "make", "makes", "made", "do", "does", "did", "say", "says", "said", "leave",
    "leaves", "show", "shows", "see", "know", "need", "needs", "contain", "contains", "pay", "take", "takes",
    "with", "by", "of", "in", "at", "under", "for", "if", "why", "and", "almost", "virtually",
];

/// Other verbs whose object may begin with `no`. Other participles are corrected more often than they take
/// one.
#[rustfmt::skip]
const OBJECT_VERBS: &[&str] = &[
    "found", "gave", "took", "left", "saw", "held", "won", "lost", "sent", "brought", "kept", "wrote", "met", "paid", "sold", "spent",
    "caught", "drew", "ate", "heard", "bore", "wore", "felt", "built", "offer", "offers", "offering", "give", "gives", "giving", "find",
    "finds", "finding", "taking", "use", "uses", "using", "used", "want", "wants", "allow", "allows", "accept", "accepts", "provide",
    "provides", "require", "requires", "requiring", "cause", "causes", "receive", "receives", "receiving", "feel", "feels", "hold",
    "holds", "produce", "produces", "include", "includes", "eat", "eats", "eating", "drink", "drinks", "drinking", "earn", "earns",
    "charge", "charges", "bring", "brings", "keep", "keeps", "carry", "carries", "serve", "serves", "own", "owns", "face", "faces",
    "reached", "received", "caused", "offered", "showed", "allowed", "included", "provided", "produced", "required", "issued", "granted",
    "recorded", "reported", "owned", "needed", "wanted", "charged", "played", "scored", "earned", "carried", "added", "accepted",
    "sees", "seeing", "leaving", "paying", "speak", "speaks", "grant", "grants", "wear", "wears", "reach", "reaches", "support", "supports",
];

/// Words with which a speaker starts again after a correcting `no`.
#[rustfmt::skip]
const RESUMES: &[&str] = &[
    "what", "which", "who", "whom", "whose", "when", "where", "why", "how", "no", "not", "wait", "sorry", "i",
    "make", "scratch", "rather", "actually", "instead", "tell", "the", "a", "an", "in", "on", "at", "of", "by",
    "just", "that", "it", "is", "was", "did", "does", "are", "were", "had", "has", "have", "do", "can", "let's", "cancel", "darn", "come",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(question: &str) -> Vec<String> {
        Reading::of(question).words().map(|word| word.text.to_owned()).collect()
    }

    #[test]
    fn words_keep_apostrophes_and_separators_inside_numbers() {
        assert_eq!(words("Don’t pay $1,000.50, or (3.5)?"), ["don't", "pay", "1,000.50", "or", "3.5"]);
        assert_eq!(words("'quoted' co-operate 1, 2"), ["quoted", "co", "operate", "1", "2"]);
        assert!(words("?! …").is_empty());
    }

    #[test]
    fn what_was_written_stays_at_hand() {
        let reading = Reading::of("¿Dónde’s  the -V flag (मिर्च)?");
        let written: Vec<_> = (0..reading.len()).map(|at| reading.written(at)).collect();
        assert_eq!(written, ["Dónde’s", "the", "V", "flag", "मिर्च"]);
        let gaps: Vec<_> = (0..=reading.len()).map(|at| reading.gap_before(at)).collect();
        assert_eq!(gaps, ["¿", "  ", " -", " ", " (", ")?"]);
        assert_eq!((reading.written(9), reading.gap_before(9), reading.gap_after(9)), ("", "", ""));
    }

    #[test]
    fn what_precedes_a_correction_may_have_been_taken_back() {
        for (question, kept) in [
            ("in Paris no sorry Venice?", "venice"),
            ("In what month or no year", "year"),
            ("the English Channel or rather the Rhine", "the rhine"),
            ("modulo 8 or wait 9", "9"),
            ("the Kublai Khan no the Grand Canal", "the grand canal"),
            ("When is, no make that where is it", "where is it"),
            ("Who did no what did they", "what did they"),
            ("in the spring of 2011, actually, in 2014", "in 2014"),
            ("Was it founded no destroyed", "destroyed"),
            ("the 1343 or let me say the black death", "the black death"),
        ] {
            let reading = Reading::of(question);
            let rest: Vec<_> = reading.words().skip(reading.retracted()).map(|word| word.text).collect();
            assert_eq!(rest.join(" "), kept, "{question}");
        }
    }

    #[test]
    fn other_languages_take_back_with_words_of_their_own() {
        for (question, kept) in [
            ("Habt ihr am Montag, nein, am Dienstag offen?", "am dienstag offen"),
            ("la finale de 2018, non, de 98, ça a fini à combien ?", "de 98 ça a fini à combien"),
            ("¿Está abierto el lunes, perdón, el martes?", "el martes"),
            ("поезд в субботу, нет, в воскресенье", "в воскресенье"),
            ("世界杯冠军，不，亚军是哪队", "亚 军 是 哪 队"),
            ("青森、じゃなくて北海道", "北 海 道"),
        ] {
            let reading = Reading::of(question);
            let rest: Vec<_> = reading.words().skip(reading.retracted()).map(|word| word.text).collect();
            assert_eq!(rest.join(" "), kept, "{question}");
        }
        for question in ["Por que o código não funciona?", "这个不能用吗", "Die App geht nicht, nein danke"]
        {
            assert_eq!(Reading::of(question).retracted(), 0, "{question}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_read_word_by_word() {
        assert_eq!(words("如何重置iPhone 15密码"), ["如", "何", "重", "置", "iphone", "15", "密", "码"]);
        assert_eq!(words("パスワードを変更"), ["パスワード", "を", "変", "更"]);
        assert_eq!(words("รหัสผ่าน").len(), 6);
        assert_eq!(words("2023年7月"), ["2023", "年", "7", "月"]);
        assert_eq!(words("비밀번호 재설정"), ["비밀번호", "재설정"]);
        assert_eq!(words("٣٫٥ كم ١٬٠٠٠"), ["3.5", "كم", "1,000"]);
    }

    #[test]
    fn ordinary_questions_take_nothing_back() {
        for question in [
            "Why is there no oxygen on the moon?",
            "Which games are no longer played?",
            "Does it actually work, or is it rather a placebo?",
            "How do I say sorry to her?",
            "Can I wait or should I call?",
            "What does it mean to have no money?",
            "Why is no one continuing to challenge it?",
            "What should I say in an interview?",
            "What does git push --no-force do?",
            "Is there a no-reply address?",
            "Why was no decision reached?",
            "Which council reached no decision?",
            "No smoking rooms?",
            "Do you know whether or no it works?",
            "Where does bus no. 12 stop?",
        ] {
            assert_eq!(Reading::of(question).retracted(), 0, "{question}");
        }
    }
}
