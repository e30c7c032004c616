//! Whether one number has different units: `5 km` against `5 miles`.

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
    ("USD", &["usd", "dollar", "dollars", "bucks"]), ("EUR", &["eur", "euro", "euros"]), ("GBP", &["gbp"]), ("INR", &["inr", "rs", "rupee", "rupees"]),
    ("°C", &["celsius"]), ("°F", &["fahrenheit"]), ("%", &["percent", "percentage"]),
    ("W", &["w", "watt", "watts"]), ("kW", &["kw", "kilowatt", "kilowatts"]), ("V", &["v", "volt", "volts"]), ("mph", &["mph"]), ("km/h", &["kmh", "kph"]),
];

/// Which units the questions give to the same number, if they differ.
pub(super) fn difference(comparison: &Comparison) -> Option<String> {
    let (asked, cached) = (measures(&comparison.asked), measures(&comparison.cached));
    asked.iter().find_map(|(number, unit)| {
        let mut others = cached.iter().filter(|(other, _)| other == number).map(|(_, unit)| *unit).peekable();
        let other = *others.peek()?;
        let repeated = asked.iter().filter(|(other, _)| other == number).any(|(_, own)| own == &other);
        (!others.any(|other| other == *unit) && !repeated)
            .then(|| format!("units differ: {number} {unit} against {number} {other}"))
    })
}

/// Every number in digits that a unit follows, within its word or in the next one.
fn measures(reading: &Reading) -> Vec<(&str, &'static str)> {
    (reading.retracted()..reading.len())
        .filter_map(|at| {
            let word = reading.text(at);
            let digits =
                word.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')).count();
            let (number, suffix) = word.split_at(digits);
            let unit = if suffix.is_empty() { reading.text(at + 1) } else { suffix };
            (digits > 0).then_some(())?;
            let (symbol, _) = UNITS.iter().find(|(_, spellings)| spellings.contains(&unit))?;
            Some((number, *symbol))
        })
        .collect()
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
        ] {
            assert!(!differ(a, b), "{a} | {b}");
        }
    }
}
