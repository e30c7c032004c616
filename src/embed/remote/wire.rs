//! The request and the response of the embeddings API. Pure: bytes in, embeddings out.

use serde::{Deserialize, Serialize};

use crate::embed::checked::checked;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

/// The size of a JSON number of `f32` or `f64` with its comma and generous white space.
const MAX_BYTES_PER_COMPONENT: usize = 40;

/// The rest of a response: field names, model, usage.
const MAX_BYTES_BESIDE: usize = 64 * 1024;

#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [&'a str],
    pub(super) encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

/// The most bytes that a response for `texts` texts may have.
pub(super) fn longest_answer(texts: usize, dimensions: usize) -> usize {
    texts.saturating_mul(dimensions).saturating_mul(MAX_BYTES_PER_COMPONENT).saturating_add(MAX_BYTES_BESIDE)
}

/// The embeddings in a response, in the order of the `texts` texts; the API may list them in any order.
///
/// # Errors
///
/// [`ErrorKind::Embedding`] if the response is not valid, or if an embedding is missing or repeated.
pub(super) fn parse(body: &[u8], texts: usize, dimensions: usize) -> Result<Vec<Embedding>> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        // Reports only the position: serde quotes the unexpected value, and a server may echo texts.
        let (line, column) = (error.line(), error.column());
        bad(format!("embedding endpoint gave no embeddings: bad JSON at line {line} column {column}"))
    })?;
    if answer.data.len() != texts {
        return Err(bad(format!(
            "embedding endpoint gave {} embeddings for {texts} texts",
            answer.data.len()
        )));
    }
    let mut embeddings: Vec<Option<Embedding>> = vec![None; texts];
    for item in answer.data {
        match embeddings.get_mut(item.index) {
            Some(slot @ None) => *slot = Some(checked(&item.embedding, dimensions)?),
            _ => return Err(bad(format!("embedding endpoint gave an unexpected index {}", item.index))),
        }
    }
    // There are as many items as slots, and none occurs twice: every slot is filled.
    Ok(embeddings.into_iter().flatten().collect())
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::Embedding, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn results_are_put_in_order() {
        let body = br#"{"data":[{"index":1,"embedding":[0,1]},{"index":0,"embedding":[1,0]}],"model":"m"}"#;
        let embeddings = parse(body, 2, 2).unwrap();
        assert_eq!(embeddings[0].as_slice(), [1.0, 0.0]);
        assert_eq!(embeddings[1].as_slice(), [0.0, 1.0]);
    }

    #[test]
    fn bad_answers_are_embedding_errors_that_quote_nothing() {
        let bad = [
            r#"{"data":[]}"#,
            r#"{"data":[{"index":0,"embedding":[1,0]},{"index":0,"embedding":[1,0]}]}"#,
            r#"{"data":[{"index":7,"embedding":[1,0]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,0,0]}]}"#,
            r#"{"data":[{"index":0,"embedding":[0,0]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,null]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,NaN]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,1e39]}]}"#,
            r#"{"data":[{"index":0,"embedding":"secret question"}]}"#,
            r#"{"data":"secret question"}"#,
            "",
        ];
        for body in bad {
            let error = parse(body.as_bytes(), 1, 2).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Embedding, "{body}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), texts in 0_usize..4) {
            let _ = parse(&body, texts, 2);
        }
    }
}
