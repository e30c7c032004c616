//! `wellspring clear`: removes the answers of some tenants, parameters, namespace or age.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::Value;

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::pages::Pages;
use crate::commands::scope::parameter;
use crate::commands::{output, units};
use wellspring::entry::{Change, Selection};
use wellspring::key::{Corpus, Namespace, Scope, ScopeId, TenantId};
use wellspring::store::{ChangeOutcome, Store};
use wellspring_gateway::Sharing;

/// Remove answers by tenant, parameters, namespace or age
///
/// An answer is removed if it matches every flag that is given. Answers that are still being made are not stopped: if
/// their sources changed, use invalidate instead.
#[derive(Debug, Args)]
pub(crate) struct ClearArgs {
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Count the answers, but remove none
    #[arg(long)]
    dry_run: bool,
    /// Answers in this corpus
    #[arg(long, value_name = "NAME", help_heading = "Which answers")]
    corpus: Option<Corpus>,
    /// Answers of this tenant
    #[arg(long, value_name = "NAME", help_heading = "Which answers")]
    tenant: Option<String>,
    /// Answers of this caller of the gateway: the name of a token, or the value of the header by which answers are
    /// shared (server.sharing)
    #[arg(long, value_name = "NAME", help_heading = "Which answers")]
    caller: Option<String>,
    /// Answers in this namespace and below it
    #[arg(long, value_name = "PATH", help_heading = "Which answers")]
    namespace: Option<Namespace>,
    /// Answers with exactly these parameters; add --tenant and --namespace if the answers have them. The value is JSON,
    /// or else text. Repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, help_heading = "Which answers")]
    parameters: Vec<(String, Value)>,
    /// With --param: answers that were marked as personal
    #[arg(long, requires = "parameters", help_heading = "Which answers")]
    private: bool,
    /// Answers in this scope, as `list --long` shows it
    #[arg(long, value_name = "ID", conflicts_with = "parameters", help_heading = "Which answers")]
    scope: Option<ScopeId>,
    /// Answers that were stored longer ago than this, such as 12h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Which answers")]
    older_than: Option<Duration>,
}

/// What was found, with the names that the gateway uses in its responses.
#[derive(Debug, Default, Serialize)]
struct Report {
    looked_at: u64,
    matched: u64,
    removed: u64,
}

pub(crate) async fn run(args: ClearArgs, context: &Context) -> anyhow::Result<Exit> {
    let selection = args.selection(context).await?;
    if args.lacks_caller(context)? {
        output::note(
            "a gateway keeps answers apart by caller (server.sharing): to find those with this tenant or these \
             parameters, add --caller",
        );
    }
    let store = context.store().await?;
    if !args.dry_run && !args.yes {
        let matched = clear(&*store, &selection, true).await?.matched;
        let ask = format!("remove {}?", units::counted(matched, "answer"));
        if !output::confirm("clear", &ask)? {
            output::note("nothing was changed");
            return Ok(Exit::Success);
        }
    }
    let started = Instant::now();
    let report = clear(&*store, &selection, args.dry_run).await?;
    let elapsed = started.elapsed();
    store.close().await?;
    if context.json {
        output::json(&report)?;
    } else if args.dry_run {
        let would = format!("{} would be removed", units::counted(report.matched, "answer"));
        output::line(format_args!("{}, of {}", would.bold(), units::count(report.looked_at)))?;
    } else {
        let removed = format!("{} removed", units::counted(report.removed, "answer"));
        output::line(format_args!("{} in {}", removed.bold(), units::elapsed(elapsed)))?;
    }
    Ok(Exit::Success)
}

impl ClearArgs {
    /// The answers that the flags name.
    async fn selection(&self, context: &Context) -> anyhow::Result<Selection> {
        let tenants = self.tenants(context)?;
        let mut selection = Selection::default();
        selection.corpus.clone_from(&self.corpus);
        selection.tenants =
            tenants.as_ref().map(|tenants| tenants.iter().map(|name| TenantId::of(name)).collect());
        selection.scopes = self.scope.map(|scope| vec![scope]);
        selection.namespace.clone_from(&self.namespace);
        selection.older_than = self.older_than;
        if !self.parameters.is_empty() {
            // The model is part of a scope.
            let model = context.config.open_embedder().await?.model().fingerprint();
            let corpus = self.corpus.clone().unwrap_or_default();
            let tenants: Vec<_> = tenants.map_or(vec![None], |names| names.into_iter().map(Some).collect());
            let scopes = tenants.into_iter().map(|tenant| self.lookup(tenant).id(&corpus, &model));
            selection.scopes = Some(scopes.collect::<wellspring::Result<_>>()?);
        }
        if selection.is_everything() {
            return Err(invalid(
                "nothing is selected: give --corpus, --tenant, --caller, --namespace, --param, --scope or \
                 --older-than; to drop everything, use invalidate --everything",
            )
            .into());
        }
        Ok(selection)
    }

    /// Whether what is named would have to be named together with a caller to find answers of a gateway.
    fn lacks_caller(&self, context: &Context) -> wellspring::Result<bool> {
        let is_part = self.caller.is_none() && (self.tenant.is_some() || !self.parameters.is_empty());
        Ok(is_part && context.config.gateway_options()?.sharing != Sharing::Shared)
    }

    /// The names under which a tenant's answers are kept. Without a caller, answers may belong to the command
    /// or the library, or to a gateway that keeps them for everyone who names the tenant.
    fn tenants(&self, context: &Context) -> wellspring::Result<Option<Vec<String>>> {
        let sharing = context.config.gateway_options()?.sharing;
        let gateways = sharing.tenant(self.caller.as_deref(), self.tenant.as_deref())?;
        let own = self.tenant.clone().filter(|_| self.caller.is_none());
        Ok(gateways.map(|gateways| own.into_iter().chain([gateways]).collect()))
    }

    /// The scope of a lookup with these parameters.
    fn lookup(&self, tenant: Option<String>) -> Scope {
        let mut scope = Scope::new();
        if let Some(tenant) = tenant {
            scope = scope.tenant(tenant);
        }
        if let Some(namespace) = &self.namespace {
            scope = scope.namespace(namespace.clone());
        }
        if self.private {
            scope = scope.private();
        }
        self.parameters.iter().fold(scope, |scope, (name, value)| scope.parameter(name, value.clone()))
    }
}

/// Removes the selected answers, or only counts them.
async fn clear(store: &dyn Store, selection: &Selection, dry_run: bool) -> wellspring::Result<Report> {
    let mut report = Report::default();
    let mut pages = Pages::of(store);
    while let Some(page) = pages.next().await? {
        report.looked_at += page.len() as u64;
        let mut going: BTreeMap<Corpus, Vec<Change>> = BTreeMap::new();
        let now = Context::now();
        for entry in page.iter().map(|stored| &stored.entry).filter(|entry| selection.has(entry, now)) {
            report.matched += 1;
            going.entry(entry.corpus.clone()).or_default().push(Change::Entry(entry.id));
        }
        for (corpus, changes) in going.iter().filter(|_| !dry_run) {
            let outcomes = store.invalidate(corpus, changes).await?;
            report.removed += outcomes.into_iter().map(ChangeOutcome::dropped).sum::<u64>();
        }
    }
    Ok(report)
}
