//! Reading the configuration again on SIGHUP, without losing a request.
//!
//! The accepted error, the times to live and the tokens change at once. Other changes are reported and need a
//! restart. An invalid configuration changes nothing.

use wellspring_gateway::Gateway;

use crate::config::{Config, Sources};

/// Reloads on each SIGHUP as long as it is polled.
pub(super) async fn on_hangup(gateway: &Gateway, sources: &Sources, mut config: Config) {
    #[cfg(unix)]
    if let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while hangup.recv().await.is_some() {
            match Config::load(sources) {
                Ok(loaded) => config = apply(gateway, &config, &loaded.config),
                Err(error) => {
                    tracing::error!(%error, "the configuration is not valid and was not reloaded");
                }
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Applies what can be applied; returns the configuration that is then in force.
fn apply(gateway: &Gateway, old: &Config, new: &Config) -> Config {
    let mut in_force = old.clone();
    if gateway.cache().set_match_policy(new.match_policy()).is_ok() {
        in_force.matching.similarity_threshold = new.matching.similarity_threshold;
        in_force.matching.max_false_hit_rate = new.matching.max_false_hit_rate;
    }
    gateway.cache().set_ttls(new.ttls());
    in_force.ttl = new.ttl.clone();
    // Without any token, everyone on this machine would be trusted: a signal must not decide that.
    if new.server.tokens.is_empty() == old.server.tokens.is_empty() {
        gateway.set_tokens(&new.server.tokens);
        in_force.server.tokens.clone_from(&new.server.tokens);
    }
    let waiting = differing(&in_force, new);
    if waiting.is_empty() {
        tracing::info!("the configuration was reloaded");
    } else {
        let waiting = waiting.join(", ");
        tracing::warn!(needs_restart = %waiting, "the configuration was reloaded, in part");
    }
    in_force
}

/// The sections in which two configurations differ.
fn differing(one: &Config, other: &Config) -> Vec<&'static str> {
    let sections = [
        ("store", one.store == other.store),
        ("embedding", one.embedding == other.embedding),
        ("match", one.matching == other.matching),
        ("ttl", one.ttl == other.ttl),
        ("admission", one.admission == other.admission),
        ("server", one.server == other.server),
        ("upstream", one.upstream == other.upstream),
    ];
    sections.into_iter().filter(|(_, is_same)| !is_same).map(|(section, _)| section).collect()
}
