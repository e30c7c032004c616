//! The file of a control: one `{"wording": "…", "question": "…", "twins": ["…", …]}` per line, with an
//! optional `domain`.

use serde::Deserialize;
use wellspring::error::Result;

use crate::queries::{at, lines, question, read};

/// A wording with the plain question that it asks, and with plain questions that are similar to that one. All
/// are normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wording {
    /// The wording.
    pub text: String,
    /// The plain question that it asks.
    pub question: String,
    /// At least one; none is equal to the question.
    pub twins: Vec<String>,
    /// Its subject, if the file names one.
    pub domain: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    wording: String,
    question: String,
    twins: Vec<String>,
    domain: Option<String>,
}

/// Reads wordings from JSON lines.
///
/// # Errors
///
/// `InvalidInput` that names the line.
pub fn parse(text: &str) -> Result<Vec<Wording>> {
    lines(text)
        .map(|(number, line)| {
            let line: Line = read(number, line)?;
            let own = question(number, "question", &line.question)?;
            let twins = line.twins.iter().map(|twin| question(number, "twins", twin));
            let twins = twins.collect::<Result<Vec<_>>>()?;
            if twins.is_empty() {
                return Err(at(number, "field `twins` is empty"));
            }
            if twins.contains(&own) {
                return Err(at(number, "the question is among its twins"));
            }
            let text = question(number, "wording", &line.wording)?;
            Ok(Wording { text, question: own, twins, domain: line.domain })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_wording_its_question_and_twins() {
        let text = "{\"wording\":\"so uh, how  old is it\",\"question\":\"How old is it?\",\
                    \"twins\":[\"How tall is it?\",\"Who made it?\"],\"domain\":\"speech\",\"id\":4}\n\n\
                    {\"wording\":\"a\",\"question\":\"b\",\"twins\":[\"c\"]}";
        let wordings = parse(text).unwrap();
        assert_eq!((&*wordings[0].text, wordings[0].twins.len()), ("so uh, how old is it", 2));
        assert_eq!((wordings[0].domain.as_deref(), wordings[1].domain.as_deref()), (Some("speech"), None));
    }

    #[test]
    fn faults_name_their_line() {
        let line = |question: &str, twins: &str| {
            format!("{{\"wording\":\"w\",\"question\":\"{question}\",\"twins\":[{twins}]}}")
        };
        for (line, message) in [
            (line("q", ""), "line 2: field `twins` is empty"),
            (line("q", "\"p\",\" q \""), "line 2: the question is among its twins"),
            (line(" ", "\"p\""), "line 2: field `question`: question is empty"),
            ("{}".to_owned(), "line 2: not a line of this file (column 2)"),
        ] {
            let error = parse(&format!("\n{line}")).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.is_invalid_input());
        }
    }
}
