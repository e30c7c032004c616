//! Whether two spellings of a word with the same letters differ in marks that can change the word.
//!
//! - Vowel points are optional in Arabic and Hebrew, the tonos is optional in lazily typed Greek, and so is a
//!   stress mark on a Cyrillic letter: a word without them may be the word with them. If two words both have
//!   some, each where the other has none or another one, they are different words (`كَتَبَ` and `كُتُب`,
//!   `νόμος` and `νομός`).
//! - `ё` counts as `е`, which is printed in its place nearly everywhere. Any other mark makes another letter
//!   in Cyrillic (`й` and `и`), kana (`か` and `が`) and in the scripts of India and Southeast Asia.
//! - A mark in the Latin script makes another word (`campaña` and `campana`), even if a question has no marks
//!   at all: many people who type without accents write in languages where `esta` and `está` differ. The
//!   exceptions are [words](LAZY) that English has as well and that English keyboards leave without marks,
//!   names of the same kind, Spanish question words, which have the accent whenever they ask, the endings
//!   `-ción` and `-sión`, which no word has without the accent, and capital `É`, which French printers left
//!   bare.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Written;

/// Words that are the same with and without an accent.
#[rustfmt::skip]
const LAZY: &str = "
    cafe cafes resume resumes naive naivete fiance fiancee fiances fiancees cliche cliches decor deja voila tete facade
    facades creme brulee crepe crepes puree purees pate saute sauteed souffle souffles entree entrees soiree protege protegee
    touche passe blase risque attache mache melee matinee premiere premieres regime regimes role roles hotel elite debut
    etude detente emigre denouement ingenue apres ski bechamel consomme flambe gruyere bearnaise frappe vinaigrette nicoise
    jalapeno jalapenos pinata pinatas senor senora senorita nino nina ceviche habanero dulce mojito acai acai's pao doner
    smorgasbord angstrom doppelganger ubermensch fuhrer gotterdammerung schnapps muesli glogg tur kummel tempranillo
    raison etre coup etat grace cortege fete fetes negligee lycee cinema theatre opera creche chateau chateaux bete noire
    vis outre manque agrement aperitif beaute boite chaise cooperate cooperation coordinate coordinator reelect reenter
    preeminent zoology noel learned beloved blessed solo
    beyonce pokemon bjork motorhead bronte brontes citroen skoda nestle loreal l'oreal haagen moet yves estee mondrian
    godel schrodinger erdos mobius bezier poincare levy frechet cesaro lowenheim schonfinkel hormander holder kahler noether
    dvorak bartok kodaly janacek smetana saens faure cezanne moliere rene renee andre andrea francois francoise zoe chloe
    helene jerome sebastien cesar raul ines jose maria garcia lopez perez martinez gonzalez rodriguez hernandez sanchez
    ramirez fernandez gomez diaz alvarez jimenez munoz nunez ibanez suarez vazquez velazquez marquez chavez castaneda
    ozil muller gundogan lewandowski djokovic modric ibrahimovic milosevic ceausescu orban dubcek karadzic petrovic
    sao mexico peru panama bogota cancun medellin cordoba malaga cadiz asuncion yucatan oaxaca merida queretaro quebec montreal
    orleans zurich dusseldorf koln munchen nurnberg wurttemberg osterreich malmo goteborg aland reykjavik curacao turkiye
    izmir krakow poznan gdansk chisinau brasov iasi timisoara constanta plzen olomouc pecs szekely gyor debrecen hanoi pho banh
    ivoire cote dijon nimes besancon orly geneve lascaux provence
    que cual cuales quien quienes como cuando donde adonde cuanto cuanta cuantos cuantas
";

static LAZY_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| LAZY.split_whitespace().collect());

/// Whether marks make the two different words. They are equal without their marks.
pub(super) fn differ(one: &Written<'_>, other: &Written<'_>) -> bool {
    if one.text.is_ascii() && other.text.is_ascii() {
        return false;
    }
    let (left, right) = (letters(&one.text), letters(&other.text));
    let (mut only_left, mut only_right) = (false, false);
    for (at, (a, b)) in left.iter().zip(&right).enumerate() {
        let (more, less) = (a.exceeds(b), b.exceeds(a));
        if !more && !less {
            continue;
        }
        if !a.has_optional_marks() || !b.has_optional_marks() {
            let bare_capital = at == 0 && a.is_french_capital() && b.is_french_capital() && more != less;
            if !bare_capital && !is_lazy(&one.folded) {
                return true;
            }
        }
        only_left |= more;
        only_right |= less;
    }
    only_left && only_right && !is_lazy(&one.folded)
}

