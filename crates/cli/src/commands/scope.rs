//! The flags that say which corpus and scope an answer belongs to.

use clap::Args;
use serde_json::Value;
use wellspring::cache::Query;
use wellspring::key::{Corpus, Namespace, Scope};

/// Corpus and scope of a question.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scope")]
pub(crate) struct ScopeArgs {
    /// The corpus: the body of documents that answers derive from
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(crate) corpus: Corpus,
    /// Share answers only within this tenant, user or access group
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Place answers under this namespace, such as docs:technical
    #[arg(long, value_name = "PATH")]
    namespace: Option<Namespace>,
    /// Mark answers as personal; they are stored only with --tenant
    #[arg(long)]
    private: bool,
    /// A parameter that changes the answer, such as model=gpt-4; the value is JSON, or else text. Repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, Value)>,
}

impl ScopeArgs {
    /// A query for `question` in this scope.
    pub(crate) fn query(self, question: String) -> Query {
        let mut scope = Scope::new();
        if let Some(tenant) = self.tenant {
            scope = scope.tenant(tenant);
        }
        if let Some(namespace) = self.namespace {
            scope = scope.namespace(namespace);
        }
        if self.private {
            scope = scope.private();
        }
        for (name, value) in self.parameters {
            scope = scope.parameter(name, value);
        }
        Query::new(question).corpus(self.corpus).scope(scope)
    }
}

pub(crate) fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is empty".into());
    }
    let value = match serde_json::from_str(value) {
        Ok(value) => value,
        // A value that was meant as JSON must not silently become a text.
        Err(error) if value.trim_start().starts_with(['{', '[', '"']) => return Err(error.to_string()),
        Err(_) => Value::String(value.to_owned()),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_json_or_text() {
        assert_eq!(parameter("temperature=0.2").unwrap(), ("temperature".into(), json!(0.2)));
        assert_eq!(parameter("model=gpt-4").unwrap(), ("model".into(), json!("gpt-4")));
        assert_eq!(parameter("a=b=c").unwrap(), ("a".into(), json!("b=c")));
        assert_eq!(parameter("tools=[\"x\"]").unwrap(), ("tools".into(), json!(["x"])));
        for bad in ["model", "=x", "tools=[1", "tools=\"x", &format!("deep={}", "[".repeat(1_000))] {
            assert!(parameter(bad).is_err(), "{bad}");
        }
    }
}
