//! Whether one number has different units: `5 km` against `5 miles`, `$5` against `€5`, `5 %` against `5`.
//!
//! A number without a unit may have any unit, because people leave out what is clear; percentages are the
//! exception.

use crate::verify::text::{Comparison, Reading};

/// The units by their symbol, with the words that stand for them.
#[rustfmt::skip]
const UNITS: &[(&str, &[&str])] = &[
    ("m", &["m", "metre", "metres", "meter", "meters"]), ("km", &["km", "kms", "kilometre", "kilometres", "kilometer", "kilometers"]),
    ("cm", &["cm", "cms", "centimetre", "centimetres", "centimeter", "centimeters"]), ("mm", &["mm", "millimetre", "millimetres", "millimeter", "millimeters"]),
    ("mi", &["mi", "mile", "miles"]), ("ft", &["ft", "foot", "feet"]), ("in", &["inch", "inches"]), ("yd", &["yard", "yards"]),
    ("g", &["g", "gram", "grams"]), ("kg", &["kg", "kgs", "kilo", "kilos", "kilogram", "kilograms"]), ("mg", &["mg", "milligram", "milligrams"]),
    ("lb", &["lb", "lbs", "pound", "pounds"]), ("oz", &["oz", "ounce", "ounces"]), ("t", &["ton", "tons", "tonne", "tonnes"]),
    ("l", &["litre", "litres", "liter", "liters"]), ("ml", &["ml", "millilitre", "millilitres", "milliliter", "milliliters"]), ("gal", &["gallon", "gallons"]),
    ("ms", &["ms", "millisecond", "milliseconds"]), ("s", &["sec", "secs", "second", "seconds"]), ("min", &["min", "mins", "minute", "minutes"]),
    ("h", &["h", "hr", "hrs", "hour", "hours"]), ("d", &["day", "days"]), ("wk", &["week", "weeks"]), ("mo", &["month", "months"]), ("yr", &["yr", "yrs", "year", "years"]),
    ("kB", &["kb", "kilobyte", "kilobytes"]), ("MB", &["mb", "megabyte", "megabytes"]), ("GB", &["gb", "gigabyte", "gigabytes"]), ("TB", &["tb", "terabyte", "terabytes"]),
    ("USD", &["usd", "dollar", "dollars", "bucks"]), ("EUR", &["eur", "euro", "euros"]), ("GBP", &["gbp", "quid"]), ("INR", &["inr", "rs", "rupee", "rupees"]), ("JPY", &["jpy", "yen"]),
    ("°C", &["celsius", "centigrade", "c"]), ("°F", &["fahrenheit", "f"]), ("%", &["percent", "percentage"]),
    ("W", &["w", "watt", "watts"]), ("kW", &["kw", "kilowatt", "kilowatts"]), ("V", &["v", "volt", "volts"]), ("mph", &["mph"]), ("km/h", &["kmh", "kph"]),
];

/// Signs of units, which come right before or after the number.
const SIGNS: &[(char, &str)] = &[
    ('$', "USD"),
    ('€', "EUR"),
    ('£', "GBP"),
    ('₹', "INR"),
    ('¥', "JPY"),
    ('%', "%"),
    ('％', "%"),
    ('‰', "‰"),
];

/// The unit of a number, if it has one.
type Measure<'a> = (&'a str, Option<&'static str>);

/// Which units the questions give to the same number, if they differ.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = (measures(&comparison.asked), measures(&comparison.cached));
    asked.iter().find_map(|(number, unit)| {
        let of = |measures: &[Measure<'_>]| -> Vec<Option<&'static str>> {
            measures.iter().filter(|(own, _)| own == number).map(|(_, unit)| *unit).collect()
        };
        let (own, others) = (of(&asked), of(&cached));
        let other = *others.first()?;
        let agrees = own.iter().any(|unit| others.iter().any(|other| agree(*unit, *other)));
        (!agrees).then(|| {
            format!("units differ: {} against {}", described(number, *unit), described(number, other))
        })
    })
}

/// Whether one number can have both units. "Pounds" can be weight or money, and `5m` can be metres or
/// minutes.
fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some("%" | "‰"), None) | (None, Some("%" | "‰")) => false,
        (None, _)
        | (_, None)
        | (Some("lb"), Some("GBP"))
        | (Some("GBP"), Some("lb"))
        | (Some("m"), Some("min"))
        | (Some("min"), Some("m")) => true,
        (one, other) => one == other,
    }
}

fn described(number: &str, unit: Option<&str>) -> String {
    unit.map_or_else(|| number.to_owned(), |unit| format!("{number} {unit}"))
}

