//! What a model says: text, or calls of the tools that it was given.
//!
//! Models whose names begin with `gpt-` or `claude-` act like the real ones: after a question, they call each
//! tool once (all at once with `parallel_tool_calls`), answer when they have the results, and fill in the
//! requested schema and the fields of `DSPy` prompts. A model with `careless` in its name gives text for
//! numbers until it is asked again.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The text of the answer with this number.
pub fn text(number: usize) -> String {
    format!("Answer {number}: the café closes at 18:00.")
}

pub(super) enum Said {
    Text(String),
    /// Names and arguments.
    Calls(Vec<(String, Value)>),
}

/// What the model of `request` says in the answer with this number.
pub(super) fn says(request: &Value, number: usize) -> Said {
    let model = request["model"].as_str().unwrap_or_default();
    if model == "tools" {
        return Said::Calls(vec![("opening_hours".into(), json!({ "place": "café" }))]);
    }
    if !model.starts_with("gpt-") && !model.starts_with("claude-") {
        // The model `same` says the same to everyone.
        return Said::Text(text(if model == "same" { 0 } else { number }));
    }
    let turns = ["messages", "input"].iter().find_map(|name| request[name].as_array());
    let turns = turns.map_or(&[][..], Vec::as_slice);
    let is_asked_again =
        turns.iter().any(|turn| turn["role"] == "assistant" || turn["type"] == "function_call");
    let filler = Filler { number, is_careless: model.contains("careless") && !is_asked_again };
    let calls = next(request, turns);
    if !calls.is_empty() {
        let at_once = if request["parallel_tool_calls"] == true { calls.len() } else { 1 };
        let call = |(name, schema): (String, Value)| (name, filler.fill(&schema, &schema));
        return Said::Calls(calls.into_iter().take(at_once).map(call).collect());
    }
    let schemas = [
        "/response_format/json_schema/schema",
        "/text/format/schema",
        "/output_config/format/schema",
        "/output_format/schema",
    ];
    if let Some(schema) = schemas.iter().find_map(|place| request.pointer(place)) {
        return Said::Text(filler.fill(schema, schema).to_string());
    }
    let last = turns.last().map(|turn| turn["content"].as_str().unwrap_or_default()).unwrap_or_default();
    Said::Text(match last.rsplit_once("Respond with the corresponding output fields") {
        Some((asked, fields)) => dspy(&turns[0]["content"], asked, fields, number),
        None => text(number),
    })
}

/// The tools to call now, with their schemas.
fn next(request: &Value, turns: &[Value]) -> Vec<(String, Value)> {
    let tools = request["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        let tool = tool.get("function").unwrap_or(tool);
        let schema = tool.get("parameters").or_else(|| tool.get("input_schema"))?;
        Some((tool["name"].as_str()?.to_owned(), schema.clone()))
    });
    let tools: Vec<_> = tools.collect();
    let choice = &request["tool_choice"];
    let forced = choice["function"]["name"].as_str().or(choice["name"].as_str());
    if let Some(forced) = forced {
        return tools.into_iter().filter(|(name, _)| name == forced).collect();
    }
    if choice == "none" {
        return Vec::new();
    }
    let is_question = |turn: &Value| {
        let has_results =
            || turn["content"].as_array().into_iter().flatten().any(|part| part["type"] == "tool_result");
        turn["role"] == "user" && !has_results()
    };
    let since = turns.iter().rposition(is_question).unwrap_or(0);
    let called: Vec<&str> = turns[since..].iter().flat_map(calls).collect();
    let must = choice == "required" || choice["type"] == "any";
    let last = tools.last().cloned();
    let left: Vec<_> = tools.into_iter().filter(|(name, _)| !called.contains(&name.as_str())).collect();
    if left.is_empty() && must { last.into_iter().collect() } else { left }
}

/// The names of the tools that a turn calls.
fn calls(turn: &Value) -> Vec<&str> {
    let parts = turn["tool_calls"].as_array().into_iter().flatten().map(|call| &call["function"]);
    let blocks = turn["content"].as_array().into_iter().flatten().filter(|part| part["type"] == "tool_use");
    let item = Some(turn).filter(|turn| turn["type"] == "function_call");
    parts.chain(blocks).chain(item).filter_map(|call| call["name"].as_str()).collect()
}

struct Filler {
    number: usize,
    is_careless: bool,
}

impl Filler {
    /// A value that fits `schema`, which is part of `root`.
    fn fill(&self, schema: &Value, root: &Value) -> Value {
        if let Some(place) = schema["$ref"].as_str() {
            return self.fill(root.pointer(place.trim_start_matches('#')).unwrap(), root);
        }
        let options = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[name].as_array());
        if let Some(option) =
            options.and_then(|options| options.iter().find(|option| option["type"] != "null"))
        {
            return self.fill(option, root);
        }
        if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return value.clone();
        }
        let kind = schema["type"].as_str().or(schema["type"][0].as_str());
        match kind {
            Some("object") => {
                let fields = schema["properties"].as_object().into_iter().flatten();
                fields
                    .map(|(name, field)| (name.clone(), self.fill(field, root)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Some("array") => json!([self.fill(&schema["items"], root)]),
            Some("integer" | "number") if self.is_careless => format!("about {}", self.number).into(),
            Some("integer" | "number") => self.number.into(),
            Some("boolean") => true.into(),
            _ => text(self.number).into(),
        }
    }
}

/// The output fields that a `DSPy` prompt asks for. Of the tools in the prompt, the first is called once.
fn dspy(system: &Value, asked: &str, fields: &str, number: usize) -> String {
    let names =
        fields.split("[[ ## ").skip(1).filter_map(|rest| rest.split_once(" ## ]]").map(|(name, _)| name));
    let tool = system.as_str().and_then(|system| system.split_once("(1) ")?.1.split_once(','));
    let tool = tool.map(|(name, _)| name.trim_matches('`')).filter(|_| !asked.contains("observation_0"));
    let mut said = String::new();
    for name in names {
        let value = match name {
            "completed" => String::new(),
            "next_tool_name" => tool.unwrap_or("finish").to_owned(),
            "next_tool_args" if tool.is_some() => json!({ "query": text(number) }).to_string(),
            "next_tool_args" => "{}".to_owned(),
            _ => text(number),
        };
        let _ = write!(said, "[[ ## {name} ## ]]\n{value}\n\n");
    }
    said
}
