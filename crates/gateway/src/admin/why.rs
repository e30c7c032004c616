//! Why a question is a hit or not.

use axum::extract::{Request, State};
use serde::Deserialize;
use wellspring::cache::Query;
use wellspring::key::{Corpus, ScopeId};

use super::{Answered, actions, json};
use crate::Gateway;
use crate::error::Problem;
use crate::extract::or_default;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    question: String,
    #[serde(default, deserialize_with = "or_default")]
    corpus: Corpus,
    /// The scope to look in, as entries name it; without it, the scope that everyone shares.
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    threshold: Option<f32>,
    #[serde(default)]
    max_false_hit_rate: Option<f64>,
}

/// Explains what a lookup would find. Counts nothing and stores nothing.
pub(super) async fn why(State(gateway): State<Gateway>, request: Request) -> Answered {
    let asked: Why = actions::body(&gateway, request).await?;
    let longest = gateway.options().limits.question_bytes;
    if asked.question.len() > longest {
        return Err(Problem::invalid(format!("the question has more than {longest} bytes")));
    }
    let mut query = Query::new(asked.question).corpus(asked.corpus);
    if let Some(threshold) = asked.threshold {
        query = query.similarity_threshold(threshold);
    } else if let Some(rate) = asked.max_false_hit_rate {
        query = query.max_false_hit_rate(rate);
    }
    let explanation = match asked.scope {
        Some(scope) => gateway.cache().explain_in(scope.parse::<ScopeId>()?, query).await?,
        None => gateway.cache().explain(query).await?,
    };
    json(&explanation)
}
