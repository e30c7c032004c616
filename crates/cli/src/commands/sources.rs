//! `wellspring sources`: an answer and what it was derived from.

use clap::Args;
use wellspring::error::Result;
use wellspring::key::{EntryId, IdKey, ShownId};
use wellspring::store::{Store, StoredEntry};

use crate::commands::context::Context;
use crate::commands::entry_view::{EntryJson, age, content_type, dependencies, left};
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::{output, units};

/// The number of digits of a whole id.
const ID_DIGITS: usize = 32;
/// The fewest digits that identify an entry: as many as lists show.
const MIN_DIGITS: usize = 8;

/// Show an answer and what it was derived from
#[derive(Debug, Args)]
pub(crate) struct SourcesArgs {
    /// The entry's id, or at least its first 8 digits; or the complete id that the gateway shows to callers
    entry: String,
}

pub(crate) async fn run(args: SourcesArgs, context: &Context) -> anyhow::Result<Exit> {
    let prefix = Prefix::parse(&args.entry)?;
    let store = context.store().await?;
    let stored = match (find(&*store, &prefix, &args.entry).await, args.entry.parse()) {
        (Err(_), Ok(shown)) => shown_as(&*store, shown, &args.entry).await?,
        (found, _) => found?,
    };
    store.close().await?;
    if context.json {
        output::json(&EntryJson::from(&stored))?;
    } else {
        output::line(text(&stored))?;
    }
    Ok(Exit::Success)
}

fn text(stored: &StoredEntry) -> String {
    let entry = &stored.entry;
    let answer = &entry.answer;
    let usage = answer.usage.map(|usage| {
        format!(
            "{} prompt and {} completion tokens, {}",
            units::count(usage.prompt_tokens),
            units::count(usage.completion_tokens),
            units::dollars(usage.cost_microusd as f64 / 1e6)
        )
    });
    let negative = if answer.negative { ", negative" } else { "" };
    let metadata = if answer.metadata.is_null() { String::new() } else { answer.metadata.to_string() };
    let mut rows = vec![
        ("entry", entry.id.to_string()),
        ("question", entry.question.to_string()),
        ("type", format!("{}{negative}", content_type(answer.content_type))),
        ("stored", format!("{}, {} ago", units::rfc3339(entry.created_at), age(entry))),
        ("expires", format!("{}, in {}", units::rfc3339(entry.expires_at), left(entry))),
        ("hits", units::count(stored.hits)),
        ("cost", usage.unwrap_or_default()),
        ("metadata", metadata),
        ("corpus", entry.corpus.to_string()),
        ("scope", entry.scope.to_string()),
    ];
    let mut name = "from";
    for dependency in dependencies(&entry.dependencies) {
        rows.push((name, dependency));
        name = "";
    }
    if entry.dependencies.is_empty() {
        rows.push((name, "nothing: it only expires".into()));
    }
    format!("{}\n\n{}", output::fields(&rows), answer.text)
}

/// The ids that begin with some hexadecimal digits.
struct Prefix {
    first: [u8; ID_DIGITS / 2],
    last: [u8; ID_DIGITS / 2],
}

impl Prefix {
    fn parse(text: &str) -> Result<Self> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(MIN_DIGITS..=ID_DIGITS).contains(&text.len()) {
            return Err(invalid(
                "an entry is named by 8 to 32 hexadecimal digits, as `wellspring list` shows them",
            ));
        }
        let digits = text.to_ascii_lowercase();
        let bound = |fill: &str| {
            let filled = format!("{digits}{}", fill.repeat(ID_DIGITS - digits.len()));
            filled.parse().map(|id: EntryId| *id.as_bytes())
        };
        Ok(Self { first: bound("0")?, last: bound("f")? })
    }

    /// The id before the first matching one; none if there is none.
    fn before(&self) -> Option<EntryId> {
        u128::from_be_bytes(self.first).checked_sub(1).map(|id| EntryId::from_bytes(id.to_be_bytes()))
    }

    fn contains(&self, id: EntryId) -> bool {
        self.first <= *id.as_bytes() && *id.as_bytes() <= self.last
    }
}

/// The one entry with this id as shown to callers.
async fn shown_as(store: &dyn Store, shown: ShownId, text: &str) -> Result<StoredEntry> {
    let id = IdKey::new(&store.secret(rand::random()).await?).entry(shown).to_string();
    find(store, &Prefix::parse(&id)?, text).await
}

/// The one entry whose id begins with this prefix.
async fn find(store: &dyn Store, prefix: &Prefix, text: &str) -> Result<StoredEntry> {
    let mut found = store.scan(prefix.before(), 2).await?;
    found.retain(|stored| prefix.contains(stored.entry.id));
    if found.len() > 1 {
        return Err(invalid(format!("several entries begin with {text}, give more digits")));
    }
    found.pop().ok_or_else(|| invalid(format!("no live entry begins with {text}")))
}
