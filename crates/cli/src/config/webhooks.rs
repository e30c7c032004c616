//! `[[server.webhooks]]`: webhooks through which other systems report changes, and rules from paths to
//! documents.

use std::time::Duration;

use axum::http::HeaderName;
use serde::{Deserialize, Serialize};
use wellspring::error::Result;
use wellspring::key::Corpus;
use wellspring_gateway::rules::{Pattern, Rule, Rules};
use wellspring_gateway::webhooks::{Webhook, WebhookKind};

use super::{config_error, name, units};

/// `[[server.webhooks]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebhookConfig {
    /// The name in its address, `/v1/webhooks/NAME`.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The format.
    pub kind: WebhookKindConfig,
    /// The environment variable that holds the secret.
    #[serde(deserialize_with = "name")]
    pub secret_env: String,
    /// The corpus of the changes that it reports.
    #[serde(default)]
    pub corpus: Corpus,
    /// `github`: the branch whose pushes count; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// `hmac`: the header with the signature, `X-Signature` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// `hmac`: the header with the time, `X-Timestamp` by default. If it is empty, there is no such header,
    /// and versions are not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// `hmac`: how far the time may be off, 5 minutes by default.
    #[serde(default = "tolerance", with = "units::duration")]
    pub tolerance: Duration,
    /// Rules that map paths to documents. If there are none, the path is the id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
}

fn tolerance() -> Duration {
    Duration::from_mins(5)
}

/// A [`WebhookKind`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookKindConfig {
    /// The format of `/v1/documents/changed`, signed.
    Hmac,
    /// GitHub's event `push`.
    GitHub,
    /// Notifications of S3.
    S3,
    /// `CloudEvents` 1.0.
    CloudEvents,
}

/// A [`Rule`] as it is written: a glob or a regular expression, and templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RuleConfig {
    /// A glob on the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// A regular expression on the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// The template of the document's id; without it, matching paths are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The template of a collection that changes with the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
}

/// Rules as they are written, checked.
pub(crate) fn rules(written: &[RuleConfig]) -> Result<Rules> {
    let one = |rule: &RuleConfig| {
        let pattern = match (&rule.glob, &rule.regex) {
            (Some(glob), None) => Pattern::Glob(glob.clone()),
            (None, Some(regex)) => Pattern::Regex(regex.clone()),
            _ => return Err(config_error("a rule has either a glob or a regex")),
        };
        if rule.document.is_none() && rule.collection.is_some() {
            return Err(config_error("a rule with a collection needs a document"));
        }
        Ok(Rule { pattern, document: rule.document.clone(), collection: rule.collection.clone() })
    };
    Rules::new(&written.iter().map(one).collect::<Result<Vec<_>>>()?)
}

/// The webhooks with their secrets from the environment.
pub(super) fn webhooks(written: &[WebhookConfig]) -> Result<Vec<Webhook>> {
    let mut webhooks: Vec<Webhook> = Vec::new();
    for config in written {
        let at = |why: &str| config_error(format!("webhook {}: {why}", config.name));
        if webhooks.iter().any(|webhook| webhook.name == config.name) {
            return Err(at("another webhook has this name"));
        }
        let header = |name: &str| {
            name.parse::<HeaderName>().map_err(|_| at(&format!("{name:?} is not the name of a header")))
        };
        let kind = match config.kind {
            WebhookKindConfig::Hmac => WebhookKind::Hmac {
                header: header(config.header.as_deref().unwrap_or("X-Signature"))?,
                timestamp: match config.timestamp_header.as_deref().unwrap_or("X-Timestamp") {
                    "" => None,
                    name => Some((header(name)?, config.tolerance)),
                },
            },
            WebhookKindConfig::GitHub => WebhookKind::GitHub { branch: config.branch.clone() },
            WebhookKindConfig::S3 => WebhookKind::S3,
            WebhookKindConfig::CloudEvents => WebhookKind::CloudEvents,
        };
        if config.branch.is_some() && config.kind != WebhookKindConfig::GitHub {
            return Err(at("only the kind github has a branch"));
        }
        if (config.header.is_some() || config.timestamp_header.is_some())
            && config.kind != WebhookKindConfig::Hmac
        {
            return Err(at("only the kind hmac has headers of its own"));
        }
        let secret = std::env::var(&config.secret_env).ok().filter(|secret| !secret.is_empty());
        let Some(secret) = secret else {
            return Err(at(&format!("its secret is expected in the variable {}", config.secret_env)));
        };
        let rules = rules(&config.rules).map_err(|error| at(&error.to_string()))?;
        let (name, corpus) = (config.name.clone(), config.corpus.clone());
        webhooks.push(Webhook { name, kind, secret, corpus, rules });
    }
    Ok(webhooks)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Sources};
    use super::*;

    fn load(text: &str) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&Sources::default().file(path)).map(|loaded| loaded.config)
    }

    #[test]
    fn webhooks_are_read_with_their_rules() {
        let config = load(
            r#"
            [[server.webhooks]]
            name = "docs"
            kind = "github"
            secret_env = "PATH"
            branch = "main"
            rules = [{ glob = "docs/**", document = "${path}" }]
            [[server.webhooks]]
            name = "bucket"
            kind = "s3"
            secret_env = "WELLSPRING_NOT_SET"
            "#,
        )
        .unwrap();
        let written = &config.server.webhooks;
        let github = webhooks(&written[..1]).unwrap();
        assert_eq!(github[0].kind, WebhookKind::GitHub { branch: Some("main".into()) });
        assert!(github[0].rules.map("src/a.rs", &[]).is_none());
        let error = webhooks(written).unwrap_err().to_string();
        assert_eq!(error, "webhook bucket: its secret is expected in the variable WELLSPRING_NOT_SET");
    }

    #[test]
    fn wrong_webhooks_say_what_is_wrong() {
        let hook = |more: &str| {
            format!("[[server.webhooks]]\nname = \"a\"\nkind = \"s3\"\nsecret_env = \"PATH\"\n{more}")
        };
        assert!(load(&hook("brunch = 1")).unwrap_err().to_string().contains("brunch"));
        for (more, part) in [
            ("branch = \"main\"", "only the kind github"),
            ("header = \"X\"", "only the kind hmac"),
            ("rules = [{ document = \"a\" }]", "either a glob or a regex"),
            ("rules = [{ glob = \"*\", document = \"${x}\" }]", "names \"x\""),
        ] {
            let config = load(&hook(more)).unwrap();
            let error = webhooks(&config.server.webhooks).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let twice = hook("") + &hook("");
        assert!(
            webhooks(&load(&twice).unwrap().server.webhooks).unwrap_err().to_string().contains("another")
        );
    }
}
