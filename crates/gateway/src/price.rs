//! What a call of a model costs, so that the savings of a hit can be given in money.

use std::fmt;
use std::str::FromStr;

use wellspring::entry::Usage;
use wellspring::error::{Error, ErrorKind, Result};

/// The price of a model, or of several whose names begin alike.
///
/// It is written `MODEL:PROMPT:COMPLETION`, in US dollars per million tokens: `gpt-4o-mini:0.15:0.60`. A `*`
/// at the end of the name matches any rest: `gpt-4o-mini*` also matches `gpt-4o-mini-2024-07-18`. Discounts
/// (for cached prompts or batches) are not known, so this is the most that a call costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    model: String,
    is_prefix: bool,
    prompt: f64,
    completion: f64,
}

impl Price {
    /// The price of `model`: the one with exactly that name, or else the one with the longest matching
    /// prefix.
    pub(super) fn of<'a>(prices: &'a [Self], model: &str) -> Option<&'a Self> {
        let exact = prices.iter().find(|price| !price.is_prefix && price.model == model);
        exact.or_else(|| {
            let fitting = prices.iter().filter(|price| price.is_prefix && model.starts_with(&price.model));
            fitting.max_by_key(|price| price.model.len())
        })
    }

    /// Writes the cost of the tokens in `usage` into it.
    pub(super) fn charge(&self, usage: &mut Usage) {
        let cost =
            usage.prompt_tokens as f64 * self.prompt + usage.completion_tokens as f64 * self.completion;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "prices are not negative, and a sum beyond all bounds is the greatest there is"
        )]
        // Dollars per million tokens equal millionths of a dollar per token.
        let cost = cost.round() as u64;
        usage.cost_microusd = cost;
    }
}

impl FromStr for Price {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let why = "write it as MODEL:PROMPT:COMPLETION, in US dollars per million tokens";
            Error::new(ErrorKind::Config, format!("not a price: {text:?}, {why}"))
        };
        // Names may contain colons.
        let mut parts = text.rsplitn(3, ':');
        let mut dollars = || {
            let dollars = parts.next()?.parse::<f64>().ok()?;
            (dollars.is_finite() && dollars >= 0.0).then_some(dollars)
        };
        let completion = dollars().ok_or_else(bad)?;
        let prompt = dollars().ok_or_else(bad)?;
        let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(bad)?;
        let (model, is_prefix) = name.strip_suffix('*').map_or((name, false), |model| (model, true));
        Ok(Self { model: model.to_owned(), is_prefix, prompt, completion })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{rest}:{}:{}", self.model, self.prompt, self.completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_read_back_what_they_print() {
        for text in ["gpt-4o-mini:0.15:0.6", "llama3:8b:0:0", "gpt-4o*:2.5:10", "*:1:1"] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), text);
        }
        for bad in ["", "gpt", "gpt:1", ":1:1", "gpt:-1:1", "gpt:1:x", "gpt:inf:1", "gpt:NaN:1"] {
            assert!(bad.parse::<Price>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_decides_and_then_the_longest_beginning() {
        let prices: Vec<Price> = ["gpt-4o*:2.5:10", "gpt-4o-mini*:0.15:0.6", "gpt-4o-mini:9:9"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let name = |model| Price::of(&prices, model).map(ToString::to_string);
        assert_eq!(name("gpt-4o-mini").as_deref(), Some("gpt-4o-mini:9:9"));
        assert_eq!(name("gpt-4o-mini-2024-07-18").as_deref(), Some("gpt-4o-mini*:0.15:0.6"));
        assert_eq!(name("gpt-4o-2024-08-06").as_deref(), Some("gpt-4o*:2.5:10"));
        assert_eq!(name("o3"), None);
    }

    #[test]
    fn a_call_costs_what_its_tokens_cost() {
        let price: Price = "m:0.15:0.6".parse().unwrap();
        let mut usage = Usage { prompt_tokens: 1_000, completion_tokens: 100, cost_microusd: 0 };
        price.charge(&mut usage);
        assert_eq!(usage.cost_microusd, 210);
    }
}
