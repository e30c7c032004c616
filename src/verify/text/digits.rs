//! The digits of all scripts, by their value.

/// The zeros of all scripts with decimal digits; the other nine digits follow each.
const ZEROS: [char; 18] =
    ['0', '٠', '۰', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '๐', '໐', '༠', '၀', '០', '０'];

/// The ASCII digit with the value of `character`, if that is a digit.
pub(in crate::verify) fn digit(character: char) -> Option<char> {
    if character.is_ascii() {
        return character.is_ascii_digit().then_some(character);
    }
    let value = |zero: &char| u32::from(character).checked_sub(u32::from(*zero)).filter(|value| *value < 10);
    ZEROS.iter().find_map(value).and_then(|value| char::from_digit(value, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_has_its_value_in_every_script() {
        for (text, value) in [("٣", '3'), ("۵", '5'), ("९", '9'), ("๐", '0'), ("７", '7'), ("4", '4')]
        {
            assert_eq!(text.chars().next().and_then(digit), Some(value), "{text}");
        }
        for text in ["a", "三", "½", "²", "Ⅳ", "़", "٪"] {
            assert_eq!(text.chars().next().and_then(digit), None, "{text}");
        }
    }
}