fn is_lazy(folded: &str) -> bool {
    let word = folded.strip_suffix("'s").unwrap_or(folded);
    let ends = word.len() >= 6 && (word.ends_with("cion") || word.ends_with("sion"));
    ends || LAZY_WORDS.contains(word)
}

/// A letter and its marks.
#[derive(Debug)]
struct Letter {
    base: char,
    marks: Vec<char>,
}

impl Letter {
    /// Whether it has a mark that `other` does not have.
    fn exceeds(&self, other: &Self) -> bool {
        self.marks.iter().any(|mark| !other.marks.contains(mark))
    }

    /// Whether writers may leave its marks out.
    fn has_optional_marks(&self) -> bool {
        match u32::from(self.base) {
            // Cyrillic, where grave and acute are stress.
            0x0400..=0x052F => self.marks.iter().all(|mark| matches!(mark, '\u{300}' | '\u{301}')),
            // Greek, Hebrew, Arabic, Syriac and Thaana, with their extended blocks and presentation forms.
            0x0370..=0x03FF
            | 0x1F00..=0x1FFF
            | 0x0590..=0x07BF
            | 0x08A0..=0x08FF
            | 0xFB1D..=0xFDFF
            | 0xFE70..=0xFEFF => true,
            _ => false,
        }
    }

    fn is_french_capital(&self) -> bool {
        self.base == 'E' && self.marks.iter().all(|mark| matches!(mark, '\u{300}'..='\u{302}'))
    }
}

/// The letters of a word, without the marks that change nothing: the dots of `ё`, and the dot that makes a
/// Devanagari or Bengali letter a foreign one.
fn letters(word: &str) -> Vec<Letter> {
    let mut letters: Vec<Letter> = Vec::with_capacity(word.len());
    for character in word.nfd() {
        match letters.last_mut() {
            Some(letter) if is_combining_mark(character) => {
                let dots = matches!(letter.base, 'е' | 'Е') && character == '\u{308}';
                if !dots && !matches!(character, '\u{93C}' | '\u{9BC}') {
                    letter.marks.push(character);
                }
            }
            _ => letters.push(Letter { base: character, marks: Vec::new() }),
        }
    }
    letters
}

#[cfg(test)]
mod tests {
    use crate::verify::guards::Guard;
    use crate::verify::text::Comparison;

    fn differ(a: &str, b: &str) -> bool {
        let difference = |a, b| Guard::Letters.difference(&Comparison::of(a, b)).is_some();
        assert_eq!(difference(a, b), difference(b, a), "{a} | {b}");
        difference(a, b)
    }

    #[test]
    fn marks_that_make_another_word_are_a_difference() {
        for (a, b) in [
            ("¿Qué es una campaña?", "¿Qué es una campana?"),
            ("What does Forderung mean?", "What does Förderung mean?"),
            ("Wie beantrage ich eine Förderung", "Wie beantrage ich eine Forderung"),
            ("cuantos anos tiene", "cuantos años tiene"),
            ("está casa", "esta casa"),
            ("où aller", "ou aller"),
            ("мой дом", "мои дом"),
            ("за́мок", "замо́к"),
            ("їх", "іх"),
            ("كَتَبَ", "كُتُب"),
            ("إن", "أن"),
            ("סֵפֶר", "סָפָר"),
            ("νόμος", "νομός"),
            ("かき", "かぎ"),
            ("कुल", "कल"),
            ("ma", "má"),
            ("pêche", "péché"),
            ("uber", "über"),
            ("rose wine", "rosé wine"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn marks_that_are_left_out_or_added_are_none() {
        for (a, b) in [
            ("where is a café", "where is a cafe"),
            ("how to write a resume", "how to write a résumé"),
            ("a naïve question", "a naive question"),
            ("the Schrödinger equation", "the schrodinger equation"),
            ("flights to São Paulo", "flights to Sao Paulo"),
            ("¿Cómo puedo pagar?", "como puedo pagar"),
            ("la información", "la informacion"),
            ("École normale", "Ecole normale"),
            ("ещё", "еще"),
            ("за́мок", "замок"),
            ("كَتَبَ", "كتب"),
            ("أحمد", "احمد"),
            ("סֵפֶר", "ספר"),
            ("νόμος", "νομος"),
            ("ФИЛЬМ", "фильм"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
