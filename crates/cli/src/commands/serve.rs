//! `wellspring serve`: the gateway.

use clap::Args;
use serde_json::json;
use wellspring_gateway::{Gateway, listen, raise_descriptors};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::{logs, output, reload};
use crate::config::{Opening, Sources};

/// Serve the cache to any program that lets you set a base URL
///
/// Runs a proxy for the APIs of OpenAI and Anthropic. A second address takes reports of changed documents and serves
/// the administration page. The settings are in [server] and [upstream]; `wellspring config` shows them all. Send
/// SIGHUP to reload the accepted error, the TTLs and the tokens. `RUST_LOG` sets what is logged.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address of the proxy [default: 127.0.0.1:7331]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The address of administration and ingestion [default: 127.0.0.1:7332]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The base URL of OpenAI's API, or of a compatible one [default: <https://api.openai.com/v1>]
    #[arg(long, value_name = "URL")]
    openai_url: Option<String>,
    /// The base URL of Anthropic's API, or of a compatible one [default: <https://api.anthropic.com/v1>]
    #[arg(long, value_name = "URL")]
    anthropic_url: Option<String>,
}

impl ServeArgs {
    /// Adds what these flags set to `sources`.
    pub(crate) fn flags(&self, sources: Sources) -> Sources {
        [
            ("--listen", "server.listen", &self.listen),
            ("--admin-listen", "server.admin_listen", &self.admin_listen),
            ("--openai-url", "upstream.openai.url", &self.openai_url),
            ("--anthropic-url", "upstream.anthropic.url", &self.anthropic_url),
        ]
        .into_iter()
        .fold(sources, |sources, (flag, key, value)| match value {
            Some(value) => sources.flag(flag, key, value),
            None => sources,
        })
    }
}

pub(crate) async fn run(_: ServeArgs, context: &Context) -> anyhow::Result<Exit> {
    let _traces = logs::start(context.json)?;
    let config = &context.config;
    raise_descriptors();
    // Errors in the settings are reported before a model is loaded.
    let (options, listeners, judge) = (config.gateway_options()?, config.listeners()?, config.open_judge()?);
    let scheme = if listeners.tls.is_some() { "https" } else { "http" };
    let store = config.open_store(Opening::Awaited).await?;
    let mut builder = config.cache_builder(config.open_embedder().await?, store).await?;
    if let Some(judge) = judge {
        builder = builder.shadow(judge);
    }
    let cache = builder.build().await?;
    let gateway = Gateway::new(cache, options)?;
    let bound = listen::bind(gateway.clone(), listeners)?;
    let (public, admin) = (bound.public()?, bound.admin()?);
    let webhooks = bound.webhooks()?.map(|address| format!("{scheme}://{address}"));
    if context.json {
        let (proxy, admin) = (format!("{scheme}://{public}"), format!("{scheme}://{admin}"));
        let mut printed = json!({ "proxy": proxy, "admin": admin });
        if let Some(webhooks) = webhooks {
            printed["webhooks"] = webhooks.into();
        }
        output::json(&printed)?;
    } else {
        output::note(format_args!("proxy at {scheme}://{public}/v1, administration at {scheme}://{admin}"));
        if let Some(webhooks) = webhooks {
            output::note(format_args!("webhooks at {webhooks}/v1/webhooks"));
        }
    }
    tokio::select! {
        served = bound.serve(asked_to_end()) => served?,
        () = reload::on_hangup(&gateway, &context.sources, config.clone()) => {}
    }
    Ok(Exit::Success)
}

/// Ends when the process is interrupted or asked to terminate.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    // If the system cannot report an interrupt, it ends the process by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
