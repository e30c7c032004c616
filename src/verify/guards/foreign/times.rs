//! Months, weekdays and other times, by the English word for each.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::verify::text::{Language, Reading};

/// A time, and words for it.
struct Spelling {
    time: &'static str,
    /// Which languages have the words; if the list is empty, any but English.
    languages: &'static [Language],
    words: &'static str,
}

/// Which times are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify::guards) enum Times {
    /// Months and weekdays.
    Fixed,
    /// Times relative to now, times of the day and of the year, and how often something happens.
    Relative,
}

impl Times {
    fn spellings(self) -> &'static [Spelling] {
        match self {
            Self::Fixed => FIXED,
            Self::Relative => RELATIVE,
        }
    }
}

static WORDS: LazyLock<HashMap<&str, Vec<(Times, &Spelling)>>> = LazyLock::new(|| {
    let mut words: HashMap<&str, Vec<(Times, &Spelling)>> = HashMap::new();
    for times in [Times::Fixed, Times::Relative] {
        for spelling in times.spellings() {
            for word in spelling.words.split_whitespace() {
                words.entry(word).or_default().push((times, spelling));
            }
        }
    }
    words
});

/// The time that `word` means in a question in `language`; none in English.
pub(in crate::verify::guards) fn time(
    times: Times,
    word: &str,
    language: Option<Language>,
) -> Option<&'static str> {
    let has = |spelling: &Spelling| match (spelling.languages, language) {
        (_, Some(Language::English)) => false,
        ([], _) => true,
        (languages, language) => language.is_some_and(|language| languages.contains(&language)),
    };
    let known = WORDS.get(word)?.iter();
    known.filter(|(of, spelling)| *of == times && has(spelling)).map(|(_, spelling)| spelling.time).next()
}

/// The times in a Chinese or Japanese question.
pub(in crate::verify::guards) fn written(
    times: Times,
    reading: &Reading,
) -> impl Iterator<Item = &'static str> + '_ {
    let is_written = matches!(reading.foreign(), Some(Language::Chinese | Language::Japanese));
    let lists = WRITTEN.iter().filter(move |_| is_written);
    let of = move |time: &str| times.spellings().iter().any(|spelling| spelling.time == time);
    let stands = |strings: &[&str]| strings.iter().any(|string| reading.as_written().contains(string));
    lists.filter(move |(time, strings)| of(time) && stands(strings)).map(|(time, _)| *time)
}

const fn anywhere(time: &'static str, words: &'static str) -> Spelling {
    Spelling { time, languages: &[], words }
}

const fn only(languages: &'static [Language], time: &'static str, words: &'static str) -> Spelling {
    Spelling { time, languages, words }
}

use Language::{Arabic, Dutch, French, German, Hindi, Italian, Polish, Portuguese, Russian, Spanish};

#[rustfmt::skip]
const FIXED: &[Spelling] = &[
    anywhere("january", "januar januari janvier enero gennaio janeiro styczeń stycznia styczniu январь января январе يناير जनवरी"),
    anywhere("february", "februar februari février febrero febbraio fevereiro luty lutego lutym февраль февраля феврале فبراير फ़रवरी फरवरी"),
    anywhere("march", "märz maart marzo março marzec marca marcu март марта марте مارس मार्च"),
    only(&[French], "march", "mars"),
    anywhere("april", "avril abril aprile kwiecień kwietnia kwietniu апрель апреля апреле أبريل ابريل अप्रैल"),
    only(&[German, Dutch], "april", "april"),
    anywhere("may", "mayo maggio maio май мая مايو"),
    only(&[German, French], "may", "mai"),
    only(&[Dutch], "may", "mei"),
    only(&[Polish], "may", "maj maja maju"),
    only(&[Russian], "may", "мае"),
    only(&[Hindi], "may", "मई"),
    anywhere("june", "juni juin junio giugno junho czerwiec czerwca czerwcu июнь июня июне يونيو जून"),
    anywhere("july", "juli juillet julio luglio julho lipiec lipca lipcu июль июля июле يوليو जुलाई"),
    anywhere("august", "augustus août agosto sierpień sierpnia sierpniu август августа августе أغسطس अगस्त"),
    only(&[German], "august", "august"),
    anywhere("september", "septembre septiembre settembre setembro wrzesień września wrześniu сентябрь сентября сентябре سبتمبر सितंबर"),
    only(&[German, Dutch], "september", "september"),
    anywhere("october", "oktober octobre octubre ottobre outubro październik października październiku октябрь октября октябре أكتوبر अक्टूबर"),
    anywhere("november", "novembre noviembre novembro listopad listopada listopadzie ноябрь ноября ноябре نوفمبر नवंबर"),
    only(&[German, Dutch], "november", "november"),
    anywhere("december", "dezember décembre diciembre dicembre dezembro grudzień grudnia grudniu декабрь декабря декабре ديسمبر दिसंबर"),
    only(&[Dutch], "december", "december"),
    anywhere("monday", "montag montags maandag lundi lunedì poniedziałek poniedziałku poniedziałki понедельник понедельника понедельникам الاثنين الإثنين सोमवार"),
    only(&[Spanish], "monday", "lunes"),
    only(&[Portuguese], "monday", "segunda-feira"),
    anywhere("tuesday", "dienstag dienstags dinsdag mardi martedì wtorek wtorku wtorki вторник вторника вторникам الثلاثاء मंगलवार"),
    only(&[Spanish], "tuesday", "martes"),
    anywhere("wednesday", "mittwoch mittwochs woensdag mercredi miércoles mercoledì środa środę środy środową среда среду среды средам الأربعاء الاربعاء बुधवार"),
    anywhere("thursday", "donnerstag donnerstags donderdag jeudi giovedì czwartek czwartku czwartki четверг четверга четвергам الخميس गुरुवार बृहस्पतिवार"),
    only(&[Spanish], "thursday", "jueves"),
    anywhere("friday", "freitag freitags vrijdag vendredi viernes venerdì piątek piątku piątki пятница пятницу пятницы пятницам الجمعة शुक्रवार"),
    anywhere("saturday", "samstag samstags sonnabend zaterdag samedi sábado sábados sabato sobota sobotę soboty суббота субботу субботы субботам السبت शनिवार"),
    anywhere("sunday", "sonntag sonntags zondag dimanche domingo domingos domenica niedziela niedzielę niedziele воскресенье воскресенья воскресеньям الأحد रविवार इतवार"),
];