/// Every number in digits with the unit before or after it, within its word or in the next one.
fn measures(reading: &Reading) -> Vec<Measure<'_>> {
    /// With more numbers than this, a question is a table; all are compared with all.
    const MOST: usize = 64;
    // If the question mentions a percentage, its number may come without a sign.
    let named = reading.words().any(|word| matches!(word.text, "percentage" | "percentages" | "percentile"));
    (reading.retracted()..reading.len())
        .filter_map(|at| {
            let word = reading.text(at);
            let digits =
                word.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')).count();
            let (number, suffix) = word.split_at(digits);
            (digits > 0).then_some(())?;
            let unit = written(reading, at, suffix).or_else(|| sign(reading, at, suffix));
            // The parts of `10:30` or `1,2` and numbers with a suffix of their own are not bare numbers.
            let bare = suffix.is_empty() && !named;
            (unit.is_some() || bare).then_some((number, unit))
        })
        .take(MOST)
        .collect()
}

/// The unit in the number's own word, or in the next one: `5km`, `5 km`, `20 °C`, `20 degrees Celsius`.
fn written(reading: &Reading, at: usize, suffix: &str) -> Option<&'static str> {
    // After a slash comes what the amount is for: `$15/hr`.
    if suffix.is_empty() && !matches!(reading.gap_after(at).trim(), "" | "-" | "°") {
        return None;
    }
    if reading.text(at + 1) == "per" && reading.text(at + 2) == "cent" {
        return Some("%");
    }
    let next = if matches!(reading.text(at + 1), "degree" | "degrees" | "deg") { at + 2 } else { at + 1 };
    let (unit, original) = if suffix.is_empty() {
        (reading.text(next), reading.written(next))
    } else {
        (suffix, reading.written(at))
    };
    // A single small letter is just as likely a unit of another kind.
    let degrees = !matches!(unit, "c" | "f") || original.ends_with(char::is_uppercase);
    let known = UNITS.iter().find(|(_, spellings)| spellings.contains(&unit));
    known.filter(|_| degrees).map(|(symbol, _)| *symbol)
}

/// The unit whose sign is before or after the number.
fn sign(reading: &Reading, at: usize, suffix: &str) -> Option<&'static str> {
    let after = if suffix.is_empty() { reading.gap_after(at).trim_start() } else { "" };
    let signs = [after.chars().next(), reading.gap_before(at).trim_end().chars().next_back()];
    // A sign after the number belongs to it; a sign before it may be the end of the number before: `5 % 6`.
    let of = |sign: char| SIGNS.iter().find(|(known, _)| *known == sign).map(|(_, unit)| *unit);
    let [own, before] = signs.map(|sign| sign.and_then(of));
    own.or_else(|| before.filter(|unit| !matches!(*unit, "%" | "‰")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &str, b: &str) -> bool {
        difference(&Comparison::of(a, b)).is_some()
    }

    #[test]
    fn the_same_number_of_something_else_is_another_question() {
        for (a, b) in [
            ("How long does it take to run 5 km?", "How long does it take to run 5 miles?"),
            ("Is 10kg too much?", "Is 10 lbs too much?"),
            ("What can I buy for 100 dollars?", "What can I buy for 100 euros?"),
            ("What can I buy for $5?", "What can I buy for €5?"),
            ("What can I buy for $5?", "What can I buy for 5 euros?"),
            ("a rise of 5%", "a rise of 5"),
            ("a rise of 5 percent", "a rise of 5 points"),
            ("bake at 20°C", "bake at 20°F"),
            ("bake at 20 degrees Celsius", "bake at 20 °F"),
            ("bake at 20C", "bake at 20F"),
        ] {
            assert!(differ(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn one_unit_has_many_spellings() {
        for (a, b) in [
            ("run 5km", "run 5 kilometers"),
            ("wait 10 minutes", "wait 10 min"),
            ("5 km or 5 miles", "5 miles or 5 km"),
            ("run 5 km, no sorry, 5 miles", "run 5 miles"),
            ("chapter 5", "5 km"),
            ("a rise of 5 %", "a rise of 5 percent"),
            ("a rise of 5%", "a rise of 5 per cent"),
            ("a wage of $15/hr", "a wage of $15"),
            ("suspend after 5m", "suspend after 5 minutes"),
            ("for $5", "for 5 dollars"),
            ("for $5", "for 5"),
            ("for £5", "for 5 pounds"),
            ("at 20°C", "at 20 degrees"),
            ("a percentage of 5", "5% of it"),
            ("5 or 5 %", "5 % or 5"),
            ("5% of 5 MB", "5 MB for $5"),
            ("5 MB for $5", "5% of 5 MB"),
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
