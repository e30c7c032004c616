//! `wellspring put`: stores an answer.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgAction, Args, ValueEnum};
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use wellspring::cache::{FillOutcome, Lookup};
use wellspring::entry::{Answer, ContentType, Dependency, Usage};
use wellspring::error::Result;
use wellspring::key::EntryId;

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::scope::ScopeArgs;
use crate::commands::{get, input, output, target, units};
use crate::config::Opening;

/// Store an answer with the documents it was derived from
///
/// It replaces an answer that is stored for the same question. The invalidation clock is read when the command starts.
/// If the answer may have been made before a document changed, name the versions that it was derived from, so that a
/// stale answer is refused.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The question; - reads it from standard input
    question: String,
    /// The answer; - reads it from standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    answer: Option<String>,
    /// Read the answer from a file; - is standard input
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Serve the answer to exactly this question only; needed if the question is very long
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    life: LifeArgs,
    #[command(flatten)]
    scope: ScopeArgs,
}

/// What the answer was derived from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Derived from")]
struct SourceArgs {
    /// A document, with the version that was read. The last @ separates id and version; if an id contains @ and no
    /// version follows, end it with another @. Repeatable
    #[arg(long = "doc", value_name = "ID[@VERSION]")]
    documents: Vec<String>,
    /// One chunk of a document, by the hash of its content. Repeatable
    #[arg(long = "chunk", value_name = "DOC#HASH", value_parser = target::chunk)]
    chunks: Vec<(String, String)>,
    /// A collection of documents. Repeatable
    #[arg(long = "collection", value_name = "NAME")]
    collections: Vec<String>,
    /// A free label. Repeatable
    #[arg(long = "tag", value_name = "NAME")]
    tags: Vec<String>,
}

/// How long the answer lives and what goes with it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answer")]
struct LifeArgs {
    /// Time to live, such as 90s, 6h or 1day [default: that of the content type]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// How fast the answer ages
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    content_type: ContentTypeArg,
    /// The answer says that nothing was found
    #[arg(long, action = ArgAction::SetTrue)]
    negative: bool,
    /// JSON that is returned with the answer
    #[arg(long, value_name = "JSON", value_parser = metadata)]
    metadata: Option<Value>,
    /// Prompt tokens used to make the answer
    #[arg(long, value_name = "N")]
    prompt_tokens: Option<u64>,
    /// Completion tokens received
    #[arg(long, value_name = "N")]
    completion_tokens: Option<u64>,
    /// The cost of making the answer, in US dollars
    #[arg(long, value_name = "USD")]
    cost: Option<f64>,
}

/// [`ContentType`] as an argument.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ContentTypeArg {
    #[default]
    General,
    StaticFact,
    Documentation,
    UserData,
    RealTime,
}

impl From<ContentTypeArg> for ContentType {
    fn from(content_type: ContentTypeArg) -> Self {
        match content_type {
            ContentTypeArg::General => Self::General,
            ContentTypeArg::StaticFact => Self::StaticFact,
            ContentTypeArg::Documentation => Self::Documentation,
            ContentTypeArg::UserData => Self::UserData,
            ContentTypeArg::RealTime => Self::RealTime,
        }
    }
}

pub(crate) async fn run(args: PutArgs, context: &Context) -> anyhow::Result<Exit> {
    let answer =
        args.answer.or_else(|| args.file.as_ref().filter(|file| file.as_os_str() == "-").map(|_| "-".into()));
    if args.question == "-" && answer.as_deref() == Some("-") {
        return Err(invalid("question and answer cannot both come from the standard input").into());
    }
    let question = input::question(args.question)?;
    let text = match (answer, &args.file) {
        (Some(answer), _) if answer == "-" => input::standard_input("the answer")?,
        (Some(answer), _) => answer,
        (None, Some(path)) => input::file(path, "the answer")?,
        (None, None) => return Err(invalid("there is no answer").into()),
    };
    let answer = args.life.answer(text)?;
    let dependencies = args.sources.dependencies();
    let mut query = args.scope.query(question).renew();
    if args.exact {
        query = query.exact_only();
    }
    let cache = context.config.open_cache(Opening::Create).await?;
    let outcome = match cache.lookup(query.clone()).await? {
        Lookup::Miss(permit) => permit.fill(answer, dependencies).await,
        Lookup::Bypass(reason) => return Err(get::cause(&cache, query, reason).await),
        // A renewal never hits.
        _ => return Err(anyhow!("the answer was looked up instead of stored")),
    };
    cache.close().await?;
    match outcome {
        FillOutcome::Stored(id) | FillOutcome::Queued(id) => stored(id, context.json),
        FillOutcome::Refused(reason) => {
            not_stored("refused", &json!(reason), &reason.to_string(), context.json)
        }
        FillOutcome::Declined(reason) => {
            not_stored("declined", &json!(reason), &reason.to_string(), context.json)
        }
        FillOutcome::Failed(error) => Err(error.into()),
        _ => not_stored("other", &Value::Null, "the cache does not say why", context.json),
    }
}

fn stored(id: EntryId, json: bool) -> anyhow::Result<Exit> {
    if json {
        output::json(&json!({ "outcome": "stored", "entry": id }))?;
    } else {
        output::line(format_args!("{} as {}", "stored".green().bold(), units::short(id)))?;
    }
    Ok(Exit::Success)
}

fn not_stored(outcome: &str, reason: &Value, why: &str, json: bool) -> anyhow::Result<Exit> {
    if json {
        output::json(&json!({ "outcome": outcome, "reason": reason }))?;
    } else {
        output::note(format_args!("{}: {why}", "not stored".yellow().bold()));
    }
    Ok(Exit::Miss)
}

impl SourceArgs {
    fn dependencies(self) -> Vec<Dependency> {
        let documents = self.documents.iter().map(|text| {
            let (id, version) = target::document(text);
            Dependency::Document { id, version }
        });
        let chunks = self.chunks.into_iter().map(|(document, hash)| Dependency::chunk(document, hash));
        let collections = self.collections.into_iter().map(Dependency::Collection);
        documents.chain(chunks).chain(collections).chain(self.tags.into_iter().map(Dependency::Tag)).collect()
    }
}

impl LifeArgs {
    fn answer(self, text: String) -> Result<Answer> {
        let mut answer = if self.negative { Answer::negative(text) } else { Answer::new(text) };
        answer = answer.content_type(self.content_type.into());
        if let Some(ttl) = self.ttl {
            answer = answer.ttl(ttl);
        }
        if let Some(metadata) = self.metadata {
            answer = answer.metadata(metadata);
        }
        if self.prompt_tokens.is_some() || self.completion_tokens.is_some() || self.cost.is_some() {
            answer = answer.usage(Usage {
                prompt_tokens: self.prompt_tokens.unwrap_or(0),
                completion_tokens: self.completion_tokens.unwrap_or(0),
                cost_microusd: microusd(self.cost.unwrap_or(0.0))?,
            });
        }
        Ok(answer)
    }
}

fn microusd(usd: f64) -> Result<u64> {
    if !(0.0..=1e9).contains(&usd) {
        return Err(invalid("the cost is not a number of US dollars from 0 to 1e9"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    Ok((usd * 1e6).round() as u64)
}

fn metadata(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