#[rustfmt::skip]
const RELATIVE: &[Spelling] = &[
    anywhere("now", "heute derzeit aktuell vandaag momenteel aujourd'hui actuellement hoy actualmente oggi attualmente hoje atualmente dziś dzisiaj obecnie сегодня сейчас आज"),
    only(&[Arabic], "now", "حاليا حالياً"),
    anywhere("yesterday", "gestern gisteren ayer ieri ontem wczoraj вчера أمس"),
    only(&[French], "yesterday", "hier"),
    anywhere("tomorrow", "demain domani amanhã jutro завтра غدا غداً"),
    only(&[German, Dutch], "tomorrow", "morgen"),
    anywhere("summer", "sommer zomer verano verão лето летом лета الصيف صيف"),
    only(&[Italian], "summer", "estate"),
    only(&[Polish], "summer", "lato latem"),
    anywhere("winter", "hiver invierno inverno zima zimą zimę зима зимой зиму зимы الشتاء شتاء"),
    only(&[German, Dutch], "winter", "winter"),
    anywhere("morning", "morgens vormittags vormittag ochtend ochtends mattina manhã утром утра صباحا صباحاً الصباح सुबह"),
    only(&[French], "morning", "matin"),
    only(&[Polish], "morning", "rano"),
    anywhere("evening", "abends abend avond avonds wieczorem wieczór вечером вечера مساء مساءً المساء शाम"),
    only(&[French], "evening", "soir soirée"),
    only(&[Italian], "evening", "sera"),
    only(&[Spanish], "evening", "tarde noche"),
    only(&[Portuguese], "evening", "tarde noite"),
    anywhere("daily", "täglich dagelijks codziennie ежедневно يوميا يومياً"),
    anywhere("weekly", "wöchentlich wekelijks hebdomadaire semanal settimanale tygodniowo tygodniowy еженедельно еженедельный أسبوعيا أسبوعياً साप्ताहिक"),
    anywhere("monthly", "monatlich monatliche monatlichen maandelijks maandelijkse mensuel mensuelle mensual mensile mensal miesięcznie miesięczny miesięczna miesięcznego \
        ежемесячно ежемесячный ежемесячная شهريا شهرياً شهري الشهري मासिक"),
    anywhere("yearly", "jährlich jährliche jährlichen jaarlijks jaarlijkse annuel annuelle anual annuale rocznie roczny roczna rocznego ежегодно годовой годовая سنويا سنوياً سنوي السنوي वार्षिक सालाना"),
];

/// The same for Chinese and Japanese, where these strings are searched for in the question.
#[rustfmt::skip]
const WRITTEN: &[(&str, &[&str])] = &[
    ("monday", &["星期一", "周一", "礼拜一", "月曜"]),
    ("tuesday", &["星期二", "周二", "礼拜二", "火曜"]),
    ("wednesday", &["星期三", "周三", "礼拜三", "水曜"]),
    ("thursday", &["星期四", "周四", "礼拜四", "木曜"]),
    ("friday", &["星期五", "周五", "礼拜五", "金曜"]),
    ("saturday", &["星期六", "周六", "礼拜六", "土曜"]),
    ("sunday", &["星期日", "星期天", "周日", "礼拜天", "日曜"]),
    ("now", &["今天", "目前", "现在", "今日"]),
    ("yesterday", &["昨天", "昨日"]),
    ("tomorrow", &["明天", "明日"]),
    ("summer", &["夏天", "夏季", "夏休み"]),
    ("winter", &["冬天", "冬季", "冬休み"]),
    ("morning", &["早上", "上午", "午前"]),
    ("evening", &["晚上", "下午", "午後"]),
    ("daily", &["每天", "每日", "毎日"]),
    ("weekly", &["每周", "毎週"]),
    ("monthly", &["每月", "每个月", "毎月", "月付", "月額", "月払い"]),
    ("yearly", &["每年", "毎年", "年付", "年額", "年払い"]),
];
